// SPDX-License-Identifier: BSD-3-Clause

//! What the shards of a volume start from: a new volume in memory, or the result of recovery.

use engine::format::area::SUMMARY_BLOCK;
use engine::format::map_page::{self, PageName};
use engine::format::slab_summary::SlabSummary;
use engine::format::{Geometry, JournalSegment, PageId, ROOTS};
use engine::{Block, MetadataConfig, Place, ShardId, BLOCK_SIZE};
use mpool::mlog::Stamp;
use uuid::Uuid;

use super::sizes::Sizes;

/// The nonce of volumes in memory.
pub const NONCE: u64 = 0x5eed_0fd1_5c0d_e5ed;

/// A volume that was loaded.
#[derive(Debug, Clone)]
pub struct Load {
    /// Its nonce.
    pub nonce: u64,
    /// Load generation.
    pub generation: u64,
    /// Writes that have ended may be in a volatile cache.
    pub volatile_cache: bool,
    /// The journal segments of each shard.
    pub segments: Vec<Vec<JournalSegment>>,
    /// The summaries of all slabs.
    pub summaries: Vec<SlabSummary>,
    /// Logical blocks in use.
    pub logical_blocks_used: u64,
    /// Pages of the block map, roots apart.
    pub map_pages: u64,
}

/// Writes what a new volume has on its media.
pub fn format(geometry: &Geometry, mut write: impl FnMut(Place, &Block)) {
    let mut block = [0; BLOCK_SIZE];
    for tree in 0..ROOTS {
        let name = PageName { page: PageId::root(tree), nonce: NONCE, life: 0 };
        map_page::encode(name, 0, &[0; map_page::ENTRIES], &mut block);
        write(Place::Roots { block: tree as u32 }, &block);
    }
    let summary = SlabSummary::new(geometry.slab_blocks() as u32);
    for slab in 0..geometry.slabs() {
        summary.encode(NONCE, slab, 0, &mut block);
        write(Place::SlabMetadata { slab, block: SUMMARY_BLOCK }, &block);
    }
}

impl Load {
    /// A new volume, whose segments are of generation 1.
    #[must_use]
    pub fn of_new(geometry: &Geometry, sizes: &Sizes) -> Load {
        let segment = |number: u32| JournalSegment {
            number,
            capacity_bytes: sizes.segment_bytes,
            sector_bytes: sizes.sector_bytes,
            stamp: Stamp { uuid: Uuid::from_u128(u128::from(number) + 1), generation: 1 },
        };
        let of_shard = |shard: u32| (0..sizes.segments).map(|at| segment(shard * sizes.segments + at)).collect();
        Load {
            nonce: NONCE,
            generation: 1,
            volatile_cache: sizes.volatile_cache,
            segments: (0..geometry.shards() as u32).map(of_shard).collect(),
            summaries: vec![SlabSummary::new(geometry.slab_blocks() as u32); geometry.slabs() as usize],
            logical_blocks_used: 0,
            map_pages: 0,
        }
    }

    /// A volume that was saved in generation `self`, loaded again from what `read` finds at each place. All segments
    /// were erased once more: they have the generation of the load.
    ///
    /// # Panics
    /// If a summary is damaged.
    #[must_use]
    pub fn again(
        &self,
        geometry: &Geometry,
        (logical_blocks_used, map_pages): (u64, u64),
        read: impl Fn(Place) -> Vec<u8>,
        erase: &mut dyn FnMut(u32) -> u64,
    ) -> Load {
        let summary = |slab| {
            let bytes = read(Place::SlabMetadata { slab, block: SUMMARY_BLOCK });
            let block: Box<Block> = bytes.into_boxed_slice().try_into().expect("a whole block");
            SlabSummary::decode(NONCE, slab, &block).expect("a good summary").0
        };
        let mut load = Load { generation: self.generation + 1, logical_blocks_used, map_pages, ..self.clone() };
        load.summaries = (0..geometry.slabs()).map(summary).collect();
        for segment in load.segments.iter_mut().flatten() {
            segment.stamp.generation = erase(segment.number);
        }
        load
    }

    /// A shard's part of it.
    #[must_use]
    pub fn of_shard(&self, id: ShardId, geometry: &Geometry, sizes: &Sizes) -> MetadataConfig {
        let least = MetadataConfig::minimum_map_pages(sizes.vios);
        MetadataConfig {
            nonce: self.nonce,
            generation: self.generation,
            volatile_cache: self.volatile_cache,
            reserve: sizes.reserve,
            map_pages_cached: sizes.map_pages.max(least),
            segments: self.segments[id.index()].clone(),
            summaries: summaries_of(id, geometry, &self.summaries),
            logical_blocks_used: if id.0 == 0 { self.logical_blocks_used as i64 } else { 0 },
            map_pages: if id.0 == 0 { self.map_pages as i64 } else { 0 },
        }
    }
}

/// The summaries of a shard's slabs.
#[must_use]
pub fn summaries_of(id: ShardId, geometry: &Geometry, summaries: &[SlabSummary]) -> Vec<SlabSummary> {
    let own = (0..geometry.slabs()).zip(summaries).filter(|(slab, _)| geometry.shard_of_slab(*slab) == id);
    own.map(|(_, summary)| *summary).collect()
}
