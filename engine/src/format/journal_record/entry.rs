// SPDX-License-Identifier: BSD-3-Clause

//! The entries of a recovery journal.

use crate::format::{Mapping, PageId};
use crate::units::{Lbn, Pbn, ENTRIES_PER_LEAF_PAGE};

/// The most blocks of a range entry: those of one leaf page.
pub const MAX_RANGE_BLOCKS: u32 = ENTRIES_PER_LEAF_PAGE as u32;

/// A run of consecutive blocks in one slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PbnRun {
    /// The first block of the run.
    pub first: Pbn,
    /// The number of blocks, 1 to 504.
    pub count: u32,
}

/// One entry of a recovery journal; `Runs` holds the [`PbnRun`]s of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryWith<Runs> {
    /// One logical block is remapped.
    Remap {
        /// The logical block.
        lbn: Lbn,
        /// The block that it was mapped to; PBN 0 for none.
        old: Pbn,
        /// Its new mapping.
        new: Mapping,
    },
    /// Blocks of one leaf page lose their mappings.
    Range {
        /// The first logical block.
        first: Lbn,
        /// The number of logical blocks, 1 to 504.
        count: u32,
        /// The physical blocks that lose a reference each, in the order of their points.
        runs: Runs,
    },
    /// A page of the block map is allocated. It is empty.
    Page {
        /// The new page, never a root.
        page: PageId,
        /// The block allocated for it.
        pbn: Pbn,
        /// Tells the page's images from those of an earlier page of the same name: 24 bits.
        life: u32,
    },
    /// A page of the block map is freed: all its entries had become unmapped.
    PageGone {
        /// The freed page, never a root.
        page: PageId,
        /// The block that becomes free.
        pbn: Pbn,
    },
}

/// An entry to be written, which borrows its runs.
pub type Entry<'a> = EntryWith<&'a [PbnRun]>;

/// An entry that was read, which owns its runs.
pub type OwnedEntry = EntryWith<Vec<PbnRun>>;

impl<Runs> EntryWith<Runs> {
    /// The same entry with another representation of its runs.
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
    /// The entry with borrowed runs.
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
