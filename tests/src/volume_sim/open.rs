// SPDX-License-Identifier: BSD-3-Clause

//! The machine is switched on: the pool is activated or created, the volume opened or created, recovered and loaded.

use std::rc::Rc;

use engine::volume::catalog::Catalog;
use engine::volume::inventory::VolumeConfig;
use engine::volume::store::{remove_unfinished, SlabWish, VolumeSpec, VolumeStore};
use engine::Blocks;
use mpool::management::activate::ActivateRequest;
use mpool::management::create::CreateRequest;
use mpool::management::Flags;
use mpool::params::{CreateParams, ParamChanges};
use mpool::registry::{ActivePool, Registry};
use mpool::{Kind, PoolError};
use uuid::Uuid;

use super::plan::{VolumePlan, SLAB_BLOCKS};
use super::shared::Shared;
use crate::pool_sim::pool_model::Possible;
use crate::pool_sim::revive::{registry, CONTAINERS};
use crate::pool_sim::session::is_fault;
use crate::pool_sim::session_manage::small_layout;
use mpool::testing::{Disk, Image, SimHost};

/// Name of the volume.
const NAME: &str = "volume";

/// What a step yields, or nothing when a device failed by plan; an error is a defect.
pub type Outcome<T> = Result<Option<T>, String>;

/// A volume that is open and not loaded.
pub struct Opened {
    /// The pools of the machine.
    pub registry: Rc<Registry>,
    /// The pool.
    pub active: Rc<ActivePool>,
    /// The pool's volumes.
    pub catalog: Catalog,
    /// The volume.
    pub store: Rc<VolumeStore>,
}

/// Judges the failure of a step of the pool or the volume.
///
/// # Errors
/// The failure has no excuse.
pub fn excuse<T>(host: &SimHost, what: &str, error: &PoolError) -> Outcome<T> {
    if is_fault(host, error) {
        host.trace(|| format!("{what} fails: {error}"));
        return Ok(None);
    }
    Err(format!("{what} fails: {error} ({:?})", error.kind()))
}

/// Gives back the value of a step, or returns from the caller with what its failure means.
macro_rules! step {
    ($host:expr, $what:expr, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return $crate::volume_sim::open::excuse($host, $what, &error),
        }
    };
}
pub(crate) use step;

/// Opens the volume, after creating whatever there is not.
///
/// # Errors
/// A defect.
pub async fn open(host: &Rc<SimHost>, known: &Shared, plan: &VolumePlan) -> Outcome<Opened> {
    let registry = registry(host);
    let Some(active) = open_pool(host, &registry, known, plan).await? else { return Ok(None) };
    let catalog = step!(host, "opening the catalog", Catalog::open(active.pool()).await);
    step!(host, "removing unfinished volumes", remove_unfinished(active.pool(), &catalog, |_| false).await);
    let entry = catalog.find(NAME);
    known.borrow_mut().exists.settle("existence of the volume", &entry.is_some())?;
    let store = match entry {
        Some(entry) => step!(host, "opening the volume", VolumeStore::open(active.pool(), entry).await),
        None => step!(host, "creating the volume", create(&active, &catalog, known, plan).await),
    };
    let mut now = known.borrow_mut();
    now.slabs.settle("the number of slabs", &store.slabs())?;
    now.logical_blocks.settle("the logical size", &store.config().logical_blocks.0)?;
    drop(now);
    Ok(Some(Opened { registry, active, catalog, store: Rc::new(store) }))
}

/// Closes the volume, and opens it again on the same pool.
///
/// # Errors
/// A defect.
pub async fn reopen(host: &Rc<SimHost>, opened: (Rc<Registry>, Rc<ActivePool>, Rc<VolumeStore>)) -> Outcome<Opened> {
    let (registry, active, store) = opened;
    step!(host, "closing the volume", store.close().await);
    drop(store);
    let catalog = step!(host, "opening the catalog", Catalog::open(active.pool()).await);
    let entry = catalog.find(NAME).ok_or("the volume is gone")?;
    let store = Rc::new(step!(host, "opening the volume", VolumeStore::open(active.pool(), entry).await));
    Ok(Some(Opened { registry, active, catalog, store }))
}

async fn open_pool(
    host: &Rc<SimHost>,
    registry: &Registry,
    known: &Shared,
    plan: &VolumePlan,
) -> Outcome<Rc<ActivePool>> {
    let paths: Vec<_> = plan.disks.iter().map(|disk| disk.name.clone()).collect();
    let flags = Flags { force: false, permit_meta_conv: false, resize: false };
    let (changes, containers) = (ParamChanges::default(), Some(CONTAINERS));
    let request = ActivateRequest { name: None, paths: paths.clone(), changes, containers, flags };
    match registry.activate(&request).await {
        Ok(active) => return Ok(Some(active)),
        Err(error) if is_fault(host, &error) => return Ok(None),
        Err(error) if known.borrow().exists == Possible::known(true) => {
            return Err(format!("the pool cannot be activated: {error} ({:?})", error.kind()));
        }
        // Its creation was cut short, or it was never created.
        Err(error) => host.trace(|| format!("no pool: {error}")),
    }
    take_new_disks(host);
    let request = CreateRequest {
        name: "pool".to_owned(),
        capacity: paths[0].clone(),
        staging: paths.get(1).cloned(),
        staging_zone_mib: paths.get(1).map(|_| 1),
        params: CreateParams { changes: ParamChanges::default(), layout: small_layout(), map_size_log2: None },
        force: true,
    };
    Ok(Some(step!(host, "creating the pool", registry.create(&request).await)))
}

/// What is left of a pool whose creation was cut short, an operator wipes off.
fn take_new_disks(host: &SimHost) {
    let mut machine = host.machine().borrow_mut();
    let seed = machine.random.draw();
    for disk in &mut machine.disks {
        *disk = Disk::new(disk.properties.clone(), Image::unwritten(seed));
    }
}

async fn create(
    active: &ActivePool,
    catalog: &Catalog,
    known: &Shared,
    plan: &VolumePlan,
) -> Result<VolumeStore, PoolError> {
    known.borrow_mut().exists.begin(true);
    let spec = VolumeSpec {
        name: NAME.to_owned(),
        uuid: Uuid::from_u128(u128::from(plan.seed) + 1),
        slabs: SlabWish { least: plan.slabs, wanted: plan.slabs },
        shards: plan.lives.first().map_or(1, |life| life.shards),
        config: VolumeConfig {
            slab_blocks: SLAB_BLOCKS,
            block_size: 512,
            index_mib: 1,
            map_cache_mib: 1,
            journal_mib: 1,
            core_mask: "0x1".to_owned(),
            ..VolumeConfig::default()
        },
    };
    let size = |_, config: &mut VolumeConfig| {
        config.logical_blocks = Blocks(plan.logical_blocks);
        Ok(())
    };
    let store = VolumeStore::create(active.pool(), catalog, &spec, size).await?;
    known.borrow_mut().exists.done();
    Ok(store)
}

/// True for the failure of a step that there was no room for.
#[must_use]
pub fn is_full(error: &PoolError) -> bool {
    error.kind() == Kind::NoSpace
}
