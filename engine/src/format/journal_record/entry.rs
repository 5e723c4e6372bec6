// SPDX-License-Identifier: BSD-3-Clause

//! Entries of a recovery journal.

use crate::format::{Mapping, PageId};
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

/// One entry of a recovery journal, whose runs are a `Runs` of [`PbnRun`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryWith<Runs> {
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
        /// The blocks that lose a reference each, in the order of their points.
        runs: Runs,
    },
    /// A page of the block map is made. It is empty.
    Page {
        /// The page; no root.
        page: PageId,
        /// Its block.
        pbn: Pbn,
        /// Tells its images from those of an earlier page of the same name: 24 bits.
        life: u32,
    },
    /// A page of the block map is gone: it had become a hole.
    PageGone {
        /// The page; no root.
        page: PageId,
        /// The block that it gives back.
        pbn: Pbn,
    },
}

/// An entry that is to be written.
pub type Entry<'a> = EntryWith<&'a [PbnRun]>;

/// An entry that was read, with memory of its own.
pub type OwnedEntry = EntryWith<Vec<PbnRun>>;

impl<Runs> EntryWith<Runs> {
    /// The same entry with other memory for its runs.
    fn with_runs<'a, Other>(&'a self, make: impl FnOnce(&'a Runs) -> Other) -> EntryWith<Other> {
        match *self {
            EntryWith::Remap { lbn, old, new } => EntryWith::Remap { lbn, old, new },
            EntryWith::Range { first, count, ref runs } => EntryWith::Range { first, count, runs: make(runs) },
            EntryWith::Page { page, pbn, life } => EntryWith::Page { page, pbn, life },
            EntryWith::PageGone { page, pbn } => EntryWith::PageGone { page, pbn },
        }
    }
}

impl OwnedEntry {
    /// The entry, borrowed.
    #[must_use]
    pub fn as_entry(&self) -> Entry<'_> {
        self.with_runs(Vec::as_slice)
    }
}

impl From<Entry<'_>> for OwnedEntry {
    fn from(entry: Entry<'_>) -> OwnedEntry {
        entry.with_runs(|runs| runs.to_vec())
    }
}
