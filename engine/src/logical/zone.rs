// SPDX-License-Identifier: BSD-3-Clause

//! The logical zone of a shard: takes pieces, locks their LBNs, and keeps their mappings.
//!
//! Invariants:
//! * A data_vio holds its LBN lock from [`Stage::Locked`] to the end, so the mapping it saw stays in force.
//! * A mapping changes only after the new block has its reference; the old block loses its reference only after that
//!   (vdo.md 1.5, steps 14 and 15). So no mapping ever points to a block that could be given to somebody else.
//! * A piece is answered once, after its last block, with the first error met.
//! * The content of a block (the client's memory or a bounce block) is given up only in [`LogicalZone::retire`], when
//!   the hash zone of this shard has nothing left to compare with it.
//!
//! Differs from vdo.md 1.8: a whole block is unmapped or zeroed by command without a data_vio, in one pass over the
//! leaf page with decrements by run; only blocks that are locked, or touched in part, take a data_vio each
//! (architecture.md section 3). Blocks of one request are not atomic together, as with any block device.

use std::collections::VecDeque;

use crate::arena::Arena;
use crate::context::{Context, LogicalEvent, Owner};
use crate::env::{Block, Direction, Env, Event, Part};
use crate::error::RequestError;
use crate::hash::Fingerprinter;
use crate::io::{DataVio, Operation, Piece, Stage};
use crate::logical::block_map::BlockMap;
use crate::logical::flush::FlushGenerations;
use crate::logical::lbn_lock::LbnLocks;
use crate::logical::range_decrement::RangeDecrements;
use crate::logical::{Mapped, Mapping};
use crate::message::MemberRef;
use crate::units::{Lbn, ShardId, BLOCK_SIZE, ENTRIES_PER_LEAF_PAGE};
use crate::volume::{Geometry, Statistics};
use crate::wait_queue::WaitQueue;

/// A piece that was accepted and is not yet answered.
#[derive(Debug, Clone)]
struct PieceState<Client> {
    piece: Piece<Client>,
    /// First block that has not begun.
    next: u16,
    /// Blocks that have begun and not ended, plus one until all have begun.
    in_flight: u16,
    /// The first error met.
    error: Option<RequestError>,
    /// Flush generation.
    generation: u64,
    /// Order of acceptance, over both waiting queues.
    sequence: u64,
}

/// A block that is done, but whose content the hash zone may still look at.
#[derive(Debug)]
struct Retired<Buf> {
    piece: u32,
    result: Result<(), RequestError>,
    bounce: Option<Buf>,
}

/// Pieces whose first blocks are brought near at a time: more would push each other out of the cache.
const TOUCHED_PIECES: usize = 64;

/// The logical zone.
#[derive(Debug)]
pub struct LogicalZone<E: Env> {
    pieces: Arena<Option<PieceState<E::Client>>>,
    vios: Arena<DataVio<E::Buf>>,
    locks: LbnLocks,
    map: BlockMap,
    flushes: FlushGenerations,
    /// Pieces with blocks that have not begun: reads and writes.
    waiting: VecDeque<u32>,
    /// Likewise unmaps and zeroes; apart, so that a flood of them does not hold up reads and writes (vdo.md 1.3).
    waiting_discards: VecDeque<u32>,
    /// data_vios of discards in use, and how many may be.
    discards: usize,
    max_discards: usize,
    /// data_vios that were granted their lock and have not gone on yet.
    granted: VecDeque<u32>,
    fingerprints: Vec<u32>,
    bounce: Vec<E::Buf>,
    bounce_waiters: WaitQueue,
    retired: Vec<Retired<E::Buf>>,
    /// Spare room for [`LogicalZone::retire`], during which more blocks may end.
    retiring: Vec<Retired<E::Buf>>,
    decrements: RangeDecrements,
    accepted: u64,
}

impl<E: Env> LogicalZone<E> {
    /// An empty zone.
    pub fn new(geometry: &Geometry, id: ShardId, vios: usize, pieces: usize, bounce: Vec<E::Buf>) -> LogicalZone<E> {
        assert!(vios > 0 && pieces > 0 && !bounce.is_empty(), "a zone without room could never answer");
        let vio = DataVio::new(Operation::Read, Lbn(0), Part::WHOLE, 0);
        LogicalZone {
            pieces: Arena::new(pieces, None),
            vios: Arena::new(vios, vio),
            locks: LbnLocks::new(vios),
            map: BlockMap::new(geometry, id),
            flushes: FlushGenerations::new(pieces),
            waiting: VecDeque::with_capacity(pieces),
            waiting_discards: VecDeque::with_capacity(pieces),
            discards: 0,
            max_discards: (vios * 3 / 4).max(1),
            granted: VecDeque::with_capacity(vios),
            fingerprints: Vec::with_capacity(vios),
            bounce,
            bounce_waiters: WaitQueue::new(),
            retired: Vec::with_capacity(2 * vios + pieces),
            retiring: Vec::with_capacity(2 * vios + pieces),
            decrements: RangeDecrements::new(geometry),
            accepted: 0,
        }
    }

    /// True when a piece can be accepted.
    pub fn can_accept(&self) -> bool {
        self.pieces.available() > 0
    }

    /// True when no piece is in flight.
    pub fn is_idle(&self) -> bool {
        self.pieces.in_use() == 0 && self.vios.in_use() == 0 && self.retired.is_empty()
    }

    /// The block map.
    pub fn map(&self) -> &BlockMap {
        &self.map
    }

    /// Fills in the gauges.
    pub fn gauges(&self, stats: &mut Statistics) {
        stats.logical_blocks_used = self.map.mapped();
        stats.current_vios_in_progress = self.vios.in_use() as u64;
        stats.max_vios = self.vios.capacity() as u64;
    }

    /// Accepts a piece.
    ///
    /// # Panics
    /// If there is no room ([`LogicalZone::can_accept`]) or the piece contradicts itself: both are the host's errors.
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
        let state = PieceState { piece, next, in_flight, error: None, generation, sequence: self.accepted };
        let index = self.pieces.acquire(Some(state)).expect("the host asks before it submits");
        if !in_range {
            self.retired.push(Retired { piece: index, result: Err(RequestError::OutOfRange), bounce: None });
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

    fn piece(&mut self, index: u32) -> &mut PieceState<E::Client> {
        self.pieces[index].as_mut().expect("a piece in use")
    }

    /// Does what can be done now. Returns whether anything was.
    pub fn advance(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        while let Some(event) = cx.handoff.to_logical.pop_front() {
            self.event(cx, event);
            progress = true;
        }
        while let Some(vio) = self.granted.pop_front() {
            self.locked(cx, vio);
            progress = true;
        }
        progress |= self.begin_blocks(cx);
        while let Some(vio) = self.granted.pop_front() {
            self.locked(cx, vio);
            progress = true;
        }
        progress | self.fingerprint_batch(cx)
    }

    /// Begins blocks of waiting pieces, the older piece first, until data_vios run out.
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
            let all_begun = if take_discard { self.begin_range(cx, index) } else { self.begin_each(cx, index) };
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

    /// Brings near what the first blocks of waiting pieces will need: their mappings, and for writes the reference
    /// counts that will be lowered. One after the other these cache misses are a fifth of a random write.
    fn touch_batch(&self, cx: &Context<'_, E>) {
        if self.waiting.len() < 2 || !self.has_vio() {
            return;
        }
        let batch = || self.waiting.iter().take(TOUCHED_PIECES).filter_map(|&index| self.pieces[index].as_ref());
        let mappings = batch().fold(0, |all, state| all ^ self.map.touch(state.piece.lbn));
        std::hint::black_box(mappings);
        let counts = batch()
            .filter(|state| state.piece.operation == Operation::Write)
            .fold(0, |all, state| all ^ cx.physical.references(self.map.get(state.piece.lbn).pbn()).unwrap_or(0));
        std::hint::black_box(counts);
    }

    /// Begins the blocks of a read or write. Returns whether all have begun.
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

    /// Whether another block can begin. Blocks that are done but not retired count: they keep their place in line.
    fn has_vio(&self) -> bool {
        self.vios.available() > 0 && self.retired.len() < self.vios.capacity()
    }

    /// Begins the next block of a piece with a data_vio of its own.
    fn begin_one(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let state = self.piece(index);
        let (piece, block) = (state.piece, state.next);
        state.next += 1;
        state.in_flight += 1;
        let (lbn, part) = (piece.lbn.plus(u64::from(block)), piece.part(block));
        if !part.is_whole() {
            cx.stats.bios_in_partial += 1;
        }
        if is_discard(piece.operation) {
            self.discards += 1;
        }
        let vio = DataVio::new(piece.operation, lbn, part, index);
        let vio = self.vios.acquire(vio).expect("availability was checked");
        if self.locks.acquire(lbn, &mut self.vios, vio) {
            self.locked(cx, vio);
        }
    }

    /// Unmaps or zeroes what is left of a piece in one pass. Returns whether all blocks have begun.
    fn begin_range(&mut self, cx: &mut Context<'_, E>, index: u32) -> bool {
        let piece = self.piece(index).piece;
        if !self.decrements.has_room(cx) {
            return false;
        }
        if piece.operation == Operation::Unmap && self.locks.is_empty() && self.map.page_is_empty(piece.lbn) {
            self.piece(index).next = piece.blocks;
            return true;
        }
        let new = if piece.operation == Operation::Unmap { Mapping::UNMAPPED } else { Mapping::ZERO };
        let mut block = self.piece(index).next;
        let mut all_begun = true;
        while block < piece.blocks {
            let lbn = piece.lbn.plus(u64::from(block));
            if piece.part(block).is_whole() && !self.locks.is_locked(lbn) {
                let old = self.map.set(lbn, new);
                if old.has_block() {
                    self.decrements.add(cx, old.pbn());
                }
            } else {
                if !self.has_vio() || self.discards >= self.max_discards {
                    all_begun = false;
                    break;
                }
                // Earlier decrements go first: the data_vio may cause others on the same blocks.
                self.decrements.finish(cx);
                self.piece(index).next = block;
                self.begin_one(cx, index);
            }
            block += 1;
        }
        self.decrements.finish(cx);
        self.piece(index).next = block;
        all_begun
    }

    /// The LBN lock is held: look up the mapping and get the memory that is needed.
    fn locked(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &mut self.vios[index];
        vio.stage = Stage::Locked;
        vio.old = self.map.get(vio.lbn);
        let (lbn, part, stored) = (vio.lbn, vio.part, vio.old.has_block());
        let client = self.pieces[vio.piece].as_ref().expect("a piece in use").piece.client;
        match vio.operation {
            Operation::Read if !stored => {
                cx.env.zero_client(client, lbn, part);
                self.finish(cx, index, Ok(()));
            }
            Operation::Unmap if part.is_whole() || !stored => {
                vio.new = if part.is_whole() { Mapping::UNMAPPED } else { vio.old };
                self.settle(cx, index);
            }
            Operation::WriteZeroes if part.is_whole() || !stored => {
                vio.new = Mapping::ZERO;
                self.settle(cx, index);
            }
            operation => {
                let in_place = matches!(operation, Operation::Read | Operation::Write) && part.is_whole();
                let memory = if in_place { cx.env.client_block(client, lbn) } else { None };
                match memory {
                    Some(data) => {
                        self.vios[index].data = Some(data);
                        self.buffered(cx, index);
                    }
                    None => self.bounce(cx, index),
                }
            }
        }
    }

    /// Takes a bounce block, or waits for one.
    fn bounce(&mut self, cx: &mut Context<'_, E>, index: u32) {
        match self.bounce.pop() {
            Some(buf) => {
                let vio = &mut self.vios[index];
                vio.data = Some(buf);
                vio.bounced = true;
                self.buffered(cx, index);
            }
            None => self.bounce_waiters.push(&mut self.vios, index),
        }
    }

    /// The data_vio has memory for a whole block.
    fn buffered(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &mut self.vios[index];
        let data = vio.data.expect("memory was just assigned");
        let client = self.pieces[vio.piece].as_ref().expect("a piece in use").piece.client;
        if vio.operation == Operation::Read || (!vio.part.is_whole() && vio.old.has_block()) {
            vio.stage = Stage::Reading;
            cx.stats.bios_out_read += 1;
            cx.io.enqueue(Direction::Read, vio.old.pbn(), data, Owner::Vio(index));
            return;
        }
        if vio.part.is_whole() {
            if vio.bounced {
                cx.env.copy_from_client(client, vio.lbn, Part::WHOLE, data);
            }
        } else {
            cx.env.block_mut(data).fill(0);
            cx.env.copy_from_client(client, vio.lbn, vio.part, data);
        }
        self.content_complete(cx, index);
    }

    /// A transfer that a data_vio asked for is over.
    pub fn read_done(&mut self, cx: &mut Context<'_, E>, index: u32, result: Result<(), RequestError>) {
        let vio = &self.vios[index];
        debug_assert_eq!(vio.stage, Stage::Reading);
        let (lbn, pbn, part) = (vio.lbn, vio.old.pbn(), vio.part);
        let (data, bounced) = (vio.data.expect("a read has memory"), vio.bounced);
        let client = self.pieces[vio.piece].as_ref().expect("a piece in use").piece.client;
        if let Err(error) = result {
            cx.report(Event::IoFailed { direction: Direction::Read, pbn, purpose: "client data" });
            return self.finish(cx, index, Err(error));
        }
        let (expected, found) = (vio.old.check(), Fingerprinter::check_code(cx.env.block(data)));
        if expected != found {
            cx.stats.check_error_count += 1;
            cx.report(Event::CheckMismatch { lbn, pbn, expected, found });
            return self.finish(cx, index, Err(RequestError::Corrupt));
        }
        match vio.operation {
            Operation::Read => {
                if bounced {
                    cx.env.copy_to_client(client, lbn, part, data);
                }
                self.finish(cx, index, Ok(()));
            }
            Operation::Write => {
                cx.env.copy_from_client(client, lbn, part, data);
                self.content_complete(cx, index);
            }
            _ => {
                cx.env.block_mut(data)[part.range()].fill(0);
                self.content_complete(cx, index);
            }
        }
    }

    /// The whole block is in memory as it shall be stored.
    fn content_complete(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &mut self.vios[index];
        let data = vio.data.expect("complete content has memory");
        if is_zero(cx.env.block(data)) {
            cx.stats.zero_blocks += 1;
            vio.new = Mapping::ZERO;
            self.settle(cx, index);
        } else {
            vio.stage = Stage::Fingerprinting;
            self.fingerprints.push(index);
        }
    }

    /// Hands all blocks whose content is complete to their hash zones.
    fn fingerprint_batch(&mut self, cx: &mut Context<'_, E>) -> bool {
        let progress = !self.fingerprints.is_empty();
        for index in self.fingerprints.drain(..) {
            let vio = &mut self.vios[index];
            let data = vio.data.expect("complete content has memory");
            let block = cx.env.block(data);
            let fingerprint = cx.fingerprinter.fingerprint(block);
            vio.check = Fingerprinter::check_code(block);
            vio.stage = Stage::Deduping;
            cx.dedupe(index, data, fingerprint);
        }
        progress
    }

    fn event(&mut self, cx: &mut Context<'_, E>, event: LogicalEvent) {
        match event {
            LogicalEvent::Remap { vio, member, location } => self.remap(cx, vio, member, location),
            LogicalEvent::WriteFailed { vio, error } => {
                if error == RequestError::NoSpace {
                    cx.stats.no_space_error_count += 1;
                }
                self.finish(cx, vio, Err(error));
            }
        }
    }

    /// The content is stored: give the block its reference.
    fn remap(&mut self, cx: &mut Context<'_, E>, index: u32, member: MemberRef, location: Mapped) {
        let vio = &mut self.vios[index];
        debug_assert_eq!(vio.stage, Stage::Deduping);
        vio.stage = Stage::Incrementing;
        vio.member = Some(member);
        vio.new = Mapping::new(location, vio.check);
        if let Some(result) = cx.increment(index, location.pbn) {
            self.incremented(cx, index, result);
        }
    }

    /// The block has its reference, or could not get it.
    pub fn incremented(&mut self, cx: &mut Context<'_, E>, index: u32, result: Result<(), RequestError>) {
        debug_assert_eq!(self.vios[index].stage, Stage::Incrementing);
        match result {
            Ok(()) => self.settle(cx, index),
            Err(error) => {
                if let Some(member) = self.vios[index].member {
                    cx.finished(member, Err(error));
                }
                self.finish(cx, index, Err(error));
            }
        }
    }

    /// Records the new mapping, takes the reference of the old one, and ends the data_vio.
    fn settle(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &self.vios[index];
        let old = self.map.set(vio.lbn, vio.new);
        assert_eq!(old, vio.old, "the mapping of {} changed under its lock", vio.lbn);
        if old.has_block() {
            cx.decrement(old.pbn(), 1);
        }
        if let Some(member) = vio.member {
            cx.finished(member, Ok(()));
        }
        self.finish(cx, index, Ok(()));
    }

    /// Ends a data_vio: the lock goes to whoever waits. If the hash zone may still look at its content, the rest
    /// happens in [`LogicalZone::retire`].
    fn finish(&mut self, cx: &mut Context<'_, E>, index: u32, result: Result<(), RequestError>) {
        let vio = &self.vios[index];
        let (lbn, piece, compared) = (vio.lbn, vio.piece, vio.member.is_some());
        let bounce = vio.data.filter(|_| vio.bounced);
        if is_discard(vio.operation) {
            self.discards -= 1;
        }
        let granted = &mut self.granted;
        self.locks.release(lbn, &mut self.vios, |waiter| granted.push_back(waiter));
        self.vios.release(index);
        if compared || bounce.is_some() {
            self.retired.push(Retired { piece, result, bounce });
        } else {
            self.block_done(cx, piece, result);
        }
    }

    /// Gives up the content of blocks that are done and answers pieces whose last block is done. The hash zone of this
    /// shard must have taken note of every outcome first. Returns whether there is new work.
    pub fn retire(&mut self, cx: &mut Context<'_, E>) -> bool {
        let progress = !self.retired.is_empty();
        let mut retired = std::mem::take(&mut self.retiring);
        std::mem::swap(&mut retired, &mut self.retired);
        for Retired { piece, result, bounce } in retired.drain(..) {
            if let Some(buf) = bounce {
                self.bounce.push(buf);
                if let Some(waiter) = self.bounce_waiters.pop(&mut self.vios) {
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
        cx.stats.pieces_done += 1;
        if state.error.is_some() {
            cx.stats.bios_failed += 1;
        }
        cx.env.complete(state.piece.client, state.error.map_or(Ok(()), Err));
    }
}

fn is_discard(operation: Operation) -> bool {
    matches!(operation, Operation::Unmap | Operation::WriteZeroes)
}

/// Whether a block holds nothing but zeros. The first chunk tells for nearly every block that does not.
fn is_zero(block: &Block) -> bool {
    const CHUNK: usize = 128;
    const _: () = assert!(BLOCK_SIZE.is_multiple_of(CHUNK));
    block.chunks_exact(CHUNK).all(|chunk| chunk.iter().fold(0, |bits, byte| bits | byte) == 0)
}

const _: () = assert!(ENTRIES_PER_LEAF_PAGE < u16::MAX as u64, "a piece counts its blocks in 16 bits");

#[cfg(test)]
mod tests {
    use super::*;

    /// vdo-89: only a block that is zero in every byte counts as a zero block.
    #[test]
    fn zero_detection_sees_every_byte() {
        let mut block = [0; BLOCK_SIZE];
        assert!(is_zero(&block));
        for at in 0..BLOCK_SIZE {
            block[at] = 1;
            assert!(!is_zero(&block), "byte {at}");
            block[at] = 0;
        }
    }
}
