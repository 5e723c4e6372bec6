// SPDX-License-Identifier: BSD-3-Clause

//! Write-back of reference blocks in rounds (rule 4 of the write order).
//!
//! A round copies the oldest dirty reference blocks of one slab at a moment when the slab journal has no block open, and
//! stamps the copies with the number of the next entry: they contain every entry before it and no other. Then:
//!
//! ```text
//!  Covering --- a summary on media names every entry in the copies ---> Writing --- all written ---> Flushing --- end
//! ```
//! Only with the flush behind them are the changes in the copies saved, and the journal's head may pass them.
//!
//! Differs from dm-vdo: rounds begin when a block of the journal is closed, not when one is begun, so that no block
//! is closed early for them until there is need for haste; and copies lie in memory of their own until they can be
//! written, so no memory for transfers is held by what waits for other transfers.

use crate::format::reference_block::COUNTS_PER_BLOCK;

/// Rounds at a time, over all slabs of a zone.
const MAX_ROUNDS: usize = 8;

/// Copies of reference blocks at a time.
const IMAGES: usize = 64;

/// Reference blocks in one round.
const MAX_IMAGES: usize = 32;

/// What becomes of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageStage {
    /// Waits for memory to be written from.
    Copied,
    /// Is being written, or is written.
    Started,
}

/// A copy of a reference block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image {
    /// Number of the block in the slab.
    pub block: u32,
    /// Where the copy is.
    memory: u32,
    /// What becomes of it.
    pub stage: ImageStage,
}

/// How far a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoundStage {
    /// The entries in the copies are not all named by a summary on media.
    Covering,
    /// The copies are written.
    Writing,
    /// They are made durable.
    Flushing,
}

/// One round of one slab.
#[derive(Debug)]
pub(super) struct Round {
    /// How far it is.
    pub stage: RoundStage,
    /// Journal blocks before this one must be named by a summary first.
    pub cover: u64,
    /// The oldest journal block with a change that is in the copies.
    pub need: u64,
    /// Number of the first entry that is not in the copies.
    pub next_entry: u64,
    /// The copies.
    pub images: Vec<Image>,
    /// Copies that are not written yet.
    pub left: usize,
}

/// A copy's counters.
type Counts = [u8; COUNTS_PER_BLOCK as usize];

/// The rounds and copies of a zone.
#[derive(Debug)]
pub(super) struct RoundPool {
    rounds: Vec<Round>,
    free: Vec<u32>,
    memory: Box<[Counts]>,
    free_memory: Vec<u32>,
}

impl RoundPool {
    /// Everything is free.
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

    /// Rounds that can be under way together.
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

    /// A round.
    pub fn get(&self, round: u32) -> &Round {
        &self.rounds[round as usize]
    }

    /// A round.
    pub fn get_mut(&mut self, round: u32) -> &mut Round {
        &mut self.rounds[round as usize]
    }

    /// The counters of a copy.
    pub fn counts(&self, image: &Image) -> &[u8] {
        &self.memory[image.memory as usize]
    }

    /// Ends a round; returns how many blocks it has written.
    pub fn end(&mut self, round: u32) -> u32 {
        let images = &mut self.rounds[round as usize].images;
        let written = images.len() as u32;
        self.free_memory.extend(images.drain(..).map(|image| image.memory));
        self.free.push(round);
        written
    }
}
