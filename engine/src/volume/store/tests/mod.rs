// SPDX-License-Identifier: BSD-3-Clause

//! Objects of volumes in pools on disks in memory.

mod cuts;
mod growth;
mod identity;
mod index;
mod journals;
mod lives;

use std::rc::Rc;

use mpool::management::create::CreateRequest;
use mpool::params::{CreateParams, LayoutWish, ParamChanges};
use mpool::testing::world::{World, MIB};
use uuid::Uuid;

use super::*;
use crate::units::Blocks;
use crate::volume::catalog::Catalog;

/// Blocks in a slab of 2 MiB.
const SLAB_BLOCKS: u64 = 512;

/// A pool called "mp" in zones of 1 MiB, on "cap" with 64 MiB and, if asked for, "stg" with 32 MiB.
fn world(staging: bool) -> World {
    let world = World::with_two_disks();
    let layout = LayoutWish {
        zone_mib: Some(1),
        mdc0_log_mib: Some(1),
        mdc_log_mib: Some(1),
        containers: Some(2),
        root_log_bytes: Some(MIB),
    };
    let changes = ParamChanges { spare_percent: [Some(0), Some(0)], ..ParamChanges::default() };
    let params = CreateParams { layout, changes, ..CreateParams::default() };
    let (name, capacity, staging) = ("mp".into(), "cap".into(), staging.then(|| "stg".into()));
    let request = CreateRequest { name, capacity, staging, staging_zone_mib: Some(1), params, force: false };
    world.run(world.registry.create(&request)).expect("a pool");
    world
}

fn pool(world: &World) -> Rc<Pool> {
    Rc::clone(world.registry.find("mp").expect("active").pool())
}

fn spec(least: u64, wanted: u64) -> VolumeSpec {
    VolumeSpec {
        name: "D0".to_owned(),
        uuid: Uuid::from_u128(7),
        slabs: SlabWish { least, wanted },
        shards: 1,
        config: VolumeConfig {
            slab_blocks: SLAB_BLOCKS,
            index_mib: 1,
            map_cache_mib: 16,
            journal_mib: 1,
            history_mib: 4,
            core_mask: "0x1".to_owned(),
            ..VolumeConfig::default()
        },
    }
}

fn configured(change: impl FnOnce(&mut VolumeConfig)) -> VolumeSpec {
    let mut spec = spec(1, 1);
    change(&mut spec.config);
    spec
}

fn size(slabs: u64, config: &mut VolumeConfig) -> Result<()> {
    config.logical_blocks = Blocks(slabs * SLAB_BLOCKS * 2);
    Ok(())
}

async fn make(pool: &Rc<Pool>, spec: &VolumeSpec) -> Result<VolumeStore> {
    let catalog = Catalog::open(pool).await?;
    let made = VolumeStore::create(pool, &catalog, spec, size).await;
    catalog.close().await?;
    made
}

async fn reopen(pool: &Rc<Pool>) -> Result<VolumeStore> {
    let catalog = Catalog::open(pool).await?;
    let entry = catalog.find("D0");
    catalog.close().await?;
    let missing = || PoolError::new(Kind::NotFound, "volume 'D0'", "not in the catalog");
    VolumeStore::open(pool, entry.ok_or_else(missing)?).await
}

/// Restarts the host after a power cut, which loses what was not flushed, and activates the pool again.
fn restart(world: World, staging: bool) -> World {
    for disk in ["cap", "stg"] {
        world.disk(disk).lose_unflushed();
    }
    let world = world.cut();
    for disk in ["cap", "stg"] {
        world.disk(disk).heal();
    }
    world.activate(if staging { &["cap", "stg"] } else { &["cap"] }).expect("the pool is whole");
    world
}

/// Zones in use on both drives, when no erasure is in progress.
fn used_zones(world: &World) -> Vec<u64> {
    world.run_for(mpool::units::Nanos(1_000_000_000));
    pool(world).drives().iter().map(|drive| drive.space().borrow().allocated_zones()).collect()
}
