// SPDX-License-Identifier: BSD-3-Clause

//! Slab and block numbers inside one zone.
//!
//! A zone numbers its slabs 0, 1, 2.. in the order of their numbers in the volume, and its blocks consecutively through
//! all of its slabs, so every table of the zone is a plain array. Invariant: the block numbers of a slab are
//! consecutive and start at a multiple of the slab size.

use crate::format::Geometry;
use crate::units::{Pbn, ShardId};

/// A block's number among all blocks of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockIndex(pub usize);

/// A slab's number among the slabs of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlabIndex(pub u32);

/// Translates between the volume's numbers and a zone's.
#[derive(Debug, Clone)]
pub(super) struct ZoneLayout {
    geometry: Geometry,
    shard: u64,
    shards: u64,
    slabs: u32,
    slab_shift: u32,
}

impl ZoneLayout {
    /// The layout of the zone of `shard`: slabs n with n mod S = shard.
    ///
    /// # Panics
    /// If the volume has no such shard, or the zone would have 2^32 slabs: their counters alone would take 32 GiB.
    pub fn new(geometry: &Geometry, shard: ShardId) -> ZoneLayout {
        let shards = geometry.shards() as u64;
        let number = u64::from(shard.0);
        assert!(number < shards, "{shard:?} is not one of the volume's {shards}");
        let slabs = (geometry.slabs() - number).div_ceil(shards);
        assert!(slabs < u64::from(u32::MAX), "{slabs} slabs of {} blocks in one zone", geometry.slab_blocks());
        ZoneLayout {
            geometry: *geometry,
            shard: number,
            shards,
            slabs: slabs as u32,
            slab_shift: geometry.slab_blocks().trailing_zeros(),
        }
    }

    /// Whether `larger` is this layout with more slabs, or the same.
    pub fn is_part_of(&self, larger: &ZoneLayout) -> bool {
        let same = self.shards == larger.shards && self.slab_shift == larger.slab_shift;
        same && self.geometry.slab_start(0) == larger.geometry.slab_start(0) && self.slabs <= larger.slabs
    }

    pub const fn slabs(&self) -> u32 {
        self.slabs
    }

    /// Blocks in each slab; at most 2^23.
    pub const fn slab_blocks(&self) -> u32 {
        1 << self.slab_shift
    }

    /// Blocks in all slabs of the zone.
    pub const fn blocks(&self) -> usize {
        (self.slabs as usize) << self.slab_shift
    }

    /// The number of a block in the zone; none when it is not a data block of the zone.
    #[inline]
    pub fn locate(&self, pbn: Pbn) -> Option<BlockIndex> {
        let slab = self.geometry.slab_of(pbn)?;
        if slab % self.shards != self.shard {
            return None;
        }
        let offset = pbn.0 - self.geometry.slab_start(slab).0;
        Some(BlockIndex((((slab / self.shards) << self.slab_shift) + offset) as usize))
    }

    /// The volume-wide number of a slab of the zone.
    pub const fn slab_number(&self, slab: SlabIndex) -> u64 {
        slab.0 as u64 * self.shards + self.shard
    }

    /// How many slabs of the zone have a volume-wide number below `number`.
    pub fn first_from(&self, number: u64) -> usize {
        (number.saturating_sub(self.shard).div_ceil(self.shards)).min(u64::from(self.slabs)) as usize
    }

    /// The volume-wide number of a block of the zone.
    #[inline]
    pub const fn pbn(&self, block: BlockIndex) -> Pbn {
        let slab = self.slab_number(self.slab(block));
        self.geometry.slab_start(slab).plus(self.offset(block) as u64)
    }

    #[inline]
    pub const fn slab(&self, block: BlockIndex) -> SlabIndex {
        SlabIndex((block.0 >> self.slab_shift) as u32)
    }

    /// A block's offset in its slab.
    #[inline]
    pub const fn offset(&self, block: BlockIndex) -> u32 {
        (block.0 & ((1 << self.slab_shift) - 1)) as u32
    }

    /// The block at an offset of a slab.
    #[inline]
    pub const fn block(&self, slab: SlabIndex, offset: u32) -> BlockIndex {
        BlockIndex(((slab.0 as usize) << self.slab_shift) + offset as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Blocks;

    /// vdo-45: the zones of a volume divide its data blocks among them, whatever their number.
    #[test]
    fn each_block_belongs_to_one_zone() {
        for shards in 1..=7 {
            let geometry = Geometry::new(shards, Blocks(1), Pbn(19), Pbn(19 + 16 * 23 + 3), 16).expect("valid");
            let zones: Vec<_> = (0..shards as u16).map(|shard| ZoneLayout::new(&geometry, ShardId(shard))).collect();
            assert_eq!(zones.iter().map(ZoneLayout::blocks).sum::<usize>() as u64, geometry.data_blocks().0);
            let mut seen = vec![0; shards];
            for pbn in (0..19 + 16 * 24).map(Pbn) {
                let mine: Vec<_> = zones.iter().map(|zone| zone.locate(pbn)).collect();
                assert_eq!(mine.iter().flatten().count(), usize::from(geometry.slab_of(pbn).is_some()));
                for (shard, block) in mine.into_iter().enumerate() {
                    let Some(block) = block else { continue };
                    assert_eq!(block, BlockIndex(seen[shard]), "numbered in order");
                    seen[shard] += 1;
                    assert_eq!(zones[shard].pbn(block), pbn);
                    assert_eq!(zones[shard].block(zones[shard].slab(block), zones[shard].offset(block)), block);
                }
            }
        }
    }
}
