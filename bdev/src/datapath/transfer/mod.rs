// SPDX-License-Identifier: BSD-3-Clause

//! One shard's I/O on the bdevs of its volume's pool: vectored transfers and flushes.
//!
//! Completions never enter the engine: SPDK's callbacks only put the transfer into a list, from which the shard's
//! poller takes it. All state is in cells and reached by shared references, because a callback may come from inside a
//! submission.
//!
//! A flush goes to every [`device`] that can be flushed and ends when the last of them has; its parts are handled like
//! transfers.
//!
//! A [`slot`] holds each transfer. Slots are allocated at start; another one is allocated only if a shard ever has more
//! transfers in flight than slots.

mod device;
mod slot;
mod waiting;

use core::cell::{Cell, RefCell};
use core::ffi::c_void;
use core::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use engine::format::Placement;
use engine::{Direction, Run, RunToken, MAX_RUN_BLOCKS};
use mpool::drive::IoCounters;

use self::device::{Device, Issued};
use self::slot::{Answer, Slot, Work};
use super::list::List;
use super::shard_host::Waker;
use crate::spdk::buffer::Buf;
use crate::spdk::ffi;

pub use crate::spdk::open_bdev::BaseHandle;

/// Memory of a transfer in flight, in bytes.
pub const SLOT_BYTES: usize = size_of::<Slot>();

/// See the module's documentation. Lives in an `Rc`, because slots and callbacks point to it.
pub struct Transfers {
    devices: Box<[Device]>,
    placement: RefCell<Arc<Placement>>,
    waker: Waker,
    free: List<Slot>,
    /// All slots, each from `Box::into_raw`; none is freed before the whole.
    slots: RefCell<Vec<NonNull<Slot>>>,
    done: List<Slot>,
    under_way: Cell<usize>,
}

impl core::fmt::Debug for Transfers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Transfers {{ under_way: {} }}", self.under_way.get())
    }
}

impl Transfers {
    /// Gets a channel of each bdev for the calling thread, and allocates `slots` slots. `bases` are in the order in
    /// which `placement` numbers them. None if SPDK has no memory for a channel.
    pub fn new(bases: &[BaseHandle], placement: Arc<Placement>, slots: usize, waker: Waker) -> Option<Rc<Transfers>> {
        let devices = bases.iter().map(|base| Device::new(*base, waker)).collect::<Option<Box<[Device]>>>()?;
        let transfers = Rc::new(Transfers {
            devices,
            placement: RefCell::new(placement),
            waker,
            free: List::default(),
            slots: RefCell::new(Vec::with_capacity(slots)),
            done: List::default(),
            under_way: Cell::new(0),
        });
        for _ in 0..slots {
            transfers.give_back(transfers.new_slot());
        }
        Some(transfers)
    }

    fn new_slot(&self) -> NonNull<Slot> {
        // SAFETY: a box is never null.
        let node = unsafe { NonNull::new_unchecked(Box::into_raw(Box::new(Slot::new(self)))) };
        self.slots.borrow_mut().push(node);
        node
    }

    fn take_slot(&self) -> NonNull<Slot> {
        self.free.pop().unwrap_or_else(|| self.new_slot())
    }

    fn give_back(&self, node: NonNull<Slot>) {
        // SAFETY: the slot is in no list and lives as long as `self`. Pushed at the front, so that the next transfer
        // finds it in the cache.
        unsafe { self.free.push_front(node) };
    }

    /// Takes the placement of a volume that has grown.
    pub fn set_placement(&self, placement: Arc<Placement>) {
        self.placement.replace(placement);
    }

    /// True when no transfer is in flight, waiting or still to be taken by `take_done`.
    pub fn is_idle(&self) -> bool {
        self.under_way.get() == 0
    }

    fn begin(&self) {
        self.under_way.set(self.under_way.get() + 1);
    }

    /// Starts a transfer for the engine.
    pub fn submit(&self, run: &Run<'_, Buf>) {
        assert!(
            !run.bufs.is_empty() && run.bufs.len() <= MAX_RUN_BLOCKS,
            "a transfer has 1 to {MAX_RUN_BLOCKS} blocks"
        );
        let place = self.placement.borrow().locate(run.place);
        let node = self.take_slot();
        // SAFETY: slots live as long as `self`.
        let slot = unsafe { node.as_ref() };
        let work = match run.direction {
            Direction::Read => Work::Read,
            Direction::Write => Work::Write,
        };
        slot.work.set(work);
        slot.urgent.set(run.token.is_metadata());
        slot.answer.set(Answer::Run(run.token));
        slot.at.set(place.at);
        slot.bytes.set(run.bytes as u64);
        // SAFETY: the slot was free, so SPDK does not use its list, and there is no other reference to it.
        unsafe { slot.list(run.bufs, run.bytes) };
        self.begin();
        self.issue(place.device, node);
    }

    /// Starts a flush for the engine: a part on every device that can be flushed.
    pub fn flush(&self, token: RunToken) {
        self.begin();
        let whole = self.take_slot();
        // SAFETY: slots live as long as `self`.
        let slot = unsafe { whole.as_ref() };
        slot.answer.set(Answer::Run(token));
        slot.ok.set(true);
        // One more than there are parts, so that the flush does not end before all parts have started.
        slot.parts.set(1);
        let devices = (0..).zip(&self.devices);
        for (number, _) in devices.filter(|(_, device)| device.base().can_flush) {
            slot.parts.set(slot.parts.get() + 1);
            let node = self.take_slot();
            // SAFETY: as above.
            let part = unsafe { node.as_ref() };
            part.work.set(Work::Flush);
            part.urgent.set(true);
            part.answer.set(Answer::Part(whole));
            self.issue(number, node);
        }
        self.end_part(whole, true);
    }

    fn end_part(&self, whole: NonNull<Slot>, ok: bool) {
        // SAFETY: slots live as long as `self`, and a flush keeps its slot until its last part has ended.
        let slot = unsafe { whole.as_ref() };
        slot.ok.set(slot.ok.get() && ok);
        slot.parts.set(slot.parts.get() - 1);
        if slot.parts.get() == 0 {
            self.finish(whole, slot.ok.get());
        }
    }

    fn issue(&self, device: u8, node: NonNull<Slot>) {
        // SAFETY: slots live as long as `self`.
        unsafe { node.as_ref() }.device.set(device);
        if self.devices[usize::from(device)].start(node) == Issued::Refused {
            self.ended(node, false);
        }
    }

    /// Counts and finishes what was handed to a device.
    fn ended(&self, node: NonNull<Slot>, ok: bool) {
        // SAFETY: slots live as long as `self`.
        let slot = unsafe { node.as_ref() };
        self.devices[usize::from(slot.device.get())].count(slot, ok);
        self.finish(node, ok);
    }

    /// Reads, writes and flushes of each device.
    pub fn io_counters(&self) -> Vec<IoCounters> {
        self.devices.iter().map(Device::io_counters).collect()
    }

    /// Records the end of a transfer. Also called from callbacks.
    fn finish(&self, node: NonNull<Slot>, ok: bool) {
        // SAFETY: slots live as long as `self`.
        let slot = unsafe { node.as_ref() };
        match slot.answer.get() {
            Answer::Run(_) => {
                slot.ok.set(ok);
                // SAFETY: a slot that was issued is in no list.
                unsafe { self.done.push(node) };
                self.waker.wake();
            }
            Answer::Part(whole) => {
                self.give_back(node);
                self.end_part(whole, ok);
            }
        }
    }

    /// Takes the next finished transfer or flush: its token, and whether it succeeded.
    pub fn take_done(&self) -> Option<(RunToken, bool)> {
        let node = self.done.pop()?;
        // SAFETY: slots live as long as `self`.
        let slot = unsafe { node.as_ref() };
        let Answer::Run(token) = slot.answer.get() else { unreachable!("only the engine's transfers are put there") };
        let ok = slot.ok.get();
        self.give_back(node);
        self.under_way.set(self.under_way.get() - 1);
        Some((token, ok))
    }

    /// Resubmits what found no spdk_bdev_io. Returns whether anything was submitted.
    pub fn resume(&self) -> bool {
        let mut any = false;
        for device in &self.devices {
            while let Some((node, issued)) = device.resume() {
                any = true;
                if issued == Issued::Refused {
                    self.ended(node, false);
                }
            }
        }
        any
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        assert!(self.is_idle(), "a shard was dropped with transfers under way");
        for slot in self.slots.get_mut().drain(..) {
            // SAFETY: from `Box::into_raw` in `new_slot`, freed once; nothing is in flight, so SPDK has no pointer to
            // it.
            drop(unsafe { Box::from_raw(slot.as_ptr()) });
        }
    }
}

/// SPDK's callback: a transfer has ended.
///
/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn ended(bdev_io: *mut ffi::spdk_bdev_io, success: bool, context: *mut c_void) {
    // SAFETY: SPDK calls this once for each transfer, on the shard's thread, with the slot as context; slot and
    // owner outlive it.
    unsafe {
        ffi::spdk_bdev_free_io(bdev_io);
        let node = NonNull::new_unchecked(context.cast::<Slot>());
        (*node.as_ref().owner).ended(node, success);
    }
}
