// SPDX-License-Identifier: BSD-3-Clause

//! Entries of a recovery journal.

use crate::logical::{Mapping, PageId};
use crate::units::{Lbn, Pbn, ENTRIES_PER_LEAF_PAGE};

/// Most blocks of a range entry: those of one leaf page.
pub const MAX_RANGE_BLOCKS: u32 = ENTRIES_PER_LEAF_PAGE as u32;

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

/// One entry of a recovery journal, with memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedEntry {
    /// See [`Entry::Remap`].
    Remap {
        /// The block.
        lbn: Lbn,
        /// The block it was mapped to; PBN 0 for none.
        old: Pbn,
        /// What it is mapped to now.
        new: Mapping,
    },
    /// See [`Entry::Range`].
    Range {
        /// First block.
        first: Lbn,
        /// Number of blocks, 1 to 504.
        count: u32,
        /// What they are mapped to now: unmapped or zero.
        new: Mapping,
        /// The blocks that lose a reference each.
        runs: Vec<PbnRun>,
    },
    /// See [`Entry::Page`].
    Page {
        /// The page; no root.
        page: PageId,
        /// Its block.
        pbn: Pbn,
    },
}

impl OwnedEntry {
    /// The entry, borrowed.
    #[must_use]
    pub fn as_entry(&self) -> Entry<'_> {
        match *self {
            OwnedEntry::Remap { lbn, old, new } => Entry::Remap { lbn, old, new },
            OwnedEntry::Range { first, count, new, ref runs } => Entry::Range { first, count, new, runs },
            OwnedEntry::Page { page, pbn } => Entry::Page { page, pbn },
        }
    }
}

impl From<Entry<'_>> for OwnedEntry {
    fn from(entry: Entry<'_>) -> OwnedEntry {
        match entry {
            Entry::Remap { lbn, old, new } => OwnedEntry::Remap { lbn, old, new },
            Entry::Range { first, count, new, runs } => OwnedEntry::Range { first, count, new, runs: runs.to_vec() },
            Entry::Page { page, pbn } => OwnedEntry::Page { page, pbn },
        }
    }
}
