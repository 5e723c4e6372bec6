// SPDX-License-Identifier: BSD-3-Clause

//! What the journals change in the pages of the block map, page by page.

use core::ops::Range;
use std::collections::BTreeMap;

use super::at_rest::PageEntries;
use crate::format::journal_record::Entry;
use crate::format::map_page::ENTRIES;
use crate::format::{Mapped, Mapping, PageId, ROOT_LEVEL};

/// One change of one page.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// The page is made, and empty; its parent's entry for it.
    Made { link: Mapping },
    /// The page is gone.
    Gone,
    /// Entries get a new value.
    Set { slot: u16, count: u16, raw: u64 },
}

/// Changes of pages, each page's in the order of its journal. Filled first, then sorted, then used.
#[derive(Debug, Default)]
pub(in crate::volume) struct MapChanges {
    changes: Vec<(PageId, Change)>,
}

/// What is to be done with one page.
#[derive(Debug, Clone)]
pub(super) struct PageWork {
    /// Its changes; none for a page that only leads to others.
    changes: Range<usize>,
    /// Its parent's entry for it, if it is made.
    pub made: Option<Mapping>,
    /// Pages below it that must be found: slot and page.
    pub children: Vec<(usize, PageId)>,
}

impl PageWork {
    pub fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }
}

/// The pages of each level, from the roots down, with what is to be done with them.
pub(super) type Levels = [BTreeMap<PageId, PageWork>; ROOT_LEVEL as usize + 1];

impl MapChanges {
    /// Adds what an entry changes.
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

    /// The parent of a page gets a new entry for it.
    fn set_link(&mut self, page: PageId, link: Mapping) {
        if let Some((parent, slot)) = page.parent() {
            self.changes.push((parent, Change::Set { slot: slot as u16, count: 1, raw: link.to_raw() }));
        }
    }

    /// Puts the changes of each page together, keeping their order, and finds out which pages lead to them.
    pub(super) fn plan(&mut self) -> Levels {
        // Stable: of one page all changes are in one journal, hence in their order here.
        self.changes.sort_by_key(|(page, _)| *page);
        let mut levels = Levels::default();
        let mut from = 0;
        for of_page in self.changes.chunk_by(|(a, _), (b, _)| a == b) {
            // What was before the last time that the page was made, or went, is of no account: its block may be another's.
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

    /// Changes the entries of a page; those of a page that is made are to be empty.
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
