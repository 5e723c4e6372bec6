// SPDX-License-Identifier: BSD-3-Clause

//! The layout of a volume and the owners of its parts: the arithmetic that routes a request through the shards.
//!
//! Every shard computes the same answers from the same few numbers, so no table is shared. Invariants: an LBN has
//! exactly one logical shard, a slab exactly one physical shard, a fingerprint exactly one hash shard.
//!
//! The logical shard is that of the leaf page's tree, `leaf_page(lbn) mod 60 mod S` as in dm-vdo, so that a tree of
//! the block map belongs to one shard. Nothing on media depends on the number of shards.

use std::ops::RangeInclusive;

use thiserror::Error;

use super::PageId;
use crate::units::{Blocks, Lbn, Pbn, ShardId, ENTRIES_PER_LEAF_PAGE, MAX_SHARDS};

/// Why a volume cannot be laid out as requested.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GeometryError {
    /// The number of shards is not in 1..=32.
    #[error("cannot lay out a volume on {0} shards: between 1 and {MAX_SHARDS} are possible")]
    Shards(usize),
    /// The slab size is not a power of two of at least 8 blocks, or exceeds dm-vdo's limit of 2^23.
    #[error("cannot use slabs of {0} blocks: the size must be a power of two between 2^3 and 2^23 blocks")]
    SlabSize(u64),
    /// There is not one whole slab for each shard.
    #[error("base has room for {slabs} slabs of {slab_blocks} blocks, but {shards} shards need one each")]
    TooSmall {
        /// Whole slabs that fit.
        slabs: u64,
        /// The slab size in blocks.
        slab_blocks: u64,
        /// The number of shards, each of which needs a slab.
        shards: usize,
    },
    /// The logical size is zero or beyond 2^40 blocks.
    #[error("logical size of {0} blocks is not in 1..=2^40")]
    LogicalSize(u64),
    /// The physical size is beyond 2^36 blocks.
    #[error("physical size of {0} blocks is beyond 2^36")]
    PhysicalSize(u64),
}

/// The fixed layout of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    shards: u16,
    logical_blocks: u64,
    first_slab: Pbn,
    slab_shift: u32,
    slabs: u64,
}

/// Physical block numbers are below 2^36.
pub const MAX_PHYSICAL_BLOCKS: u64 = 1 << 36;

/// The largest logical size in blocks.
pub const MAX_LOGICAL_BLOCKS: u64 = 1 << 40;

impl Geometry {
    /// Lays out slabs of `slab_blocks` from `first_slab` up to (not beyond) `end`, for `shards` shards.
    ///
    /// A tail smaller than a slab is left unused, as in dm-vdo.
    ///
    /// # Errors
    /// One variant of [`GeometryError`] for each number that is out of its range.
    pub fn new(
        shards: usize,
        logical: Blocks,
        first_slab: Pbn,
        end: Pbn,
        slab_blocks: u64,
    ) -> Result<Geometry, GeometryError> {
        if shards == 0 || shards > MAX_SHARDS {
            return Err(GeometryError::Shards(shards));
        }
        if !slab_blocks.is_power_of_two() || !(1 << 3..=1 << 23).contains(&slab_blocks) {
            return Err(GeometryError::SlabSize(slab_blocks));
        }
        if logical.0 == 0 || logical.0 > MAX_LOGICAL_BLOCKS {
            return Err(GeometryError::LogicalSize(logical.0));
        }
        if end.0 > MAX_PHYSICAL_BLOCKS {
            return Err(GeometryError::PhysicalSize(end.0));
        }
        let slab_shift = slab_blocks.trailing_zeros();
        let slabs = end.0.saturating_sub(first_slab.0.max(1)) >> slab_shift;
        if slabs < shards as u64 {
            return Err(GeometryError::TooSmall { slabs, slab_blocks, shards });
        }
        let shards = u16::try_from(shards).map_err(|_| GeometryError::Shards(shards))?;
        // PBN 0 means "zeros" in a mapping, so no slab may hold it.
        let first_slab = Pbn(first_slab.0.max(1));
        Ok(Geometry { shards, logical_blocks: logical.0, first_slab, slab_shift, slabs })
    }

    /// Number of shards, 1 to 32.
    #[must_use]
    pub const fn shards(&self) -> usize {
        self.shards as usize
    }

    /// The numbers of all shards, ascending.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> {
        (0..self.shards).map(ShardId)
    }

    /// The logical size, which the client sees.
    #[must_use]
    pub const fn logical_blocks(&self) -> Blocks {
        Blocks(self.logical_blocks)
    }

    /// The number of whole slabs that fit.
    #[must_use]
    pub const fn slabs(&self) -> u64 {
        self.slabs
    }

    /// The slab size in blocks, a power of two.
    #[must_use]
    pub const fn slab_blocks(&self) -> u64 {
        1 << self.slab_shift
    }

    /// The first block of a slab.
    #[must_use]
    pub const fn slab_start(&self, slab: u64) -> Pbn {
        Pbn(self.first_slab.0 + (slab << self.slab_shift))
    }

    /// Blocks for data, over all slabs.
    #[must_use]
    pub const fn data_blocks(&self) -> Blocks {
        Blocks(self.slabs << self.slab_shift)
    }

    /// The slab that holds `pbn`; none when `pbn` is not a data block of any slab.
    #[must_use]
    pub const fn slab_of(&self, pbn: Pbn) -> Option<u64> {
        if pbn.0 < self.first_slab.0 {
            return None;
        }
        let slab = (pbn.0 - self.first_slab.0) >> self.slab_shift;
        if slab < self.slabs {
            Some(slab)
        } else {
            None
        }
    }

    /// The shard whose physical zone owns `slab`: slab number mod S.
    #[must_use]
    pub const fn shard_of_slab(&self, slab: u64) -> ShardId {
        ShardId((slab % self.shards as u64) as u16)
    }

    /// The shard whose physical zone owns `pbn`; none when `pbn` is not a data block.
    #[must_use]
    pub fn physical_shard(&self, pbn: Pbn) -> Option<ShardId> {
        self.slab_of(pbn).map(|slab| self.shard_of_slab(slab))
    }

    /// The shard whose logical zone owns `lbn`: the tree of its leaf page, mod S.
    #[must_use]
    pub const fn logical_shard(&self, lbn: Lbn) -> ShardId {
        if self.shards == 1 {
            return ShardId(0);
        }
        ShardId((PageId::leaf_of(lbn).tree() % self.shards as u64) as u16)
    }

    /// The shard whose hash zone owns a fingerprint: the fingerprint's first byte scaled to the number of shards.
    #[must_use]
    pub const fn hash_shard(&self, first_byte: u8) -> ShardId {
        ShardId((first_byte as u16 * self.shards) >> 8)
    }

    /// The first bytes of the fingerprints that a shard's hash zone owns; the inverse of [`Geometry::hash_shard`].
    #[must_use]
    pub fn hash_partitions(&self, shard: ShardId) -> RangeInclusive<u8> {
        let first = |shard: u16| (shard << 8).div_ceil(self.shards);
        first(shard.0) as u8..=(first(shard.0 + 1) - 1) as u8
    }

    /// How many of `blocks` blocks from `lbn` on belong to the same leaf page, hence to the same shard.
    #[must_use]
    pub fn run_in_page(lbn: Lbn, blocks: u64) -> u64 {
        blocks.min(ENTRIES_PER_LEAF_PAGE - lbn.0 % ENTRIES_PER_LEAF_PAGE)
    }

    /// True when the whole range lies inside the logical size.
    #[must_use]
    pub const fn contains(&self, lbn: Lbn, blocks: u64) -> bool {
        lbn.0 <= self.logical_blocks && blocks <= self.logical_blocks - lbn.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(shards: usize) -> Geometry {
        Geometry::new(shards, Blocks(10_000), Pbn(256), Pbn(256 + 64 * 33 + 5), 64).expect("valid")
    }

    /// vdo-1: every first byte finds a zone in range, and zones differ in size by at most one byte value.
    #[test]
    fn hash_zone_selection_is_balanced() {
        for shards in 1..=MAX_SHARDS {
            let geometry = geometry(shards);
            let mut sizes = vec![0u32; shards];
            for byte in 0..=255u8 {
                sizes[geometry.hash_shard(byte).index()] += 1;
            }
            let (min, max) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(max - min <= 1, "{shards} shards: {sizes:?}");
        }
    }

    /// vdo-45: slab n belongs to zone n mod P; no zone owns the tail that is not a whole slab.
    #[test]
    fn slabs_are_dealt_to_zones_in_turn() {
        let geometry = geometry(5);
        assert_eq!(geometry.slabs(), 33);
        for slab in 0..33 {
            let start = geometry.slab_start(slab);
            for pbn in [start, start.plus(63)] {
                assert_eq!(geometry.slab_of(pbn), Some(slab));
                assert_eq!(geometry.physical_shard(pbn), Some(ShardId((slab % 5) as u16)));
            }
        }
        assert_eq!(geometry.slab_of(Pbn(255)), None);
        assert_eq!(geometry.slab_of(geometry.slab_start(33)), None);
        assert_eq!(geometry.slab_of(Pbn(u64::MAX)), None);
    }

    #[test]
    fn whole_leaf_pages_share_a_shard() {
        let geometry = geometry(3);
        for lbn in 0..3000 {
            assert_eq!(geometry.logical_shard(Lbn(lbn)).0 as u64, lbn / 504 % 3);
        }
        assert_eq!(Geometry::run_in_page(Lbn(500), 100), 4);
        assert_eq!(Geometry::run_in_page(Lbn(504), 100), 100);
    }

    #[test]
    fn impossible_layouts_are_refused() {
        let lay = |shards, logical, end, slab| Geometry::new(shards, Blocks(logical), Pbn(1), Pbn(end), slab);
        assert_eq!(lay(0, 1, 100, 8), Err(GeometryError::Shards(0)));
        assert_eq!(lay(33, 1, 100, 8), Err(GeometryError::Shards(33)));
        assert_eq!(lay(1, 1, 100, 9), Err(GeometryError::SlabSize(9)));
        assert_eq!(lay(1, 0, 100, 8), Err(GeometryError::LogicalSize(0)));
        assert_eq!(lay(1, 1, 1 << 37, 8), Err(GeometryError::PhysicalSize(1 << 37)));
        let small = Err(GeometryError::TooSmall { slabs: 1, slab_blocks: 8, shards: 2 });
        assert_eq!(lay(2, 1, 16, 8), small);
    }

    #[test]
    fn every_first_byte_is_of_the_shard_that_owns_its_partition() {
        for shards in 1..=MAX_SHARDS as u16 {
            let geometry = geometry(shards.into());
            for byte in 0..=u8::MAX {
                for shard in (0..shards).map(ShardId) {
                    let owns = geometry.hash_partitions(shard).contains(&byte);
                    assert_eq!(owns, geometry.hash_shard(byte) == shard, "{shards} shards, byte {byte}");
                }
            }
        }
    }

    #[test]
    fn range_check_does_not_overflow() {
        let geometry = geometry(1);
        assert!(geometry.contains(Lbn(0), 10_000));
        assert!(!geometry.contains(Lbn(1), 10_000));
        assert!(!geometry.contains(Lbn(u64::MAX), 2));
        assert!(geometry.contains(Lbn(10_000), 0));
    }
}
