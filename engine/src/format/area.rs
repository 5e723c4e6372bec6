// SPDX-License-Identifier: BSD-3-Clause

//! How the metadata area of a slab is laid out.
//!
//! ```text
//!  block 0            1 .. R                R+1 .. R+J
//!  +---------+--------------------+------------------------------+
//!  | summary |  reference blocks  | slab journal, a ring of J    |
//!  +---------+--------------------+------------------------------+
//! ```
//! R is one block for each 4032 counters. J is dm-vdo's 224 blocks for slabs of 2 GiB and more and shrinks with smaller
//! ones, to [`MIN_JOURNAL_BLOCKS`]: what one commit after another can leave in a journal does not shrink.
//!
//! Differs from dm-vdo: the area is an object of its own, so all of a slab's blocks hold data, and the summary
//! stands beside what it describes instead of in one place for all slabs.

use super::reference_block::COUNTS_PER_BLOCK;
use super::sector::{Identity, Kind};

/// Blocks in the journal of the smallest slab.
pub const MIN_JOURNAL_BLOCKS: u32 = 32;

/// Blocks in the journal of a slab of 2 GiB or more.
pub const MAX_JOURNAL_BLOCKS: u32 = 224;

/// Data blocks of a slab for each block of its journal, between the bounds.
const SLAB_BLOCKS_PER_JOURNAL_BLOCK: u64 = 2048;

/// The layout of the areas of a volume; all are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AreaLayout {
    /// Blocks with reference counts.
    pub reference_blocks: u32,
    /// Blocks in the ring of the slab journal.
    pub journal_blocks: u32,
}

/// One block of the area of one slab: whose a block of metadata is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AreaBlock {
    /// The volume's nonce.
    pub nonce: u64,
    /// Number of the slab in the volume.
    pub slab: u64,
    /// Number of the block in the area.
    pub block: u32,
}

impl AreaBlock {
    /// What the first sector of the block must be; the others follow by [`Identity::at`].
    #[must_use]
    pub const fn identity(self, kind: Kind) -> Identity {
        Identity { nonce: self.nonce, kind, level: 0, sector: 0, object: self.slab, block: self.block }
    }
}

/// The block of the summary.
pub const SUMMARY_BLOCK: u32 = 0;

impl AreaLayout {
    /// The layout for slabs of `slab_blocks`.
    #[must_use]
    pub const fn of(slab_blocks: u64) -> AreaLayout {
        let journal = slab_blocks / SLAB_BLOCKS_PER_JOURNAL_BLOCK;
        let journal_blocks = if journal < MIN_JOURNAL_BLOCKS as u64 {
            MIN_JOURNAL_BLOCKS
        } else if journal > MAX_JOURNAL_BLOCKS as u64 {
            MAX_JOURNAL_BLOCKS
        } else {
            journal as u32
        };
        AreaLayout { reference_blocks: slab_blocks.div_ceil(COUNTS_PER_BLOCK as u64) as u32, journal_blocks }
    }

    /// Blocks in all.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        1 + self.reference_blocks + self.journal_blocks
    }

    /// The block of a reference block.
    #[must_use]
    pub const fn reference_block(&self, number: u32) -> u32 {
        1 + number
    }

    /// The block of the slab journal's block of a sequence number.
    #[must_use]
    pub const fn journal_block(&self, sequence: u64) -> u32 {
        1 + self.reference_blocks + (sequence % self.journal_blocks as u64) as u32
    }

    /// How many blocks of the slab journal follow each other on media from that of a sequence number on, itself
    /// included.
    #[must_use]
    pub const fn to_ring_end(&self, sequence: u64) -> u32 {
        self.journal_blocks - (sequence % self.journal_blocks as u64) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_grow_with_their_slabs() {
        let sizes = [8, 1 << 11, 1 << 13, 1 << 17, 1 << 19, 1 << 23].map(|slab| {
            let area = AreaLayout::of(slab);
            (area.reference_blocks, area.journal_blocks, area.blocks())
        });
        let expected = [(1, 32, 34), (1, 32, 34), (3, 32, 36), (33, 64, 98), (131, 224, 356), (2081, 224, 2306)];
        assert_eq!(sizes, expected);
        let area = AreaLayout::of(1 << 13);
        assert_eq!([0, 31, 32, 65].map(|sequence| area.journal_block(sequence)), [4, 35, 4, 5]);
        assert_eq!([0, 31, 32, 65].map(|sequence| area.to_ring_end(sequence)), [32, 1, 32, 31]);
    }
}
