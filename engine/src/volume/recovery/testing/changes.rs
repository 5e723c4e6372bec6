// SPDX-License-Identifier: BSD-3-Clause

//! Client operations on the model, and their journal entries.

use mpool::error::Result;

use super::model::Model;
use crate::format::journal_record::{Change, Entry, PbnRun};
use crate::format::{Geometry, Mapped, Mapping, MappingState, PageId};
use crate::units::{Lbn, Pbn, ENTRIES_PER_LEAF_PAGE, MAX_REFERENCES};

/// Leaf pages in use, in different corners of the trees.
const LEAVES: [u64; 7] = [0, 1, 2, 61, 504 * 60, 504 * 60 + 1, 504 * 504 * 60 + 2];

impl Model {
    /// Journals one record of changes.
    pub(super) fn change(&mut self) -> Result<()> {
        let leaf = PageId { level: 0, index: LEAVES[self.numbers.below(LEAVES.len() as u64) as usize] };
        let shard = self.shard_of(leaf);
        let needed = self.needed(shard);
        if !self.journals[shard].make_room(&self.media, needed) {
            return Ok(());
        }
        let first = self.journals[shard].first();
        let map_head = self.map_head(shard);
        if !self.make_path(leaf) {
            self.journals[shard].commit(&self.media, map_head.min(first));
            return Ok(());
        }
        if self.numbers.below(8) == 0 {
            self.discard(leaf.first_lbn(), ENTRIES_PER_LEAF_PAGE as u32);
            if self.numbers.below(4) > 0 {
                self.remove_path(leaf);
            }
        } else {
            for _ in 0..1 + self.numbers.below(8) {
                if self.numbers.below(6) == 0 {
                    let first = self.lbn(leaf);
                    let count = Geometry::run_in_page(first, 1 + self.numbers.below(40)) as u32;
                    self.discard(first, count);
                } else {
                    self.write(leaf);
                }
            }
        }
        self.journals[shard].commit(&self.media, map_head.min(first));
        Ok(())
    }

    fn map_head(&self, shard: usize) -> u64 {
        let needs = self.dirty.iter().filter(|(page, _)| self.shard_of(**page) == shard).map(|(_, need)| *need);
        needs.min().unwrap_or(self.journals[shard].next)
    }

    /// The oldest entry of a journal that is still needed.
    fn needed(&self, shard: usize) -> u64 {
        let slabs = self.slabs.iter().filter_map(|slab| slab.oldest_uncommitted(shard));
        slabs.min().unwrap_or(u64::MAX).min(self.map_head(shard))
    }

    fn touch(&mut self, page: PageId, entry: u64) {
        self.dirty.entry(page).or_insert(entry);
    }

    /// Journals an entry, and queues its changes for the slabs.
    fn journal(&mut self, shard: usize, entry: &Entry<'_>) -> u64 {
        let number = self.journals[shard].push(entry);
        for change in entry.changes(number) {
            let slab = self.slab_of(change.first);
            self.slabs[slab].queues[shard].push_back(Change { ..change });
        }
        number
    }

    /// A block that is certainly free.
    fn allocate(&mut self) -> Option<Pbn> {
        for _ in 0..50 {
            let at = self.numbers.below(self.references.len() as u64);
            // Some blocks are used much more often than others.
            let at = if self.numbers.below(2) == 0 { at } else { at % 40 };
            let pbn = self.geometry.slab_start(0).plus(at);
            let slab = &self.slabs[self.slab_of(pbn)];
            if self.references[at as usize] == 0 && slab.counts[slab.offset(pbn)] == 0 && slab.is_quiet(pbn) {
                return Some(pbn);
            }
        }
        None
    }

    /// Makes the pages that lead to a leaf, and the leaf.
    fn make_path(&mut self, leaf: PageId) -> bool {
        let mut missing = Vec::new();
        let mut page = leaf;
        while let Some((parent, _)) = page.parent() {
            if !self.pages.contains_key(&page) {
                missing.push(page);
            }
            page = parent;
        }
        let shard = self.shard_of(leaf);
        while let Some(page) = missing.pop() {
            let Some(pbn) = self.allocate() else { return false };
            let at = self.index(pbn);
            self.references[at] = MAX_REFERENCES;
            let life = self.numbers.below(1 << 24) as u32;
            let entry = self.journal(shard, &Entry::Page { page, pbn, life });
            self.pages.insert(page, Mapping::new(Mapped::uncompressed(pbn), life));
            self.journals[shard].counters.map_pages += 1;
            self.touch(page, entry);
            self.touch(page.parent().expect("no root").0, entry);
        }
        true
    }

    /// Frees a leaf that has become a hole, and the pages above it that lead to nothing else.
    fn remove_path(&mut self, leaf: PageId) {
        let shard = self.shard_of(leaf);
        let mut page = leaf;
        while let Some((parent, _)) = page.parent() {
            if self.entries_of(page).iter().any(|&raw| raw != 0) {
                break;
            }
            let pbn = self.forget_page(page);
            let entry = self.journal(shard, &Entry::PageGone { page, pbn });
            self.journals[shard].counters.map_pages -= 1;
            self.dirty.remove(&page);
            self.touch(parent, entry);
            page = parent;
        }
    }

    fn forget_page(&mut self, page: PageId) -> Pbn {
        let pbn = self.pages.remove(&page).expect("it is there").pbn();
        let at = self.index(pbn);
        self.references[at] = 0;
        pbn
    }

    /// Frees all pages that are holes, as a rebuild does.
    pub fn forget_holes(&mut self) {
        while let Some(page) =
            self.pages.keys().copied().find(|page| self.entries_of(*page).iter().all(|&raw| raw == 0))
        {
            self.forget_page(page);
        }
    }

    fn lbn(&mut self, leaf: PageId) -> Lbn {
        let slot = self.numbers.below(30) + if self.numbers.below(4) == 0 { 474 } else { 0 };
        leaf.first_lbn().plus(slot)
    }

    /// A block that is in use, and can take one more reference.
    fn shared(&mut self) -> Option<Mapping> {
        let nth = self.numbers.below(self.mappings.len() as u64 + 1) as usize;
        let mapping = *self.mappings.values().nth(nth)?;
        let at = self.index(Pbn(mapping.pbn().0.max(self.geometry.slab_start(0).0)));
        let slab = &self.slabs[self.slab_of(self.geometry.slab_start(0).plus(at as u64))];
        let delivered = slab.counts[slab.offset(self.geometry.slab_start(0).plus(at as u64))];
        (mapping.has_block() && self.references[at] < 200 && delivered < 200).then_some(mapping)
    }

    fn write(&mut self, leaf: PageId) {
        let lbn = self.lbn(leaf);
        let old = self.mappings.get(&lbn.0).copied().unwrap_or(Mapping::UNMAPPED);
        let new = match self.numbers.below(8) {
            0 => Some(Mapping::UNMAPPED),
            1..5 => self.shared(),
            _ => self.allocate().map(|pbn| {
                let state = MappingState::from_bits(1 + self.numbers.below(15) as u8);
                Mapping::new(Mapped { pbn, state }, self.numbers.below(1 << 24) as u32)
            }),
        };
        let Some(new) = new else { return };
        if new.has_block() {
            let at = self.index(new.pbn());
            self.references[at] += 1;
        }
        if old.has_block() {
            let at = self.index(old.pbn());
            self.references[at] -= 1;
        }
        let shard = self.shard_of(leaf);
        let entry = self.journal(shard, &Entry::Remap { lbn, old: old.pbn(), new });
        if new.is_unmapped() {
            self.mappings.remove(&lbn.0);
        } else {
            self.mappings.insert(lbn.0, new);
        }
        self.journals[shard].counters.logical_blocks_used +=
            i64::from(!new.is_unmapped()) - i64::from(!old.is_unmapped());
        self.touch(leaf, entry);
    }

    fn discard(&mut self, first: Lbn, count: u32) {
        let leaf = PageId::leaf_of(first);
        let mut runs: Vec<PbnRun> = Vec::new();
        let mut used = 0;
        for lbn in first.0..first.0 + u64::from(count) {
            let Some(old) = self.mappings.remove(&lbn) else { continue };
            used -= 1;
            let (pbn, at) = (old.pbn(), self.index(old.pbn()));
            self.references[at] -= 1;
            let same = self.geometry.slab_of(pbn);
            match runs.last_mut() {
                Some(run)
                    if run.first.plus(u64::from(run.count)) == pbn && self.geometry.slab_of(run.first) == same =>
                {
                    run.count += 1;
                }
                _ => runs.push(PbnRun { first: pbn, count: 1 }),
            }
        }
        let shard = self.shard_of(leaf);
        let entry = self.journal(shard, &Entry::Range { first, count, runs: &runs });
        self.journals[shard].counters.logical_blocks_used += used;
        self.touch(leaf, entry);
    }

    /// Leaves a record behind a lost one: neither was acknowledged.
    pub(super) fn unacknowledged(&mut self) {
        let shard = self.numbers.below(self.journals.len() as u64) as usize;
        if self.journals[shard].next == 0 {
            return;
        }
        let new = Mapping::new(Mapped::uncompressed(self.geometry.slab_start(0)), 1);
        let entry = Entry::Remap { lbn: Lbn(504 * shard as u64), old: Pbn::ZERO, new };
        self.journals[shard].leave_unacknowledged(&self.media, 1 + self.numbers.below(9), &entry);
    }
}
