// SPDX-License-Identifier: BSD-3-Clause

//! Configuration of a shard.

use crate::block_map::{BlockMap, MapConfig, MAX_ALLOCATIONS};
use crate::fingerprint::Fingerprinter;
use crate::format::slab_summary::SlabSummary;
use crate::format::{Geometry, JournalSegment};
use crate::index::HistoryConfig;
use crate::journal::{Counters, Journal, JournalConfig};
use crate::logical::map_waiters;
use crate::slabs::{PbnLocks, PhysicalConfig, PhysicalZone, ReserveConfig};
use crate::units::ShardId;

/// Configuration of a shard.
#[derive(Debug)]
pub struct ShardConfig {
    /// Number of the shard in its volume.
    pub id: ShardId,
    /// The volume's layout.
    pub geometry: Geometry,
    /// Blocks in flight in the shard's logical zone, at most (dm-vdo: 2048).
    pub vios: usize,
    /// Maximum number of pieces that the shard holds.
    pub pieces: usize,
    /// Whether new data is compressed at the start.
    pub compression: bool,
    /// Size of the shard's part of the level-1 index in bytes.
    pub index_bytes: usize,
    /// The index history, level 2; `None` for an index with level 1 only.
    pub history: Option<HistoryConfig>,
    /// Computes fingerprints with the volume's secret.
    pub fingerprinter: Fingerprinter,
    /// The metadata that load has found on media.
    pub metadata: MetadataConfig,
}

/// A shard's memory for blocks.
#[derive(Debug)]
pub struct ShardBufs<Buf> {
    /// Buffers for the content of blocks in flight, at least one. If there are fewer than data_vios, requests wait for
    /// them.
    pub bounce: Vec<Buf>,
    /// Buffers for verify reads, at least one.
    pub verify: Vec<Buf>,
    /// Buffers for compressed blocks being written, at least one.
    pub containers: Vec<Buf>,
    /// Buffers for compressed blocks that the relocator reads, at least one.
    pub relocation: Vec<Buf>,
    /// Buffers for swaps, 1 to [`MAX_SWAPS`](crate::context::swap::MAX_SWAPS).
    pub swaps: Vec<Buf>,
    /// Buffers for block-map transfers.
    pub map: Vec<Buf>,
    /// Buffers for journal transfers.
    pub journal: Vec<Buf>,
    /// Buffers for transfers of slab metadata.
    pub slabs: Vec<Buf>,
}

impl<Buf> ShardBufs<Buf> {
    /// Maximum number of metadata transfers in flight: each needs at least one block.
    pub(super) fn metadata_transfers(&self) -> usize {
        self.map.len() + self.journal.len() + self.slabs.len()
    }
}

/// Blocks that a hash zone processes at once: as many as one shard has in flight. Blocks of other shards may all have
/// the same hash zone; the excess is queued there.
pub(super) const fn members(vios: usize) -> usize {
    vios
}

/// The locks of a physical zone, by holder: for data the members of all hash zones, the relocator's reads and the
/// swaps; for new pages twice as many as one shard creates at a time.
pub(super) fn pbn_locks(shards: usize, vios: usize, moving: usize) -> PbnLocks {
    PbnLocks { data: shards * members(vios) + moving, pages: 2 * MAX_ALLOCATIONS }
}

/// A shard's metadata at its start.
#[derive(Debug)]
pub struct MetadataConfig {
    /// The volume's nonce, to which all its sectors are bound.
    pub nonce: u64,
    /// Load generation: larger than any before.
    pub generation: u64,
    /// Completed writes may be in a volatile cache.
    pub volatile_cache: bool,
    /// Number of block-map pages to cache.
    pub map_pages_cached: usize,
    /// Erased segments for the shard's journal.
    pub segments: Vec<JournalSegment>,
    /// Blocks to be reserved when the shard's part of the volume is full.
    pub reserve: ReserveConfig,
    /// Summaries of the shard's slabs, in the order of their numbers.
    pub summaries: Vec<SlabSummary>,
    /// The shard's share of the mapped logical blocks: shard 0 gets all of them, the others get 0, and their share may
    /// later fall below zero.
    pub logical_blocks_used: i64,
    /// The shard's share of the block-map pages, split likewise.
    pub map_pages: i64,
}

impl MetadataConfig {
    /// Minimum number of block-map pages that a shard with `vios` data_vios can cache.
    #[must_use]
    pub const fn minimum_map_pages(vios: usize) -> usize {
        BlockMap::<()>::minimum_pages(map_waiters(vios))
    }

    /// The shard's share of the volume's usage at its start.
    pub(super) const fn counters(&self) -> Counters {
        Counters { logical_blocks_used: self.logical_blocks_used, map_pages: self.map_pages }
    }

    /// Builds the parts of a shard that have metadata.
    pub(super) fn build<Buf: Copy>(
        self,
        geometry: &Geometry,
        shard: ShardId,
        vios: usize,
        locks: PbnLocks,
        (journal, map, slabs): (Vec<Buf>, Vec<Buf>, Vec<Buf>),
    ) -> (Journal<Buf>, BlockMap<Buf>, PhysicalZone<Buf>) {
        let counters = self.counters();
        let journal_config = JournalConfig {
            shard,
            shards: geometry.shards() as u16,
            generation: self.generation,
            segments: self.segments,
            page_reserve: MAX_ALLOCATIONS,
            volatile_cache: self.volatile_cache,
            counters,
            bufs: journal,
        };
        let map_config = MapConfig {
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
            bufs: slabs,
        });
        (Journal::new(&journal_config), BlockMap::new(&map_config, map), physical)
    }
}
