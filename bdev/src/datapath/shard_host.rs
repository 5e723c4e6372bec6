// SPDX-License-Identifier: BSD-3-Clause

//! One engine shard on one SPDK thread: its queues, its start and stop, and who polls it.
//!
//! In polled mode a poller of period 0 polls the shard ([`super::poll`]). In interrupt mode each arrival schedules a
//! poll by a message to the thread; at most one such message is in flight ([`Waker`]).
//!
//! Invariants:
//! * Only the shard's thread touches [`Confined`], and only between [`ShardHost::start`] and [`ShardHost::stop`].
//! * The engine is reached through one `&mut` that lives during a poll. Polls do not nest (`entered`), and no client is
//!   called back during one. Clients are answered afterwards; a client that submits again from its callback only adds
//!   to `arrivals`.
//! * A request is answered on the thread of its channel: by this shard if that is the shard's own thread, else through
//!   the channel's [`super::channel::Port`].

mod index;

use core::cell::{Cell, RefCell, UnsafeCell};
use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use engine::dump::{DumpScope, ShardDump};
use engine::format::slab_summary::SlabSummary;
use engine::format::{Geometry, Placement};
use engine::statistics::Statistics;
use engine::{ReadOnlyReason, ShardId};
use mpool::drive::IoCounters;

use super::cache_padded::CachePadded;
use super::gauges::Gauges;
use super::list::{Inbox, List};
use super::peers::Peers;
use super::plan::{Plan, DMA_BYTES};
use super::poll::{Queues, Quiet, Running};
use super::request::{Request, RequestHandle};
use crate::spdk::thread::Thread;
use crate::spdk::{compat, ffi};

/// Why a shard did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// SPDK gave no I/O channel of the base bdev.
    #[error("no I/O channel of the base bdev could be had")]
    Channel,
    /// Not enough hugepage memory.
    #[error("no {} KiB of DMA memory could be had: start the application with more (-s)", DMA_BYTES / 1024)]
    DmaMemory,
    #[error("no poller could be registered")]
    Poller,
}

/// Wakes a shard in interrupt mode. In polled mode does nothing, because the poller runs anyway.
#[derive(Debug, Clone, Copy)]
pub struct Waker(Option<NonNull<ShardHost>>);

impl Waker {
    /// Schedules a poll.
    pub fn wake(&self) {
        if let Some(host) = self.0 {
            // SAFETY: only parts of the shard hold the waker, and they are gone before the shard.
            unsafe { host.as_ref() }.schedule();
        }
    }
}

/// State that only the shard's thread touches.
struct Confined {
    /// Requests from channels of the same thread.
    arrivals: List<Request>,
    /// Requests to be answered after the poll.
    finished: List<Request>,
    running: UnsafeCell<Option<Box<Running>>>,
    entered: Cell<bool>,
    poller: Cell<*mut ffi::spdk_poller>,
    /// Wakes the shard for the engine's timer in interrupt mode.
    timer_poller: Cell<*mut ffi::spdk_poller>,
    peers: RefCell<Option<Peers>>,
}

/// One shard and its queues. Stays in place from creation to the end of the volume.
pub struct ShardHost {
    pub id: ShardId,
    pub core: u32,
    pub thread: Thread,
    /// The thread was created for this shard, and exits with it.
    own_thread: bool,
    interrupt_mode: bool,
    pub gauges: CachePadded<Gauges>,
    /// Requests from channels of other threads.
    inbox: CachePadded<Inbox<Request>>,
    /// A poll is scheduled (interrupt mode).
    scheduled: AtomicBool,
    confined: CachePadded<Confined>,
}

impl core::fmt::Debug for ShardHost {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ShardHost {{ id: {:?}, core: {} }}", self.id, self.core)
    }
}

// SAFETY: only the shard's thread touches `confined` (each method that does so says so); all else is made for many
// threads.
unsafe impl Sync for ShardHost {}
// SAFETY: as above; what is confined to the shard's thread is created and dropped there, by `start` and `stop`.
unsafe impl Send for ShardHost {}

impl ShardHost {
    /// A shard that is not started yet. `own_thread`: the thread was created for the shard.
    pub fn new(id: ShardId, core: u32, thread: Thread, own_thread: bool) -> ShardHost {
        ShardHost {
            id,
            core,
            thread,
            own_thread,
            interrupt_mode: compat::interrupt_mode(),
            gauges: CachePadded::default(),
            inbox: CachePadded::default(),
            scheduled: AtomicBool::new(false),
            confined: CachePadded(Confined {
                arrivals: List::default(),
                finished: List::default(),
                running: UnsafeCell::new(None),
                entered: Cell::new(false),
                poller: Cell::new(ptr::null_mut()),
                timer_poller: Cell::new(ptr::null_mut()),
                peers: RefCell::new(None),
            }),
        }
    }

    /// Hands a request to this shard, its home. Any thread.
    ///
    /// # Safety
    /// The request is in no list, and nobody but this shard, and those it gives pieces to, touches it until completion.
    pub unsafe fn accept(&self, client: RequestHandle) {
        if self.thread.is_current() {
            // SAFETY: this is the shard's thread; the rest is the caller's promise.
            unsafe { self.confined.arrivals.push(client.node()) };
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.inbox.push(client.node()) };
        }
        if self.interrupt_mode {
            self.schedule();
        }
    }

    /// Schedules a poll by a message, unless one is scheduled already. Any thread.
    fn schedule(&self) {
        // The exchange orders everything queued before it ahead of the poll that clears the flag, so no arrival is
        // missed.
        if !self.scheduled.swap(true, Ordering::AcqRel) && !self.thread.send(scheduled_turn, self.as_context()) {
            self.scheduled.store(false, Ordering::Release);
            log::error!("{}: cannot schedule a turn: out of SPDK messages", self.id);
        }
    }

    fn as_context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Builds the engine and starts polling. On the shard's thread, once.
    ///
    /// # Errors
    /// SPDK lacks memory of some kind; the shard is left as if `start` had not been called.
    pub fn start(&self, plan: Plan) -> Result<(), StartError> {
        assert!(self.thread.is_current());
        let waker = Waker(self.interrupt_mode.then_some(NonNull::from(self)));
        *self.confined.peers.borrow_mut() = Some(plan.peers.clone());
        let running = Running::new(plan, waker)?;
        // SAFETY: on the shard's thread, not in a poll (none runs before the poller below is registered).
        unsafe { *self.confined.running.get() = Some(Box::new(running)) };
        if !self.interrupt_mode {
            // SAFETY: the shard outlives its poller, which `stop` unregisters.
            let poller = unsafe {
                ffi::spdk_poller_register_named(Some(poll), self.as_context(), 0, c"bdev_dedupe_shard".as_ptr())
            };
            if poller.is_null() {
                // SAFETY: as above.
                unsafe { *self.confined.running.get() = None };
                return Err(StartError::Poller);
            }
            self.confined.poller.set(poller);
        }
        Ok(())
    }

    /// Stops polling and frees the engine. On the shard's thread, when the volume has quiesced; also for a shard that
    /// was not started.
    pub fn stop(&self) {
        assert!(self.thread.is_current() && !self.confined.entered.get());
        unregister(&self.confined.poller);
        unregister(&self.confined.timer_poller);
        // SAFETY: on the shard's thread, not in a poll.
        drop(unsafe { (*self.confined.running.get()).take() });
        // The volume still holds its shards.
        self.confined.peers.take();
        if self.own_thread {
            Thread::exit_current();
        }
    }

    /// Calls `ask` on the engine between polls. On the shard's thread. None before start, after stop and inside a poll.
    fn with_running<R>(&self, ask: impl FnOnce(&mut Running) -> R) -> Option<R> {
        assert!(self.thread.is_current());
        if self.confined.entered.replace(true) {
            return None;
        }
        // SAFETY: on the shard's thread, and `entered` prevents a second reference while this one lives.
        let answer = unsafe { (*self.confined.running.get()).as_deref_mut() }.map(ask);
        self.confined.entered.set(false);
        answer
    }

    pub fn statistics(&self) -> Statistics {
        self.with_running(|running| running.statistics()).unwrap_or_default()
    }

    /// Reads, writes and flushes of each bdev; empty before start and after stop. On the shard's thread.
    pub fn io_counters(&self) -> Vec<IoCounters> {
        self.with_running(|running| running.io_counters()).unwrap_or_default()
    }

    /// The engine's state; none before start and after stop. On the shard's thread.
    pub fn dump(&self, scope: &DumpScope) -> Option<ShardDump> {
        self.with_running(|running| running.dump(scope))
    }

    /// Changes the engine in a way that may leave it work to do. On the shard's thread.
    fn change(&self, change: impl FnOnce(&mut Running)) {
        self.with_running(change);
        if self.interrupt_mode {
            self.schedule();
        }
    }

    /// Changes the size of this shard's part of the index. On the shard's thread.
    pub fn resize_index(&self, bytes: usize) {
        self.change(|running| running.resize_index(bytes));
    }

    /// Changes the number of block-map pages that this shard caches. On the shard's thread.
    pub fn set_map_pages(&self, pages: usize) {
        self.change(|running| running.set_map_pages(pages));
    }

    /// Changes the share of space, in percent, that this shard keeps back until the operator releases it. On the
    /// shard's thread.
    pub fn set_reserve(&self, percent: u8) {
        self.change(|running| running.set_reserve(percent));
    }

    /// Takes the result of an erasure that the engine asked for. On the shard's thread.
    pub fn segment_erased(&self, segment: u32, result: Result<u64, ()>) {
        self.change(|running| running.segment_erased(segment, result));
    }

    /// Accepts no requests until [`ShardHost::open`]; requests that arrive stay queued. On the shard's thread.
    pub fn close(&self) {
        self.change(|running| running.set_open(false));
    }

    /// Accepts requests again. On the shard's thread.
    pub fn open(&self) {
        self.change(|running| running.set_open(true));
    }

    /// Aborts what remains of unmaps of many pages. On the shard's thread.
    pub fn abort_unmaps(&self) {
        self.change(Running::abort_unmaps);
    }

    /// Begins to save all metadata. On the shard's thread, while all shards are quiescent.
    pub fn save(&self) {
        self.change(Running::save);
    }

    /// Whether all metadata is saved and nothing is in flight. On the shard's thread.
    pub fn is_saved(&self) -> bool {
        self.with_running(|running| running.is_saved()).unwrap_or(true)
    }

    /// All shards are saved: no metadata may be transferred until [`ShardHost::resume`]. On the shard's thread.
    pub fn quiesce(&self) {
        self.change(Running::quiesce);
    }

    /// Returns to normal operation after [`ShardHost::save`]. On the shard's thread.
    pub fn resume(&self) {
        self.change(Running::resume);
    }

    /// Makes the shard read-only. On the shard's thread.
    pub fn enter_read_only(&self, reason: ReadOnlyReason) {
        self.change(|running| running.enter_read_only(reason));
    }

    /// Whether the shard accepts writes. On the shard's thread.
    pub fn is_writable(&self) -> bool {
        self.with_running(|running| running.is_writable()).unwrap_or(false)
    }

    /// Takes over a larger layout; `summaries` are those of this shard's new slabs. On the shard's thread, while all
    /// shards are quiescent.
    pub fn grow(&self, geometry: Geometry, placement: Arc<Placement>, summaries: Vec<SlabSummary>) {
        self.change(|running| running.grow(geometry, placement, summaries));
    }

    /// Whether anything is in flight. On the shard's thread.
    pub fn quiet(&self) -> Quiet {
        let nothing_new = self.inbox.is_empty() && self.confined.arrivals.is_empty();
        let quiet = self.with_running(|running| running.quiet(nothing_new));
        let quiet = quiet.unwrap_or(Quiet { idle: true, sent: 0, received: 0 });
        Quiet { idle: quiet.idle && self.confined.finished.is_empty(), ..quiet }
    }

    /// Polls once and answers the clients whose requests are finished. Returns whether there was anything to do. On the
    /// shard's thread.
    fn turn(&self) -> bool {
        let queues = Queues {
            inbox: &self.inbox,
            arrivals: &self.confined.arrivals,
            finished: &self.confined.finished,
            gauges: &self.gauges,
        };
        let busy = self.with_running(|running| running.turn(&queues)).unwrap_or(false);
        // A client may submit new requests from its callback; those wait in `arrivals`.
        while let Some(node) = self.confined.finished.pop() {
            let client = RequestHandle::of(node);
            // SAFETY: the port lives as long as the volume.
            let port = unsafe { client.port().as_ref() };
            // SAFETY: the request is settled and just left its last list; the port answers on the right thread.
            unsafe { port.answer(client) };
        }
        if self.interrupt_mode {
            self.run_errands(busy);
        }
        busy
    }

    /// In interrupt mode: wakes the shards that got messages, schedules this shard if it has more to do, and sets its
    /// timer.
    fn run_errands(&self, busy: bool) {
        let Some(wakeups) = self.with_running(Running::wakeups) else { return };
        if let Some(peers) = &*self.confined.peers.borrow() {
            for peer in peers.all().iter().filter(|peer| wakeups.mailed >> peer.id.0 & 1 == 1) {
                peer.schedule();
            }
        }
        if busy || wakeups.unsent {
            self.schedule();
        }
        unregister(&self.confined.timer_poller);
        if let Some(at) = wakeups.timer {
            // SAFETY: only reads the clock and its rate.
            let now = unsafe { ffi::spdk_get_ticks() as f64 * 1e9 / ffi::spdk_get_ticks_hz() as f64 } as u64;
            let micros = at.0.saturating_sub(now).div_ceil(1000).max(1);
            // SAFETY: the shard outlives the poller, which the next poll or `stop` unregisters.
            let poller = unsafe {
                ffi::spdk_poller_register_named(Some(poll), self.as_context(), micros, c"bdev_dedupe_timer".as_ptr())
            };
            self.confined.timer_poller.set(poller);
        }
    }
}

fn unregister(poller: &Cell<*mut ffi::spdk_poller>) {
    let mut registered = poller.replace(ptr::null_mut());
    if !registered.is_null() {
        // SAFETY: the cell held the poller, so it was registered on this thread and is not unregistered yet.
        unsafe { ffi::spdk_poller_unregister(&mut registered) };
    }
}

/// SPDK's return values for a poller that found work and one that did not. In SPDK's headers they are an anonymous
/// enum, the same in all releases.
const POLLER_BUSY: c_int = 1;
const POLLER_IDLE: c_int = 0;

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn poll(context: *mut c_void) -> c_int {
    // SAFETY: the context is a shard that outlives its pollers.
    let host = unsafe { &*context.cast::<ShardHost>() };
    if host.turn() {
        POLLER_BUSY
    } else {
        POLLER_IDLE
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn scheduled_turn(context: *mut c_void) {
    // SAFETY: the context is a shard. A volume is freed only after all messages sent before its shards stopped have
    // been received.
    let host = unsafe { &*context.cast::<ShardHost>() };
    // Cleared first: what arrives during the poll schedules the next one.
    host.scheduled.swap(false, Ordering::AcqRel);
    host.turn();
}
