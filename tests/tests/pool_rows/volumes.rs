// SPDX-License-Identifier: BSD-3-Clause

//! What the objects of a volume cost.

use engine::volume::catalog::Catalog;
use engine::volume::inventory::VolumeConfig;
use engine::volume::store::{SlabWish, VolumeSpec, VolumeStore};
use engine::Blocks;
use mpool::testing::{plain_disk, What};
use uuid::Uuid;

use super::world::{Computer, MIB};

/// Blocks in a slab: one zone of 1 MiB.
const SLAB_BLOCKS: u64 = 256;

fn spec(slabs: u64) -> VolumeSpec {
    VolumeSpec {
        name: "D0".to_owned(),
        uuid: Uuid::from_u128(7),
        slabs: SlabWish { least: slabs, wanted: slabs },
        shards: 2,
        config: VolumeConfig {
            slab_blocks: SLAB_BLOCKS,
            index_mib: 1,
            map_cache_mib: 16,
            journal_mib: 4,
            history_mib: 4,
            core_mask: "0x3".to_owned(),
            ..VolumeConfig::default()
        },
    }
}

/// A volume is made with a few flushes, however many slabs it has: they are committed together.
#[test]
fn a_volume_of_many_slabs_is_made_with_few_flushes() {
    for slabs in [20, 2084] {
        let mut disk = plain_disk("disk", 3000 * MIB, 512);
        disk.volatile_cache = true;
        Computer::with_disk(disk).live(move |world| async move {
            let pool = world.create(16).await;
            world.script.forget();
            let catalog = Catalog::open(&pool).await.expect("a new pool");
            let size = |slabs, config: &mut VolumeConfig| {
                config.logical_blocks = Blocks(slabs * SLAB_BLOCKS);
                Ok(())
            };
            let store = VolumeStore::create(&pool, &catalog, &spec(slabs), size).await.expect("there is room");
            let flushes = world.script.count(|op| op.what == What::Flush);
            assert_eq!(store.slabs(), slabs);
            // Two for each of 16 containers, and some for catalog and inventory.
            assert!(flushes < 70, "{flushes} flushes for {slabs} slabs");
        });
    }
}
