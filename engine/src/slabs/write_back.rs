// SPDX-License-Identifier: BSD-3-Clause

//! Write-back of reference blocks in rounds (rule 4 of the write order).
//!
//! A round copies the oldest dirty reference blocks of one slab at a moment when the slab journal has no block open,
//! and stamps the copies with the number of the next entry: they contain every entry before it and no other. Then:
//!
//! ```text
//!  Covering --- a summary on media names every entry in the copies ---> Writing --- all written ---> Flushing --- end
//! ```
//! Only after the flush are the changes in the copies saved, so that the journal's head may pass them.
//!
//! Differs from dm-vdo: rounds begin when a journal block is closed, not when one is opened, so that no block is closed
//! early for them unless write-back is urgent. Copies have memory of their own until they can be written, so an image
//! that waits for other transfers holds no buffer.

use crate::format::reference_block::COUNTS_PER_BLOCK;

/// Rounds in flight at a time, over all slabs of a zone.
const MAX_ROUNDS: usize = 8;

/// Copies of reference blocks at a time.
const IMAGES: usize = 64;

/// Reference blocks in one round.
const MAX_IMAGES: usize = 32;

/// The progress of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageStage {
    /// Waits for a buffer.
    Copied,
    /// Is being written, or is written.
    Started,
}

/// A copy of a reference block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image {
    /// The number of the block in the slab.
    pub block: u32,
    /// The index of its memory in the pool.
    memory: u32,
    pub stage: ImageStage,
}

/// The progress of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoundStage {
    /// Some entries in the copies are not named by a summary on media yet.
    Covering,
    /// The copies are being written.
    Writing,
    /// The copies are being flushed.
    Flushing,
}

#[derive(Debug)]
pub(super) struct Round {
    pub stage: RoundStage,
    /// A summary must name all journal blocks before this one first.
    pub cover: u64,
    /// The oldest journal block with a change in the copies.
    pub need: u64,
    /// The number of the first entry that is not in the copies.
    pub next_entry: u64,
    pub images: Vec<Image>,
    /// Copies that are not written yet.
    pub left: usize,
}

type Counts = [u8; COUNTS_PER_BLOCK as usize];

#[derive(Debug)]
pub(super) struct RoundPool {
    rounds: Vec<Round>,
    free: Vec<u32>,
    memory: Box<[Counts]>,
    free_memory: Vec<u32>,
}

impl RoundPool {
    pub fn new() -> RoundPool {
        let round = || Round {
            stage: RoundStage::Covering,
            cover: 0,
            need: 0,
            next_entry: 0,
            images: Vec::with_capacity(MAX_IMAGES),
            left: 0,
        };
        RoundPool {
            rounds: (0..MAX_ROUNDS).map(|_| round()).collect(),
            free: (0..MAX_ROUNDS as u32).collect(),
            memory: vec![[0; COUNTS_PER_BLOCK as usize]; IMAGES].into_boxed_slice(),
            free_memory: (0..IMAGES as u32).collect(),
        }
    }

    /// Rounds that can be in flight together.
    pub const fn capacity() -> usize {
        MAX_ROUNDS
    }

    /// Copies that a round begun now can make; 0 when none can begin.
    pub fn room(&self) -> usize {
        if self.free.is_empty() {
            0
        } else {
            self.free_memory.len().min(MAX_IMAGES)
        }
    }

    /// Begins a round; there must be room.
    pub fn begin(&mut self, cover: u64, need: u64, next_entry: u64) -> u32 {
        let index = self.free.pop().expect("there is room for a round");
        let round = &mut self.rounds[index as usize];
        debug_assert!(round.images.is_empty(), "a free round has no copies");
        (round.stage, round.cover, round.need, round.next_entry) = (RoundStage::Covering, cover, need, next_entry);
        round.left = 0;
        index
    }

    /// Copies a reference block; there must be room.
    pub fn copy(&mut self, round: u32, block: u32, counts: &[u8]) {
        let memory = self.free_memory.pop().expect("there is room for a copy");
        let (copy, rest) = self.memory[memory as usize].split_at_mut(counts.len());
        copy.copy_from_slice(counts);
        rest.fill(0);
        let round = &mut self.rounds[round as usize];
        round.images.push(Image { block, memory, stage: ImageStage::Copied });
        round.left += 1;
    }

    pub fn get(&self, round: u32) -> &Round {
        &self.rounds[round as usize]
    }

    pub fn get_mut(&mut self, round: u32) -> &mut Round {
        &mut self.rounds[round as usize]
    }

    pub fn counts(&self, image: &Image) -> &[u8] {
        &self.memory[image.memory as usize]
    }

    /// Ends a round; returns how many blocks it wrote.
    pub fn end(&mut self, round: u32) -> u32 {
        let images = &mut self.rounds[round as usize].images;
        let written = images.len() as u32;
        self.free_memory.extend(images.drain(..).map(|image| image.memory));
        self.free.push(round);
        written
    }
}
