// SPDX-License-Identifier: BSD-3-Clause

//! Adding entries to slab journals, and writing their blocks.
//!
//! Differs from dm-vdo: all entries of one update are in one block, because the summary holds the recovery point behind
//! them and names whole blocks. A block that is closed before it is full is not a "partial write" that holds up
//! entries: the next entry goes into the next block. The reclaimer runs when a block is closed (see
//! [`super::write_back`]).

use super::allocator::BlockAllocator;
use super::depot::{Mode, Operation, SlabDepot};
use super::event::Source;
use super::layout::SlabIndex;
use super::slab_journal::OutOfOrder;
use super::slab_state::{Obstacle, Status};
use super::tail_block::Stage;
use crate::env::{Direction, Env, ReadOnlyReason};
use crate::format::reference_block::COUNTS_PER_BLOCK;
use crate::format::slab_journal_block::{self, SlabEntry};
use crate::io::MetadataIo;

/// A reference block is written again after at most 2^30 entries: commit points on media have 32 bits, and must not
/// come to look newer than entries that they do not include.
const REFRESH_SHIFT: u32 = 30;

impl<Buf: Copy> SlabDepot<Buf> {
    /// Notes the arrival of an update, before anything else is done with it. An update that is out of order ends all
    /// writing.
    pub fn arrive(&mut self, slab: SlabIndex, source: Source) -> Result<(), OutOfOrder> {
        let state = self.slab_mut(slab);
        let result = state.journal.arrive(source);
        if !std::mem::replace(&mut state.unsettled, true) {
            self.unsettled.push(slab);
        }
        result.inspect_err(|OutOfOrder| self.fail(ReadOnlyReason::Damaged("the order of slab journal entries")))
    }

    /// Ensures that a slab's journal has room now for the `entries` of one update, or returns the obstacle.
    #[inline]
    pub fn make_room(&mut self, slab: SlabIndex, entries: usize, allocator: &BlockAllocator) -> Result<(), Obstacle> {
        let state = &self.slabs[slab.0 as usize];
        if state.status == Status::Rebuilding {
            return self.obstruct(slab, Obstacle::Busy);
        }
        match state.journal.room(&self.tails) {
            Some(room) if room >= entries => Ok(()),
            Some(_) if !self.close(slab, allocator) => self.obstruct(slab, Obstacle::TailBusy),
            _ => self.open(slab),
        }
    }

    /// Opens a block, if the ring has room.
    fn open(&mut self, slab: SlabIndex) -> Result<(), Obstacle> {
        let state = &mut self.slabs[slab.0 as usize];
        let length = state.journal.length();
        if length >= u64::from(self.area.journal_blocks) {
            return self.obstruct(slab, Obstacle::RingFull);
        }
        if length >= self.thresholds.blocking {
            return self.obstruct(slab, Obstacle::Blocked);
        }
        if !state.journal.open(&mut self.tails) {
            return self.obstruct(slab, Obstacle::TailBusy);
        }
        state.obstacle = None;
        Ok(())
    }

    /// Records what an update waits for, counts each such wait once, and speeds up write-back if it blocks the update.
    fn obstruct(&mut self, slab: SlabIndex, obstacle: Obstacle) -> Result<(), Obstacle> {
        let state = &mut self.slabs[slab.0 as usize];
        if state.obstacle != Some(obstacle) {
            state.obstacle = Some(obstacle);
            match obstacle {
                Obstacle::Busy => {}
                Obstacle::Blocked => self.counts.blocked += 1,
                Obstacle::RingFull => self.counts.disk_full += 1,
                Obstacle::TailBusy => self.counts.tail_busy += 1,
            }
        }
        if matches!(obstacle, Obstacle::Blocked | Obstacle::RingFull) {
            state.quota = state.dirty.len();
        }
        self.schedule(slab);
        Err(obstacle)
    }

    /// Adds the entries of one update, for which there is room. If the slab's counts are known, the caller changes the
    /// counts next, then calls [`SlabDepot::entries_added`].
    #[inline]
    pub fn record(&mut self, slab: SlabIndex, source: Source, entries: impl Iterator<Item = SlabEntry>) {
        let state = &mut self.slabs[slab.0 as usize];
        let first = state.journal.next_entry;
        let rebuilt = state.status == Status::Rebuilt;
        if rebuilt && first == 0 {
            // The whole journal is needed until every reference block has been written once.
            state.dirty.mark_all(state.journal.tail);
        }
        for entry in entries {
            state.journal.append(&mut self.tails, entry);
            if rebuilt {
                let last = entry.offset + u32::from(entry.count) - 1;
                for block in entry.offset / COUNTS_PER_BLOCK..=last / COUNTS_PER_BLOCK {
                    state.dirty.mark(block, state.journal.tail);
                }
            }
        }
        state.journal.appended(source);
        if rebuilt && first >> REFRESH_SHIFT != state.journal.next_entry >> REFRESH_SHIFT {
            state.dirty.mark_all(state.journal.tail);
        }
    }

    /// Closes the block if it is full; the caller has changed the counts as the entries say.
    #[inline]
    pub fn entries_added(&mut self, slab: SlabIndex, allocator: &BlockAllocator) {
        if self.slabs[slab.0 as usize].journal.room(&self.tails) == Some(0) {
            self.close(slab, allocator);
        }
    }

    /// Closes the block that is being filled; false if there is none, or if closing has to wait.
    fn close(&mut self, slab: SlabIndex, allocator: &BlockAllocator) -> bool {
        let state = &mut self.slabs[slab.0 as usize];
        if !state.journal.close(&mut self.tails) {
            return false;
        }
        state.commit_wanted = false;
        if state.status == Status::Rebuilt {
            let quota = self.thresholds.quota(state.journal.length(), state.dirty.len());
            self.counts.flush += u64::from(quota > 0);
            state.quota = state.quota.max(quota);
            self.begin_round(allocator, slab);
        }
        self.schedule(slab);
        true
    }

    /// Closes the block that is being filled if it is full, or if a save, the scrubber, a commit request or urgent
    /// write-back needs it on media.
    pub fn close_if_wanted(&mut self, allocator: &BlockAllocator, slab: SlabIndex) -> bool {
        let saving = self.mode == Mode::Saving;
        let state = &mut self.slabs[slab.0 as usize];
        if saving {
            state.quota = state.dirty.len();
        }
        let full = state.journal.room(&self.tails) == Some(0);
        let wanted = saving || full || state.commit_wanted || self.is_commit_wanted(slab) || self.is_hurried(slab);
        wanted && self.close(slab, allocator)
    }

    /// Starts the writes of closed blocks.
    pub fn write_tails<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>, slab: SlabIndex) -> bool {
        let mut progress = false;
        while let Some(tail) = self.slab(slab).journal.next_to_write(&self.tails) {
            let Some(buf) = self.take_buf(io) else { break };
            let place = self.area_block(slab, self.area.journal_block(self.tails[tail].sequence));
            let block = &mut self.tails[tail];
            block.stage = Stage::Writing;
            let entries = block.entries.iter().copied();
            slab_journal_block::encode(place, block.sequence, block.first_entry, entries, env.block_mut(buf));
            self.counts.journal_blocks_written += 1;
            self.transfer(env, io, Direction::Write, place, (buf, Operation::Tail { slab, tail, buf }));
            progress = true;
        }
        progress
    }

    /// Notes that the write of a block has ended.
    pub fn tail_written(&mut self, slab: SlabIndex, tail: u32) {
        self.tails[tail].stage = Stage::Written;
        self.slabs[slab.0 as usize].journal.collect_written(&mut self.tails);
    }
}
