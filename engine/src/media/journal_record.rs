// SPDX-License-Identifier: BSD-3-Clause

//! Records of a recovery journal: batches of entries (vdo.md 6.1).

use crate::logical::{Mapping, PageId};
use crate::units::{Lbn, Pbn};

/// The place of one change to one slab in a recovery journal: number of the entry and of the change in the entry.
///
/// Points of the changes that one journal makes to one slab reach it in strictly increasing order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Point(pub u64);

/// Bits of a point that number the change in its entry: a range entry has up to 504.
const PART_BITS: u32 = 10;

impl Point {
    /// Change `part` of entry `entry`.
    #[must_use]
    pub const fn new(entry: u64, part: u32) -> Point {
        Point(entry << PART_BITS | part as u64)
    }

    /// The first point of an entry; everything before it belongs to earlier entries.
    #[must_use]
    pub const fn start_of(entry: u64) -> Point {
        Point(entry << PART_BITS)
    }

    /// The entry.
    #[must_use]
    pub const fn entry(self) -> u64 {
        self.0 >> PART_BITS
    }

    /// The point behind this one.
    #[must_use]
    pub const fn next(self) -> Point {
        Point(self.0 + 1)
    }
}

/// Consecutive blocks of one slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PbnRun {
    /// First block.
    pub first: Pbn,
    /// Number of blocks, 1 to 504.
    pub count: u32,
}

/// One entry of a recovery journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// One logical block is mapped anew.
    Remap {
        /// The block.
        lbn: Lbn,
        /// The block it was mapped to; PBN 0 for none.
        old: Pbn,
        /// What it is mapped to now.
        new: Mapping,
    },
    /// Blocks of one leaf page lose their mappings.
    Range {
        /// First block.
        first: Lbn,
        /// Number of blocks, 1 to 504.
        count: u32,
        /// What they are mapped to now: unmapped or zero.
        new: Mapping,
        /// The blocks that lose a reference each, in the order of their points.
        runs: &'a [PbnRun],
    },
    /// A page of the block map is made. It is empty.
    Page {
        /// The page; no root.
        page: PageId,
        /// Its block.
        pbn: Pbn,
    },
}
