// SPDX-License-Identifier: BSD-3-Clause

//! One shard's I/O on the base bdev: vectored transfers for the engine, flushes for clients.
//!
//! Completions never enter the engine: SPDK's callbacks only put the transfer into a list, and the shard's poller
//! takes it from there. All state is in cells and reached by shared references, because a callback may come from
//! inside a submission.
//!
//! When SPDK has no `spdk_bdev_io` left (-ENOMEM), what could not be submitted waits in order, with everything
//! submitted after it, until SPDK says that there are some again. Transfers are named by slots, allocated at start;
//! only if a shard ever had more transfers under way than blocks in flight would another be allocated.

use core::cell::{Cell, RefCell, UnsafeCell};
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use std::rc::Rc;

use engine::{Direction, Run, RunToken, BLOCK_SIZE, MAX_RUN_BLOCKS};
use libc::iovec;

use crate::buffer::Buf;
use crate::client::{Client, Command, Outcome, Request, Stage};
use crate::ffi;
use crate::list::{Linked, List};
use crate::placement::Placement;
use crate::shard_host::Waker;

/// What a shard needs to know of the base bdev.
#[derive(Debug, Clone, Copy)]
pub struct BaseHandle {
    /// The open descriptor.
    pub desc: NonNull<ffi::spdk_bdev_desc>,
    /// The bdev behind it.
    pub bdev: NonNull<ffi::spdk_bdev>,
    /// Its blocks in one of ours, as a power of two: 0 or 3.
    pub shift: u32,
    /// Its size in its own blocks.
    pub num_blocks: u64,
    /// Buffers must be aligned to this; a power of two.
    pub alignment: usize,
    /// Whether it can be flushed.
    pub can_flush: bool,
}

// SAFETY: descriptor and bdev may be used from every thread that has a channel of the bdev; the descriptor is
// closed after the last such thread has given its channel back.
unsafe impl Send for BaseHandle {}
// SAFETY: as above.
unsafe impl Sync for BaseHandle {}

/// A transfer under way.
struct Slot {
    link: Cell<*const Slot>,
    owner: Cell<*const Transfers>,
    direction: Cell<Direction>,
    /// In the base's blocks.
    offset: Cell<u64>,
    /// In the base's blocks.
    count: Cell<u64>,
    token: Cell<RunToken>,
    ok: Cell<bool>,
    iovcnt: Cell<usize>,
    iovs: UnsafeCell<[iovec; MAX_RUN_BLOCKS]>,
}

// SAFETY: `link` is one field that only the lists write to.
unsafe impl Linked for Slot {
    fn link(&self) -> &Cell<*const Slot> {
        &self.link
    }
}

/// See the module's documentation. Lives in an `Rc`, because slots and callbacks point to it.
pub struct Transfers {
    base: BaseHandle,
    placement: Placement,
    channel: NonNull<ffi::spdk_io_channel>,
    waker: Waker,
    free: List<Slot>,
    /// All slots, each from `Box::into_raw`; none is freed before the whole.
    slots: RefCell<Vec<NonNull<Slot>>>,
    /// Finished transfers for the engine.
    done: List<Slot>,
    /// Transfers that found no spdk_bdev_io.
    unsent: List<Slot>,
    /// Requests whose flush found none.
    unsent_commands: List<Request>,
    /// Requests whose flush or reset is over.
    finished_commands: List<Request>,
    /// SPDK has not yet said that there are some again.
    blocked: Cell<bool>,
    wait_entry: UnsafeCell<ffi::spdk_bdev_io_wait_entry>,
    under_way: Cell<usize>,
}

impl core::fmt::Debug for Transfers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Transfers {{ under_way: {} }}", self.under_way.get())
    }
}

impl Transfers {
    /// Gets a channel of the base for the calling thread, and `slots` slots. None when SPDK has no memory for a
    /// channel.
    pub fn new(base: BaseHandle, placement: Placement, slots: usize, waker: Waker) -> Option<Rc<Transfers>> {
        // SAFETY: the descriptor is open.
        let channel = NonNull::new(unsafe { ffi::spdk_bdev_get_io_channel(base.desc.as_ptr()) })?;
        let transfers = Rc::new(Transfers {
            base,
            placement,
            channel,
            waker,
            free: List::default(),
            slots: RefCell::new(Vec::with_capacity(slots)),
            done: List::default(),
            unsent: List::default(),
            unsent_commands: List::default(),
            finished_commands: List::default(),
            blocked: Cell::new(false),
            // SAFETY: plain data of SPDK's, for which zero is a valid state; filled in before it is used.
            wait_entry: UnsafeCell::new(unsafe { core::mem::zeroed() }),
            under_way: Cell::new(0),
        });
        for _ in 0..slots {
            let node = transfers.new_slot();
            // SAFETY: a new node, which lives as long as the list.
            unsafe { transfers.free.push(node) };
        }
        Some(transfers)
    }

    fn new_slot(&self) -> NonNull<Slot> {
        let slot = Box::into_raw(Box::new(Slot {
            link: Cell::new(ptr::null()),
            owner: Cell::new(self),
            direction: Cell::new(Direction::Read),
            offset: Cell::new(0),
            count: Cell::new(0),
            token: Cell::new(RunToken(0)),
            ok: Cell::new(false),
            iovcnt: Cell::new(0),
            iovs: UnsafeCell::new([iovec { iov_base: ptr::null_mut(), iov_len: 0 }; MAX_RUN_BLOCKS]),
        }));
        // SAFETY: a box is never null.
        let node = unsafe { NonNull::new_unchecked(slot) };
        self.slots.borrow_mut().push(node);
        node
    }

    /// The base.
    pub fn base(&self) -> &BaseHandle {
        &self.base
    }

    /// True when nothing is under way, waiting or to be collected.
    pub fn is_idle(&self) -> bool {
        self.under_way.get() == 0
    }

    /// Starts a transfer of the engine's.
    pub fn submit(&self, run: &Run<'_, Buf>) {
        assert!(
            !run.bufs.is_empty() && run.bufs.len() <= MAX_RUN_BLOCKS,
            "a transfer has 1 to {MAX_RUN_BLOCKS} blocks"
        );
        let node = self.free.pop().unwrap_or_else(|| self.new_slot());
        // SAFETY: slots live as long as `self`.
        let slot = unsafe { node.as_ref() };
        slot.direction.set(run.direction);
        slot.offset.set(self.placement.locate(run.pbn) << self.base.shift);
        slot.count.set((run.bufs.len() as u64) << self.base.shift);
        slot.token.set(run.token);
        // SAFETY: the slot was free, so SPDK does not use the list, and no other reference to it exists.
        slot.iovcnt.set(fill(unsafe { &mut *slot.iovs.get() }, run.bufs));
        self.under_way.set(self.under_way.get() + 1);
        if self.blocked.get() || !self.unsent.is_empty() || !self.issue(node) {
            // SAFETY: the slot is in no list and lives as long as `self`.
            unsafe { self.unsent.push(node) };
        }
    }

    /// Hands a transfer to SPDK. False when it found no spdk_bdev_io.
    fn issue(&self, node: NonNull<Slot>) -> bool {
        // SAFETY: slots live as long as `self`.
        let slot = unsafe { node.as_ref() };
        let (desc, channel) = (self.base.desc.as_ptr(), self.channel.as_ptr());
        let iovs = slot.iovs.get().cast::<ffi::iovec>();
        let iovcnt = slot.iovcnt.get() as i32;
        let (offset, count) = (slot.offset.get(), slot.count.get());
        let context = node.as_ptr().cast::<c_void>();
        let start = match slot.direction.get() {
            Direction::Read => ffi::spdk_bdev_readv_blocks,
            Direction::Write => ffi::spdk_bdev_writev_blocks,
        };
        // SAFETY: descriptor open, channel of this thread; list, buffers and slot stay in place until the callback
        // (slots live as long as `self`, which is dropped only when idle; buffers by the contract of `Env`).
        let rc = unsafe { start(desc, channel, iovs, iovcnt, offset, count, Some(transfer_done), context) };
        if rc == -libc::ENOMEM {
            self.block();
            return false;
        }
        if rc != 0 {
            self.finish(node, false);
        }
        true
    }

    /// Notes the end of a transfer. Called from callbacks.
    fn finish(&self, node: NonNull<Slot>, ok: bool) {
        // SAFETY: slots live as long as `self`; a slot that was issued is in no list.
        unsafe {
            node.as_ref().ok.set(ok);
            self.done.push(node);
        }
        self.waker.wake();
    }

    /// Takes the next finished transfer: its name, and whether it succeeded.
    pub fn take_done(&self) -> Option<(RunToken, bool)> {
        let node = self.done.pop()?;
        // SAFETY: slots live as long as `self`.
        let slot = unsafe { node.as_ref() };
        let outcome = (slot.token.get(), slot.ok.get());
        // SAFETY: the slot was just taken out of its list. At the front, so that the next transfer finds it in the
        // cache.
        unsafe { self.free.push_front(node) };
        self.under_way.set(self.under_way.get() - 1);
        Some(outcome)
    }

    /// Starts the part of a client's flush or reset that concerns the base. There is none to a reset: the bdev below
    /// serves the pool and other volumes, too, whose I/O its reset would end with errors. (SPDK's logical volumes are
    /// the same.)
    pub fn command(&self, client: Client) {
        self.under_way.set(self.under_way.get() + 1);
        client.set_stage(Stage::Base);
        if client.command() == Command::Reset || !self.base.can_flush {
            self.finish_command(client.node());
        } else if self.blocked.get() || !self.issue_command(client) {
            // SAFETY: the request is in no list, and is not completed before it comes out of `take_finished_command`.
            unsafe { self.unsent_commands.push(client.node()) };
        }
    }

    fn issue_command(&self, client: Client) -> bool {
        let (desc, channel) = (self.base.desc.as_ptr(), self.channel.as_ptr());
        client.set_transfers(self);
        let context = client.node().as_ptr().cast::<c_void>();
        // SAFETY: descriptor open, channel of this thread; the request lives until the callback has come.
        let rc =
            unsafe { ffi::spdk_bdev_flush_blocks(desc, channel, 0, self.base.num_blocks, Some(command_done), context) };
        if rc == 0 {
            return true;
        }
        if rc == -libc::ENOMEM {
            self.block();
            return false;
        }
        client.fail(Outcome::Failed);
        self.finish_command(client.node());
        true
    }

    fn finish_command(&self, node: NonNull<Request>) {
        // SAFETY: a request whose command is under way is in no list, and is completed only after it came out of
        // this one.
        unsafe { self.finished_commands.push(node) };
        self.waker.wake();
    }

    /// Takes the next request whose flush or reset of the base is over.
    pub fn take_finished_command(&self) -> Option<Client> {
        let node = self.finished_commands.pop()?;
        self.under_way.set(self.under_way.get() - 1);
        Some(Client::of(node))
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

    /// Submits again what found no spdk_bdev_io. Returns whether anything was submitted.
    pub fn resume(&self) -> bool {
        let mut any = false;
        while !self.blocked.get() {
            let Some(node) = self.unsent.pop() else { break };
            if self.issue(node) {
                any = true;
            } else {
                // SAFETY: just taken out of the list.
                unsafe { self.unsent.push_front(node) };
                return any;
            }
        }
        while !self.blocked.get() {
            let Some(node) = self.unsent_commands.pop() else { break };
            if self.issue_command(Client::of(node)) {
                any = true;
            } else {
                // SAFETY: just taken out of the list.
                unsafe { self.unsent_commands.push_front(node) };
                return any;
            }
        }
        any
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        assert!(self.is_idle(), "a shard was dropped with transfers under way");
        for slot in self.slots.get_mut().drain(..) {
            // SAFETY: from `Box::into_raw` in `new_slot`, freed once; nothing is under way, so nobody else knows of
            // it.
            drop(unsafe { Box::from_raw(slot.as_ptr()) });
        }
        // SAFETY: got by `new` on this thread, given back once; nothing is under way on it.
        unsafe { ffi::spdk_put_io_channel(self.channel.as_ptr()) };
    }
}

/// Lists the blocks, neighbours in memory as one entry. Returns the number of entries.
fn fill(iovs: &mut [iovec; MAX_RUN_BLOCKS], bufs: &[Buf]) -> usize {
    let mut used = 0;
    let mut end = ptr::null_mut();
    for buf in bufs {
        let base = buf.as_ptr();
        if used > 0 && base == end {
            iovs[used - 1].iov_len += BLOCK_SIZE;
        } else {
            iovs[used] = iovec { iov_base: base.cast(), iov_len: BLOCK_SIZE };
            used += 1;
        }
        end = base.wrapping_add(BLOCK_SIZE);
    }
    used
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn transfer_done(bdev_io: *mut ffi::spdk_bdev_io, success: bool, context: *mut c_void) {
    // SAFETY: SPDK calls this once for each transfer, on the shard's thread, with the slot as context; slot and
    // owner outlive it.
    unsafe {
        ffi::spdk_bdev_free_io(bdev_io);
        let node = NonNull::new_unchecked(context.cast::<Slot>());
        (*node.as_ref().owner.get()).finish(node, success);
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn command_done(bdev_io: *mut ffi::spdk_bdev_io, success: bool, context: *mut c_void) {
    // SAFETY: SPDK calls this once for each command, on the shard's thread, with the request as context; the
    // request and the shard that `issue_command` noted in it wait for this.
    unsafe {
        ffi::spdk_bdev_free_io(bdev_io);
        let client = Client::of(NonNull::new_unchecked(context.cast::<Request>()));
        if !success {
            client.fail(Outcome::Failed);
        }
        (*client.transfers()).finish_command(client.node());
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn available(context: *mut c_void) {
    // SAFETY: SPDK calls this on the shard's thread with the `Transfers` that queued its entry, which is not
    // dropped while anything waits.
    let transfers = unsafe { &*context.cast::<Transfers>() };
    transfers.blocked.set(false);
    transfers.waker.wake();
}
