// SPDX-License-Identifier: BSD-3-Clause

//! The two walks of a rebuild: first pages claim their blocks, then mappings are counted against the rest.

use super::Lost;
use crate::format::map_page::Salvage;
use crate::format::{Geometry, Mapping, PageId};
use crate::units::{Lbn, Pbn};
use crate::volume::check::{Tally, Verdict, Visitor};
use crate::volume::recovery::PageEntries;

/// Every sector of a page is lost.
const ALL_SECTORS: u8 = u8::MAX;

/// Assigns pages their blocks. An unreadable page is dropped from its parent, rather than written as an empty page to a
/// block that may be another's.
pub(super) struct Claim<'a> {
    pub tally: &'a mut Tally,
    pub lost: &'a mut Lost,
    pub map_pages: u64,
    pub progress: &'a mut dyn FnMut(u64),
}

impl Visitor for Claim<'_> {
    const CHANGES: bool = true;

    fn link(&mut self, _page: PageId, _pbn: Pbn) -> bool {
        true
    }

    fn page(&mut self, page: PageId, pbn: Pbn, read: Salvage, _entries: &mut PageEntries) -> Verdict {
        // Only a readable page claims its block: a link may be older than the block's present content.
        let unreadable = read.lost_sectors == ALL_SECTORS;
        if unreadable || !(page.is_root() || self.tally.add_page(pbn).is_ok()) {
            self.lost.pages += 1;
            return Verdict::Drop;
        }
        self.map_pages += u64::from(!page.is_root());
        self.lost.sectors += u64::from(read.lost_sectors.count_ones());
        self.lost.mappings += u64::from(read.invalid_entries);
        if read == Salvage::default() {
            Verdict::Keep
        } else {
            Verdict::Write
        }
    }

    /// The second walk decides.
    fn hole(&mut self, _pbn: Pbn) -> bool {
        false
    }

    fn tree_done(&mut self, tree: u64) {
        (self.progress)(tree + 1);
    }
}

/// Counts the references of mappings, and unmaps impossible ones.
pub(super) struct Count<'a> {
    pub geometry: Geometry,
    pub tally: &'a mut Tally,
    pub lost: &'a mut Lost,
    pub logical_blocks_used: u64,
    /// Pages that the first walk has left, without the roots; the second walk subtracts those that are holes.
    pub map_pages: u64,
    pub progress: &'a mut dyn FnMut(u64),
}

impl Count<'_> {
    /// True if the mapping may stay.
    fn counts(&mut self, lbn: Lbn, mapping: Mapping) -> bool {
        if !self.geometry.contains(lbn, 1) {
            return false;
        }
        !mapping.has_block() || self.tally.add_reference(mapping.pbn()).is_ok()
    }
}

impl Visitor for Count<'_> {
    const CHANGES: bool = true;

    /// The first walk has decided.
    fn link(&mut self, _page: PageId, _pbn: Pbn) -> bool {
        true
    }

    fn page(&mut self, page: PageId, _pbn: Pbn, read: Salvage, entries: &mut PageEntries) -> Verdict {
        // If a page that the first walk could read is unreadable now, its entries are unmapped, as in the counts.
        let mut changed = read != Salvage::default();
        self.lost.sectors += u64::from(read.lost_sectors.count_ones());
        if !page.is_leaf() {
            return if changed { Verdict::Write } else { Verdict::Keep };
        }
        for (lbn, entry) in (page.first_lbn().0..).zip(entries.iter_mut()) {
            let mapping = Mapping::from_raw(*entry);
            if mapping.is_unmapped() {
                continue;
            }
            if self.counts(Lbn(lbn), mapping) {
                self.logical_blocks_used += 1;
            } else {
                *entry = Mapping::UNMAPPED.to_raw();
                self.lost.mappings += 1;
                changed = true;
            }
        }
        if changed {
            Verdict::Write
        } else {
            Verdict::Keep
        }
    }

    fn hole(&mut self, pbn: Pbn) -> bool {
        self.tally.remove_page(pbn);
        self.map_pages -= 1;
        true
    }

    fn tree_done(&mut self, tree: u64) {
        (self.progress)(tree + 1);
    }
}
