// SPDX-License-Identifier: BSD-3-Clause

//! The summary of a slab: what is to be known of it before it is loaded (vdo.md 4.8).

use super::journal_record::Point;
use crate::units::MAX_SHARDS;

/// A slab's summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabSummary {
    /// Sequence number of the oldest journal block that is needed.
    pub head: u64,
    /// Sequence number of the next journal block to be written: blocks from `head` to before it count.
    pub tail: u64,
    /// Number of the next journal entry.
    pub next_entry: u64,
    /// Free blocks when this was written.
    pub free_blocks: u32,
    /// All reference blocks have been written; until then all counts are zero but for the journal.
    pub counts_written: bool,
    /// Blocks of the slab have been in use.
    pub opened: bool,
    /// Load generation that the points belong to.
    pub generation: u64,
    /// For each recovery journal the first point that the slab journal below `tail` does not contain.
    pub points: [Point; MAX_SHARDS],
}
