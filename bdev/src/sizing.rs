// SPDX-License-Identifier: BSD-3-Clause

//! How large the parts of a volume are: slabs, logical size, index, and the memory that they need. Arithmetic only.
//!
//! Slabs are chosen so that each shard gets at least [`SLABS_PER_SHARD`], because a shard whose slabs are full must
//! ask others, and the volume at least [`SLABS_AT_LEAST`], because a tail smaller than a slab is lost (then less
//! than 1.6% of the room); up to dm-vdo's default of 2 GiB (vdo.md section 0). Smaller than dm-vdo's minimum of 32
//! MiB is possible (8 MiB), because here a slab carries no metadata of its own (architecture.md section 4, slab
//! metadata). A slab is a whole number of the pool's zones.
//!
//! Sizing has two steps, because only the pool knows how many runs of zones it has: [`plan`] says how large slabs are
//! to be and how many are wanted, [`lay_out`] what becomes of those that could be had.

use engine::units::ENTRIES_PER_LEAF_PAGE;
use engine::volume::{Geometry, GeometryError};
use engine::{Blocks, Pbn, BLOCK_SIZE};
use thiserror::Error;

/// First block number of the first slab: number 0 means "zeros".
pub const RESERVED_BLOCKS: u64 = 256;

/// The share of the pool's usable zones that a volume leaves to metadata, and how many zones at least.
const METADATA_SHARE: u64 = 32;
const METADATA_ZONES: u64 = 4;

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

/// What a pool has to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes in a zone.
    pub zone_bytes: u64,
    /// Zones that objects can have, in use or not.
    pub usable_zones: u64,
    /// Those not in use.
    pub free_zones: u64,
}

/// The slabs that a volume wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabPlan {
    /// Blocks in a slab.
    pub slab_blocks: u64,
    /// Zones in a slab.
    pub slab_zones: u64,
    /// As few as will do: one for each shard, or as many as were asked for.
    pub least: u64,
    /// As many as are wanted.
    pub wanted: u64,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Logical size in MiB; the size of the data area less some spare when none.
    pub logical_mib: Option<u64>,
    /// Slab size in MiB; chosen when none.
    pub slab_mib: Option<u64>,
    /// Size of all slabs in MiB; what the pool has, less some for metadata, when none.
    pub physical_mib: Option<u64>,
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

/// Why a volume does not fit its pool.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SizingError {
    /// Not even the fewest slabs fit.
    #[error(
        "it is too small: {free_mib} MiB are free, but {shards} shard(s) with slabs of {slab_mib} MiB need at least \
         {least_mib} MiB, {metadata_mib} MiB of it for metadata"
    )]
    TooSmall {
        /// Free space of the pool.
        free_mib: u64,
        /// Shards of the volume.
        shards: u64,
        /// Slab size.
        slab_mib: u64,
        /// Least free space for that.
        least_mib: u64,
        /// What of it is left to the pool's metadata.
        metadata_mib: u64,
    },
    /// The slabs asked for are smaller than the pool's zones.
    #[error("parameter 'slab_size_mib' is {slab_mib}, but the pool has zones of {zone_mib} MiB, and a slab has at least one")]
    SlabBelowZone {
        /// What was asked for.
        slab_mib: u64,
        /// Size of a zone.
        zone_mib: u64,
    },
    /// Fewer slabs asked for than there are shards.
    #[error("parameter 'physical_size_mib' is {given_mib}: {shards} shard(s) with slabs of {slab_mib} MiB need at least {least_mib}")]
    PhysicalSize {
        /// What was asked for.
        given_mib: u64,
        /// Shards of the volume.
        shards: u64,
        /// Slab size.
        slab_mib: u64,
        /// The least that is possible.
        least_mib: u64,
    },
    /// More asked for than there is.
    #[error(
        "parameter 'physical_size_mib' is {given_mib}, but only {room_mib} MiB are free, {metadata_mib} MiB for metadata \
         left out"
    )]
    NoRoom {
        /// What was asked for.
        given_mib: u64,
        /// What there is.
        room_mib: u64,
        /// What of the free space is left to the pool's metadata.
        metadata_mib: u64,
    },
    /// Some other limit of the layout.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
}

/// The slabs that a volume of `shards` shards wants of a pool.
///
/// # Errors
/// The pool has too little room, or a wish does not suit it.
pub fn plan(room: &Room, shards: usize, wishes: &Wishes) -> Result<SlabPlan, SizingError> {
    let shards = shards as u64;
    let zone_blocks = room.zone_bytes / BLOCK_SIZE as u64;
    let metadata_zones = (room.usable_zones / METADATA_SHARE).max(METADATA_ZONES);
    let free_blocks = room.free_zones.saturating_sub(metadata_zones) * zone_blocks;
    let slab_blocks = match wishes.slab_mib {
        Some(slab_mib) if slab_mib * MIB < room.zone_bytes => {
            return Err(SizingError::SlabBelowZone { slab_mib, zone_mib: room.zone_bytes / MIB });
        }
        Some(mib) => mib * BLOCKS_PER_MIB,
        None => choose_slab(free_blocks, shards).max(zone_blocks),
    };
    let slab_mib = slab_blocks / BLOCKS_PER_MIB;
    let slabs = free_blocks / slab_blocks;
    let metadata_mib = metadata_zones * room.zone_bytes / MIB;
    if slabs < shards {
        return Err(SizingError::TooSmall {
            free_mib: room.free_zones * room.zone_bytes / MIB,
            shards,
            slab_mib,
            least_mib: shards * slab_mib + metadata_mib,
            metadata_mib,
        });
    }
    let wanted = match wishes.physical_mib {
        Some(given_mib) if given_mib / slab_mib < shards => {
            return Err(SizingError::PhysicalSize { given_mib, shards, slab_mib, least_mib: shards * slab_mib });
        }
        Some(given_mib) if given_mib / slab_mib > slabs => {
            return Err(SizingError::NoRoom { given_mib, room_mib: slabs * slab_mib, metadata_mib });
        }
        Some(given_mib) => given_mib / slab_mib,
        None => slabs,
    };
    let least = if wishes.physical_mib.is_some() { wanted } else { shards };
    Ok(SlabPlan { slab_blocks, slab_zones: slab_blocks / zone_blocks, least, wanted })
}

/// Lays out a volume of `shards` shards on so many slabs.
///
/// # Errors
/// A wish is out of the engine's limits.
pub fn lay_out(slabs: u64, slab_blocks: u64, shards: usize, wishes: &Wishes) -> Result<Sizes, SizingError> {
    let data_blocks = slabs * slab_blocks;
    let spare = (SPARE_BLOCKS_PER_SHARD * shards as u64).min(data_blocks.div_ceil(SPARE_SHARE));
    let logical = Blocks(wishes.logical_mib.map_or(data_blocks - spare, |mib| mib * BLOCKS_PER_MIB));
    let end = Pbn(RESERVED_BLOCKS + data_blocks);
    let geometry = Geometry::new(shards, logical, Pbn(RESERVED_BLOCKS), end, slab_blocks)?;
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

    /// A pool of zones of 1 MiB, all of them free.
    fn room(bytes: u64) -> Room {
        Room { zone_bytes: MIB, usable_zones: bytes / MIB, free_zones: bytes / MIB }
    }

    fn sizes(bytes: u64, shards: usize, wishes: &Wishes) -> Sizes {
        let plan = plan(&room(bytes), shards, wishes).expect("fits");
        lay_out(plan.wanted, plan.slab_blocks, shards, wishes).expect("valid")
    }

    fn slab_mib(bytes: u64, shards: usize) -> u64 {
        sizes(bytes, shards, &Wishes::default()).geometry.slab_blocks() / BLOCKS_PER_MIB
    }

    #[test]
    fn slabs_are_many_and_at_most_two_gib() {
        assert_eq!(slab_mib(1024 * GIB, 1), 2048);
        assert_eq!(slab_mib(GIB, 1), 8, "1 GiB less 32 MiB holds 124 slabs of 8 MiB, and only 62 of 16");
        assert_eq!(slab_mib(GIB + 64 * MIB, 1), 16);
        assert_eq!(slab_mib(64 * MIB, 1), 8);
        for shards in [1, 2, 3, 7, 32] {
            for bytes in [GIB, 3 * GIB, 100 * GIB, 5000 * GIB] {
                let plan = plan(&room(bytes), shards, &Wishes::default()).expect("fits");
                let wanted = SLABS_AT_LEAST.max(SLABS_PER_SHARD * shards as u64);
                let (slab, slabs) = (plan.slab_blocks, plan.wanted);
                assert!(slabs >= wanted || slab == MIN_SLAB_BLOCKS, "{shards} shards, {bytes} bytes");
                assert!(slabs / 2 < wanted || slab == AUTO_SLAB_BLOCKS, "{shards} shards, {bytes} bytes");
            }
        }
    }

    #[test]
    fn slabs_are_made_of_zones_and_leave_some_for_metadata() {
        let large = Room { zone_bytes: 32 * MIB, usable_zones: 40, free_zones: 30 };
        let found = plan(&large, 2, &Wishes::default()).expect("fits");
        assert_eq!(found, SlabPlan { slab_blocks: 32 * 256, slab_zones: 1, least: 2, wanted: 26 });
        let wishes = Wishes { slab_mib: Some(64), ..Wishes::default() };
        let found = plan(&large, 2, &wishes).expect("fits");
        assert_eq!((found.slab_zones, found.wanted), (2, 13));
        let wishes = Wishes { slab_mib: Some(8), ..Wishes::default() };
        let error = plan(&large, 2, &wishes).expect_err("smaller than a zone");
        assert_eq!(error, SizingError::SlabBelowZone { slab_mib: 8, zone_mib: 32 });
        let many = Room { zone_bytes: MIB, usable_zones: 6400, free_zones: 6400 };
        assert_eq!(plan(&many, 1, &Wishes::default()).expect("fits").wanted, 6200 / 64, "1/32 is left");
    }

    #[test]
    fn a_small_pool_is_refused_with_the_least_size() {
        assert!(plan(&room(12 * MIB), 1, &Wishes::default()).is_ok());
        let error = plan(&room(11 * MIB), 1, &Wishes::default()).expect_err("too small");
        let (free_mib, slab_mib, least_mib) = (11, 8, 12);
        assert_eq!(error, SizingError::TooSmall { free_mib, shards: 1, slab_mib, least_mib, metadata_mib: 4 });
        let wishes = Wishes { slab_mib: Some(64), ..Wishes::default() };
        let error = plan(&room(65 * MIB), 2, &wishes).expect_err("too small").to_string();
        assert!(
            error.contains("65 MiB are free, but 2 shard(s) with slabs of 64 MiB need at least 132 MiB"),
            "{error}"
        );
        assert!(plan(&room(0), 1, &Wishes::default()).is_err());
    }

    #[test]
    fn wishes_are_kept() {
        let wishes =
            Wishes { logical_mib: Some(1 << 32), slab_mib: Some(32), physical_mib: Some(100), index_mib: Some(3) };
        let sizes = sizes(GIB, 1, &wishes);
        assert_eq!(sizes.geometry.logical_blocks().0, 1 << 40);
        assert_eq!((sizes.geometry.slab_blocks(), sizes.geometry.slabs()), (32 * 256, 3));
        assert_eq!(sizes.index_bytes, 3 * MIB);
        let wishes = Wishes { physical_mib: Some(15), ..Wishes::default() };
        let error = plan(&room(GIB), 2, &wishes).expect_err("one slab for two shards").to_string();
        assert!(error.contains("'physical_size_mib' is 15") && error.contains("need at least 16"), "{error}");
        let wishes = Wishes { physical_mib: Some(1 << 40), ..Wishes::default() };
        let error = plan(&room(GIB), 1, &wishes).expect_err("more than there is");
        assert_eq!(error, SizingError::NoRoom { given_mib: 1 << 40, room_mib: 992, metadata_mib: 32 });
        let wishes = Wishes { physical_mib: Some(100), ..Wishes::default() };
        let found = plan(&room(GIB), 1, &wishes).expect("fits");
        assert_eq!((found.wanted, found.least), (12, 12), "whole slabs, and no less than was asked for");
    }

    #[test]
    fn the_logical_size_leaves_blocks_for_overwriting_a_full_volume() {
        let one = sizes(GIB, 1, &Wishes::default());
        assert_eq!(one.geometry.data_blocks().0, 124 * 8 * 256);
        assert_eq!(one.geometry.logical_blocks().0, 124 * 8 * 256 - 4096);
        let two = sizes(GIB, 2, &Wishes::default());
        assert_eq!(two.geometry.data_blocks().0 - two.geometry.logical_blocks().0, 8192);
        let small = sizes(12 * MIB, 1, &Wishes::default()).geometry;
        assert_eq!((small.data_blocks().0, small.logical_blocks().0), (2048, 1920));
    }

    #[test]
    fn the_index_has_room_for_every_block() {
        let sizes_of = |bytes| sizes(bytes, 1, &Wishes::default()).index_bytes;
        assert_eq!(sizes_of(GIB), 3 * MIB, "253952 records of 8 bytes at 80% are 2.4 MiB");
        assert_eq!(sizes_of(12 * MIB), MIB);
    }

    #[test]
    fn memory_counts_every_part() {
        let sizes = sizes(GIB, 2, &Wishes::default());
        let memory = Memory::of(&sizes, 1000, 10);
        assert_eq!(memory.reference_counts, sizes.geometry.data_blocks().0);
        assert_eq!((memory.fixed, memory.dma), (2000, 20));
        assert!(memory.block_map_at_most >= sizes.geometry.logical_blocks().0 * 8);
        assert_eq!(memory.at_most() - memory.certain(), memory.block_map_at_most);
    }
}
