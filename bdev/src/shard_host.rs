// SPDX-License-Identifier: BSD-3-Clause

//! One engine shard on one SPDK thread: its queues, its turn, its start and stop.
//!
//! The shard's *turn* takes everything that has arrived (finished transfers, mail, new requests), lets the engine
//! work once, and sends off what came of it. In polled mode a poller of period 0 takes turns; in interrupt mode
//! each arrival schedules one turn by a message, of which at most one is under way ([`Waker`]).
//!
//! Invariants:
//! * Everything in [`Confined`] is touched by the shard's thread alone, after [`ShardHost::start`] and before
//!   [`ShardHost::stop`].
//! * The engine is reached through one `&mut` that lives during a turn; turns do not nest (`entered`), and during a
//!   turn nothing calls clients
//!   back. Clients are answered after it, when they may submit again: that only fills `arrivals`.
//! * A request is answered on the thread of its channel: by this shard if that is its own thread, else through the
//!   channel's [`crate::channel::Port`].

use core::cell::{Cell, UnsafeCell};
use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use engine::hash::Fingerprinter;
use engine::io::Piece;
use engine::volume::{Geometry, Statistics};
use engine::{Nanos, RequestError, Shard, ShardConfig, ShardId};

use crate::buffer::DmaPool;
use crate::client::{Client, Command, Request, Stage};
use crate::compat;
use crate::ffi;
use crate::host_env::{HostEnv, Mail};
use crate::list::{Inbox, List};
use crate::mail::{Receiver, Sender};
use crate::thread::Thread;
use crate::transfer::{BaseHandle, Transfers};

/// Blocks in flight in one shard (vdo.md section 0: 2048 data_vios).
pub const VIOS: usize = 2048;
/// Pieces in one shard.
pub const PIECES: usize = 2048;
/// Blocks for data that cannot be used where the client has it.
pub const BOUNCE_BLOCKS: usize = 256;
/// Blocks for verify reads.
pub const VERIFY_BLOCKS: usize = 512;
/// Foreign pieces that wait for the engine without memory being allocated.
const WAITING_PIECES: usize = 4096;

/// DMA memory of one shard, in bytes.
pub const DMA_BYTES: u64 = ((BOUNCE_BLOCKS + VERIFY_BLOCKS) * engine::BLOCK_SIZE) as u64;

/// Why a shard did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// SPDK gave no channel of the base bdev.
    #[error("no I/O channel of the base bdev could be had")]
    Channel,
    /// Not enough hugepage memory.
    #[error("no {} KiB of DMA memory could be had: start the application with more (-s)", DMA_BYTES / 1024)]
    DmaMemory,
    /// SPDK registered no poller.
    #[error("no poller could be registered")]
    Poller,
}

/// What a shard is started with.
#[derive(Debug)]
pub struct Plan {
    /// The volume's layout.
    pub geometry: Geometry,
    /// The base bdev.
    pub base: BaseHandle,
    /// Bytes of this shard's part of the index.
    pub index_bytes: usize,
    /// The volume's fingerprints.
    pub fingerprinter: Fingerprinter,
    /// The volume's name, for the log.
    pub volume_name: Arc<str>,
    /// Rings to the other shards.
    pub outgoing: Vec<Option<Sender<Mail>>>,
    /// Rings from the other shards.
    pub incoming: Vec<Option<Receiver<Mail>>>,
    /// All shards of the volume.
    pub peers: Peers,
}

/// All shards of a volume, for shards to wake each other.
#[derive(Debug, Clone, Copy)]
pub struct Peers(NonNull<[ShardHost]>);

// SAFETY: shards are shared between threads, and stay in place until all of them have stopped and dropped this.
unsafe impl Send for Peers {}

impl Peers {
    /// The shards that `shards` keeps; it outlives every started shard.
    pub fn of(shards: &Arc<[ShardHost]>) -> Peers {
        Peers(NonNull::from(&**shards))
    }
}

/// Figures that any thread may read at any time; each is recent, together they are no snapshot.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Data blocks in use.
    pub data_blocks_used: AtomicU64,
    /// Logical blocks that are mapped.
    pub logical_blocks_used: AtomicU64,
}

/// Wakes a shard in interrupt mode, and does nothing in polled mode, where it looks by itself.
#[derive(Debug, Clone, Copy)]
pub struct Waker(Option<NonNull<ShardHost>>);

impl Waker {
    /// Schedules a turn.
    pub fn wake(&self) {
        if let Some(host) = self.0 {
            // SAFETY: the waker is held by the shard's own parts, which are gone before the shard.
            unsafe { host.as_ref() }.schedule();
        }
    }
}

/// How quiet a shard is; compared over all shards and over time to find that a volume has come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// Nothing in flight here.
    pub idle: bool,
    /// Mails sent so far.
    pub sent: u64,
    /// Mails received so far.
    pub received: u64,
}

/// What only the shard's thread touches.
struct Confined {
    /// Requests from channels of the same thread.
    arrivals: List<Request>,
    /// Requests to be answered after the turn.
    finished: List<Request>,
    local: UnsafeCell<Option<Box<Local>>>,
    entered: Cell<bool>,
    poller: Cell<*mut ffi::spdk_poller>,
    /// Wakes the shard for the engine's timer in interrupt mode.
    timer_poller: Cell<*mut ffi::spdk_poller>,
}

/// One shard and its queues. Lives at one place from creation to the end of the volume.
pub struct ShardHost {
    /// Its number.
    pub id: ShardId,
    /// Its core.
    pub core: u32,
    /// Its thread.
    pub thread: Thread,
    /// Whether the thread was created for it, and exits with it.
    own_thread: bool,
    interrupt_mode: bool,
    /// See [`Gauges`].
    pub gauges: Gauges,
    /// Requests from channels of other threads.
    inbox: Inbox<Request>,
    /// A turn is scheduled (interrupt mode).
    scheduled: AtomicBool,
    confined: Confined,
}

impl core::fmt::Debug for ShardHost {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ShardHost {{ id: {:?}, core: {} }}", self.id, self.core)
    }
}

// SAFETY: `confined` is touched by the shard's thread only (each method that does so says so); all else is made for
// many threads.
unsafe impl Sync for ShardHost {}
// SAFETY: as above; what is confined to the shard's thread is created and dropped on it, by `start` and `stop`.
unsafe impl Send for ShardHost {}

/// What a started shard is made of. Fields are dropped in this order: the engine before the memory it uses.
struct Local {
    shard: Shard<HostEnv>,
    env: HostEnv,
    transfers: Rc<Transfers>,
    incoming: Vec<Option<Receiver<Mail>>>,
    /// Pieces of other shards' requests that the engine could not take yet.
    waiting: VecDeque<Piece<Client>>,
    /// Whose turn it is when the engine takes pieces again: theirs or ours.
    theirs_first: bool,
    peers: Peers,
    nanos_per_tick: f64,
    was_busy: bool,
    turns_since_gauges: u32,
    _pools: [DmaPool; 2],
}

/// Busy turns after which gauges are brought up to date, at the latest.
const GAUGE_TURNS: u32 = 4096;

impl ShardHost {
    /// A shard that is not yet started. `own_thread`: the thread was created for it.
    pub fn new(id: ShardId, core: u32, thread: Thread, own_thread: bool) -> ShardHost {
        ShardHost {
            id,
            core,
            thread,
            own_thread,
            interrupt_mode: compat::interrupt_mode(),
            gauges: Gauges::default(),
            inbox: Inbox::default(),
            scheduled: AtomicBool::new(false),
            confined: Confined {
                arrivals: List::default(),
                finished: List::default(),
                local: UnsafeCell::new(None),
                entered: Cell::new(false),
                poller: Cell::new(ptr::null_mut()),
                timer_poller: Cell::new(ptr::null_mut()),
            },
        }
    }

    /// Hands a request to this shard, its home. Any thread.
    ///
    /// # Safety
    /// The request is in no list, and nobody touches it before it is completed, unless it is this shard that has it
    /// do so.
    pub unsafe fn accept(&self, client: Client) {
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

    /// Schedules a turn by a message, unless one is scheduled already. Any thread.
    fn schedule(&self) {
        // The exchange orders what was queued before it ahead of the turn that clears the flag, so no arrival is
        // missed.
        if !self.scheduled.swap(true, Ordering::AcqRel) && !self.thread.send(scheduled_turn, self.as_context()) {
            self.scheduled.store(false, Ordering::Release);
            log::error!("{}: cannot schedule a turn: out of SPDK messages", self.id);
        }
    }

    fn as_context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Builds the engine and starts taking turns. On the shard's thread, once.
    ///
    /// # Errors
    /// SPDK lacks memory of some kind; the shard is as if this had not been called.
    pub fn start(&self, plan: Plan) -> Result<(), StartError> {
        debug_assert!(self.thread.is_current());
        let waker = Waker(self.interrupt_mode.then_some(NonNull::from(self)));
        let bounce = DmaPool::new(BOUNCE_BLOCKS).ok_or(StartError::DmaMemory)?;
        let verify = DmaPool::new(VERIFY_BLOCKS).ok_or(StartError::DmaMemory)?;
        let transfers = Transfers::new(plan.base, VIOS + VERIFY_BLOCKS, waker).ok_or(StartError::Channel)?;
        let config = ShardConfig {
            id: self.id,
            geometry: plan.geometry,
            vios: VIOS,
            pieces: PIECES,
            bounce: bounce.bufs().collect(),
            verify: verify.bufs().collect(),
            index_bytes: plan.index_bytes,
            fingerprinter: plan.fingerprinter,
        };
        let env = HostEnv::new(self.id, plan.geometry, plan.volume_name, Rc::clone(&transfers), plan.outgoing);
        // SAFETY: reads a number that SPDK measured at start.
        let hz = unsafe { ffi::spdk_get_ticks_hz() };
        let local = Local {
            shard: Shard::new(config),
            env,
            transfers,
            incoming: plan.incoming,
            waiting: VecDeque::with_capacity(WAITING_PIECES),
            theirs_first: true,
            peers: plan.peers,
            nanos_per_tick: 1e9 / hz as f64,
            was_busy: true,
            turns_since_gauges: 0,
            _pools: [bounce, verify],
        };
        // SAFETY: on the shard's thread, not in a turn (none is taken before the poller below).
        unsafe { *self.confined.local.get() = Some(Box::new(local)) };
        if !self.interrupt_mode {
            // SAFETY: the shard outlives its poller, which `stop` unregisters.
            let poller = unsafe {
                ffi::spdk_poller_register_named(Some(poll), self.as_context(), 0, c"bdev_dedupe_shard".as_ptr())
            };
            if poller.is_null() {
                // SAFETY: as above.
                unsafe { *self.confined.local.get() = None };
                return Err(StartError::Poller);
            }
            self.confined.poller.set(poller);
        }
        Ok(())
    }

    /// Stops taking turns and frees the engine. On the shard's thread, when the volume has come to rest; also for a
    /// shard that did not start.
    pub fn stop(&self) {
        debug_assert!(self.thread.is_current() && !self.confined.entered.get());
        unregister(&self.confined.poller);
        unregister(&self.confined.timer_poller);
        // SAFETY: on the shard's thread, not in a turn.
        drop(unsafe { (*self.confined.local.get()).take() });
        if self.own_thread {
            Thread::exit_current();
        }
    }

    /// Runs `ask` on the engine, between turns. On the shard's thread. None before start and after stop.
    fn with_local<R>(&self, ask: impl FnOnce(&mut Local) -> R) -> Option<R> {
        debug_assert!(self.thread.is_current());
        if self.confined.entered.replace(true) {
            return None;
        }
        // SAFETY: on the shard's thread, and `entered` keeps a second reference from being made while this one lives.
        let answer = unsafe { (*self.confined.local.get()).as_deref_mut() }.map(ask);
        self.confined.entered.set(false);
        answer
    }

    /// The engine's counters. On the shard's thread.
    pub fn statistics(&self) -> Statistics {
        self.with_local(|local| local.shard.statistics()).unwrap_or_default()
    }

    /// Whether anything is in flight. On the shard's thread.
    pub fn quiet(&self) -> Quiet {
        let nothing_new =
            self.inbox.is_empty() && self.confined.arrivals.is_empty() && self.confined.finished.is_empty();
        self.with_local(|local| Quiet {
            idle: nothing_new && local.is_idle(),
            sent: local.env.sent(),
            received: local.incoming.iter().flatten().map(Receiver::received).sum(),
        })
        .unwrap_or(Quiet { idle: true, sent: 0, received: 0 })
    }

    /// Takes one turn and answers the clients whose requests it finished. Returns whether there was anything to do.
    /// On the shard's thread.
    fn turn(&self) -> bool {
        let busy = self.with_local(|local| local.turn(self)).unwrap_or(false);
        // Answers may bring new requests at once; those wait in `arrivals`.
        while let Some(node) = self.confined.finished.pop() {
            let client = Client::of(node);
            // SAFETY: the port lives as long as the volume.
            let port = unsafe { client.port().as_ref() };
            // SAFETY: the request is settled and just left its last list; the port answers on the right thread.
            unsafe { port.answer(client) };
        }
        busy
    }
}

impl Local {
    fn is_idle(&self) -> bool {
        self.shard.is_idle()
            && self.transfers.is_idle()
            && self.waiting.is_empty()
            && self.env.ready.is_empty()
            && self.env.settled.is_empty()
            && self.env.is_flushed()
            && self.incoming.iter().flatten().all(|ring| ring.waiting() == 0)
    }

    fn turn(&mut self, host: &ShardHost) -> bool {
        // SAFETY: reads the time stamp counter.
        let ticks = unsafe { ffi::spdk_get_ticks() };
        self.env.set_now(Nanos((ticks as f64 * self.nanos_per_tick) as u64));
        let mut busy = self.take_transfers();
        busy |= self.take_mail();
        busy |= self.take_requests(host);
        busy |= self.feed();
        if self.env.take_timer() {
            self.shard.timer(&mut self.env);
            busy = true;
        }
        busy |= self.shard.run(&mut self.env);
        busy |= self.transfers.resume();
        busy |= self.settle(&host.confined.finished);
        busy |= self.env.flush_mail();
        if host.interrupt_mode {
            self.wake_others(host, busy);
        }
        if busy {
            self.turns_since_gauges += 1;
        }
        if (self.was_busy && !busy) || self.turns_since_gauges >= GAUGE_TURNS {
            self.publish(host);
        }
        self.was_busy = busy;
        busy
    }

    fn take_transfers(&mut self) -> bool {
        let mut any = false;
        while let Some((token, ok)) = self.transfers.take_done() {
            any = true;
            self.shard.io_done(&mut self.env, token, if ok { Ok(()) } else { Err(RequestError::Io) });
        }
        any
    }

    fn take_mail(&mut self) -> bool {
        let mut any = false;
        for (from, ring) in self.incoming.iter_mut().enumerate() {
            let Some(ring) = ring else { continue };
            // Only what is there now: the other end may send without pause.
            for _ in 0..ring.waiting() {
                let Some(mail) = ring.receive() else { break };
                any = true;
                match mail {
                    Mail::Piece(piece) => self.waiting.push_back(piece),
                    Mail::PieceDone(client, result) => self.env.piece_done(client, result),
                    Mail::Engine(message) => self.shard.receive(&mut self.env, ShardId(from as u16), message),
                }
            }
        }
        any
    }

    fn take_requests(&mut self, host: &ShardHost) -> bool {
        host.inbox.take_all(&host.confined.arrivals);
        let mut any = false;
        while let Some(node) = host.confined.arrivals.pop() {
            any = true;
            let client = Client::of(node);
            match client.command() {
                Command::Range(_) => {
                    client.set_queued(true);
                    // SAFETY: just taken out of a list; completed only after it came out of `settled`.
                    unsafe { self.env.ready.push(node) };
                }
                Command::Flush => self.flush(client, host.id),
                Command::Reset => self.transfers.command(client),
            }
        }
        any
    }

    /// Sends a flush piece to every shard.
    fn flush(&mut self, client: Client, own: ShardId) {
        for index in 0..self.incoming.len() {
            let piece = client.flush_piece();
            if index == own.index() {
                self.waiting.push_back(piece);
            } else {
                self.env.mail(ShardId(index as u16), Mail::Piece(piece));
            }
        }
    }

    /// Gives the engine pieces as long as it takes them: other shards' and our own clients' in turn.
    fn feed(&mut self) -> bool {
        let mut any = false;
        loop {
            let mut progress = self.theirs_first && self.feed_theirs();
            progress = progress || self.feed_ours() || (!self.theirs_first && self.feed_theirs());
            self.theirs_first = !self.theirs_first;
            if !progress {
                return any;
            }
            any = true;
        }
    }

    fn feed_theirs(&mut self) -> bool {
        if !self.shard.can_accept() {
            return false;
        }
        let Some(piece) = self.waiting.pop_front() else { return false };
        self.enter(piece);
        true
    }

    fn enter(&mut self, piece: Piece<Client>) {
        self.env.forget_cursor();
        self.shard.submit(&mut self.env, piece);
    }

    /// Cuts pieces off the request at the head of the line. Returns whether it came further.
    fn feed_ours(&mut self) -> bool {
        let Some(node) = self.env.ready.front() else { return false };
        let client = Client::of(node);
        let mut progress = false;
        loop {
            let owner = self.env.owner(client.next_lbn());
            if client.has_more() && owner.is_none() && !self.shard.can_accept() {
                return progress;
            }
            let Some(piece) = client.next_piece() else { break };
            progress = true;
            match owner {
                None => self.enter(piece),
                Some(other) => self.env.mail(other, Mail::Piece(piece)),
            }
        }
        // Cut to its end, or as many pieces under way as there may be: a piece that finishes sorts it in again.
        self.env.ready.pop();
        client.set_queued(false);
        if !client.has_more() {
            self.env.sort(client);
        }
        true
    }

    /// Sends settled requests on: flushes to the base, all others to their clients.
    fn settle(&mut self, finished: &List<Request>) -> bool {
        let mut any = false;
        while let Some(node) = self.env.settled.pop() {
            any = true;
            let client = Client::of(node);
            if client.command() == Command::Flush && client.stage() == Stage::Pieces {
                self.transfers.command(client);
            } else {
                // SAFETY: just taken out of a list.
                unsafe { finished.push(node) };
            }
        }
        while let Some(client) = self.transfers.take_finished_command() {
            any = true;
            // SAFETY: just taken out of a list.
            unsafe { finished.push(client.node()) };
        }
        any
    }

    fn publish(&mut self, host: &ShardHost) {
        self.turns_since_gauges = 0;
        let statistics = self.shard.statistics();
        host.gauges.data_blocks_used.store(statistics.data_blocks_used, Ordering::Relaxed);
        host.gauges.logical_blocks_used.store(statistics.logical_blocks_used, Ordering::Relaxed);
    }

    /// In interrupt mode: wakes the shards that got mail, and this one if it has more to do or waits for a time.
    fn wake_others(&mut self, host: &ShardHost, busy: bool) {
        // SAFETY: the shards stay in place until all of them have stopped.
        let peers = unsafe { self.peers.0.as_ref() };
        let mailed = self.env.take_mailed();
        for peer in peers.iter().filter(|peer| mailed >> peer.id.0 & 1 == 1) {
            peer.schedule();
        }
        if busy || !self.env.is_flushed() {
            host.schedule();
        }
        unregister(&host.confined.timer_poller);
        if let Some(at) = self.env.timer() {
            let micros = at.0.saturating_sub(engine::Env::now(&self.env).0).div_ceil(1000).max(1);
            // SAFETY: the shard outlives the poller, which the next turn or `stop` unregisters.
            let poller = unsafe {
                ffi::spdk_poller_register_named(Some(poll), host.as_context(), micros, c"bdev_dedupe_timer".as_ptr())
            };
            host.confined.timer_poller.set(poller);
        }
    }
}

fn unregister(poller: &Cell<*mut ffi::spdk_poller>) {
    let mut registered = poller.replace(ptr::null_mut());
    if !registered.is_null() {
        // SAFETY: registered on this thread and not yet unregistered, for the cell held it.
        unsafe { ffi::spdk_poller_unregister(&mut registered) };
    }
}

/// SPDK's values for a poller that did and did not find work; an anonymous enum in its headers, the same in all
/// releases.
const POLLER_BUSY: c_int = 1;
const POLLER_IDLE: c_int = 0;

unsafe extern "C" fn poll(context: *mut c_void) -> c_int {
    // SAFETY: the context is a shard that outlives its pollers.
    let host = unsafe { &*context.cast::<ShardHost>() };
    if host.turn() {
        POLLER_BUSY
    } else {
        POLLER_IDLE
    }
}

unsafe extern "C" fn scheduled_turn(context: *mut c_void) {
    // SAFETY: the context is a shard; a volume is freed only after messages that were sent before its shards
    // stopped have been taken.
    let host = unsafe { &*context.cast::<ShardHost>() };
    // Cleared first: what arrives during the turn schedules the next.
    host.scheduled.swap(false, Ordering::AcqRel);
    host.turn();
}
