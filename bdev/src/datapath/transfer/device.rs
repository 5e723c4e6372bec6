// SPDX-License-Identifier: BSD-3-Clause

//! A bdev of the pool as one shard uses it: an I/O channel, and what waits for SPDK.
//!
//! When SPDK has no `spdk_bdev_io` left (-ENOMEM), what could not be submitted waits in order, with everything
//! submitted after it, until SPDK says that there are some again. Metadata and flushes go first then: data wait for
//! journal entries anyway, and many clients' transfers would keep a journal waiting that all of them wait for.
//!
//! Invariant: a device stays in place while SPDK holds its wait entry.

use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::ptr::{self, NonNull};

use mpool::drive::IoCounters;

use super::slot::{Slot, Work};
use super::waiting::Waiting;
use crate::datapath::shard_host::Waker;
use crate::spdk::ffi;
use crate::spdk::open_bdev::BaseHandle;

/// What became of a transfer that was handed to SPDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issued {
    /// Its callback comes.
    Started,
    /// It waits for an spdk_bdev_io.
    Waits,
    /// SPDK does not take it; no callback comes.
    Refused,
}

/// See the module's documentation.
pub struct Device {
    base: BaseHandle,
    channel: NonNull<ffi::spdk_io_channel>,
    waker: Waker,
    /// What found no spdk_bdev_io.
    unsent: Waiting<Slot>,
    /// SPDK has not yet said that there are some again.
    blocked: Cell<bool>,
    counters: Cell<IoCounters>,
    wait_entry: UnsafeCell<ffi::spdk_bdev_io_wait_entry>,
}

impl Device {
    /// Gets a channel for the calling thread. None when SPDK has no memory for one.
    pub fn new(base: BaseHandle, waker: Waker) -> Option<Device> {
        // SAFETY: the descriptor is open.
        let channel = NonNull::new(unsafe { ffi::spdk_bdev_get_io_channel(base.desc.as_ptr()) })?;
        Some(Device {
            base,
            channel,
            waker,
            unsent: Waiting::new(),
            blocked: Cell::new(false),
            counters: Cell::default(),
            // SAFETY: plain data of SPDK's, for which zero is a valid state; filled in before it is used.
            wait_entry: UnsafeCell::new(unsafe { core::mem::zeroed() }),
        })
    }

    /// The bdev.
    pub fn base(&self) -> &BaseHandle {
        &self.base
    }

    /// Counts what has ended.
    pub fn count(&self, slot: &Slot, ok: bool) {
        let mut counters = self.counters.get();
        match slot.work.get() {
            Work::Read => counters.read(slot.bytes.get(), ok),
            Work::Write => counters.write(slot.bytes.get(), ok),
            Work::Flush => counters.flush(ok),
        }
        self.counters.set(counters);
    }

    /// What was done with it.
    pub fn io_counters(&self) -> IoCounters {
        self.counters.get()
    }

    /// Hands a transfer to SPDK, or lets it wait behind those that do.
    pub fn start(&self, node: NonNull<Slot>) -> Issued {
        let waits = self.blocked.get() || !self.unsent.is_empty();
        let issued = if waits { Issued::Waits } else { self.issue(node) };
        if issued == Issued::Waits {
            // SAFETY: the slot is in no list and lives as long as the transfers that this device belongs to.
            unsafe { self.unsent.push(node) };
        }
        issued
    }

    /// Submits again the first that waits. None when none does, or when it still has to.
    pub fn resume(&self) -> Option<(NonNull<Slot>, Issued)> {
        if self.blocked.get() {
            return None;
        }
        let node = self.unsent.pop()?;
        let issued = self.issue(node);
        if issued == Issued::Waits {
            // SAFETY: just taken out of the list.
            unsafe { self.unsent.push_front(node) };
            return None;
        }
        Some((node, issued))
    }

    fn issue(&self, node: NonNull<Slot>) -> Issued {
        // SAFETY: the slot lives as long as the transfers that this device belongs to.
        let slot = unsafe { node.as_ref() };
        let (desc, channel) = (self.base.desc.as_ptr(), self.channel.as_ptr());
        let (offset, count) = (slot.at.get() >> self.base.block_shift, slot.bytes.get() >> self.base.block_shift);
        let (iovs, iovcnt) = slot.memory();
        let iovs = iovs.cast::<ffi::iovec>();
        let (callback, context) = (Some(super::ended as _), node.as_ptr().cast::<c_void>());
        // SAFETY: descriptor open, channel of this thread; list, buffers and slot stay in place until the callback
        // (slots live as long as their owner, which is dropped only when idle; buffers by the contract of `Env`).
        let rc = unsafe {
            match slot.work.get() {
                Work::Read => {
                    ffi::spdk_bdev_readv_blocks(desc, channel, iovs, iovcnt, offset, count, callback, context)
                }
                Work::Write => {
                    ffi::spdk_bdev_writev_blocks(desc, channel, iovs, iovcnt, offset, count, callback, context)
                }
                Work::Flush => {
                    // Its present size: it may have grown.
                    let all = ffi::spdk_bdev_get_num_blocks(self.base.bdev.as_ptr());
                    ffi::spdk_bdev_flush_blocks(desc, channel, 0, all, callback, context)
                }
            }
        };
        match -rc {
            0 => Issued::Started,
            libc::ENOMEM => {
                self.block();
                Issued::Waits
            }
            _ => Issued::Refused,
        }
    }

    /// Asks SPDK to say when there are spdk_bdev_io again.
    fn block(&self) {
        let entry = self.wait_entry.get();
        // SAFETY: the entry is queued only while `blocked` is set, and it is not set here, so SPDK does not hold it.
        let rc = unsafe {
            (*entry).bdev = self.base.bdev.as_ptr();
            (*entry).cb_fn = Some(available);
            (*entry).cb_arg = ptr::from_ref(self).cast_mut().cast();
            ffi::spdk_bdev_queue_io_wait(self.base.bdev.as_ptr(), self.channel.as_ptr(), entry)
        };
        // Refused when some became free in between: the next poll tries again.
        self.blocked.set(rc == 0);
        if rc != 0 {
            self.waker.wake();
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: got by `new` on this thread, given back once; nothing is under way on it.
        unsafe { ffi::spdk_put_io_channel(self.channel.as_ptr()) };
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn available(context: *mut c_void) {
    // SAFETY: SPDK calls this on the shard's thread with the device that queued its entry, which is not dropped while
    // anything waits.
    let device = unsafe { &*context.cast::<Device>() };
    device.blocked.set(false);
    device.waker.wake();
}
