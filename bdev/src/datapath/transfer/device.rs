// SPDX-License-Identifier: BSD-3-Clause

//! A bdev of the pool as one shard uses it: an I/O channel, and the transfers that wait for SPDK.
//!
//! When SPDK has no `spdk_bdev_io` left (-ENOMEM), a transfer that could not be submitted, and everything submitted
//! after it, waits in order until SPDK reports free ones. Metadata and flushes then go first: data wait for journal
//! entries anyway, and otherwise many clients' transfers would delay the journal that all of them wait for.
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

/// The result of handing a transfer to SPDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issued {
    /// SPDK's callback will come.
    Started,
    /// The transfer waits for an spdk_bdev_io.
    Waits,
    /// SPDK refuses the transfer; no callback comes.
    Refused,
}

/// See the module's documentation.
pub struct Device {
    base: BaseHandle,
    channel: NonNull<ffi::spdk_io_channel>,
    waker: Waker,
    /// Transfers that found no spdk_bdev_io.
    unsent: Waiting<Slot>,
    /// SPDK has not yet reported free spdk_bdev_io.
    blocked: Cell<bool>,
    counters: Cell<IoCounters>,
    wait_entry: UnsafeCell<ffi::spdk_bdev_io_wait_entry>,
}

impl Device {
    /// Gets a channel for the calling thread. None if SPDK has no memory for one.
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
            // SAFETY: plain data of SPDK's, for which zero is a valid state; filled in before use.
            wait_entry: UnsafeCell::new(unsafe { core::mem::zeroed() }),
        })
    }

    pub fn base(&self) -> &BaseHandle {
        &self.base
    }

    /// Counts a finished transfer.
    pub fn count(&self, slot: &Slot, ok: bool) {
        let mut counters = self.counters.get();
        match slot.work.get() {
            Work::Read => counters.read(slot.bytes.get(), ok),
            Work::Write => counters.write(slot.bytes.get(), ok),
            Work::Flush => counters.flush(ok),
        }
        self.counters.set(counters);
    }

    /// Reads, writes and flushes so far.
    pub fn io_counters(&self) -> IoCounters {
        self.counters.get()
    }

    /// Hands a transfer to SPDK, or queues it behind those that wait.
    pub fn start(&self, node: NonNull<Slot>) -> Issued {
        let waits = self.blocked.get() || !self.unsent.is_empty();
        let issued = if waits { Issued::Waits } else { self.issue(node) };
        if issued == Issued::Waits {
            // SAFETY: the slot is in no list and lives as long as the transfers that this device belongs to.
            unsafe { self.unsent.push(node) };
        }
        issued
    }

    /// Resubmits the first waiting transfer. None if there is none, or if it must go on waiting.
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
                    // The present size: the bdev may have grown.
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

    /// Asks SPDK to report when it has spdk_bdev_io again.
    fn block(&self) {
        let entry = self.wait_entry.get();
        // SAFETY: SPDK holds the entry only while `blocked` is set; here it is not.
        let rc = unsafe {
            (*entry).bdev = self.base.bdev.as_ptr();
            (*entry).cb_fn = Some(available);
            (*entry).cb_arg = ptr::from_ref(self).cast_mut().cast();
            ffi::spdk_bdev_queue_io_wait(self.base.bdev.as_ptr(), self.channel.as_ptr(), entry)
        };
        // Refused because some became free in between: the next poll tries again.
        self.blocked.set(rc == 0);
        if rc != 0 {
            self.waker.wake();
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: got by `new` on this thread, given back once; nothing is in flight on it.
        unsafe { ffi::spdk_put_io_channel(self.channel.as_ptr()) };
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn available(context: *mut c_void) {
    // SAFETY: SPDK calls this on the shard's thread with the device that queued its entry; a device is not dropped
    // while anything waits.
    let device = unsafe { &*context.cast::<Device>() };
    device.blocked.set(false);
    device.waker.wake();
}
