// SPDX-License-Identifier: BSD-3-Clause

//! What the journals change in the pages of the block map, page by page (vdo.md 6.8, 3).

use core::ops::Range;
use std::collections::BTreeMap;

use crate::logical::{Mapped, Mapping, PageId, ROOT_LEVEL};
use crate::media::journal_record::Entry;
use crate::media::map_page::ENTRIES;
use crate::units::Pbn;

use super::at_rest::PageEntries;

/// One change of one page.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// The page is made, and empty.
    Made { pbn: Pbn },
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
    /// Where it is made, if it is made.
    pub made: Option<Pbn>,
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
            Entry::Page { page, pbn } => {
                self.changes.push((page, Change::Made { pbn }));
                if let Some((parent, slot)) = page.parent() {
                    let raw = Mapping::new(Mapped::uncompressed(pbn), 0).to_raw();
                    self.changes.push((parent, Change::Set { slot: slot as u16, count: 1, raw }));
                }
            }
        }
    }

    /// Puts the changes of each page together, keeping their order, and finds out which pages lead to them.
    pub(super) fn plan(&mut self) -> Levels {
        // Stable: of one page all changes are in one journal, hence in their order here.
        self.changes.sort_by_key(|(page, _)| *page);
        let mut levels = Levels::default();
        let mut from = 0;
        for of_page in self.changes.chunk_by(|(a, _), (b, _)| a == b) {
            let (page, changes) = (of_page[0].0, from..from + of_page.len());
            let made = of_page.iter().rev().find_map(|(_, change)| match change {
                Change::Made { pbn } => Some(*pbn),
                Change::Set { .. } => None,
            });
            from += of_page.len();
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
