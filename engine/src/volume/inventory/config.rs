// SPDX-License-Identifier: BSD-3-Clause

//! The CONFIG record of a volume's inventory: geometry and configuration.
//!
//! ```text
//!  offset size  CONFIG (kind 1)
//!       0    8  head
//!       8    8  nonce
//!      16    8  blocks in a slab
//!      24    8  zones of the pool in a slab
//!      32    8  logical blocks
//!      40    4  slab areas in each metadata object
//!      44    4  bytes of a block as clients see it: 512 or 4096
//!      48    4  MiB of the index
//!      52    4  MiB of the block map's cache
//!      56    4  MiB of the recovery journal of each shard
//!      60    4  MiB of the index's history
//!      64    1  media class of the metadata objects
//!      65    1  bit 0: compression is on; bit 1: deduplication is on
//!      66    2  length n of the core mask, up to 1024
//!      68    1  percent of the blocks that are kept until the operator releases them
//!      69    3  0
//!      72  192  secret of the fingerprints
//!     264    n  core mask, UTF-8
//!   264+n    4  CRC32C of all bytes before
//! ```
//! The nonce binds all metadata sectors to the volume; the secret keeps fingerprints the same for the volume's whole
//! life. Both are random, and never change.

use core::fmt;

use mpool::MediaClass;

use super::fields::Fields;
use super::{InventoryError, HEAD_BYTES};
use crate::fingerprint::SECRET_BYTES;
use crate::format::area::AreaLayout;
use crate::format::{Geometry, GeometryError, MAX_LOGICAL_BLOCKS, MAX_PHYSICAL_BLOCKS};
use crate::units::{Blocks, Pbn, BLOCK_SIZE};

/// The first data block of every volume: number 0 means "zeros", and the numbers between are unused.
pub const FIRST_PBN: Pbn = Pbn(256);

/// The most bytes of a core mask.
pub const MAX_CORE_MASK_BYTES: usize = 1024;

/// Bytes of the content without the core mask.
const FIXED_BYTES: usize = 256;

/// The most bytes of the content.
pub(super) const MAX_BYTES: usize = FIXED_BYTES + MAX_CORE_MASK_BYTES;

const _: () = assert!(FIXED_BYTES + HEAD_BYTES == 72 + SECRET_BYTES);

/// The bits of the byte of switches.
const COMPRESSION: u8 = 1;
const DEDUPLICATION: u8 = 2;

/// The largest share that can be kept for the operator, in percent.
pub const MAX_RESERVE_PERCENT: u8 = 50;

/// The geometry and configuration of a volume, without its number of slabs.
#[derive(Clone, PartialEq, Eq)]
pub struct VolumeConfig {
    /// The random number that binds metadata sectors to the volume.
    pub nonce: u64,
    /// Blocks in a slab, a power of two.
    pub slab_blocks: u64,
    /// Zones of the CAPACITY drive in a slab.
    pub slab_zones: u64,
    /// The logical size, which clients see.
    pub logical_blocks: Blocks,
    /// Slab areas in each metadata object.
    pub areas_per_object: u32,
    /// Bytes of a block as clients see it: 512 or 4096.
    pub block_size: u32,
    /// MiB of the index, over all shards.
    pub index_mib: u32,
    /// MiB of the block map's cache, over all shards.
    pub map_cache_mib: u32,
    /// MiB of the recovery journal of each shard.
    pub journal_mib: u32,
    /// MiB of the index's history, its level 2; 0 for none.
    pub history_mib: u32,
    /// Whether new data is compressed.
    pub compression: bool,
    /// Whether the index is asked for duplicates.
    pub deduplication: bool,
    /// Percent of the data blocks that are kept until the operator releases them; 0 once they are released.
    pub reserve_percent: u8,
    /// The media class of slab areas, roots and journals.
    pub metadata_class: MediaClass,
    /// The random secret of the fingerprints.
    pub secret: [u8; SECRET_BYTES],
    /// The cores that the volume runs on, as the operator gave them.
    pub core_mask: String,
}

impl Default for VolumeConfig {
    /// A volume that is not laid out yet, with the usual switches.
    fn default() -> VolumeConfig {
        VolumeConfig {
            nonce: 0,
            slab_blocks: 0,
            slab_zones: 0,
            logical_blocks: Blocks(0),
            areas_per_object: 0,
            block_size: BLOCK_SIZE as u32,
            index_mib: 0,
            map_cache_mib: 0,
            journal_mib: 0,
            history_mib: 0,
            compression: false,
            deduplication: true,
            reserve_percent: 0,
            metadata_class: MediaClass::Capacity,
            secret: [0; SECRET_BYTES],
            core_mask: String::new(),
        }
    }
}

impl VolumeConfig {
    /// The layout of a slab's metadata area.
    #[must_use]
    pub const fn area(&self) -> AreaLayout {
        AreaLayout::of(self.slab_blocks)
    }

    /// Bytes of a slab's metadata area.
    #[must_use]
    pub const fn area_bytes(&self) -> u64 {
        self.area().blocks() as u64 * BLOCK_SIZE as u64
    }

    /// The number of metadata objects for `slabs` slabs.
    #[must_use]
    pub const fn area_objects(&self, slabs: u64) -> u64 {
        slabs.div_ceil(self.areas_per_object as u64)
    }

    /// The layout of the volume with `slabs` slabs on `shards` shards.
    ///
    /// # Errors
    /// See [`GeometryError`].
    pub fn geometry(&self, slabs: u64, shards: usize) -> Result<Geometry, GeometryError> {
        let end = slabs.saturating_mul(self.slab_blocks).saturating_add(FIRST_PBN.0);
        Geometry::new(shards, self.logical_blocks, FIRST_PBN, Pbn(end), self.slab_blocks)
    }

    /// The most slabs that block numbers allow.
    #[must_use]
    pub const fn max_slabs(&self) -> u64 {
        (MAX_PHYSICAL_BLOCKS - FIRST_PBN.0) / self.slab_blocks
    }

    /// Whether `other` agrees in all fields that can never change.
    #[must_use]
    pub fn is_same_volume(&self, other: &VolumeConfig) -> bool {
        self.nonce == other.nonce
            && self.secret == other.secret
            && (self.slab_blocks, self.slab_zones) == (other.slab_blocks, other.slab_zones)
            && (self.areas_per_object, self.metadata_class) == (other.areas_per_object, other.metadata_class)
    }

    /// Checks each field on its own.
    ///
    /// # Errors
    /// Field: the first with an impossible value.
    pub fn check(&self) -> Result<(), InventoryError> {
        let slab = self.slab_blocks;
        let fits = [
            ("slab size in blocks", slab, slab.is_power_of_two() && (1 << 3..=1 << 23).contains(&slab)),
            ("slab size in zones", self.slab_zones, (1..=slab).contains(&self.slab_zones)),
            ("logical size", self.logical_blocks.0, (1..=MAX_LOGICAL_BLOCKS).contains(&self.logical_blocks.0)),
            ("number of areas in an object", self.areas_per_object.into(), self.areas_per_object > 0),
            ("block size", self.block_size.into(), matches!(self.block_size, 512 | 4096)),
            ("journal size in MiB", self.journal_mib.into(), self.journal_mib > 0),
            ("operator's reserve", self.reserve_percent.into(), self.reserve_percent <= MAX_RESERVE_PERCENT),
            ("length of the core mask", self.core_mask.len() as u64, self.core_mask.len() <= MAX_CORE_MASK_BYTES),
        ];
        match fits.into_iter().find(|(_, _, fits)| !fits) {
            None => Ok(()),
            Some((field, value, _)) => Err(InventoryError::Field { field, value }),
        }
    }

    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        for number in [self.nonce, self.slab_blocks, self.slab_zones, self.logical_blocks.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let sizes = [self.index_mib, self.map_cache_mib, self.journal_mib, self.history_mib];
        for number in [self.areas_per_object, self.block_size].into_iter().chain(sizes) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let compression = if self.compression { COMPRESSION } else { 0 };
        let deduplication = if self.deduplication { DEDUPLICATION } else { 0 };
        bytes.extend_from_slice(&[self.metadata_class as u8, compression | deduplication]);
        let length = u16::try_from(self.core_mask.len()).expect("a core mask has at most 1024 bytes");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&[self.reserve_percent, 0, 0, 0]);
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(self.core_mask.as_bytes());
    }

    pub(super) fn take(fields: &mut Fields<'_>) -> Result<VolumeConfig, InventoryError> {
        let [nonce, slab_blocks, slab_zones, logical] = [fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?];
        let [areas_per_object, block_size] = [fields.u32()?, fields.u32()?];
        let [index_mib, map_cache_mib, journal_mib, history_mib] =
            [fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?];
        let class = fields.u8()?;
        let metadata_class = MediaClass::from_number(class)
            .ok_or(InventoryError::Field { field: "media class", value: class.into() })?;
        let switches = fields.u8()?;
        if switches & !(COMPRESSION | DEDUPLICATION) != 0 {
            return Err(InventoryError::Field { field: "byte of switches", value: switches.into() });
        }
        let length = usize::from(fields.u16()?);
        let [reserve_percent, rest @ ..] = fields.array::<4>()?;
        if let Some(byte) = rest.into_iter().find(|byte| *byte != 0) {
            return Err(InventoryError::Field { field: "byte behind the reserve", value: byte.into() });
        }
        let secret = fields.array()?;
        let core_mask = fields.text(length, "core mask")?;
        let config = VolumeConfig {
            nonce,
            slab_blocks,
            slab_zones,
            logical_blocks: Blocks(logical),
            areas_per_object,
            block_size,
            index_mib,
            map_cache_mib,
            journal_mib,
            history_mib,
            compression: switches & COMPRESSION != 0,
            deduplication: switches & DEDUPLICATION != 0,
            reserve_percent,
            metadata_class,
            secret,
            core_mask,
        };
        config.check()?;
        Ok(config)
    }
}

impl fmt::Debug for VolumeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keep the secret out of logs.
        f.debug_struct("VolumeConfig")
            .field("nonce", &self.nonce)
            .field("slab_blocks", &self.slab_blocks)
            .field("slab_zones", &self.slab_zones)
            .field("logical_blocks", &self.logical_blocks)
            .field("areas_per_object", &self.areas_per_object)
            .field("block_size", &self.block_size)
            .field("index_mib", &self.index_mib)
            .field("map_cache_mib", &self.map_cache_mib)
            .field("journal_mib", &self.journal_mib)
            .field("history_mib", &self.history_mib)
            .field("compression", &self.compression)
            .field("deduplication", &self.deduplication)
            .field("reserve_percent", &self.reserve_percent)
            .field("metadata_class", &self.metadata_class)
            .field("core_mask", &self.core_mask)
            .finish_non_exhaustive()
    }
}
