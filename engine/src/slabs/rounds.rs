// SPDX-License-Identifier: BSD-3-Clause

//! The steps of write-back: what the rounds of [`super::write_back`] do, and when.

use super::allocator::BlockAllocator;
use super::depot::{Mode, Operation, SlabDepot};
use super::layout::SlabIndex;
use super::slab_state::{Obstacle, Status};
use super::write_back::{ImageStage, RoundPool, RoundStage};
use crate::env::{Direction, Env};
use crate::format::reference_block;
use crate::io::MetadataIo;

impl<Buf: Copy> SlabDepot<Buf> {
    /// Whether a slab could begin a round now if its journal had no block open.
    fn can_begin_round(&self, slab: SlabIndex) -> bool {
        let state = self.slab(slab);
        let wanted = state.status == Status::Rebuilt && state.quota > 0 && state.dirty.len() > 0;
        wanted && state.round.is_none() && self.rounds.room() > 0
    }

    /// Whether write-back is so urgent that the open journal block is closed for it.
    pub fn is_hurried(&self, slab: SlabIndex) -> bool {
        let state = self.slab(slab);
        let blocked = matches!(state.obstacle, Some(Obstacle::Blocked | Obstacle::RingFull));
        let urgent = blocked || state.journal.length() >= self.thresholds.deadline || self.mode == Mode::Saving;
        urgent && self.can_begin_round(slab)
    }

    /// Begins a round if one is due and the journal has no block open.
    pub fn begin_round(&mut self, allocator: &BlockAllocator, slab: SlabIndex) -> bool {
        if self.slab(slab).journal.is_open() || !self.can_begin_round(slab) {
            return false;
        }
        let room = self.rounds.room();
        let state = &mut self.slabs[slab.0 as usize];
        let count = state.quota.min(room);
        let need = state.dirty.oldest_need().unwrap_or(state.journal.tail);
        let round = self.rounds.begin(state.journal.tail, need, state.journal.next_entry);
        for _ in 0..count {
            let Some(block) = state.dirty.take_oldest() else { break };
            self.rounds.copy(round, block, allocator.reference_block(slab, block));
        }
        state.quota -= count;
        state.round = Some(round);
        true
    }

    /// Advances the round of a slab, or begins one.
    pub fn advance_round<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        allocator: &BlockAllocator,
        slab: SlabIndex,
    ) -> bool {
        let mut progress = self.begin_round(allocator, slab);
        let state = self.slab(slab);
        let Some(number) = state.round else {
            // Rounds of other slabs may take all the room; look again when one has ended.
            let waits = state.quota > 0 && state.dirty.len() > 0 && !state.journal.is_open();
            self.starved |= waits && self.rounds.room() == 0;
            return progress;
        };
        let committed = state.journal.committed.tail;
        let round = self.rounds.get_mut(number);
        if round.stage == RoundStage::Covering && committed >= round.cover {
            round.stage = RoundStage::Writing;
        }
        if round.stage == RoundStage::Writing {
            progress |= self.write_images(env, io, slab, number);
        }
        progress
    }

    fn write_images<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        slab: SlabIndex,
        number: u32,
    ) -> bool {
        let mut progress = false;
        for at in 0..self.rounds.get(number).images.len() {
            let image = self.rounds.get(number).images[at];
            if image.stage != ImageStage::Copied {
                continue;
            }
            let Some(buf) = self.take_buf(io) else { break };
            self.rounds.get_mut(number).images[at].stage = ImageStage::Started;
            let place = self.area_block(slab, self.area.reference_block(image.block));
            let point = self.rounds.get(number).next_entry as u32;
            reference_block::encode(place, point, self.rounds.counts(&image), env.block_mut(buf));
            self.counts.reference_blocks_written += 1;
            self.transfer(env, io, Direction::Write, place, (buf, Operation::Image { slab, buf }));
            progress = true;
        }
        progress
    }

    /// Counts a written reference block; after the last, flushes.
    pub fn image_written<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>, slab: SlabIndex) {
        let Some(number) = self.slab(slab).round else { return };
        let round = self.rounds.get_mut(number);
        round.left -= 1;
        if round.left == 0 {
            round.stage = RoundStage::Flushing;
            self.flush(env, io, Operation::RoundFlush { slab });
        }
    }

    /// Ends a round whose reference blocks are durable.
    pub fn round_flushed(&mut self, slab: SlabIndex) {
        let Some(number) = self.slab_mut(slab).round.take() else { return };
        let written = self.rounds.end(number);
        let state = self.slab_mut(slab);
        // All blocks of a slab that was never saved became dirty together, so its first writes are of distinct blocks.
        state.first_writes = state.first_writes.saturating_sub(written);
    }
}

const _: () = assert!(RoundPool::capacity() > 0, "write-back must be possible");
