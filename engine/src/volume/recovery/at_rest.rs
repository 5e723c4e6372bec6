// SPDX-License-Identifier: BSD-3-Clause

//! A volume at rest: the transfers of recovery, check and rebuild, one object at a time.

use futures::stream::{self, StreamExt, TryStreamExt};
use mpool::error::{Kind, PoolError, Result as PoolResult};

use super::error::RecoveryError;
use crate::format::area::{AreaBlock, AreaLayout, SUMMARY_BLOCK};
use crate::format::map_page::{self, PageName, Salvage, ENTRIES};
use crate::format::reference_block::{self, COUNTS_PER_BLOCK};
use crate::format::slab_rebuild::SlabRebuild;
use crate::format::slab_summary::{SlabSummary, SummaryDamage};
use crate::format::{Geometry, Mapping, PageId, Place};
use crate::units::{Block, BLOCK_SIZE};
use crate::volume::access::VolumeMedia;

/// Transfers of one block in flight together.
pub(in crate::volume) const CONCURRENT_BLOCKS: usize = 64;

/// Slabs whose counts are in memory together.
pub(in crate::volume) const CONCURRENT_SLABS: usize = 4;

/// Blocks in one transfer of reference blocks or of a slab journal.
pub(in crate::volume) const TRANSFER_BLOCKS: u32 = 128;

/// The entries of a map page.
pub(in crate::volume) type PageEntries = [u64; ENTRIES];

/// A volume while no shard runs.
#[derive(Clone, Copy)]
pub struct AtRest<'a> {
    /// Reads and writes by place.
    pub media: &'a dyn VolumeMedia,
    /// The layout. Its number of shards does not matter.
    pub geometry: Geometry,
    /// The nonce, which binds sectors to the volume.
    pub nonce: u64,
}

impl core::fmt::Debug for AtRest<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AtRest").field("geometry", &self.geometry).finish_non_exhaustive()
    }
}

/// Splits the bytes of a read into blocks.
fn blocks_of(bytes: &[u8]) -> &[Block] {
    bytes.as_chunks::<BLOCK_SIZE>().0
}

impl AtRest<'_> {
    pub(in crate::volume) fn layout(&self) -> AreaLayout {
        AreaLayout::of(self.geometry.slab_blocks())
    }

    /// The place of a page: a root lies in the object of the roots, any other page where its parent's entry says.
    fn page_place(page: PageId, link: Mapping) -> Place {
        if page.is_root() {
            return Place::Roots { block: page.tree() as u32 };
        }
        Place::Data(link.pbn())
    }

    /// The identity of a page's images.
    fn name(&self, page: PageId, link: Mapping) -> PageName {
        PageName::new(page, self.nonce, link)
    }

    async fn read_block(&self, place: Place) -> PoolResult<Box<Block>> {
        let bytes = self.media.read(place, 1).await?.into_boxed_slice();
        let length = bytes.len();
        let short = |_| PoolError::new(Kind::Io, format!("{place:?}"), format!("{length} bytes were read of a block"));
        <Box<Block>>::try_from(bytes).map_err(short)
    }

    /// Reads a page of the block map.
    ///
    /// # Errors
    /// Pool, Page.
    pub(super) async fn read_page(&self, page: PageId, link: Mapping) -> Result<Box<PageEntries>, RecoveryError> {
        let block = self.read_block(Self::page_place(page, link)).await?;
        let mut entries = Box::new([Mapping::UNMAPPED.to_raw(); ENTRIES]);
        map_page::decode(self.name(page, link), &block, &mut entries).map_err(|damage| RecoveryError::Page {
            page,
            pbn: link.pbn(),
            damage,
        })?;
        Ok(entries)
    }

    /// Reads what is intact of a page; if the device cannot read the block, all sectors are lost.
    ///
    /// # Errors
    /// Errors that say nothing about the page, such as a lack of memory: what counts as lost is overwritten.
    pub(in crate::volume) async fn salvage_page(
        &self,
        page: PageId,
        link: Mapping,
    ) -> PoolResult<(Salvage, Box<PageEntries>)> {
        let mut entries = Box::new([Mapping::UNMAPPED.to_raw(); ENTRIES]);
        let salvage = match self.read_block(Self::page_place(page, link)).await {
            Ok(block) => map_page::salvage(self.name(page, link), &block, &mut entries),
            Err(error) if error.kind() == Kind::Io => Salvage { lost_sectors: u8::MAX, invalid_entries: 0 },
            Err(error) => return Err(error),
        };
        Ok((salvage, entries))
    }

    /// Writes a page of the block map.
    ///
    /// # Errors
    /// Io.
    pub(in crate::volume) async fn write_page(
        &self,
        page: PageId,
        link: Mapping,
        entries: &PageEntries,
    ) -> PoolResult<()> {
        let mut block = Box::new([0; BLOCK_SIZE]);
        map_page::encode(self.name(page, link), 0, entries, &mut block);
        self.media.write(Self::page_place(page, link), &block[..]).await
    }

    /// Reads the summary of a slab.
    ///
    /// # Errors
    /// Pool, Summary.
    pub(in crate::volume) async fn read_summary(&self, slab: u64) -> Result<SlabSummary, RecoveryError> {
        let block = self.read_block(Place::SlabMetadata { slab, block: SUMMARY_BLOCK }).await?;
        let damaged = |damage| RecoveryError::Summary { slab, damage };
        let (summary, _) = SlabSummary::decode(self.nonce, slab, &block).map_err(damaged)?;
        if summary.journal_length() > u64::from(self.layout().journal_blocks) {
            let SlabSummary { head, tail, .. } = summary;
            return Err(damaged(SummaryDamage::Journal { head, tail }));
        }
        if u64::from(summary.free_blocks) > self.geometry.slab_blocks() {
            return Err(damaged(SummaryDamage::FreeBlocks(summary.free_blocks)));
        }
        Ok(summary)
    }

    /// Reads the summaries of all slabs, by slab number.
    ///
    /// # Errors
    /// Pool, Summary.
    pub async fn read_summaries(&self) -> Result<Vec<SlabSummary>, RecoveryError> {
        let reads = (0..self.geometry.slabs()).map(|slab| self.read_summary(slab));
        stream::iter(reads).buffered(CONCURRENT_BLOCKS).try_collect().await
    }

    /// Writes the summary of a slab. It must not be relied on before a flush has made it durable.
    ///
    /// # Errors
    /// Io.
    pub(in crate::volume) async fn write_summary(&self, slab: u64, summary: &SlabSummary) -> PoolResult<()> {
        let mut block = Box::new([0; BLOCK_SIZE]);
        summary.encode(self.nonce, slab, summary.tail as u32, &mut block);
        self.media.write(Place::SlabMetadata { slab, block: SUMMARY_BLOCK }, &block[..]).await
    }

    /// Computes the counts of a slab from its reference blocks and its journal.
    ///
    /// # Errors
    /// Pool, Slab.
    pub(in crate::volume) async fn read_counts(
        &self,
        slab: u64,
        summary: &SlabSummary,
    ) -> Result<Vec<u8>, RecoveryError> {
        let layout = self.layout();
        let failed = |error| RecoveryError::Slab { slab, error };
        let mut counts = vec![0; self.geometry.slab_blocks() as usize];
        let mut rebuild = SlabRebuild::new(self.nonce, slab, summary, &mut counts);
        let reference_blocks = if rebuild.needs_reference_blocks() { layout.reference_blocks } else { 0 };
        for first in (0..reference_blocks).step_by(TRANSFER_BLOCKS as usize) {
            let place = Place::SlabMetadata { slab, block: layout.reference_block(first) };
            let bytes = self.media.read(place, TRANSFER_BLOCKS.min(reference_blocks - first)).await?;
            for (number, block) in (first..).zip(blocks_of(&bytes)) {
                rebuild.load_reference_block(number, block, &mut counts).map_err(failed)?;
            }
        }
        while !rebuild.journal_blocks().is_empty() {
            let sequence = rebuild.journal_blocks().start;
            let left = rebuild.journal_blocks().end - sequence;
            let (block, to_end) = (layout.journal_block(sequence), layout.to_ring_end(sequence));
            let blocks = TRANSFER_BLOCKS.min(to_end).min(u32::try_from(left).unwrap_or(to_end));
            let bytes = self.media.read(Place::SlabMetadata { slab, block }, blocks).await?;
            for (sequence, block) in (sequence..).zip(blocks_of(&bytes)) {
                rebuild.apply_journal_block(sequence, block, &mut counts).map_err(failed)?;
            }
        }
        rebuild.finish().map_err(failed)?;
        Ok(counts)
    }

    /// Writes all reference blocks of a slab with counts that include all entries before `next_entry`.
    ///
    /// # Errors
    /// Io.
    pub(in crate::volume) async fn write_counts(&self, slab: u64, counts: &[u8], next_entry: u64) -> PoolResult<()> {
        let layout = self.layout();
        let mut numbered = (0..).zip(counts.chunks(COUNTS_PER_BLOCK as usize));
        for first in (0..layout.reference_blocks).step_by(TRANSFER_BLOCKS as usize) {
            let mut bytes = Vec::new();
            for (number, counts) in numbered.by_ref().take(TRANSFER_BLOCKS as usize) {
                let id = AreaBlock { nonce: self.nonce, slab, block: layout.reference_block(number) };
                let mut block = [0; BLOCK_SIZE];
                reference_block::encode(id, next_entry as u32, counts, &mut block);
                bytes.extend_from_slice(&block);
            }
            self.media.write(Place::SlabMetadata { slab, block: layout.reference_block(first) }, &bytes).await?;
        }
        Ok(())
    }
}
