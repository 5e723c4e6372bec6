// SPDX-License-Identifier: BSD-3-Clause

//! The slab journal blocks in memory: being filled, or in flight to media.
//!
//! Differs from dm-vdo: blocks come from a pool instead of one in each slab and a vio for each write, because a closed
//! block and the next block of the same slab exist together. The pool has one block for each slab, and spare ones for
//! all.

use std::ops::{Index, IndexMut};

use super::slab_journal::Points;
use crate::format::journal_record::Point;
use crate::format::slab_journal_block::{SlabEntry, ENTRIES_PER_BLOCK};
use crate::units::MAX_SHARDS;

/// The progress of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Takes entries.
    Filling,
    /// Takes no more entries; waits for a buffer.
    Closed,
    Writing,
    Written,
}

#[derive(Debug)]
pub(super) struct TailBlock {
    pub sequence: u64,
    pub first_entry: u64,
    pub entries: Vec<SlabEntry>,
    /// The points behind its last entry, once it is closed.
    pub points: Points,
    pub stage: Stage,
}

/// The slab journal blocks of a zone.
#[derive(Debug)]
pub(super) struct TailPool {
    blocks: Vec<TailBlock>,
    free: Vec<u32>,
}

impl TailPool {
    pub fn new(blocks: usize) -> TailPool {
        let mut pool = TailPool { blocks: Vec::with_capacity(blocks), free: Vec::with_capacity(blocks) };
        pool.grow(blocks);
        pool
    }

    pub fn grow(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.free.push(self.blocks.len() as u32);
            self.blocks.push(TailBlock {
                sequence: 0,
                first_entry: 0,
                entries: Vec::with_capacity(ENTRIES_PER_BLOCK),
                points: [Point(0); MAX_SHARDS],
                stage: Stage::Filling,
            });
        }
    }

    /// Takes a free block; none when all are in use.
    pub fn acquire(&mut self, sequence: u64, first_entry: u64) -> Option<u32> {
        let index = self.free.pop()?;
        let block = &mut self.blocks[index as usize];
        block.sequence = sequence;
        block.first_entry = first_entry;
        block.entries.clear();
        block.stage = Stage::Filling;
        Some(index)
    }

    pub fn release(&mut self, index: u32) {
        debug_assert!(!self.free.contains(&index), "block {index} is released twice");
        self.free.push(index);
    }
}

impl Index<u32> for TailPool {
    type Output = TailBlock;

    fn index(&self, index: u32) -> &TailBlock {
        &self.blocks[index as usize]
    }
}

impl IndexMut<u32> for TailPool {
    fn index_mut(&mut self, index: u32) -> &mut TailBlock {
        &mut self.blocks[index as usize]
    }
}
