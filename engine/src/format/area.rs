// SPDX-License-Identifier: BSD-3-Clause

//! The layout of a slab's metadata area.
//!
//! ```text
//!  block 0            1 .. R                R+1 .. R+J
//!  +---------+--------------------+------------------------------+
//!  | summary |  reference blocks  | slab journal, a ring of J    |
//!  +---------+--------------------+------------------------------+
//! ```
//! R is one block for each 4032 counters. J is dm-vdo's 224 blocks for slabs of 2 GiB and more, and shrinks with
//! smaller slabs down to [`MIN_JOURNAL_BLOCKS`]: what consecutive commits can leave in a journal does not shrink with
//! the slab.
//!
//! Differs from dm-vdo: the area is an object of its own, so all of a slab's blocks hold data, and the summary stands
//! beside what it describes instead of in one place for all slabs.

use super::reference_block::COUNTS_PER_BLOCK;
use super::sector::{Identity, Kind};

/// Blocks in the journal of the smallest slab.
pub const MIN_JOURNAL_BLOCKS: u32 = 32;

/// Blocks in the journal of a slab of 2 GiB or more.
pub const MAX_JOURNAL_BLOCKS: u32 = 224;

/// Data blocks of a slab for each block of its journal; the result is clamped to the bounds above.
const SLAB_BLOCKS_PER_JOURNAL_BLOCK: u64 = 2048;

/// The layout of a metadata area; all areas of a volume are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AreaLayout {
    /// Blocks with reference counts.
    pub reference_blocks: u32,
    /// Blocks in the ring of the slab journal.
    pub journal_blocks: u32,
}

/// Identifies one block of one slab's metadata area.
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
    /// The identity of the block's first sector; [`Identity::at`] gives those of the others.
    #[must_use]
    pub const fn identity(self, kind: Kind) -> Identity {
        Identity { nonce: self.nonce, kind, level: 0, sector: 0, object: self.slab, block: self.block }
    }
}

/// The area's block that holds the summary.
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

    /// Blocks of the whole area.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        1 + self.reference_blocks + self.journal_blocks
    }

    /// The area's block that holds reference block `number`.
    #[must_use]
    pub const fn reference_block(&self, number: u32) -> u32 {
        1 + number
    }

    /// The area's block that holds the slab journal block `sequence`.
    #[must_use]
    pub const fn journal_block(&self, sequence: u64) -> u32 {
        1 + self.reference_blocks + (sequence % self.journal_blocks as u64) as u32
    }

    /// How many blocks of the slab journal are contiguous on media from block `sequence` on, that block included.
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
