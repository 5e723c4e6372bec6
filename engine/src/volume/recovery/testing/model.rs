// SPDX-License-Identifier: BSD-3-Clause

//! A single-threaded model of a volume: does to media what the shards do, in a random order, and knows the expected
//! result.

use std::collections::BTreeMap;

use futures::executor::block_on;
use mpool::error::{PoolError, Result};

use super::journal::{Journal, SEGMENTS};
use super::memory::MemoryMedia;
use super::slab::Slab;
use crate::format::map_page::{self, PageName, ENTRIES};
use crate::format::slab_summary::SlabSummary;
use crate::format::testing::Numbers;
use crate::format::{Geometry, Mapping, PageId, Place, MAX_LOGICAL_BLOCKS, ROOTS};
use crate::journal::Counters;
use crate::units::{Blocks, Pbn, BLOCK_SIZE};
use crate::volume::access::VolumeMedia;
use crate::volume::recovery::{AtRest, RecoveryConfig};

/// Size of the slabs, and how many.
#[derive(Debug, Clone, Copy)]
pub(in crate::volume) struct Shape {
    pub slab_blocks: u64,
    pub slabs: u64,
}

/// The model. Apart from media it holds the expected result of a recovery, except for what is in flight.
pub(in crate::volume) struct Model {
    pub media: MemoryMedia,
    pub numbers: Numbers,
    pub(super) geometry: Geometry,
    pub(super) generation: u64,
    pub mappings: BTreeMap<u64, Mapping>,
    /// Pages, each with its parent's entry.
    pub pages: BTreeMap<PageId, Mapping>,
    /// References of each block, including changes that have not been delivered yet.
    pub references: Vec<u8>,
    pub(super) journals: Vec<Journal>,
    pub(super) slabs: Vec<Slab>,
    /// Pages to be written, and the oldest entry that each needs.
    pub(super) dirty: BTreeMap<PageId, u64>,
    pub(super) at_load: Counters,
    /// Slab journals are emptied only when they are full.
    pub(super) lazy: bool,
    /// The power cut may leave records behind lost ones.
    pub holes: bool,
}

const NONCE: u64 = 0x600d;

impl Model {
    /// A volume that has just been formatted.
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
            at_load: Counters::default(),
            lazy: seed.is_multiple_of(3),
            holes: true,
        };
        block_on(async {
            let volume = model.at_rest();
            for slab in 0..slabs {
                volume.write_summary(slab, &SlabSummary::new(slab_blocks as u32)).await?;
            }
            for tree in 0..ROOTS {
                volume.write_page(PageId::root(tree), Mapping::UNMAPPED, &[0; ENTRIES]).await?;
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
        self.at_load = Counters { logical_blocks_used: self.mappings.len() as i64, map_pages: self.pages.len() as i64 };
        self.journals[0].counters = self.at_load;
        // Segments of the last generation may still exist: an interrupted erasure leaves them.
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

    pub(super) fn shard_of(&self, page: PageId) -> usize {
        (page.tree() % self.journals.len() as u64) as usize
    }

    pub(super) fn index(&self, pbn: Pbn) -> usize {
        (pbn.0 - self.geometry.slab_start(0).0) as usize
    }

    pub(super) fn slab_of(&self, pbn: Pbn) -> usize {
        self.geometry.slab_of(pbn).expect("a data block") as usize
    }

    /// Runs until the power is cut: after `operations` writes and flushes, or after `steps` steps.
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

    /// Journals changes, and does nothing else.
    pub fn change_more(&mut self, records: u64) {
        (0..records).try_for_each(|_| self.change()).expect("nothing fails");
    }

    /// Runs until the journals of some slabs are full, and changes for them are queued; then cuts the power.
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
        self.stop_slabs();
        block_on(async {
            while !self.dirty.is_empty() {
                self.write_pages().await?;
            }
            Ok::<_, PoolError>(())
        })
        .expect("nothing fails");
    }

    /// Writes everything into the counts of all slabs.
    pub fn stop_slabs(&mut self) {
        block_on(async {
            for slab in &mut self.slabs {
                for journal in 0..self.journals.len() {
                    while !slab.queues[journal].is_empty() {
                        slab.deliver(&self.media, journal).await?;
                    }
                }
                slab.checkpoint(&self.media).await?;
            }
            Ok::<_, PoolError>(())
        })
        .expect("nothing fails");
    }

    async fn write_pages(&mut self) -> Result<()> {
        let pages: Vec<_> = self.dirty.keys().copied().filter(|_| self.numbers.below(3) > 0).collect();
        for &page in &pages {
            let mut block = [0; BLOCK_SIZE];
            let link = self.pages.get(&page).copied().unwrap_or(Mapping::UNMAPPED);
            map_page::encode(PageName::new(page, NONCE, link), 1, &self.entries_of(page), &mut block);
            let place = match page.is_root() {
                true => Place::Roots { block: page.tree() as u32 },
                false => Place::Data(link.pbn()),
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
}
