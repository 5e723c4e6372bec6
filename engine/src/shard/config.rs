// SPDX-License-Identifier: BSD-3-Clause

//! Everything that a shard is made of.

use crate::block_map::{BlockMap, MapConfig, MAX_ALLOCATIONS};
use crate::dedupe::IndexImage;
use crate::fingerprint::Fingerprinter;
use crate::format::slab_summary::SlabSummary;
use crate::format::{Geometry, JournalSegment};
use crate::index::{HistoryConfig, ImageOf};
use crate::journal::{Counters, Journal, JournalConfig};
use crate::logical::map_waiters;
use crate::slabs::{PbnLocks, PhysicalConfig, PhysicalZone, ReserveConfig};
use crate::units::ShardId;

/// Everything that a shard is made of.
#[derive(Debug)]
pub struct ShardConfig<Buf> {
    /// Its number.
    pub id: ShardId,
    /// The volume's layout.
    pub geometry: Geometry,
    /// Blocks that can be in flight in this shard's logical zone (dm-vdo: 2048).
    pub vios: usize,
    /// Pieces that the shard holds at once.
    pub pieces: usize,
    /// Memory for the content of blocks in flight, at least one block. Requests wait where there are fewer than data_vios.
    pub bounce: Vec<Buf>,
    /// Memory for verify reads; at least one block.
    pub verify: Vec<Buf>,
    /// Memory for compressed blocks on their way to the base; at least one block.
    pub containers: Vec<Buf>,
    /// Memory for compressed blocks whose fragments may be moved; at least one block.
    pub relocation: Vec<Buf>,
    /// Memory for swaps; 1 to [`MAX_SWAPS`](crate::context::swap::MAX_SWAPS) blocks.
    pub swaps: Vec<Buf>,
    /// Whether new data is compressed, to begin with.
    pub compression: bool,
    /// Bytes of the shard's part of the level-1 index.
    pub index_bytes: usize,
    /// The index as it was saved when the volume was stopped, if it is to be used. What does not fit is not used
    /// ([`crate::Shard::index_restored`]).
    pub index_image: Option<IndexImage>,
    /// The history of the index, level 2; none where the index is to be level 1 alone.
    pub history: Option<HistoryConfig>,
    /// The volume's fingerprinter.
    pub fingerprinter: Fingerprinter,
    /// What load has found on media, and the memory to go on from there.
    pub metadata: MetadataConfig<Buf>,
}

/// Blocks that a hash zone works on at once: as many as one shard has in flight. Those of other shards may all have the same
/// hash zone; what is more waits there.
pub(super) const fn members(vios: usize) -> usize {
    vios
}

/// The locks of a physical zone, by who holds them: the members of all hash zones, the relocator's reads and swaps; and of new pages
/// twice as many as one shard makes at a time.
pub(super) fn pbn_locks(shards: usize, vios: usize, moving: usize) -> PbnLocks {
    PbnLocks { data: shards * members(vios) + moving, pages: 2 * MAX_ALLOCATIONS }
}

/// A shard's metadata at its start.
#[derive(Debug)]
pub struct MetadataConfig<Buf> {
    /// The volume's nonce, to which all its sectors are bound.
    pub nonce: u64,
    /// Load generation: larger than any before.
    pub generation: u64,
    /// Writes that have ended may be in a volatile cache.
    pub volatile_cache: bool,
    /// Block-map pages kept in memory.
    pub map_pages_cached: usize,
    /// Blocks for block-map transfers.
    pub map_bufs: Vec<Buf>,
    /// Blocks for journal transfers.
    pub journal_bufs: Vec<Buf>,
    /// Blocks for transfers of slab metadata.
    pub slab_bufs: Vec<Buf>,
    /// Erased segments for the shard's journal.
    pub segments: Vec<JournalSegment>,
    /// What is kept back when the shard's part of the volume is full.
    pub reserve: ReserveConfig,
    /// Summaries of the shard's slabs, in the order of their numbers.
    pub summaries: Vec<SlabSummary>,
    /// The shard's share of the logical blocks in use: all of them for shard 0, none for the others, whose shares may
    /// then fall below zero.
    pub logical_blocks_used: i64,
    /// Likewise of the pages of the block map.
    pub map_pages: i64,
}

impl<Buf: Copy> MetadataConfig<Buf> {
    /// What an index that this shard saves belongs to.
    pub(super) fn image_of(&self, geometry: &Geometry, id: ShardId) -> ImageOf {
        ImageOf { nonce: self.nonce, generation: self.generation, shard: id.0, shards: geometry.shards() as u16 }
    }

    /// Fewest pages that a shard of so many data_vios can keep in memory.
    #[must_use]
    pub const fn minimum_map_pages(vios: usize) -> usize {
        BlockMap::<Buf>::minimum_pages(map_waiters(vios))
    }

    /// Transfers of metadata that can be under way together: each has a block at least.
    pub(super) fn transfers(&self) -> usize {
        self.map_bufs.len() + self.journal_bufs.len() + self.slab_bufs.len()
    }

    /// What the shard's part of the volume uses at its start.
    pub(super) const fn counters(&self) -> Counters {
        Counters { logical_blocks_used: self.logical_blocks_used, map_pages: self.map_pages }
    }

    /// Makes the parts of a shard that have metadata.
    pub(super) fn build(
        self,
        geometry: &Geometry,
        shard: ShardId,
        vios: usize,
        locks: PbnLocks,
    ) -> (Journal<Buf>, BlockMap<Buf>, PhysicalZone<Buf>) {
        let counters = self.counters();
        let journal = JournalConfig {
            shard,
            shards: geometry.shards() as u16,
            generation: self.generation,
            segments: self.segments,
            page_reserve: MAX_ALLOCATIONS,
            volatile_cache: self.volatile_cache,
            counters,
            bufs: self.journal_bufs,
        };
        let map = MapConfig {
            geometry: *geometry,
            nonce: self.nonce,
            pages: self.map_pages_cached,
            users: map_waiters(vios),
            mapped: self.logical_blocks_used,
            map_pages: self.map_pages,
        };
        let physical = PhysicalZone::new(PhysicalConfig {
            geometry: *geometry,
            shard,
            locks,
            reserve: self.reserve,
            nonce: self.nonce,
            generation: self.generation,
            summaries: self.summaries,
            bufs: self.slab_bufs,
        });
        (Journal::new(&journal), BlockMap::new(&map, self.map_bufs), physical)
    }
}
