// SPDX-License-Identifier: BSD-3-Clause

//! Parameters of `bdev_dedupe_create`.

use engine::volume::inventory::config::MAX_RESERVE_PERCENT;
use uuid::Uuid;

use crate::params::{
    cores, flag, mib, one_of_numbers, params, percent, power_of_two_mib, switch, text, uuid, Checked, Field,
    FromChecked, Param, ParamError, Params, Reader, BLOCK_MAP_CACHE, INDEX, LOGICAL, NEW_VOLUME, PHYSICAL,
};

/// Where a new volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a pool on this bdev, which is made for it.
    Base(String),
    /// In this pool.
    Pool(String),
}

const BASE: Param = text("the name of an existing bdev").letter('b').about(&[
    "Bdev that stores the data, in a media pool that is made for the new bdev: 512 or 4096-byte blocks without metadata; it \
     is claimed. This or `pool_name` is needed.",
]);

const IN_POOL: Param = text("the name of an active media pool")
    .letter('p')
    .about(&["Active media pool that stores the data. This or `base_bdev_name` is needed."]);

impl Params for Place {
    fn list(all: &mut Vec<Param>) {
        all.extend(Place::params());
    }

    fn read(reader: &mut Reader) -> Result<Place, ParamError> {
        let [base, pool] = Place::params();
        match (Field::read(reader, &base)?, Field::read(reader, &pool)?) {
            (Some(base), None) => Ok(Place::Base(base)),
            (None, Some(pool)) => Ok(Place::Pool(pool)),
            _ => Err(ParamError::OnePlace),
        }
    }
}

impl Place {
    const fn params() -> [Param; 2] {
        [BASE.of::<Option<String>>("base_bdev_name", &[]), IN_POOL.of::<Option<String>>("pool_name", &[])]
    }
}

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

impl FromChecked for BlockSize {
    fn from_checked(value: Checked) -> Option<BlockSize> {
        let bytes = u32::from_checked(value)?;
        [BlockSize::Sector, BlockSize::Block].into_iter().find(|size| size.bytes() == bytes)
    }
}

params! {
    /// The sizes that are asked for; what is not is chosen ([`super::sizing`]).
    #[derive(Default)]
    pub struct Wishes {
        /// Size that the new bdev shows; may exceed that of the base.
        pub logical_size_mib: Option<u64> = LOGICAL.letter('l').or("the room for data, less a little spare"),
        /// Unit of space management, at least the pool's zone size.
        pub slab_size_mib: Option<u64> = power_of_two_mib(8, 32768).letter('S').or("by the free space"),
        /// Room for data.
        pub physical_size_mib: Option<u64> = PHYSICAL.letter('P')
            .or("what is free in the pool, less the volume's metadata and 1/32 of the pool"),
        /// Memory for the deduplication index.
        pub index_memory_mib: Option<u64> = INDEX.letter('i')
            .or("room for every block; in large volumes less, and a quarter of the free memory at most"),
        /// Recovery journal of each core, which bounds the time of a recovery.
        pub journal_size_mib: Option<u64> = mib(1, 1 << 16).letter('j').or("32, less in pools below 512 MiB a core"),
        /// History of the index in the pool, its level 2; 0 for none.
        pub index_history_mib: Option<u64> = mib(0, 1 << 20).letter('H')
            .or("four times the index, 1/64 of the free space at most"),
    }
}

params! {
    /// Parameters of `bdev_dedupe_create`.
    pub struct CreateParams {
        /// Name of the new bdev.
        pub name: String = NEW_VOLUME.letter('n'),
        /// Where it is.
        pub place: Place,
        /// UUID of the new bdev.
        pub uuid: Option<Uuid> = uuid().letter('u').or("a random one"),
        /// Cores to run on, one shard each, 32 at most: `"0x3"` or `"[0,2-5]"`.
        pub cpumask: Option<String> = cores().letter('m').or("all cores of the application"),
        /// Block size that the new bdev shows; with 512, what is not aligned to 4096 is read, changed and written.
        pub block_size: BlockSize = one_of_numbers(&[512, 4096]).letter('s').or_number(4096),
        /// The sizes of its parts.
        pub sizes: Wishes,
        /// Memory for the cache of the block map; it takes at least 8.5 MiB a core.
        pub block_map_cache_mib: u32 = BLOCK_MAP_CACHE.letter('C').or_number(128),
        /// Compress what is stored.
        pub compression: bool = switch().or_bool(false),
        /// Look for duplicates of what is stored.
        pub deduplication: bool = switch().or_bool(true),
        /// A bdev of this name in this place is all that is asked for.
        pub unless_exists: bool = flag(),
        /// Take the base bdev even if something is on it: a pool, a file system, a partition table.
        pub force: bool = flag().letter('f'),
        /// Room for data that is kept until `bdev_dedupe_set_reserve` releases it.
        pub reserve_percent: u8 = percent(MAX_RESERVE_PERCENT as u64).or_number(1),
    }
}
