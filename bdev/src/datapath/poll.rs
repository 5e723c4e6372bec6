// SPDX-License-Identifier: BSD-3-Clause

//! A running shard: the engine, its [`HostEnv`], and the poll ([`Running::turn`]) that drives both.
//!
//! Each poll takes finished transfers, then messages of other shards, then requests; feeds the engine; runs the engine
//! once, as a batch; and sorts the results. A poll never calls a client back: finished requests are left in
//! [`Queues::finished`], and the host answers them afterwards.
//!
//! When the engine has no room for all pieces, pieces of other shards' requests and pieces of the shard's own requests
//! enter the engine alternately, each kind in order of arrival.

mod index;

use core::sync::atomic::Ordering;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use engine::dump::{DumpScope, ShardDump};
use engine::format::slab_summary::SlabSummary;
use engine::format::{Geometry, Placement};
use engine::journal::JOURNAL_BLOCKS;
use engine::request::{Piece, Sweep};
use engine::statistics::Statistics;
use engine::{ReadOnlyReason, RequestError, Shard, ShardBufs, ShardId};
use mpool::drive::IoCounters;
use mpool::units::Nanos;

use super::app_calls::AppCalls;
use super::env::{HostEnv, Mail};
use super::gauges::Gauges;
use super::list::{Inbox, List};
use super::plan::{
    Plan, BOUNCE_BLOCKS, CONTAINER_BLOCKS, MAP_BLOCKS, RELOCATION_BLOCKS, SLAB_BLOCKS, SWAP_BLOCKS, TRANSFERS,
    VERIFY_BLOCKS, WAITING_PIECES,
};
use super::request::{Command, Home, Request, RequestHandle};
use super::ring::Receiver;
use super::shard_host::{StartError, Waker};
use super::transfer::Transfers;
use crate::spdk::buffer::DmaPool;

/// Busy polls after which the gauges are updated at the latest.
const GAUGE_TURNS: u32 = 4096;

/// Where a shard's requests come in and go out.
pub struct Queues<'a> {
    pub inbox: &'a Inbox<Request>,
    /// Requests from channels of the shard's own thread.
    pub arrivals: &'a List<Request>,
    /// Requests for the host to answer after the poll.
    pub finished: &'a List<Request>,
    /// Figures that other threads read.
    pub gauges: &'a Gauges,
}

/// How quiet a shard is. The volume compares it over all shards and over time to find that it has quiesced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// Nothing is in flight in this shard.
    pub idle: bool,
    /// Messages sent so far.
    pub sent: u64,
    /// Messages received so far.
    pub received: u64,
}

/// What the host must still arrange after a poll in interrupt mode.
#[derive(Debug, Clone, Copy)]
pub struct Wakeups {
    /// Shards that got messages, as bits.
    pub mailed: u32,
    /// A message waits for room in a ring, and only another poll of this shard can find that room.
    pub unsent: bool,
    /// When the engine wants to be woken.
    pub timer: Option<Nanos>,
}

/// The parts of a started shard. Fields are dropped in this order: the engine before the memory it uses.
pub struct Running {
    id: ShardId,
    shard: Shard<HostEnv>,
    env: HostEnv,
    transfers: Rc<Transfers>,
    incoming: Vec<Option<Receiver<Mail>>>,
    /// Pieces of other shards' requests for which the engine has had no room yet.
    waiting: VecDeque<Piece<RequestHandle>>,
    /// Sweeps for which the engine has had no room yet.
    waiting_sweeps: VecDeque<Sweep<RequestHandle>>,
    /// Which pieces the engine takes first next time: other shards' (true) or this shard's own.
    theirs_first: bool,
    was_busy: bool,
    turns_since_gauges: u32,
    /// Requests are accepted; else they stay queued.
    is_open: bool,
    /// Unmaps of many pages are aborted.
    aborts: bool,
    _pools: [DmaPool; 8],
}

impl Running {
    /// Builds the engine. On the shard's thread.
    ///
    /// # Errors
    /// SPDK has too little DMA memory, or gives no channel for a base bdev.
    pub fn new(plan: Plan, waker: Waker) -> Result<Running, StartError> {
        let id = plan.engine.id;
        let pool = |blocks| DmaPool::new(blocks).ok_or(StartError::DmaMemory);
        let pools = [
            pool(BOUNCE_BLOCKS)?,
            pool(VERIFY_BLOCKS)?,
            pool(CONTAINER_BLOCKS)?,
            pool(RELOCATION_BLOCKS)?,
            pool(SWAP_BLOCKS)?,
            pool(JOURNAL_BLOCKS)?,
            pool(MAP_BLOCKS)?,
            pool(SLAB_BLOCKS)?,
        ];
        let [bounce, verify, containers, relocation, swaps, journal, map, slabs] =
            // SAFETY: only the engine below gets the blocks. It is dropped before the pools, and only when all shards
            // of the volume are quiescent.
            pools.each_ref().map(|pool| unsafe { pool.bufs() }.collect());
        let bufs = ShardBufs { bounce, verify, containers, relocation, swaps, map, journal, slabs };
        // One slot for a flush and one for its part on each bdev: the engine has one flush in flight at a time.
        let slots = TRANSFERS + 1 + plan.bases.len();
        let transfers = Transfers::new(&plan.bases, plan.placement, slots, waker).ok_or(StartError::Channel)?;
        let app_calls = AppCalls::new(plan.app, plan.app_side, plan.key, id, plan.peers);
        // SAFETY: the caller is on the shard's thread and starts the shard once.
        let home = unsafe { Home::new(id) };
        let (geometry, transferring) = (plan.engine.geometry, Rc::clone(&transfers));
        let env = HostEnv::new(home, geometry, plan.volume_name, transferring, app_calls, plan.outgoing);
        Ok(Running {
            id,
            shard: Shard::new(plan.engine, bufs),
            env,
            transfers,
            incoming: plan.incoming,
            waiting: VecDeque::with_capacity(WAITING_PIECES),
            waiting_sweeps: VecDeque::with_capacity(WAITING_PIECES),
            theirs_first: true,
            was_busy: true,
            turns_since_gauges: 0,
            is_open: true,
            aborts: false,
            _pools: pools,
        })
    }

    pub fn statistics(&self) -> Statistics {
        self.shard.statistics()
    }

    /// Reads, writes and flushes of each bdev.
    pub fn io_counters(&self) -> Vec<IoCounters> {
        self.transfers.io_counters()
    }

    pub fn dump(&self, scope: &DumpScope) -> ShardDump {
        self.shard.dump(scope)
    }

    pub fn resize_index(&mut self, bytes: usize) {
        self.shard.resize_index(bytes);
    }

    /// Takes the result of an erasure that the engine asked for: the segment's new generation, or an error.
    pub fn segment_erased(&mut self, segment: u32, result: Result<u64, ()>) {
        self.env.app_calls().answered();
        self.shard.segment_erased(&mut self.env, segment, result);
    }

    /// Changes the number of block-map pages that the engine caches.
    pub fn set_map_pages(&mut self, pages: usize) {
        self.shard.set_map_pages(pages);
    }

    /// Changes the share of space that the engine keeps back until the operator releases it.
    pub fn set_reserve(&mut self, percent: u8) {
        self.shard.set_reserve(percent);
    }

    /// Opens or closes the shard for requests. When it closes, a request of which some pieces are in flight is cut no
    /// further.
    pub fn set_open(&mut self, open: bool) {
        self.is_open = open;
        self.shard.set_sweeping(open);
    }

    /// From now on, aborts with an error what remains of unmaps of many pages: the volume is going out of service.
    pub fn abort_unmaps(&mut self) {
        self.aborts = true;
    }

    pub fn save(&mut self) {
        self.shard.save();
    }

    /// Whether all metadata is saved, no transfer is in flight and every call to the application thread is answered.
    pub fn is_saved(&self) -> bool {
        self.shard.is_saved() && self.transfers.is_idle() && self.env.is_answered()
    }

    /// All shards are saved: no metadata may be transferred until [`Running::resume`].
    pub fn quiesce(&mut self) {
        self.shard.quiesce();
    }

    /// Returns to normal operation after [`Running::save`].
    pub fn resume(&mut self) {
        self.shard.resume();
    }

    pub fn enter_read_only(&mut self, reason: ReadOnlyReason) {
        self.shard.enter_read_only(&mut self.env, reason);
    }

    /// Whether the engine accepts writes.
    pub fn is_writable(&self) -> bool {
        self.shard.read_only().is_none()
    }

    /// Takes over a larger layout.
    pub fn grow(&mut self, geometry: Geometry, placement: Arc<Placement>, summaries: Vec<SlabSummary>) {
        self.transfers.set_placement(placement);
        self.shard.grow(geometry, summaries);
    }

    /// Whether anything of requests is in flight, and how many messages were exchanged. `nothing_new`: neither inbox
    /// nor arrivals holds a request.
    pub fn quiet(&self, nothing_new: bool) -> Quiet {
        // While the shard is closed, queued requests do not count as in flight.
        let nothing_waits =
            !self.is_open || (nothing_new && self.env.ready.is_empty() && self.waiting_sweeps.is_empty());
        Quiet {
            idle: self.is_idle() && nothing_waits,
            sent: self.env.sent(),
            received: self.incoming.iter().flatten().map(Receiver::received).sum(),
        }
    }

    /// What the host must arrange in interrupt mode, where no poller runs again on its own.
    pub fn wakeups(&mut self) -> Wakeups {
        Wakeups { mailed: self.env.take_mailed(), unsent: !self.env.is_flushed(), timer: self.env.timer() }
    }

    fn is_idle(&self) -> bool {
        self.shard.is_idle()
            && self.waiting.is_empty()
            && self.env.settled.is_empty()
            && self.env.is_flushed()
            && self.incoming.iter().flatten().all(|ring| ring.waiting() == 0)
    }

    /// Polls once. Returns whether there was anything to do.
    pub fn turn(&mut self, queues: &Queues<'_>) -> bool {
        let mut busy = self.take_transfers();
        busy |= self.take_mail();
        busy |= self.is_open && self.take_requests(queues);
        busy |= self.feed();
        if self.env.take_timer() {
            self.shard.timer(&mut self.env);
            busy = true;
        }
        busy |= self.shard.run(&mut self.env);
        self.tell_dropped();
        busy |= self.transfers.resume();
        busy |= self.settle(queues.finished);
        busy |= self.env.flush_mail();
        if busy {
            self.turns_since_gauges += 1;
        }
        if (self.was_busy && !busy) || self.turns_since_gauges >= GAUGE_TURNS {
            self.publish(queues.gauges);
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
            for mail in ring.take_all() {
                any = true;
                match mail {
                    Mail::Piece(piece) => self.waiting.push_back(piece),
                    Mail::Sweep(sweep) => self.waiting_sweeps.push_back(sweep),
                    Mail::PieceDone(client, result) => self.env.piece_done(client, result),
                    Mail::Engine(message) => self.shard.receive(&mut self.env, ShardId(from as u16), message),
                }
            }
        }
        any
    }

    fn take_requests(&mut self, queues: &Queues<'_>) -> bool {
        queues.inbox.take_all(queues.arrivals);
        let mut any = false;
        while let Some(node) = queues.arrivals.pop() {
            any = true;
            let client = RequestHandle::of(node);
            match client.command() {
                Command::Range(_) => {
                    self.env.at_home(client).set_queued(true);
                    // SAFETY: just taken out of a list; completed only after it came out of `settled`.
                    unsafe { self.env.ready.push(node) };
                }
                Command::Flush => self.flush(client),
                // Nothing to do: resetting the bdevs below would fail the I/O of the pool and of other volumes. (SPDK's
                // logical volumes do the same.)
                // SAFETY: just taken out of a list.
                Command::Reset => unsafe { self.env.settled.push(node) },
            }
        }
        any
    }

    /// Sends a flush piece to every shard.
    fn flush(&mut self, client: RequestHandle) {
        for index in 0..self.incoming.len() {
            let piece = self.env.at_home(client).flush_piece();
            if index == self.id.index() {
                self.waiting.push_back(piece);
            } else {
                self.env.mail(ShardId(index as u16), Mail::Piece(piece));
            }
        }
    }

    /// Gives the engine pieces while it has room, alternating between other shards' requests and this shard's own.
    fn feed(&mut self) -> bool {
        let mut any = self.feed_sweeps();
        loop {
            let mut progress = self.theirs_first && self.feed_theirs();
            progress = progress || (self.is_open && self.feed_ours()) || (!self.theirs_first && self.feed_theirs());
            self.theirs_first = !self.theirs_first;
            if !progress {
                return any;
            }
            any = true;
        }
    }

    /// Gives the engine sweeps while it has room.
    fn feed_sweeps(&mut self) -> bool {
        let mut any = false;
        while self.shard.can_accept_sweep() {
            let Some(sweep) = self.waiting_sweeps.pop_front() else { break };
            self.shard.submit_sweep(&mut self.env, sweep);
            any = true;
        }
        if self.aborts {
            self.shard.abort_sweeps();
        }
        any
    }

    /// Sends a sweep to every shard.
    fn sweep(&mut self, sweep: Sweep<RequestHandle>) {
        for index in 0..self.incoming.len() {
            if index == self.id.index() {
                self.waiting_sweeps.push_back(sweep);
            } else {
                self.env.mail(ShardId(index as u16), Mail::Sweep(sweep));
            }
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

    fn enter(&mut self, piece: Piece<RequestHandle>) {
        self.env.forget_cursor();
        self.shard.submit(&mut self.env, piece);
    }

    /// Cuts pieces off the first queued request. Returns whether any progress was made.
    fn feed_ours(&mut self) -> bool {
        let Some(node) = self.env.ready.front() else { return false };
        let client = self.env.at_home(RequestHandle::of(node));
        let mut progress = false;
        loop {
            if let Some(sweep) = client.next_sweep(self.incoming.len()) {
                self.sweep(sweep);
                self.feed_sweeps();
                progress = true;
            }
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
        // The request is cut to its end, or has as many pieces in flight as are allowed; then the next piece that
        // finishes queues it again.
        self.env.ready.pop();
        client.set_queued(false);
        if !client.has_more() {
            self.env.sort(client);
        }
        true
    }

    /// Passes settled requests to the host. A flush needs nothing more: what the engine has answered is durable.
    fn settle(&mut self, finished: &List<Request>) -> bool {
        let mut any = false;
        while let Some(node) = self.env.settled.pop() {
            any = true;
            // SAFETY: just taken out of a list.
            unsafe { finished.push(node) };
        }
        any
    }

    fn publish(&mut self, gauges: &Gauges) {
        self.turns_since_gauges = 0;
        let statistics = self.shard.statistics();
        gauges.data_blocks_used.store(statistics.data_blocks_used, Ordering::Relaxed);
        gauges.logical_blocks_used.store(statistics.logical_blocks_used, Ordering::Relaxed);
        gauges.block_map_pages.store(statistics.block_map_pages, Ordering::Relaxed);
        gauges.slabs_unrecovered.store(statistics.slabs_unrecovered, Ordering::Relaxed);
    }
}
