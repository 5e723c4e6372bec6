// SPDX-License-Identifier: BSD-3-Clause

//! A volume in one piece: does to media what the shards do, in an order that a seed draws, and knows what must come out.

use std::collections::BTreeMap;

use futures::executor::block_on;

use super::journal::{Journal, SEGMENTS};
use super::memory::MemoryMedia;
use super::slab::Slab;
use crate::env::Place;
use crate::logical::{Mapped, Mapping, MappingState, PageId, ROOTS};
use crate::media::journal_record::{Change, Entry, PbnRun};
use crate::media::map_page::{self, ENTRIES};
use crate::media::slab_summary::SlabSummary;
use crate::media::testing::Numbers;
use crate::pool::error::Result;
use crate::units::{Blocks, Lbn, Pbn, BLOCK_SIZE, MAX_REFERENCES};
use crate::volume::access::VolumeMedia;
use crate::volume::recovery::{AtRest, RecoveryConfig};
use crate::volume::{Geometry, MAX_LOGICAL_BLOCKS};

/// Leaf pages that are in use, in different corners of the trees.
const LEAVES: [u64; 7] = [0, 1, 2, 61, 504 * 60, 504 * 60 + 1, 504 * 504 * 60 + 2];

/// Size of the slabs, and how many.
#[derive(Debug, Clone, Copy)]
pub(in crate::volume) struct Shape {
    pub slab_blocks: u64,
    pub slabs: u64,
}

/// The model. What it holds besides media is what must come out of a recovery, except for what is under way.
pub(in crate::volume) struct Model {
    pub media: MemoryMedia,
    pub numbers: Numbers,
    pub(super) geometry: Geometry,
    generation: u64,
    pub mappings: BTreeMap<u64, Mapping>,
    pub pages: BTreeMap<PageId, Pbn>,
    /// References of each block, those that have not been delivered yet among them.
    pub references: Vec<u8>,
    journals: Vec<Journal>,
    slabs: Vec<Slab>,
    /// Pages to be written, and the oldest entry that each needs.
    dirty: BTreeMap<PageId, u64>,
    pub(super) used_at_load: i64,
    pub(super) pages_at_load: i64,
    /// Slab journals are emptied only when they are full.
    lazy: bool,
    /// The power cut may leave records behind others that never came to be.
    pub holes: bool,
}

const NONCE: u64 = 0x600d;

impl Model {
    /// A volume as format leaves it.
    pub fn new(seed: u64, shape: Shape, shards: u16) -> Model {
        let Shape { slab_blocks, slabs } = shape;
        let logical = Blocks(MAX_LOGICAL_BLOCKS);
        let end = Pbn(1 + slabs * slab_blocks);
        let geometry = Geometry::new(1, logical, Pbn(1), end, slab_blocks).expect("valid");
        let media = MemoryMedia::new(32 * SEGMENTS);
        let mut model = Model {
            media,
            numbers: Numbers::new(seed),
            geometry,
            generation: 7,
            mappings: BTreeMap::new(),
            pages: BTreeMap::new(),
            references: vec![0; geometry.data_blocks().0 as usize],
            journals: Vec::new(),
            slabs: Vec::new(),
            dirty: BTreeMap::new(),
            used_at_load: 0,
            pages_at_load: 0,
            lazy: seed.is_multiple_of(3),
            holes: true,
        };
        block_on(async {
            let volume = model.at_rest();
            for slab in 0..slabs {
                volume.write_summary(slab, &SlabSummary::new(slab_blocks as u32)).await?;
            }
            for tree in 0..ROOTS {
                volume.write_page(PageId::root(tree), Pbn::ZERO, &[0; ENTRIES]).await?;
            }
            model.media.flush().await
        })
        .expect("format does not fail");
        model.load(vec![SlabSummary::new(slab_blocks as u32); slabs as usize], shards);
        model
    }

    /// Begins a load generation with the slabs as recovery has left them.
    pub fn load(&mut self, summaries: Vec<SlabSummary>, shards: u16) {
        self.generation += 1;
        self.journals = (0..shards).map(|shard| Journal::new(shard, shards, self.generation)).collect();
        let blocks = self.geometry.slab_blocks() as usize;
        let numbered = (0..).zip(summaries).zip(self.references.chunks(blocks));
        self.slabs = numbered
            .map(|((slab, summary), counts)| {
                let start = self.geometry.slab_start(slab);
                Slab::new(NONCE, slab, start, counts.to_vec(), summary, self.generation)
            })
            .collect();
        self.dirty.clear();
        self.used_at_load = self.mappings.len() as i64;
        self.pages_at_load = self.pages.len() as i64;
        // Segments of before may still be there: an erasure that was cut short leaves them.
        for segment in &mut *self.media.segments.borrow_mut() {
            if self.numbers.below(2) == 0 {
                segment.clear();
            }
        }
        let used = shards as usize * SEGMENTS;
        self.media.segments.borrow_mut()[..used].iter_mut().for_each(Vec::clear);
    }

    pub fn at_rest(&self) -> AtRest<'_> {
        AtRest { media: &self.media, geometry: self.geometry, nonce: NONCE }
    }

    pub fn config(&self) -> RecoveryConfig {
        let (geometry, generation) = (self.geometry, self.generation);
        RecoveryConfig { geometry, nonce: NONCE, generation, shards: self.journals.len() as u16 }
    }

    fn shard_of(&self, page: PageId) -> usize {
        (page.tree() % self.journals.len() as u64) as usize
    }

    fn index(&self, pbn: Pbn) -> usize {
        (pbn.0 - self.geometry.slab_start(0).0) as usize
    }

    fn slab_of(&self, pbn: Pbn) -> usize {
        self.geometry.slab_of(pbn).expect("a data block") as usize
    }

    /// Works until the power is cut: after so many writes and flushes, or at the end of so many steps.
    pub fn run(&mut self, steps: u64, operations: u64) {
        self.media.fail_after(operations);
        for _ in 0..steps {
            if block_on(self.step()).is_err() {
                break;
            }
        }
        if self.holes && self.numbers.below(2) == 0 {
            self.unacknowledged();
        }
        self.media.cut(&mut self.numbers);
    }

    async fn step(&mut self) -> Result<()> {
        match self.numbers.below(16) {
            0..6 => self.change(),
            6..11 => {
                for _ in 0..self.numbers.below(12) {
                    let slab = self.numbers.below(self.slabs.len() as u64) as usize;
                    let journal = self.numbers.below(self.journals.len() as u64) as usize;
                    self.slabs[slab].deliver(&self.media, journal).await?;
                }
                Ok(())
            }
            11..14 => {
                let slab = self.numbers.below(self.slabs.len() as u64) as usize;
                self.slabs[slab].commit(&self.media).await
            }
            14 => {
                let slab = self.numbers.below(self.slabs.len() as u64) as usize;
                let written = self.slabs[slab].summary.counts_written;
                match self.numbers.below(3) {
                    0 if !self.lazy => self.slabs[slab].checkpoint(&self.media).await,
                    1 if written => self.slabs[slab].write_some_counts(&self.media, &mut self.numbers).await,
                    _ => Ok(()),
                }
            }
            _ => self.write_pages().await,
        }
    }

    /// Works until the journals of some slabs are full, and changes for them are waiting; then the power is cut.
    pub fn fill_slab_journals(&mut self) {
        block_on(async {
            while self.slabs.iter().filter(|slab| slab.room() == 0).count() < 3 {
                self.change()?;
                for slab in self.slabs.iter_mut().filter(|slab| slab.room() > 0) {
                    for journal in 0..self.journals.len() {
                        slab.deliver(&self.media, journal).await?;
                    }
                    slab.commit(&self.media).await?;
                }
                self.write_pages().await?;
            }
            (0..10).try_for_each(|_| self.change())
        })
        .expect("nothing fails");
        self.media.cut(&mut self.numbers);
    }

    /// Makes everything durable, as a clean stop does.
    pub fn stop(&mut self) {
        block_on(async {
            for slab in &mut self.slabs {
                for journal in 0..self.journals.len() {
                    while !slab.queues[journal].is_empty() {
                        slab.deliver(&self.media, journal).await?;
                    }
                }
                slab.checkpoint(&self.media).await?;
            }
            while !self.dirty.is_empty() {
                self.write_pages().await?;
            }
            Ok::<_, crate::pool::PoolError>(())
        })
        .expect("nothing fails");
    }

    async fn write_pages(&mut self) -> Result<()> {
        let pages: Vec<_> = self.dirty.keys().copied().filter(|_| self.numbers.below(3) > 0).collect();
        for &page in &pages {
            let mut block = [0; BLOCK_SIZE];
            map_page::encode(page, NONCE, 1, &self.entries_of(page), &mut block);
            let place = match self.pages.get(&page) {
                Some(&pbn) => Place::Data(pbn),
                None => Place::Roots { block: page.tree() as u32 },
            };
            self.media.write(place, &block).await?;
        }
        if self.numbers.below(3) > 0 {
            self.media.flush().await?;
            pages.iter().for_each(|page| {
                self.dirty.remove(page);
            });
        }
        Ok(())
    }

    /// One record of changes, journaled.
    fn change(&mut self) -> Result<()> {
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
        for _ in 0..1 + self.numbers.below(8) {
            if self.numbers.below(6) == 0 {
                self.discard(leaf);
            } else {
                self.write(leaf);
            }
        }
        self.journals[shard].commit(&self.media, map_head.min(first));
        Ok(())
    }

    fn map_head(&self, shard: usize) -> u64 {
        let needs = self.dirty.iter().filter(|(page, _)| self.shard_of(**page) == shard).map(|(_, need)| *need);
        needs.min().unwrap_or(self.journals[shard].next)
    }

    /// The oldest entry that is still needed of a journal.
    fn needed(&self, shard: usize) -> u64 {
        let slabs = self.slabs.iter().filter_map(|slab| slab.oldest_uncommitted(shard));
        slabs.min().unwrap_or(u64::MAX).min(self.map_head(shard))
    }

    fn touch(&mut self, page: PageId, entry: u64) {
        self.dirty.entry(page).or_insert(entry);
    }

    /// Journals an entry, and sends what it changes on its way.
    fn journal(&mut self, shard: usize, entry: &Entry<'_>) -> u64 {
        let number = self.journals[shard].push(entry);
        for change in entry.changes(number) {
            let slab = self.slab_of(change.first);
            self.slabs[slab].queues[shard].push_back(Change { ..change });
        }
        number
    }

    /// A block that is free for certain.
    fn allocate(&mut self) -> Option<Pbn> {
        for _ in 0..50 {
            let at = self.numbers.below(self.references.len() as u64);
            // Some blocks are much more popular than others.
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
            let entry = self.journal(shard, &Entry::Page { page, pbn });
            self.pages.insert(page, pbn);
            self.journals[shard].map_pages += 1;
            self.touch(page, entry);
            self.touch(page.parent().expect("no root").0, entry);
        }
        true
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
            0 => Some(Mapping::ZERO),
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
        self.mappings.insert(lbn.0, new);
        self.journals[shard].logical_blocks_used += i64::from(old.is_unmapped());
        self.touch(leaf, entry);
    }

    fn discard(&mut self, leaf: PageId) {
        let first = self.lbn(leaf);
        let count = Geometry::run_in_page(first, 1 + self.numbers.below(40)) as u32;
        let new = if self.numbers.below(3) == 0 { Mapping::ZERO } else { Mapping::UNMAPPED };
        let mut runs: Vec<PbnRun> = Vec::new();
        let mut used = 0;
        for lbn in first.0..first.0 + u64::from(count) {
            let old = if new.is_unmapped() { self.mappings.remove(&lbn) } else { self.mappings.insert(lbn, new) };
            used += i64::from(!new.is_unmapped()) - i64::from(old.is_some());
            let Some(old) = old.filter(|old| old.has_block()) else { continue };
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
        let entry = self.journal(shard, &Entry::Range { first, count, new, runs: &runs });
        self.journals[shard].logical_blocks_used += used;
        self.touch(leaf, entry);
    }

    /// A record that came to be, behind one that did not: neither was acknowledged.
    fn unacknowledged(&mut self) {
        let shard = self.numbers.below(self.journals.len() as u64) as usize;
        if self.journals[shard].next == 0 {
            return;
        }
        let new = Mapping::new(Mapped::uncompressed(self.geometry.slab_start(0)), 1);
        let entry = Entry::Remap { lbn: Lbn(504 * shard as u64), old: Pbn::ZERO, new };
        self.journals[shard].leave_unacknowledged(&self.media, 1 + self.numbers.below(9), &entry);
    }
}
