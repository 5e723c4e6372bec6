// SPDX-License-Identifier: BSD-3-Clause

//! How large the parts of a volume are: slabs, logical size, index, and the memory that they need. Arithmetic only.
//!
//! Slabs are chosen so that each shard gets at least [`SLABS_PER_SHARD`], because a shard whose slabs are full must
//! ask others, and the volume at least [`SLABS_AT_LEAST`], because a tail smaller than a slab is lost (then less
//! than 1.6% of the base); up to dm-vdo's default of 2 GiB (vdo.md section 0). Smaller than dm-vdo's minimum of 32
//! MiB is possible (8 MiB), because here a slab carries no metadata of its own (architecture.md section 4, slab
//! metadata).

use engine::units::ENTRIES_PER_LEAF_PAGE;
use engine::volume::{Geometry, GeometryError};
use engine::{Blocks, Pbn, BLOCK_SIZE};
use thiserror::Error;

/// Blocks at the start of the base that are kept for the superblock of a later release: 1 MiB.
pub const RESERVED_BLOCKS: u64 = 256;

/// Smallest slab: 8 MiB.
pub const MIN_SLAB_BLOCKS: u64 = 1 << 11;

/// Largest slab that is chosen without being asked for: 2 GiB.
pub const AUTO_SLAB_BLOCKS: u64 = 1 << 19;

/// Slabs that each shard should have.
pub const SLABS_PER_SHARD: u64 = 4;

/// Slabs that a volume should have.
pub const SLABS_AT_LEAST: u64 = 64;

const MIB: u64 = 1 << 20;
const BLOCKS_PER_MIB: u64 = MIB / BLOCK_SIZE as u64;

/// Data blocks for each shard that the logical size leaves over when it is not asked for: an overwrite takes its
/// new block before it gives the old one back, so a volume full of unique data could not be overwritten without.
/// Twice what a shard can have in flight.
pub const SPARE_BLOCKS_PER_SHARD: u64 = 4096;

/// The least share of the data area that is left over for that, on bases too small for [`SPARE_BLOCKS_PER_SHARD`].
const SPARE_SHARE: u64 = 16;

/// What was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Logical size in MiB; the size of the data area less some spare when none.
    pub logical_mib: Option<u64>,
    /// Slab size in MiB; chosen when none.
    pub slab_mib: Option<u64>,
    /// Index size in MiB; one record for each data block when none.
    pub index_mib: Option<u64>,
}

/// What a volume gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The layout.
    pub geometry: Geometry,
    /// Size of the level-1 index over all shards, in bytes.
    pub index_bytes: u64,
}

/// Why a volume does not fit its base.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SizingError {
    /// Not even the smallest slabs fit.
    #[error(
        "base is too small: {base_bytes} bytes, but {shards} shard(s) with slabs of {slab_mib} MiB need at least \
         {least_bytes} bytes"
    )]
    TooSmall {
        /// Size of the base.
        base_bytes: u64,
        /// Shards of the volume.
        shards: usize,
        /// Slab size in MiB.
        slab_mib: u64,
        /// Least size of a base for that.
        least_bytes: u64,
    },
    /// Some other limit of the layout.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
}

/// Lays out a volume of `shards` shards on a base of `base_bytes`.
///
/// # Errors
/// The base is too small or too large, or a wish is out of the engine's limits.
pub fn lay_out(base_bytes: u64, shards: usize, wishes: &Wishes) -> Result<Sizes, SizingError> {
    let end = base_bytes / BLOCK_SIZE as u64;
    let room = end.saturating_sub(RESERVED_BLOCKS);
    let slab_blocks = match wishes.slab_mib {
        Some(mib) => mib * BLOCKS_PER_MIB,
        None => choose_slab(room, shards as u64),
    };
    let slabs = room / slab_blocks;
    if slabs < shards as u64 {
        return Err(SizingError::TooSmall {
            base_bytes,
            shards,
            slab_mib: slab_blocks / BLOCKS_PER_MIB,
            least_bytes: (RESERVED_BLOCKS + shards as u64 * slab_blocks) * BLOCK_SIZE as u64,
        });
    }
    let data_blocks = slabs * slab_blocks;
    let spare = (SPARE_BLOCKS_PER_SHARD * shards as u64).min(data_blocks.div_ceil(SPARE_SHARE));
    let logical = Blocks(wishes.logical_mib.map_or(data_blocks - spare, |mib| mib * BLOCKS_PER_MIB));
    let geometry = Geometry::new(shards, logical, Pbn(RESERVED_BLOCKS), Pbn(end), slab_blocks)?;
    let index_bytes = wishes.index_mib.map_or_else(|| default_index(data_blocks), |mib| mib * MIB);
    Ok(Sizes { geometry, index_bytes })
}

/// The largest power of two that gives each shard its slabs, within bounds.
fn choose_slab(room: u64, shards: u64) -> u64 {
    let share = room / (shards * SLABS_PER_SHARD).max(SLABS_AT_LEAST);
    if share < MIN_SLAB_BLOCKS {
        return MIN_SLAB_BLOCKS;
    }
    (1 << share.ilog2()).min(AUTO_SLAB_BLOCKS)
}

/// One record of 8 bytes for each data block at 80% load, in whole MiB.
fn default_index(data_blocks: u64) -> u64 {
    (data_blocks * 8 * 5 / 4).div_ceil(MIB).max(1) * MIB
}

/// Memory of a volume, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Reference counts: one byte for each data block.
    pub reference_counts: u64,
    /// Block map: 8 bytes for each logical block that is in use, at most this much.
    pub block_map_at_most: u64,
    /// Level-1 index.
    pub index: u64,
    /// Requests, locks and rings, over all shards.
    pub fixed: u64,
    /// Block buffers in DMA memory, over all shards.
    pub dma: u64,
}

impl Memory {
    /// What a volume of these sizes uses, when each shard has `fixed` bytes of arenas and `dma` bytes of buffers.
    pub fn of(sizes: &Sizes, fixed: u64, dma: u64) -> Memory {
        let shards = sizes.geometry.shards() as u64;
        let pages = sizes.geometry.logical_blocks().0.div_ceil(ENTRIES_PER_LEAF_PAGE);
        Memory {
            reference_counts: sizes.geometry.data_blocks().0,
            block_map_at_most: pages * (ENTRIES_PER_LEAF_PAGE * 8 + 2),
            index: sizes.index_bytes,
            fixed: fixed * shards,
            dma: dma * shards,
        }
    }

    /// All of it that is not DMA memory, with the block map full.
    pub fn at_most(&self) -> u64 {
        self.certain() + self.block_map_at_most
    }

    /// All of it that is not DMA memory, with the block map empty.
    pub fn certain(&self) -> u64 {
        self.reference_counts + self.index + self.fixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn slab_mib(base_bytes: u64, shards: usize) -> u64 {
        lay_out(base_bytes, shards, &Wishes::default()).expect("fits").geometry.slab_blocks() / BLOCKS_PER_MIB
    }

    #[test]
    fn slabs_are_many_and_at_most_two_gib() {
        assert_eq!(slab_mib(1024 * GIB, 1), 2048);
        assert_eq!(slab_mib(GIB, 1), 8, "1 GiB less the reserved MiB holds 127 slabs of 8 MiB, and only 63 of 16");
        assert_eq!(slab_mib(GIB + MIB, 1), 16);
        assert_eq!(slab_mib(64 * GIB, 32), 256, "128 slabs of 512 MiB do not fit beside the reserved MiB");
        assert_eq!(slab_mib(64 * MIB, 1), 8);
        for shards in [1, 2, 3, 7, 32] {
            for base in [GIB, 3 * GIB, 100 * GIB, 5000 * GIB] {
                let sizes = lay_out(base, shards, &Wishes::default()).expect("fits");
                let slab = sizes.geometry.slab_blocks();
                let wanted = SLABS_AT_LEAST.max(SLABS_PER_SHARD * shards as u64);
                assert!(sizes.geometry.slabs() >= wanted || slab == MIN_SLAB_BLOCKS, "{shards} shards, {base} bytes");
                let room = base / BLOCK_SIZE as u64 - RESERVED_BLOCKS;
                assert!(room / (2 * slab) < wanted || slab == AUTO_SLAB_BLOCKS, "{shards} shards, {base} bytes");
            }
        }
    }

    #[test]
    fn a_small_base_is_refused_with_the_least_size() {
        let least = 9 * MIB;
        assert!(lay_out(least, 1, &Wishes::default()).is_ok());
        let error = lay_out(least - 1, 1, &Wishes::default()).expect_err("too small");
        assert_eq!(error, SizingError::TooSmall { base_bytes: least - 1, shards: 1, slab_mib: 8, least_bytes: least });
        let wishes = Wishes { slab_mib: Some(64), ..Wishes::default() };
        let error = lay_out(65 * MIB, 2, &wishes).expect_err("too small").to_string();
        assert!(
            error.contains("68157440 bytes, but 2 shard(s) with slabs of 64 MiB need at least 135266304"),
            "{error}"
        );
        assert!(lay_out(0, 1, &Wishes::default()).is_err());
    }

    #[test]
    fn wishes_are_kept() {
        let wishes = Wishes { logical_mib: Some(1 << 32), slab_mib: Some(32), index_mib: Some(3) };
        let sizes = lay_out(GIB, 1, &wishes).expect("fits");
        assert_eq!(sizes.geometry.logical_blocks().0, 1 << 40);
        assert_eq!((sizes.geometry.slab_blocks(), sizes.geometry.slabs()), (32 * 256, 31));
        assert_eq!(sizes.index_bytes, 3 * MIB);
    }

    #[test]
    fn the_logical_size_leaves_blocks_for_overwriting_a_full_volume() {
        let sizes = lay_out(GIB, 1, &Wishes::default()).expect("fits");
        assert_eq!(sizes.geometry.data_blocks().0, 127 * 8 * 256);
        assert_eq!(sizes.geometry.logical_blocks().0, 127 * 8 * 256 - 4096);
        let sizes = lay_out(GIB, 2, &Wishes::default()).expect("fits");
        assert_eq!(sizes.geometry.data_blocks().0 - sizes.geometry.logical_blocks().0, 8192);
        let small = lay_out(9 * MIB, 1, &Wishes::default()).expect("fits").geometry;
        assert_eq!((small.data_blocks().0, small.logical_blocks().0), (2048, 1920));
    }

    #[test]
    fn the_index_has_room_for_every_block() {
        let sizes = lay_out(GIB, 1, &Wishes::default()).expect("fits");
        assert_eq!(sizes.index_bytes, 3 * MIB, "260096 records of 8 bytes at 80% are 2.5 MiB");
        assert_eq!(lay_out(9 * MIB, 1, &Wishes::default()).expect("fits").index_bytes, MIB);
    }

    #[test]
    fn memory_counts_every_part() {
        let sizes = lay_out(GIB, 2, &Wishes::default()).expect("fits");
        let memory = Memory::of(&sizes, 1000, 10);
        assert_eq!(memory.reference_counts, sizes.geometry.data_blocks().0);
        assert_eq!((memory.fixed, memory.dma), (2000, 20));
        assert!(memory.block_map_at_most >= sizes.geometry.logical_blocks().0 * 8);
        assert_eq!(memory.at_most() - memory.certain(), memory.block_map_at_most);
    }
}
