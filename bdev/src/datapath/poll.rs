// SPDX-License-Identifier: BSD-3-Clause

//! A shard while it runs: the engine, its world, and the turn that drives them.
//!
//! A turn takes what has arrived in a fixed order (finished transfers, mail, requests), feeds the engine, lets it
//! work once in a batch, and sorts what came of it. It calls no client back: requests that are finished are left in
//! [`Queues::finished`] for the host to answer afterwards.
//!
//! Pieces of other shards' requests and of our own clients' enter the engine in turn, each kind in the order of its
//! arrival, when the engine has no room for all of them.

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
use engine::{MetadataConfig, ReadOnlyReason, RequestError, Shard, ShardConfig, ShardId};
use mpool::drive::IoCounters;
use mpool::units::Nanos;

use super::app_calls::AppCalls;
use super::env::{HostEnv, Mail};
use super::gauges::Gauges;
use super::list::{Inbox, List};
use super::plan::{
    Plan, BOUNCE_BLOCKS, CONTAINER_BLOCKS, MAP_BLOCKS, PIECES, RELOCATION_BLOCKS, SLAB_BLOCKS, SWAP_BLOCKS, TRANSFERS,
    VERIFY_BLOCKS, VIOS, WAITING_PIECES,
};
use super::request::{Command, Home, Request, RequestHandle};
use super::ring::Receiver;
use super::shard_host::{StartError, Waker};
use super::transfer::Transfers;
use crate::spdk::buffer::DmaPool;

/// Busy turns after which gauges are brought up to date, at the latest.
const GAUGE_TURNS: u32 = 4096;

/// Where requests come in and go out.
pub struct Queues<'a> {
    /// Requests from other threads.
    pub inbox: &'a Inbox<Request>,
    /// Requests from the shard's own thread.
    pub arrivals: &'a List<Request>,
    /// Requests to be answered.
    pub finished: &'a List<Request>,
    /// Figures for other threads.
    pub gauges: &'a Gauges,
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

/// What is left to see to after a turn in interrupt mode.
#[derive(Debug, Clone, Copy)]
pub struct Wakeups {
    /// Shards that got mail, as bits.
    pub mailed: u32,
    /// Mail waits for room in a ring, which only another turn can find.
    pub unsent: bool,
    /// When the engine wants to be woken.
    pub timer: Option<Nanos>,
}

/// What a started shard is made of. Fields are dropped in this order: the engine before the memory it uses.
pub struct Running {
    id: ShardId,
    shard: Shard<HostEnv>,
    env: HostEnv,
    transfers: Rc<Transfers>,
    incoming: Vec<Option<Receiver<Mail>>>,
    /// Pieces of other shards' requests that the engine could not take yet.
    waiting: VecDeque<Piece<RequestHandle>>,
    /// Sweeps that the engine could not take yet.
    waiting_sweeps: VecDeque<Sweep<RequestHandle>>,
    /// Whose turn it is when the engine takes pieces again: theirs or ours.
    theirs_first: bool,
    was_busy: bool,
    turns_since_gauges: u32,
    /// Requests are taken; else they wait.
    is_open: bool,
    /// What is left of unmaps is given up.
    aborts: bool,
    _pools: [DmaPool; 8],
}

impl Running {
    /// Builds the engine of shard `id`. On the shard's thread.
    ///
    /// # Errors
    /// SPDK lacks memory or gives no channel of the base.
    pub fn new(id: ShardId, plan: Plan, waker: Waker) -> Result<Running, StartError> {
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
            // SAFETY: the engine below gets them; it is dropped first, and only when all shards of the volume rest.
            pools.each_ref().map(|pool| unsafe { pool.bufs() }.collect());
        // And one flush, with a part for each bdev: the engine has one under way at a time.
        let slots = TRANSFERS + 1 + plan.bases.len();
        let transfers = Transfers::new(&plan.bases, plan.placement, slots, waker).ok_or(StartError::Channel)?;
        let config = ShardConfig {
            id,
            geometry: plan.geometry,
            vios: VIOS,
            pieces: PIECES,
            bounce,
            verify,
            containers,
            relocation,
            swaps,
            compression: plan.compression,
            index_bytes: plan.index_bytes,
            index_image: plan.index_image,
            history: plan.history,
            fingerprinter: plan.fingerprinter,
            metadata: MetadataConfig {
                nonce: plan.metadata.nonce,
                generation: plan.metadata.generation,
                volatile_cache: plan.metadata.volatile_cache,
                reserve: plan.metadata.reserve,
                map_pages_cached: plan.metadata.map_pages_cached,
                map_bufs: map,
                journal_bufs: journal,
                slab_bufs: slabs,
                segments: plan.metadata.segments,
                summaries: plan.metadata.summaries,
                logical_blocks_used: plan.metadata.logical_blocks_used,
                map_pages: plan.metadata.map_pages,
            },
        };
        let app_calls = AppCalls::new(plan.app, plan.app_side, plan.key, id, plan.peers);
        // SAFETY: the caller is on the shard's thread, and starts it once.
        let home = unsafe { Home::new(id) };
        let env = HostEnv::new(home, plan.geometry, plan.volume_name, Rc::clone(&transfers), app_calls, plan.outgoing);
        Ok(Running {
            id,
            shard: Shard::new(config),
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

    /// The engine's counters.
    pub fn statistics(&self) -> Statistics {
        self.shard.statistics()
    }

    /// What was done with each bdev.
    pub fn io_counters(&self) -> Vec<IoCounters> {
        self.transfers.io_counters()
    }

    /// What the engine holds.
    pub fn dump(&self, scope: &DumpScope) -> ShardDump {
        self.shard.dump(scope)
    }

    /// Changes the size of the engine's index.
    pub fn resize_index(&mut self, bytes: usize) {
        self.shard.resize_index(bytes);
    }

    /// Takes the outcome of an erasure that the engine asked for: the segment's new generation, if it succeeded.
    pub fn segment_erased(&mut self, segment: u32, result: Result<u64, ()>) {
        self.env.app_calls().answered();
        self.shard.segment_erased(&mut self.env, segment, result);
    }

    /// Changes the number of block-map pages that the engine keeps in memory.
    pub fn set_map_pages(&mut self, pages: usize) {
        self.shard.set_map_pages(pages);
    }

    /// Changes what the engine keeps until the operator releases it.
    pub fn set_reserve(&mut self, percent: u8) {
        self.shard.set_reserve(percent);
    }

    /// Whether requests are taken from now on. Those that are partly under way stop where they are.
    pub fn set_open(&mut self, open: bool) {
        self.is_open = open;
        self.shard.set_sweeping(open);
    }

    /// What is left of unmaps of many pages is given up from now on, with an error: the volume is taken out of service.
    pub fn abort_unmaps(&mut self) {
        self.aborts = true;
    }

    /// Begins to save all metadata.
    pub fn save(&mut self) {
        self.shard.save();
    }

    /// Whether all metadata is saved, and nothing under way.
    pub fn is_saved(&self) -> bool {
        self.shard.is_saved() && self.transfers.is_idle() && self.env.is_answered()
    }

    /// All shards are saved: no metadata may be transferred before [`Running::resume`].
    pub fn quiesce(&mut self) {
        self.shard.quiesce();
    }

    /// Goes back to normal operation after [`Running::save`].
    pub fn resume(&mut self) {
        self.shard.resume();
    }

    /// Ends writing.
    pub fn enter_read_only(&mut self, reason: ReadOnlyReason) {
        self.shard.enter_read_only(&mut self.env, reason);
    }

    /// Whether the engine takes writes.
    pub fn is_writable(&self) -> bool {
        self.shard.read_only().is_none()
    }

    /// Takes a larger layout.
    pub fn grow(&mut self, geometry: Geometry, placement: Arc<Placement>, summaries: Vec<SlabSummary>) {
        self.transfers.set_placement(placement);
        self.shard.grow(geometry, summaries);
    }

    /// Whether anything of requests is in flight, and how much mail there was; with `nothing_new` no request waits to
    /// be taken.
    pub fn quiet(&self, nothing_new: bool) -> Quiet {
        // While the shard is closed, requests that wait are not under way.
        let nothing_waits =
            !self.is_open || (nothing_new && self.env.ready.is_empty() && self.waiting_sweeps.is_empty());
        Quiet {
            idle: self.is_idle() && nothing_waits,
            sent: self.env.sent(),
            received: self.incoming.iter().flatten().map(Receiver::received).sum(),
        }
    }

    /// What the host must see to in interrupt mode, where nobody looks by himself.
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

    /// Takes one turn. Returns whether there was anything to do.
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
                // Nothing to be done: a reset of the bdevs below would end the I/O of the pool and of other volumes
                // with errors. (SPDK's logical volumes are the same.)
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

    /// Gives the engine pieces as long as it takes them: other shards' and our own clients' in turn.
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

    /// Gives the engine sweeps as long as it takes them.
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

    /// Cuts pieces off the request at the head of the line. Returns whether it came further.
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
        // Cut to its end, or as many pieces under way as there may be: a piece that finishes sorts it in again.
        self.env.ready.pop();
        client.set_queued(false);
        if !client.has_more() {
            self.env.sort(client);
        }
        true
    }

    /// Sends settled requests on to their clients. A flush needs nothing more: what the engine has answered is durable.
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
