// SPDX-License-Identifier: BSD-3-Clause

//! Parameters of `bdev_dedupe_create`.

use uuid::Uuid;

use super::administration::is_reserve;
use super::{Fields, ParamError, Reader, BASE_NAME, BLOCK, CACHE, CPUMASK, HISTORY, INDEX, JOURNAL, LOGICAL, NEW_NAME};
use super::{PHYSICAL, POOL_NAME, RESERVE, SLAB, UUID};
use crate::cpumask;
use crate::sizing::Wishes;

/// Block sizes that a volume can expose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockSize {
    /// 512 bytes: partial blocks are read, changed and written.
    Sector,
    /// 4096 bytes.
    Block,
}

impl BlockSize {
    /// Bytes in a block.
    pub const fn bytes(self) -> u32 {
        match self {
            BlockSize::Sector => 512,
            BlockSize::Block => 4096,
        }
    }
}

/// Parameters of `bdev_dedupe_create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateParams {
    /// The bdev that stores the data, in a pool that is made for the volume.
    pub base_bdev_name: Option<String>,
    /// The pool that stores the data.
    pub pool_name: Option<String>,
    /// Name of the new bdev.
    pub name: String,
    /// Identity of the new bdev; generated when not given.
    pub uuid: Option<Uuid>,
    /// The core mask as given; all reactors when not.
    pub cpumask: Option<String>,
    /// Exposed block size; 4096 when not given.
    pub block_size: Option<BlockSize>,
    /// Logical size in MiB; a little less than the data area when not given (see [`crate::sizing`]).
    pub logical_size_mib: Option<u64>,
    /// Slab size in MiB; chosen by the free space of the pool when not given.
    pub slab_size_mib: Option<u64>,
    /// Size of all slabs in MiB; all that the pool has, less some for metadata, when not given.
    pub physical_size_mib: Option<u64>,
    /// Size of the level-1 index in MiB; room for one record of each physical block when not given.
    pub index_memory_mib: Option<u64>,
    /// Size of the block map's cache in MiB; [`BLOCK_MAP_CACHE_MIB`] when not given.
    pub block_map_cache_mib: Option<u64>,
    /// Size of the recovery journal of each shard in MiB; 32, or less for small pools, when not given.
    pub journal_size_mib: Option<u64>,
    /// Size of the index's history in MiB, 0 for none; four times the index, or less for small pools, when not given.
    pub index_history_mib: Option<u64>,
    /// Whether compression is on; off when not given, as in dm-vdo.
    pub compression: Option<bool>,
    /// Whether deduplication is on; on when not given.
    pub deduplication: Option<bool>,
    /// A volume of this name in this place is all that is asked for.
    pub unless_exists: bool,
    /// Take the base bdev whatever is on it.
    pub force: bool,
    /// Percent of the room for data that is kept until the operator releases it; [`RESERVE_PERCENT`] when not given.
    pub reserve_percent: Option<u64>,
}

/// What is kept for the operator when nothing is asked for.
const RESERVE_PERCENT: u64 = 1;

/// The block map's cache when none is asked for.
pub const BLOCK_MAP_CACHE_MIB: u64 = 128;

const CREATE: &[&str] = &[
    "base_bdev_name",
    "pool_name",
    "name",
    "uuid",
    "cpumask",
    "block_size",
    "logical_size_mib",
    "slab_size_mib",
    "physical_size_mib",
    "index_memory_mib",
    "block_map_cache_mib",
    "journal_size_mib",
    "index_history_mib",
    "compression",
    "deduplication",
    "unless_exists",
    "force",
    "reserve_percent",
];

impl CreateParams {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// The first parameter that is unknown, missing or not allowed.
    pub fn parse(fields: Fields) -> Result<CreateParams, ParamError> {
        let mut reader = Reader::new(fields, CREATE)?;
        let params =
            CreateParams {
                base_bdev_name: reader.optional_string("base_bdev_name", BASE_NAME)?,
                pool_name: reader.optional_string("pool_name", POOL_NAME)?,
                name: reader.string("name", NEW_NAME)?,
                uuid: reader.optional_string("uuid", UUID)?.map(|text| parse_uuid(&text)).transpose()?,
                cpumask: reader.optional_string("cpumask", CPUMASK)?,
                block_size: reader
                    .optional_number("block_size", BLOCK, |size| size == 512 || size == 4096)?
                    .map(|size| if size == 512 { BlockSize::Sector } else { BlockSize::Block }),
                logical_size_mib: reader
                    .optional_number("logical_size_mib", LOGICAL, |mib| (1..=1 << 32).contains(&mib))?,
                slab_size_mib: reader.optional_number("slab_size_mib", SLAB, |mib| {
                    mib.is_power_of_two() && (8..=32768).contains(&mib)
                })?,
                physical_size_mib: reader
                    .optional_number("physical_size_mib", PHYSICAL, |mib| (8..=1 << 28).contains(&mib))?,
                index_memory_mib: reader
                    .optional_number("index_memory_mib", INDEX, |mib| (1..=1 << 20).contains(&mib))?,
                block_map_cache_mib: reader
                    .optional_number("block_map_cache_mib", CACHE, |mib| (1..=1 << 20).contains(&mib))?,
                journal_size_mib: reader
                    .optional_number("journal_size_mib", JOURNAL, |mib| (1..=1 << 16).contains(&mib))?,
                index_history_mib: reader.optional_number("index_history_mib", HISTORY, |mib| mib <= 1 << 20)?,
                compression: reader.optional_boolean("compression")?,
                deduplication: reader.optional_boolean("deduplication")?,
                unless_exists: reader.flag("unless_exists")?,
                force: reader.flag("force")?,
                reserve_percent: reader.optional_number("reserve_percent", RESERVE, is_reserve)?,
            };
        if params.base_bdev_name.is_some() == params.pool_name.is_some() {
            return Err(ParamError::OnePlace);
        }
        params.cores()?;
        Ok(params)
    }

    /// The sizes that were asked for.
    pub fn wishes(&self) -> Wishes {
        Wishes {
            logical_mib: self.logical_size_mib,
            slab_mib: self.slab_size_mib,
            physical_mib: self.physical_size_mib,
            index_mib: self.index_memory_mib,
            history_mib: self.index_history_mib,
            journal_mib: self.journal_size_mib,
        }
    }

    /// Bytes in a block as the bdev shows it.
    pub fn exposed_block_bytes(&self) -> u32 {
        self.block_size.unwrap_or(BlockSize::Block).bytes()
    }

    /// Size of the block map's cache in MiB.
    pub fn block_map_cache_mib(&self) -> u32 {
        // At most 2^20.
        self.block_map_cache_mib.unwrap_or(BLOCK_MAP_CACHE_MIB) as u32
    }

    /// Percent of the room for data that is kept for the operator.
    pub fn reserve_percent(&self) -> u8 {
        // At most 50.
        self.reserve_percent.unwrap_or(RESERVE_PERCENT) as u8
    }

    /// The cores that the mask names; none when no mask was given.
    ///
    /// # Errors
    /// The mask cannot be read.
    pub fn cores(&self) -> Result<Option<Vec<u32>>, ParamError> {
        Ok(self.cpumask.as_deref().map(cpumask::parse).transpose()?)
    }
}

fn parse_uuid(text: &str) -> Result<Uuid, ParamError> {
    Uuid::try_parse(text).ok().filter(|uuid| !uuid.is_nil()).ok_or_else(|| ParamError::Bad {
        name: "uuid",
        given: format!("\"{text}\""),
        allowed: UUID,
    })
}
