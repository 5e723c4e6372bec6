// SPDX-License-Identifier: BSD-3-Clause

//! Updates of slab summaries (rule 4 of the write order).
//!
//! ```text
//!  Flushing ----------> Ready -----------> Writing -------------> the journal is committed up to there
//!  (what it names)      (waits for memory)  (the summary, and a flush behind it)
//! ```
//! Invariants: a slab has one update in flight at a time. The update names only journal blocks that were written before
//! its first flush was requested, and its head is not beyond any change that is not saved. Later changes go into the
//! next update.
//!
//! Differs from dm-vdo: a summary is written with flushes before and after it instead of a preflush, and it is also
//! written when only the head has moved and room is short.

use super::allocator::BlockAllocator;
use super::depot::{Mode, Operation, SlabDepot};
use super::layout::SlabIndex;
use super::slab_journal::Boundary;
use super::slab_state::{Recorded, Status};
use crate::env::{Direction, Env};
use crate::format::area::SUMMARY_BLOCK;
use crate::format::journal_record::Point;
use crate::format::slab_summary::SlabSummary;
use crate::io::MetadataIo;
use crate::units::MAX_SHARDS;

/// The progress of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SummaryStage {
    /// The flush of what the summary names is in flight.
    Flushing,
    /// Waits for a buffer.
    Ready,
    /// The write, or the flush behind it, is in flight.
    Writing,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct SummaryUpdate {
    stage: SummaryStage,
    /// The summary names the journal up to here.
    boundary: Boundary,
    /// The summary names the journal from here on; set when it is written.
    head: u64,
    recorded: Recorded,
}

impl SummaryUpdate {
    /// A placeholder.
    pub const NONE: SummaryUpdate = SummaryUpdate {
        stage: SummaryStage::Flushing,
        boundary: Boundary { tail: 0, next_entry: 0, points: [Point(0); MAX_SHARDS] },
        head: 0,
        recorded: Recorded { free_blocks: 0, counts_written: false },
    };
}

impl<Buf: Copy> SlabDepot<Buf> {
    /// The oldest journal block before `tail` that the slab still needs; `tail` if it needs none.
    fn needed_head(&self, slab: SlabIndex, tail: u64) -> u64 {
        let state = self.slab(slab);
        if state.status != Status::Rebuilt {
            return state.journal.head;
        }
        let round = state.round.map(|round| self.rounds.get(round).need);
        let need = round.into_iter().chain(state.dirty.oldest_need()).min();
        need.map_or(tail, |need| need.min(tail))
    }

    /// What the next summary is to record.
    fn recordable(&self, allocator: &BlockAllocator, slab: SlabIndex) -> Recorded {
        let state = self.slab(slab);
        let free_blocks = match state.status {
            Status::Rebuilt => allocator.free_blocks_of(slab),
            Status::Unloaded | Status::Rebuilding => state.recorded.free_blocks,
        };
        Recorded { free_blocks, counts_written: state.first_writes == 0 }
    }

    /// Whether a new summary is to be written.
    fn is_due(&self, allocator: &BlockAllocator, slab: SlabIndex) -> bool {
        let journal = &self.slab(slab).journal;
        if journal.written.tail > journal.committed.tail {
            return true;
        }
        if self.needed_head(slab, journal.committed.tail) > journal.head {
            return self.mode == Mode::Saving || journal.length() >= self.thresholds.flushing;
        }
        // At the end of a save the free block hint must be right.
        let is_saved = journal.length() == 0 && journal.is_committed();
        let free_blocks = self.recordable(allocator, slab).free_blocks;
        self.mode == Mode::Saving && is_saved && free_blocks != self.slab(slab).recorded.free_blocks
    }

    /// Begins an update if one is due, and writes it when what it names is durable.
    pub fn advance_summary<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        allocator: &BlockAllocator,
        slab: SlabIndex,
    ) -> bool {
        match self.slab(slab).summary {
            None if self.is_due(allocator, slab) => self.begin_summary(env, io, slab),
            Some(update) if self.summaries[update].stage == SummaryStage::Ready => {
                self.write_summary(env, io, allocator, slab, update)
            }
            _ => false,
        }
    }

    fn begin_summary<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>, slab: SlabIndex) -> bool {
        let boundary = self.slab(slab).journal.written;
        let update = SummaryUpdate { boundary, ..SummaryUpdate::NONE };
        let Some(update) = self.summaries.acquire(update) else {
            self.starved = true;
            return false;
        };
        self.slab_mut(slab).summary = Some(update);
        self.flush(env, io, Operation::SummaryFlush { slab });
        true
    }

    /// Notes that what a summary is to name is durable.
    pub fn summary_covered(&mut self, slab: SlabIndex) {
        if let Some(update) = self.slab(slab).summary {
            self.summaries[update].stage = SummaryStage::Ready;
        }
    }

    fn write_summary<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        allocator: &BlockAllocator,
        slab: SlabIndex,
        update: u32,
    ) -> bool {
        let Some(buf) = self.take_buf(io) else { return false };
        let boundary = self.summaries[update].boundary;
        let head = self.needed_head(slab, boundary.tail);
        let recorded = self.recordable(allocator, slab);
        let journal = &self.slab(slab).journal;
        assert!(head >= journal.head && boundary.tail >= journal.committed.tail, "a summary never goes back");
        assert!(recorded.counts_written || head == journal.head, "the journal is needed until counts are written");
        self.summaries[update] = SummaryUpdate { stage: SummaryStage::Writing, boundary, head, recorded };
        let summary = SlabSummary {
            head,
            tail: boundary.tail,
            next_entry: boundary.next_entry,
            free_blocks: recorded.free_blocks,
            counts_written: recorded.counts_written,
            opened: boundary.next_entry > 0,
            generation: self.generation,
            points: boundary.points,
        };
        let place = self.area_block(slab, SUMMARY_BLOCK);
        self.summary_stamp = self.summary_stamp.wrapping_add(1);
        summary.encode(place.nonce, place.slab, self.summary_stamp, env.block_mut(buf));
        self.counts.summaries_written += 1;
        self.transfer(env, io, Direction::Write, place, (buf, Operation::SummaryWrite { slab, buf }));
        true
    }

    /// Flushes after the write of a summary.
    pub fn summary_written<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>, slab: SlabIndex) {
        self.flush(env, io, Operation::SummarySettle { slab });
    }

    /// Commits what a durable summary names.
    pub fn summary_settled(&mut self, slab: SlabIndex) {
        let Some(update) = self.slab_mut(slab).summary.take() else { return };
        let SummaryUpdate { boundary, head, recorded, .. } = self.summaries[update];
        self.summaries.release(update);
        let state = self.slab_mut(slab);
        state.journal.committed = boundary;
        state.journal.head = head;
        state.recorded = recorded;
    }
}
