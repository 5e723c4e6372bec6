// SPDX-License-Identifier: BSD-3-Clause

//! The logical zone of a shard: takes pieces, locks their LBNs, journals and keeps their mappings.
//!
//! Files: `mod` (pieces: accept, start, answer), `vio` (one block from its lock to the hash zone and back), `range`
//! (unmaps and zeroes by leaf page), `sweep` (unmaps of many leaf pages), `commit` (from the recovery journal to the
//! block map), `pages` (requests of the block map), `relocation` and `swap` (requests of the relocator and the
//! swapper).
//!
//! Invariants:
//! * A data_vio holds its LBN lock from [`Stage::MapPage`] to the end, a range operation the locks of its blocks; so
//!   the mapping that they read stays in force. Both hold the leaf page from the time they know it until they have
//!   changed it.
//! * A mapping changes when its journal entry is committed, in the order of the entries. Its new block has been locked
//!   since before it was written, and gets its reference after the change; then the old block loses its reference. So
//!   no mapping ever points to a block that could be allocated again, and the journal can redo what a power cut leaves
//!   undone.
//! * A piece is answered once, after its last block, with the first error met.
//! * The content of a block is in a bounce block; the client's bytes are copied once, in the pass that hashes them. The
//!   engine does not read the client's memory otherwise, since it may change at any time.
//! * A bounce block is released only in [`LogicalZone::retire`], when the hash zone of this shard no longer compares
//!   with it.
//!
//! Differs from dm-vdo: whole blocks are unmapped or zeroed by command without a data_vio, in one pass over the leaf
//! page with one journal entry and decrements by run; only blocks that are locked, or touched in part, take a data_vio
//! each. The blocks of one request are not atomic together, as with any block device.

mod commit;
mod data_vio;
mod dump;
mod flush;
mod lbn_lock;
mod pages;
mod range;
mod range_decrement;
mod relocation;
mod swap;
mod sweep;
mod vio;

use std::collections::VecDeque;

use crate::arena::{Arena, NONE};
use crate::block_map::{BlockMap, MAX_ALLOCATIONS};
use crate::context::swap::HOLDS;
use crate::context::Context;
use crate::env::{Env, Part};
use crate::error::RequestError;
use crate::format::{Geometry, Mapping};
use crate::journal::Counters;
use crate::logical::flush::FlushGenerations;
use crate::logical::lbn_lock::LbnLocks;
use crate::logical::range_decrement::RunCollector;
use crate::owner_count::OwnerCount;
use crate::packing::relocator::MAX_MOVING;
use crate::request::{Operation, Piece};
use crate::statistics::Statistics;
use crate::units::{Block, Lbn, BLOCK_SIZE, ENTRIES_PER_LEAF_PAGE};
use crate::wait_queue::WaitQueue;
use data_vio::DataVio;
use pages::PageAllocation;
use range::RangeOperation;
use relocation::Relocation;
use sweep::SweepState;

/// A piece that is accepted and not yet answered.
#[derive(Debug, Clone)]
struct PieceState<Client> {
    piece: Piece<Client>,
    /// First block that is not started.
    next: u16,
    /// Blocks and ranges in flight, plus one until all are started.
    in_flight: u16,
    /// The first error met.
    error: Option<RequestError>,
    /// Flush generation.
    generation: u64,
    /// Order of acceptance, across both waiting queues.
    sequence: u64,
    /// The sweep that the piece belongs to; [`NONE`] for a piece from the host.
    sweep: u32,
}

/// A block that is done, but whose content the hash zone may still compare.
#[derive(Debug)]
struct Retired<Buf> {
    piece: u32,
    result: Result<(), RequestError>,
    bounce: Option<Buf>,
}

/// Pieces whose first blocks are prefetched at a time: more would evict each other from the CPU cache.
const TOUCHED_PIECES: usize = 64;

/// Range operations in flight at once: enough to keep the journal and the block map busy.
const RANGE_OPERATIONS: usize = 32;

/// Maximum number of sweeps accepted at a time.
const SWEEPS: usize = 64;

/// Identifies a waiter for a leaf page or a journal entry: a data_vio by its index, or a range operation with this bit
/// set.
const RANGE_WAITER: u32 = 1 << 31;

/// Maximum number of a zone's requests that wait for a leaf page at once.
#[must_use]
pub const fn map_waiters(vios: usize) -> usize {
    vios + HOLDS + RANGE_OPERATIONS
}

/// The pieces, data_vios, LBN locks and block map of one shard.
#[derive(Debug)]
pub struct LogicalZone<E: Env> {
    pieces: Arena<Option<PieceState<E::Client>>>,
    vios: Arena<DataVio<E::Buf>>,
    locks: LbnLocks,
    map: BlockMap<E::Buf>,
    flushes: FlushGenerations,
    /// Reads and writes that have blocks not started.
    waiting: VecDeque<u32>,
    /// Unmaps and zeroes that have blocks not started; in their own queue, so that a flood of them does not hold up
    /// reads and writes.
    waiting_discards: VecDeque<u32>,
    /// data_vios that hold blocks for swaps; [`HOLDS`] data_vios are reserved for them.
    holds: usize,
    /// data_vios in use by discards, and their maximum.
    discards: usize,
    max_discards: usize,
    ranges: Arena<RangeOperation>,
    /// data_vios whose block lies in a leaf page that a range operation holds.
    range_waiters: WaitQueue,
    /// data_vios whose lock was granted, or whose leaf page was loaded, and which have not been resumed yet.
    granted: VecDeque<u32>,
    fingerprints: Vec<u32>,
    bounce: Vec<E::Buf>,
    bounce_waiters: WaitQueue,
    /// Runnable data_vios: those that do not wait for an LBN lock, a range operation or a bounce block that another one
    /// holds, and are not in a hash zone.
    moving: OwnerCount,
    /// Buffer for decompressing.
    restored: Box<Block>,
    /// data_vios and range operations that wait for room in the journal.
    journal_waiters: VecDeque<u32>,
    page_allocations: Vec<PageAllocation>,
    /// Pages that wait for room in the journal; writes wait behind them.
    pages_to_record: VecDeque<u32>,
    retired: Vec<Retired<E::Buf>>,
    /// Second buffer for [`LogicalZone::retire`], during which more blocks may end.
    retiring: Vec<Retired<E::Buf>>,
    collector: RunCollector,
    /// Updated when a change is journaled, so that each journal record has the values after it.
    counters: Counters,
    accepted: u64,
    /// Blocks to be relocated that have no data_vio yet.
    relocations: VecDeque<Relocation>,
    sweeps: Arena<Option<SweepState<E::Client>>>,
    /// All sweeps, the next to be continued first.
    waiting_sweeps: VecDeque<u32>,
    /// Whether sweeps may continue.
    sweeping: bool,
    /// Steps left to sweeps in this poll.
    sweep_steps: u32,
}

impl<E: Env> LogicalZone<E> {
    /// A zone without requests.
    pub fn new(
        geometry: &Geometry,
        vios: usize,
        pieces: usize,
        bounce: Vec<E::Buf>,
        map: BlockMap<E::Buf>,
        counters: Counters,
    ) -> LogicalZone<E> {
        assert!(vios > 0 && pieces > 0 && !bounce.is_empty(), "a zone without room could never answer");
        let vio = DataVio::new(Operation::Read, Lbn(0), Part::WHOLE, 0);
        LogicalZone {
            pieces: Arena::new(pieces, None),
            vios: Arena::new(vios + HOLDS, vio),
            locks: LbnLocks::new(vios + HOLDS),
            map,
            flushes: FlushGenerations::new(pieces),
            waiting: VecDeque::with_capacity(pieces),
            waiting_discards: VecDeque::with_capacity(pieces),
            holds: 0,
            discards: 0,
            max_discards: (vios * 3 / 4).max(1),
            ranges: Arena::new(RANGE_OPERATIONS, RangeOperation::default()),
            range_waiters: WaitQueue::new(),
            granted: VecDeque::with_capacity(vios + HOLDS),
            fingerprints: Vec::with_capacity(vios),
            bounce,
            bounce_waiters: WaitQueue::new(),
            moving: OwnerCount::ZERO,
            restored: Box::new([0; BLOCK_SIZE]),
            journal_waiters: VecDeque::with_capacity(vios + HOLDS + RANGE_OPERATIONS),
            page_allocations: Vec::with_capacity(MAX_ALLOCATIONS),
            pages_to_record: VecDeque::with_capacity(MAX_ALLOCATIONS),
            retired: Vec::with_capacity(2 * (vios + HOLDS) + pieces),
            retiring: Vec::with_capacity(2 * (vios + HOLDS) + pieces),
            collector: RunCollector::new(geometry),
            counters,
            accepted: 0,
            relocations: VecDeque::with_capacity(MAX_MOVING * geometry.shards()),
            sweeps: Arena::new(SWEEPS, None),
            waiting_sweeps: VecDeque::with_capacity(SWEEPS),
            sweeping: true,
            sweep_steps: 0,
        }
    }

    /// True when a piece can be accepted.
    pub fn can_accept(&self) -> bool {
        self.pieces.available() > 0
    }

    /// True when no piece is in flight, no page is being created or released, and no relocation is queued.
    pub fn is_idle(&self) -> bool {
        self.pieces.in_use() == 0
            && self.vios.in_use() == 0
            && self.ranges.in_use() == 0
            && self.retired.is_empty()
            && self.page_allocations.is_empty()
            && !self.map.is_releasing()
            && self.relocations.is_empty()
            // Suspended sweeps do not count.
            && (self.sweeps.in_use() == 0 || !self.sweeping)
    }

    /// Runnable data_vios, which may bring work to the hash zone. Blocked data_vios do not count.
    pub fn moving(&self) -> OwnerCount {
        self.moving
    }

    /// Counts a data_vio as blocked.
    fn mark_blocked(&mut self, index: u32) {
        self.moving -= OwnerCount::one(self.vios[index].is_own());
    }

    /// Counts a data_vio as runnable, for the first time or again.
    fn mark_runnable(&mut self, index: u32) {
        self.moving += OwnerCount::one(self.vios[index].is_own());
    }

    /// True when a flush waits for older pieces.
    pub fn is_flushing(&self) -> bool {
        self.flushes.is_waiting()
    }

    /// The block map, read-only.
    pub fn map(&self) -> &BlockMap<E::Buf> {
        &self.map
    }

    /// The block map, for its I/O and for administration.
    pub fn map_mut(&mut self) -> &mut BlockMap<E::Buf> {
        &mut self.map
    }

    /// The shard's share of the volume's usage, as of the last journaled change.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    pub fn gauges(&self, stats: &mut Statistics) {
        stats.current_vios_in_progress = self.vios.in_use() as u64;
        stats.max_vios = (self.vios.capacity() - HOLDS) as u64;
    }

    /// Accepts a piece.
    ///
    /// # Panics
    /// If there is no room ([`LogicalZone::can_accept`]) or the piece is inconsistent: both are errors of the host.
    pub fn accept(&mut self, cx: &mut Context<'_, E>, piece: Piece<E::Client>) {
        assert!(piece.is_well_formed(), "malformed piece at {}", piece.lbn);
        cx.stats.pieces_in += 1;
        self.accepted += 1;
        let operation = piece.operation;
        let in_range = operation == Operation::Flush
            || (cx.geometry.contains(piece.lbn, u64::from(piece.blocks))
                && cx.geometry.logical_shard(piece.lbn) == cx.id);
        let generation = if operation == Operation::Flush { 0 } else { self.flushes.begin() };
        let (next, in_flight) = (0, 1);
        let state =
            PieceState { piece, next, in_flight, error: None, generation, sequence: self.accepted, sweep: NONE };
        let index = self.pieces.acquire(Some(state)).expect("the host asks before it submits");
        let refused = if !in_range {
            Some(RequestError::OutOfRange)
        } else if operation.changes() && cx.is_read_only() {
            Some(RequestError::ReadOnly)
        } else {
            None
        };
        if let Some(error) = refused {
            self.retired.push(Retired { piece: index, result: Err(error), bounce: None });
            return;
        }
        let blocks = u64::from(piece.blocks);
        match operation {
            Operation::Read => cx.stats.bios_in_read += blocks,
            Operation::Write => cx.stats.bios_in_write += blocks,
            Operation::Unmap | Operation::WriteZeroes => cx.stats.bios_in_discard += blocks,
            Operation::Flush => {
                cx.stats.bios_in_flush += 1;
                self.flushes.close(index);
                return;
            }
        }
        if matches!(operation, Operation::Read | Operation::Write) {
            self.waiting.push_back(index);
        } else {
            self.waiting_discards.push_back(index);
        }
    }

    /// The client that a piece belongs to.
    fn client(&self, piece: u32) -> E::Client {
        self.pieces[piece].as_ref().expect("a piece in use").piece.client
    }

    fn piece(&mut self, index: u32) -> &mut PieceState<E::Client> {
        self.pieces[index].as_mut().expect("a piece in use")
    }

    /// Does all work that is possible now. Returns whether there was any.
    pub fn advance(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        while let Some(event) = cx.handoff.to_logical.pop_front() {
            self.event(cx, event);
            progress = true;
        }
        progress |= self.take_committed(cx);
        progress |= self.take_map_events(cx);
        progress |= self.use_journal_room(cx);
        progress |= self.release_pages(cx);
        progress |= self.go_on_with_granted(cx);
        progress |= self.begin_relocations(cx);
        progress |= self.sweep(cx);
        progress |= self.begin_blocks(cx);
        progress |= self.go_on_with_granted(cx);
        progress | self.fingerprint_batch(cx)
    }

    fn go_on_with_granted(&mut self, cx: &mut Context<'_, E>) -> bool {
        let progress = !self.granted.is_empty();
        while let Some(vio) = self.granted.pop_front() {
            self.locked(cx, vio);
        }
        progress
    }

    /// Starts blocks of waiting pieces, the older piece first, until there are no free data_vios.
    fn begin_blocks(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        self.touch_batch(cx);
        let mut discards_stuck = false;
        loop {
            let request = self.waiting.front().copied();
            let discard = self.waiting_discards.front().copied().filter(|_| !discards_stuck);
            let sequence = |index: Option<u32>| {
                index.and_then(|index| self.pieces[index].as_ref()).map_or(u64::MAX, |piece| piece.sequence)
            };
            let take_discard = sequence(discard) < sequence(request);
            let Some(index) = (if take_discard { discard } else { request }) else {
                return progress;
            };
            let before = self.piece(index).next;
            let all_begun = if take_discard { self.begin_ranges(cx, index) } else { self.begin_each(cx, index) };
            progress |= all_begun || self.piece(index).next != before;
            if all_begun {
                let queue = if take_discard { &mut self.waiting_discards } else { &mut self.waiting };
                queue.pop_front();
                self.block_done(cx, index, Ok(()));
            } else if take_discard {
                discards_stuck = true;
            } else {
                return progress;
            }
        }
    }

    /// Prefetches what the first blocks of waiting pieces will need: their mappings, and for writes the reference
    /// counts to be decremented. Taken one after the other, these cache misses are a fifth of a random write.
    fn touch_batch(&self, cx: &Context<'_, E>) {
        if self.waiting.len() < 2 || !self.has_vio() {
            return;
        }
        let batch = || self.waiting.iter().take(TOUCHED_PIECES).filter_map(|&index| self.pieces[index].as_ref());
        let mappings = batch().fold(0, |all, state| all ^ self.map.touch(state.piece.lbn));
        std::hint::black_box(mappings);
        let counts = batch()
            .filter(|state| state.piece.operation == Operation::Write)
            .map(|state| Mapping::from_raw(self.map.touch(state.piece.lbn)).pbn())
            .fold(0, |all, pbn| all ^ cx.physical.references(pbn).unwrap_or(0));
        std::hint::black_box(counts);
    }

    /// Starts the blocks of a read or write. Returns whether all are started.
    fn begin_each(&mut self, cx: &mut Context<'_, E>, index: u32) -> bool {
        let blocks = self.piece(index).piece.blocks;
        while self.piece(index).next < blocks {
            if !self.has_vio() {
                return false;
            }
            self.begin_one(cx, index);
        }
        true
    }

    /// Whether another block can start. Blocks that are done but not retired count as in use. Some data_vios are
    /// reserved for swaps.
    fn has_vio(&self) -> bool {
        self.vios.in_use() - self.holds < self.vios.capacity() - HOLDS && self.retired.len() < self.vios.capacity()
    }

    /// Starts the next block of a piece with its own data_vio.
    fn begin_one(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let state = self.piece(index);
        let (piece, block) = (state.piece, state.next);
        state.next += 1;
        state.in_flight += 1;
        let (lbn, part) = (piece.lbn.plus(u64::from(block)), piece.part(block));
        if !part.is_whole() {
            cx.stats.bios_in_partial += 1;
        }
        if piece.operation.is_discard() {
            self.discards += 1;
        }
        let vio = DataVio::new(piece.operation, lbn, part, index);
        let vio = self.vios.acquire(vio).expect("availability was checked");
        self.mark_runnable(vio);
        self.lock(cx, vio);
    }

    /// Releases the content of blocks that are done, and answers pieces whose last block is done. The hash zone of this
    /// shard must have processed every result first. Returns whether there was anything to retire.
    pub fn retire(&mut self, cx: &mut Context<'_, E>) -> bool {
        let progress = !self.retired.is_empty();
        let mut retired = std::mem::take(&mut self.retiring);
        std::mem::swap(&mut retired, &mut self.retired);
        for Retired { piece, result, bounce } in retired.drain(..) {
            if let Some(buf) = bounce {
                self.bounce.push(buf);
                if let Some(waiter) = self.bounce_waiters.pop(&mut self.vios) {
                    self.mark_runnable(waiter);
                    self.bounce(cx, waiter);
                }
            }
            self.block_done(cx, piece, result);
        }
        self.retiring = retired;
        while let Some(flush) = self.flushes.pop_done() {
            self.answer(cx, flush);
        }
        progress
    }

    fn block_done(&mut self, cx: &mut Context<'_, E>, index: u32, result: Result<(), RequestError>) {
        if index == NONE {
            // A relocation belongs to no piece.
            return;
        }
        let state = self.piece(index);
        state.in_flight -= 1;
        state.error = state.error.or(result.err());
        if state.in_flight == 0 {
            let generation = state.generation;
            self.flushes.end(generation);
            self.answer(cx, index);
        }
    }

    fn answer(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let state = self.pieces[index].take().expect("a piece in use");
        self.pieces.release(index);
        if state.sweep != NONE {
            return self.sweep_piece_done(state.sweep, state.error);
        }
        cx.stats.pieces_done += 1;
        if state.error.is_some() {
            cx.stats.bios_failed += 1;
        }
        cx.env.complete(state.piece.client, state.error.map_or(Ok(()), Err));
    }
}

const _: () = assert!(ENTRIES_PER_LEAF_PAGE < u16::MAX as u64, "a piece counts its blocks in 16 bits");
