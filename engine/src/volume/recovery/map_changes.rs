// SPDX-License-Identifier: BSD-3-Clause

//! The changes of block map pages in the journals, page by page.

use core::ops::Range;
use std::collections::BTreeMap;

use super::at_rest::PageEntries;
use crate::format::journal_record::Entry;
use crate::format::map_page::ENTRIES;
use crate::format::{Mapped, Mapping, PageId, ROOT_LEVEL};

#[derive(Debug, Clone, Copy)]
enum Change {
    /// The page is allocated, and empty; `link` is its parent's entry for it.
    Made { link: Mapping },
    /// The page is freed.
    Gone,
    /// Consecutive entries get a new value.
    Set { slot: u16, count: u16, raw: u64 },
}

/// Changes of pages, each page's in the order of its journal. Filled first, then sorted, then applied.
#[derive(Debug, Default)]
pub(in crate::volume) struct MapChanges {
    changes: Vec<(PageId, Change)>,
}

/// The work on one page.
#[derive(Debug, Clone)]
pub(super) struct PageWork {
    /// The range of its changes; empty for a page that is only needed to find others.
    changes: Range<usize>,
    /// Its parent's entry for it, if the journals allocate it.
    pub made: Option<Mapping>,
    /// Pages below it that must be found: slot and page.
    pub children: Vec<(usize, PageId)>,
}

impl PageWork {
    pub fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }
}

/// The pages of each level, from the leaves up, with the work on each.
pub(super) type Levels = [BTreeMap<PageId, PageWork>; ROOT_LEVEL as usize + 1];

impl MapChanges {
    /// Adds the changes of an entry.
    pub fn add(&mut self, entry: &Entry<'_>) {
        match *entry {
            Entry::Remap { lbn, new, .. } => {
                let slot = lbn.slot() as u16;
                self.changes.push((PageId::leaf_of(lbn), Change::Set { slot, count: 1, raw: new.to_raw() }));
            }
            Entry::Range { first, count, .. } => {
                let (slot, count, raw) = (first.slot() as u16, count as u16, Mapping::UNMAPPED.to_raw());
                self.changes.push((PageId::leaf_of(first), Change::Set { slot, count, raw }));
            }
            Entry::Page { page, pbn, life } => {
                let link = Mapping::new(Mapped::uncompressed(pbn), life);
                self.changes.push((page, Change::Made { link }));
                self.set_link(page, link);
            }
            Entry::PageGone { page, .. } => {
                self.changes.push((page, Change::Gone));
                self.set_link(page, Mapping::UNMAPPED);
            }
        }
    }

    /// Changes the parent's entry for a page.
    fn set_link(&mut self, page: PageId, link: Mapping) {
        if let Some((parent, slot)) = page.parent() {
            self.changes.push((parent, Change::Set { slot: slot as u16, count: 1, raw: link.to_raw() }));
        }
    }

    /// Groups the changes by page, keeping their order, and finds the pages that lead to the changed ones.
    pub(super) fn plan(&mut self) -> Levels {
        // The sort is stable: all changes of one page are in one journal, hence in their order here.
        self.changes.sort_by_key(|(page, _)| *page);
        let mut levels = Levels::default();
        let mut from = 0;
        for of_page in self.changes.chunk_by(|(a, _), (b, _)| a == b) {
            // Changes before the page was last allocated or freed are void: its old block may be another's now.
            let turn = of_page.iter().rposition(|(_, change)| !matches!(change, Change::Set { .. }));
            let (first, made) = match turn.map(|at| (at, of_page[at].1)) {
                Some((at, Change::Made { link })) => (at, Some(link)),
                Some((at, _)) => (at + 1, None),
                None => (0, None),
            };
            let (page, changes) = (of_page[0].0, from + first..from + of_page.len());
            from += of_page.len();
            if changes.is_empty() {
                continue;
            }
            let work = PageWork { changes, made, children: Vec::new() };
            levels[usize::from(page.level)].insert(page, work);
        }
        for level in 0..usize::from(ROOT_LEVEL) {
            let wanted: Vec<_> =
                levels[level].iter().filter(|(_, work)| work.made.is_none()).map(|(page, _)| *page).collect();
            for page in wanted {
                let Some((parent, slot)) = page.parent() else { continue };
                let lead = || PageWork { changes: 0..0, made: None, children: Vec::new() };
                levels[level + 1].entry(parent).or_insert_with(lead).children.push((slot, page));
            }
        }
        levels
    }

    /// Applies the changes to a page's entries; those of a page that was allocated must be empty.
    pub(super) fn apply(&self, work: &PageWork, entries: &mut PageEntries) {
        for (_, change) in &self.changes[work.changes.clone()] {
            if let Change::Set { slot, count, raw } = *change {
                let first = usize::from(slot);
                let end = (first + usize::from(count)).min(ENTRIES);
                entries[first..end].fill(raw);
            }
        }
    }
}
