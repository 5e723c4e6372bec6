// SPDX-License-Identifier: BSD-3-Clause

//! The places of changes in a recovery journal.

/// The place of one change to one slab in a recovery journal: the number of the entry, and of the change in the entry.
///
/// The points of the changes that one journal makes to one slab reach the slab in strictly increasing order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Point(pub u64);

/// Bits of a point that number the change in its entry: a range entry has up to 504.
const PART_BITS: u32 = 10;

/// Entry numbers are below this.
pub const MAX_ENTRY_NUMBER: u64 = 1 << (u64::BITS - PART_BITS);

impl Point {
    /// Change `part` of entry `entry`.
    #[must_use]
    pub const fn new(entry: u64, part: u32) -> Point {
        Point(entry << PART_BITS | part as u64)
    }

    /// The first point of an entry: all points before it belong to earlier entries.
    #[must_use]
    pub const fn start_of(entry: u64) -> Point {
        Point(entry << PART_BITS)
    }

    /// The number of the entry.
    #[must_use]
    pub const fn entry(self) -> u64 {
        self.0 >> PART_BITS
    }

    /// The smallest point after this one.
    #[must_use]
    pub const fn next(self) -> Point {
        Point(self.0 + 1)
    }
}
