// SPDX-License-Identifier: BSD-3-Clause

//! The sizes of a new volume's parts: slabs, recovery journals, logical size, index. Arithmetic only.
//!
//! The slab size is chosen such that each shard gets at least [`SLABS_PER_SHARD`] slabs, because a shard whose slabs
//! are full must ask others, and the volume at least [`SLABS_AT_LEAST`], because a tail smaller than a slab is lost
//! (then less than 1.6% of the room). The largest chosen size is dm-vdo's default of 2 GiB. Slabs may be smaller than
//! dm-vdo's minimum of 32 MiB (down to 8 MiB), because here a slab contains no metadata of its own. A slab is a whole
//! number of the pool's zones.
//!
//! Slabs' metadata areas, roots and journals lie on the STAGING drive if the pool has one, else beside the slabs
//! ([`Footprint`]). Room for the index's history is left on the CAPACITY drive ([`IndexLayout`]).
//!
//! Sizing has two steps, because only the pool knows how many runs of zones it has: [`plan`] determines the slab size
//! and the wanted number of slabs, [`lay_out`] the other sizes from the slabs that were allocated.

use engine::format::GeometryError;
use engine::volume::inventory::VolumeConfig;
use engine::volume::store::{Footprint, IndexLayout};
use engine::{Blocks, BLOCK_SIZE};
use thiserror::Error;

use super::create_params::Wishes;

/// A volume leaves one in this many of the pool's usable zones free, and at least [`SPARE_ZONES`]: for more journals,
/// when the volume is loaded on more shards, and for other objects in the pool.
const SPARE_ZONE_SHARE: u64 = 32;
const SPARE_ZONES: u64 = 4;

/// 8 MiB.
pub const MIN_SLAB_BLOCKS: u64 = 1 << 11;

/// Largest slab size that is chosen by default: 2 GiB.
pub const AUTO_SLAB_BLOCKS: u64 = 1 << 19;

/// Slabs that each shard should have.
pub const SLABS_PER_SHARD: u64 = 4;

/// Slabs that a volume should have.
pub const SLABS_AT_LEAST: u64 = 64;

/// Default recovery journal of a shard in MiB; less where all journals would take more than one in [`JOURNAL_SHARE`] of
/// the drive.
pub const JOURNAL_MIB: u64 = 32;

const MIN_JOURNAL_MIB: u64 = 1;

/// See [`JOURNAL_MIB`].
const JOURNAL_SHARE: u64 = 16;

/// Default size of the index's history as a multiple of the index.
const HISTORY_RATIO: u64 = 4;

/// The default history takes at most one part in this many of the free space, but one chapter where there are
/// [`HISTORY_AT_LEAST`] zones: without a history the index is empty after each start.
const HISTORY_SHARE: u64 = 64;

/// On drives with fewer zones a history would be mostly waste, since its open chapters take whole zones.
const HISTORY_AT_LEAST: u64 = 32;

/// The default index has a record for each data block up to this size, and beyond it a share of the data area.
const WHOLE_INDEX_MIB: u64 = 512;

/// MiB of the default index for each TiB of the data area, beyond [`WHOLE_INDEX_MIB`]. The records that do not fit are found
/// through the history.
const INDEX_MIB_PER_TIB: u64 = 384;

/// Memory of a volume besides the index and the reference counts, roughly: caches, arenas, hooks.
const OTHER_MEMORY_MIB: u64 = 256;

/// The default index is not reduced below this for lack of memory.
const LEAST_INDEX_MIB: u64 = 16;

const MIB: u64 = 1 << 20;
const MIB_PER_TIB: u64 = 1 << 20;
const BLOCKS_PER_MIB: u64 = MIB / BLOCK_SIZE as u64;

/// Data blocks for each shard that the default logical size leaves over. An overwrite takes its new block before it
/// frees the old one, so without them a volume full of unique data could not be overwritten. Twice what a shard can
/// have in flight.
pub const SPARE_BLOCKS_PER_SHARD: u64 = 4096;

/// On bases too small for [`SPARE_BLOCKS_PER_SHARD`], one in this many blocks of the data area is left over.
const SPARE_SHARE: u64 = 16;

/// Data blocks for each page that the block map may come to have: pages lie in slabs, too.
const MAPPINGS_PER_PAGE: u64 = 504;

/// Pages that even an empty volume may come to need: a page of each level for each of the 60 trees.
const FIRST_PAGES: u64 = 3 * 60;

/// What a pool can offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Zone size of the CAPACITY drive.
    pub zone_bytes: u64,
    /// Zones of the CAPACITY drive for objects, in use or not.
    pub usable_zones: u64,
    /// Free zones of the CAPACITY drive.
    pub free_zones: u64,
    /// The STAGING drive, if there is one.
    pub metadata: Option<MetadataRoom>,
    /// Memory that a volume may take by default, if that is known.
    pub memory_mib: Option<u64>,
}

/// What a STAGING drive can offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataRoom {
    pub zone_bytes: u64,
    /// Free zones for objects.
    pub free_zones: u64,
}

/// The parts that a volume wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabPlan {
    pub slab_blocks: u64,
    /// Fewest slabs that will do: one for each shard, or as many as were asked for.
    pub least: u64,
    /// Slabs that are wanted.
    pub wanted: u64,
    /// Recovery journal of each shard.
    pub journal_mib: u32,
    pub index_limits: IndexLimits,
}

/// Upper limits of the default sizes of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexLimits {
    pub history_mib: u64,
    /// Memory of the volume as a whole, if that is known.
    pub memory_mib: Option<u64>,
}

/// Why a volume does not fit its pool.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SizingError {
    /// Not even the fewest slabs fit.
    #[error(
        "it is too small: {free_mib} MiB are free, but {shards} shard(s) with slabs of {slab_mib} MiB need at least \
         {least_mib} MiB, {metadata_mib} MiB of it for metadata"
    )]
    TooSmall { free_mib: u64, shards: u64, slab_mib: u64, least_mib: u64, metadata_mib: u64 },
    /// The STAGING drive has no room for the metadata of the fewest slabs.
    #[error(
        "its STAGING drive is too small: {free_mib} MiB are free, but {shards} shard(s) need at least {least_mib} MiB"
    )]
    StagingTooSmall { free_mib: u64, shards: u64, least_mib: u64 },
    /// The requested slab size is smaller than the pool's zones.
    #[error(
        "parameter 'slab_size_mib' is {slab_mib}, but the pool has zones of {zone_mib} MiB, and a slab has at least \
         one"
    )]
    SlabBelowZone { slab_mib: u64, zone_mib: u64 },
    /// Fewer slabs were asked for than there are shards.
    #[error(
        "parameter 'physical_size_mib' is {given_mib}: {shards} shard(s) with slabs of {slab_mib} MiB need at least \
         {least_mib}"
    )]
    PhysicalSize { given_mib: u64, shards: u64, slab_mib: u64, least_mib: u64 },
    /// More was asked for than is free.
    #[error(
        "parameter 'physical_size_mib' is {given_mib}, but only {room_mib} MiB are free, {metadata_mib} MiB for \
         metadata left out"
    )]
    NoRoom { given_mib: u64, room_mib: u64, metadata_mib: u64 },
    /// Another limit of the layout.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
}

/// What a volume of `shards` shards wants of a pool.
///
/// # Errors
/// The pool has too little room, or a requested size does not suit it.
pub fn plan(room: &Room, shards: usize, wishes: &Wishes) -> Result<SlabPlan, SizingError> {
    let (zone_blocks, zone_mib) = (room.zone_bytes / BLOCK_SIZE as u64, room.zone_bytes / MIB);
    let journal_mib = journal_mib(room, shards, wishes);
    let slab_blocks = match wishes.slab_size_mib {
        Some(slab_mib) if slab_mib * MIB < room.zone_bytes => {
            return Err(SizingError::SlabBelowZone { slab_mib, zone_mib });
        }
        Some(mib) => mib * BLOCKS_PER_MIB,
        None => choose_slab(room.free_zones * zone_blocks, shards as u64).max(zone_blocks),
    };
    let most_chapters = (room.free_zones / HISTORY_SHARE).max(u64::from(room.free_zones >= HISTORY_AT_LEAST));
    let index_limits = IndexLimits { history_mib: most_chapters * zone_mib, memory_mib: room.memory_mib };
    let indexing = Some(Indexing { wishes, limits: index_limits });
    let needs = Needs { room, shards, slab_blocks, journal_mib, indexing };
    let (slabs, slab_mib) = (needs.most_slabs(), slab_blocks / BLOCKS_PER_MIB);
    let shards = shards as u64;
    if slabs < shards {
        return Err(needs.too_small());
    }
    let wanted = match wishes.physical_size_mib {
        Some(given_mib) if given_mib / slab_mib < shards => {
            return Err(SizingError::PhysicalSize { given_mib, shards, slab_mib, least_mib: shards * slab_mib });
        }
        Some(given_mib) if given_mib / slab_mib > slabs => {
            let metadata_mib = (room.free_zones * zone_mib).saturating_sub(slabs * slab_mib);
            return Err(SizingError::NoRoom { given_mib, room_mib: slabs * slab_mib, metadata_mib });
        }
        Some(given_mib) => given_mib / slab_mib,
        None => slabs,
    };
    let least = if wishes.physical_size_mib.is_some() { wanted } else { shards };
    Ok(SlabPlan { slab_blocks, least, wanted, journal_mib, index_limits })
}

/// The number of slabs to grow by: to `wanted_mib` in all, or as many as there is room for. `room` does not include
/// what is kept free for the volume's index.
///
/// # Errors
/// There is no room for the slabs that are wanted, or the volume has as many already.
pub fn plan_growth(room: &Room, (slabs, slab_blocks): (u64, u64), wanted_mib: Option<u64>) -> Result<u64, SizingError> {
    // The journals exist already, so those of one more shard cover everything else the volume needs.
    let needs = Needs { room, shards: 1, slab_blocks, journal_mib: MIN_JOURNAL_MIB as u32, indexing: None };
    let (more, slab_mib) = (needs.most_slabs(), slab_blocks / BLOCKS_PER_MIB);
    match wanted_mib {
        None => Ok(more),
        Some(given_mib) if given_mib / slab_mib > slabs + more => {
            let metadata_mib = (room.free_zones * room.zone_bytes / MIB).saturating_sub(more * slab_mib);
            Err(SizingError::NoRoom { given_mib, room_mib: (slabs + more) * slab_mib, metadata_mib })
        }
        Some(given_mib) => Ok((given_mib / slab_mib).saturating_sub(slabs)),
    }
}

/// What a volume needs of a pool, for slabs of one size.
struct Needs<'a> {
    room: &'a Room,
    shards: usize,
    slab_blocks: u64,
    journal_mib: u32,
    /// None: room for the index is set aside already.
    indexing: Option<Indexing<'a>>,
}

/// The basis for the sizes of the index and its history.
#[derive(Clone, Copy)]
struct Indexing<'a> {
    wishes: &'a Wishes,
    limits: IndexLimits,
}

impl Indexing<'_> {
    /// Size of the index, and of its history, in MiB.
    fn sizes(&self, data_blocks: u64) -> (u32, u32) {
        let index_mib =
            self.wishes.index_memory_mib.unwrap_or_else(|| default_index(data_blocks, self.limits.memory_mib));
        let usual = index_mib.saturating_mul(HISTORY_RATIO).min(self.limits.history_mib);
        let field = |mib: u64| u32::try_from(mib).unwrap_or(u32::MAX);
        (field(index_mib), field(self.wishes.index_history_mib.unwrap_or(usual)))
    }
}

impl Needs<'_> {
    /// Zones of the CAPACITY drive, and of the STAGING drive, for `slabs` slabs.
    fn zones(&self, slabs: u64) -> (u64, u64) {
        let zone_bytes = self.room.zone_bytes;
        let metadata_zone_bytes = self.room.metadata.map_or(zone_bytes, |metadata| metadata.zone_bytes);
        let footprint = Footprint::of(
            (self.slab_blocks, slabs),
            (self.journal_mib, self.shards),
            (zone_bytes, metadata_zone_bytes),
        );
        let spare = (self.room.usable_zones / SPARE_ZONE_SHARE).max(SPARE_ZONES);
        let slab_zones = self.slab_blocks * BLOCK_SIZE as u64 / zone_bytes;
        let capacity = slabs.saturating_mul(slab_zones) + footprint.capacity_zones + spare + self.index_zones(slabs);
        match self.room.metadata {
            Some(_) => (capacity, footprint.metadata_zones),
            None => (capacity + footprint.metadata_zones, 0),
        }
    }

    /// Zones of the CAPACITY drive for the index.
    fn index_zones(&self, slabs: u64) -> u64 {
        let Some(indexing) = &self.indexing else { return 0 };
        let (_, history_mib) = indexing.sizes(slabs.saturating_mul(self.slab_blocks));
        IndexLayout::of(history_mib, self.room.zone_bytes).zones
    }

    fn fit(&self, slabs: u64) -> bool {
        let (capacity, staging) = self.zones(slabs);
        capacity <= self.room.free_zones && staging <= self.room.metadata.map_or(0, |metadata| metadata.free_zones)
    }

    /// The largest number of slabs that fits.
    fn most_slabs(&self) -> u64 {
        let slab_zones = (self.slab_blocks * BLOCK_SIZE as u64 / self.room.zone_bytes).max(1);
        let (mut fit, mut too_many) = (0, self.room.free_zones / slab_zones + 1);
        while too_many - fit > 1 {
            let middle = fit + (too_many - fit) / 2;
            if self.fit(middle) {
                fit = middle;
            } else {
                too_many = middle;
            }
        }
        fit
    }

    /// The error that not one slab for each shard fits.
    fn too_small(&self) -> SizingError {
        let shards = self.shards as u64;
        let (zone_mib, slab_mib) = (self.room.zone_bytes / MIB, self.slab_blocks / BLOCKS_PER_MIB);
        let (capacity, staging) = self.zones(shards);
        if let Some(metadata) = self.room.metadata.filter(|metadata| staging > metadata.free_zones) {
            let mib = |zones: u64| zones * metadata.zone_bytes / MIB;
            return SizingError::StagingTooSmall {
                free_mib: mib(metadata.free_zones),
                shards,
                least_mib: mib(staging),
            };
        }
        let least_mib = capacity * zone_mib;
        SizingError::TooSmall {
            free_mib: self.room.free_zones * zone_mib,
            shards,
            slab_mib,
            least_mib,
            metadata_mib: least_mib - shards * slab_mib,
        }
    }
}

/// Size of each shard's journal in MiB.
fn journal_mib(room: &Room, shards: usize, wishes: &Wishes) -> u32 {
    let drive_bytes =
        room.metadata.map_or(room.free_zones * room.zone_bytes, |metadata| metadata.free_zones * metadata.zone_bytes);
    let share = drive_bytes / MIB / JOURNAL_SHARE / shards.max(1) as u64;
    let mib = wishes.journal_size_mib.unwrap_or_else(|| share.clamp(MIN_JOURNAL_MIB, JOURNAL_MIB));
    u32::try_from(mib).unwrap_or(u32::MAX)
}

/// Sets the sizes of a volume of `shards` shards that follow from its number of slabs.
pub fn lay_out(slabs: u64, plan: &SlabPlan, shards: usize, wishes: &Wishes, config: &mut VolumeConfig) {
    let data_blocks = slabs * plan.slab_blocks;
    let spare = (SPARE_BLOCKS_PER_SHARD * shards as u64).min(data_blocks.div_ceil(SPARE_SHARE));
    let pages = (data_blocks.div_ceil(MAPPINGS_PER_PAGE) + FIRST_PAGES).min(data_blocks.div_ceil(SPARE_SHARE));
    let logical = wishes.logical_size_mib.map_or(data_blocks - spare - pages, |mib| mib * BLOCKS_PER_MIB);
    config.logical_blocks = Blocks(logical);
    (config.index_mib, config.history_mib) = Indexing { wishes, limits: plan.index_limits }.sizes(data_blocks);
}

/// The largest power of two that gives each shard its slabs, within bounds.
fn choose_slab(room: u64, shards: u64) -> u64 {
    let share = room / (shards * SLABS_PER_SHARD).max(SLABS_AT_LEAST);
    if share < MIN_SLAB_BLOCKS {
        return MIN_SLAB_BLOCKS;
    }
    (1 << share.ilog2()).min(AUTO_SLAB_BLOCKS)
}

/// MiB of the index of a volume that may take so much memory: one record of 8 bytes for each data block at 80% load, or
/// less.
fn default_index(data_blocks: u64, most_memory_mib: Option<u64>) -> u64 {
    let whole = (data_blocks * 8 * 5 / 4).div_ceil(MIB);
    let share = WHOLE_INDEX_MIB + data_blocks / BLOCKS_PER_MIB * INDEX_MIB_PER_TIB / MIB_PER_TIB;
    let others = data_blocks.div_ceil(MIB) + OTHER_MEMORY_MIB;
    let left = most_memory_mib.map_or(u64::MAX, |most| most.saturating_sub(others).max(LEAST_INDEX_MIB));
    whole.min(share).min(left).max(1)
}

#[cfg(test)]
mod tests;
