// SPDX-License-Identifier: BSD-3-Clause

//! Creating a volume: its pool if need be, its objects in the pool, and then the same steps as for every load.

use std::rc::Rc;
use std::sync::Arc;

use engine::volume::inventory::VolumeConfig;
use engine::volume::store::{SlabWish, VolumeSpec, VolumeStore};
use mpool::{Pool, PoolError};
use uuid::Uuid;

use super::create_params::{CreateParams, Place};
use super::error::VolumeError;
use super::load::{load_if_stored, runtime_for};
use super::sizing::{self, SlabPlan};
use super::start::start;
use super::steps::{table, Failure, Table};
use super::storage::{self, place, with_catalog, End, Storage};
use super::{registry, setup, Volume};
use crate::pool::runtime::{self, Runtime};
use crate::spdk::bdevs;

const CREATE: Table<Creation> = table! { "create":
    "see whether the name is free" => |new| new.refuse_taken();
    "choose the cores" => |new| new.choose_cores();
    "examine the base" => |new| new.examine().await;
    "make the objects" => |new| new.make().await, undo storage::end(new.storage().key, End::Destroy, None).await;
    "start it" => |new| new.start().await;
};

/// While no other pool is managed.
const MAKE: Table<Creation> = table! { "make":
    "find or make the pool" => |new| new.find_or_make_pool().await, undo new.destroy_pool().await;
    "see whether the pool has the name" => |new| new.refuse_stored().await;
    "size the parts" => |new| new.plan();
    "allocate the objects" => |new| new.allocate().await, undo new.delete().await;
    "lease the bdevs" => |new| new.hold();
};

/// A volume that is being created.
struct Creation {
    params: CreateParams,
    runtime: Rc<Runtime>,
    cores: Vec<u32>,
    /// While objects are made in it.
    pool: Option<Rc<Pool>>,
    /// The pool was made for the volume.
    made_pool: bool,
    plan: Option<SlabPlan>,
    /// Until it is held.
    store: Option<Rc<VolumeStore>>,
    storage: Option<Arc<Storage>>,
    volume: Option<Arc<Volume>>,
}

/// Creates a volume and brings it into service. On the app thread.
///
/// # Errors
/// The name is taken; a size does not suit the pool; there is not enough memory or space; Io. Nothing is left behind.
pub async fn create(params: CreateParams) -> Result<Arc<Volume>, VolumeError> {
    if params.unless_exists {
        if let Some(there) = existing(&params).await? {
            return Ok(there);
        }
    }
    let name = params.name.clone();
    let mut creation = Creation {
        runtime: runtime_for(&name)?,
        params,
        cores: Vec::new(),
        pool: None,
        made_pool: false,
        plan: None,
        store: None,
        storage: None,
        volume: None,
    };
    CREATE.run(&name, &mut creation).await?;
    Ok(creation.volume.expect("it was started"))
}

/// The volume of this name in the place that was asked for, loaded if it was not.
///
/// # Errors
/// A volume of this name is in another place; it cannot be loaded.
async fn existing(params: &CreateParams) -> Result<Option<Arc<Volume>>, VolumeError> {
    let name = params.name.as_str();
    let Some(runtime) = runtime::get() else { return Ok(None) };
    if let Place::Base(base) = &params.place {
        // The base's volume is loaded before SPDK is told that the bdev has been examined.
        runtime.service.examinations.done_with(base).await;
    }
    let pool = match &params.place {
        Place::Pool(pool) => runtime.service.find(pool).ok(),
        Place::Base(base) => runtime.service.pool_on(&bdevs::canonical(base)),
    };
    let Some(pool) = pool.map(|pool| pool.uuid()) else { return Ok(None) };
    match registry::named(name) {
        Some(volume) if volume.storage().pool_uuid == pool => Ok(Some(volume)),
        Some(_) => Err(VolumeError::Exists { name: name.to_owned() }),
        None => load_if_stored(&runtime, name, pool).await,
    }
}

impl Creation {
    fn pool(&self) -> &Rc<Pool> {
        self.pool.as_ref().expect("an earlier step found it")
    }

    fn refuse_taken(&self) -> Result<(), VolumeError> {
        match setup::is_taken(&self.params.name) {
            true => Err(VolumeError::Exists { name: self.params.name.clone() }),
            false => Ok(()),
        }
    }

    fn choose_cores(&mut self) -> Result<(), VolumeError> {
        self.cores = setup::choose_cores(self.params.cpumask.as_deref())?;
        Ok(())
    }

    /// A bdev that has just appeared may hold a pool.
    async fn examine(&self) {
        if let Place::Base(base) = &self.params.place {
            self.runtime.service.examinations.done_with(base).await;
        }
    }

    async fn make(&mut self) -> Result<(), VolumeError> {
        let (runtime, name) = (Rc::clone(&self.runtime), self.params.name.clone());
        let _managing = runtime.service.manage().await;
        MAKE.run(&name, self).await
    }

    async fn find_or_make_pool(&mut self) -> Result<(), VolumeError> {
        let (pool, made) = place::find_or_make_pool(&self.runtime, &self.params).await?;
        (self.pool, self.made_pool) = (Some(pool), made);
        Ok(())
    }

    async fn destroy_pool(&mut self) -> Result<(), PoolError> {
        let Some(pool) = self.pool.take().filter(|_| self.made_pool) else { return Ok(()) };
        let uuid = pool.uuid();
        drop(pool);
        self.runtime.service.destroy_active(uuid).await
    }

    async fn refuse_stored(&self) -> Result<(), Failure> {
        let (name, pool) = (&self.params.name, self.pool());
        let stored = with_catalog(pool, async |catalog| Ok(catalog.find(name).is_some())).await;
        match stored? {
            true => Err(VolumeError::Stored { name: name.clone(), pool: pool.name().to_owned() }.into()),
            false => Ok(()),
        }
    }

    fn plan(&mut self) -> Result<(), Failure> {
        let room = place::room(self.pool())?;
        let plan = sizing::plan(&room, self.cores.len(), &self.params.sizes)
            .map_err(|error| VolumeError::sizing(&self.params.name, self.pool().name(), error))?;
        self.plan = Some(plan);
        Ok(())
    }

    async fn allocate(&mut self) -> Result<(), PoolError> {
        let plan = self.plan.as_ref().expect("an earlier step made it");
        let (pool, spec, sizes) = (self.pool(), self.spec(plan), &self.params.sizes);
        let size = |slabs, config: &mut VolumeConfig| {
            sizing::lay_out(slabs, plan, spec.shards, sizes, config);
            Ok(())
        };
        let store = with_catalog(pool, async |catalog| VolumeStore::create(pool, catalog, &spec, size).await).await;
        self.store = Some(Rc::new(store?));
        Ok(())
    }

    fn spec(&self, plan: &SlabPlan) -> VolumeSpec {
        let params = &self.params;
        VolumeSpec {
            name: params.name.clone(),
            uuid: params.uuid.unwrap_or_else(Uuid::new_v4),
            slabs: SlabWish { least: plan.least, wanted: plan.wanted },
            shards: self.cores.len(),
            config: VolumeConfig {
                slab_blocks: plan.slab_blocks,
                block_size: params.block_size.bytes(),
                map_cache_mib: params.block_map_cache_mib,
                journal_mib: plan.journal_mib,
                compression: params.compression,
                deduplication: params.deduplication,
                reserve_percent: params.reserve_percent,
                core_mask: params.cpumask.clone().unwrap_or_default(),
                ..VolumeConfig::default()
            },
        }
    }

    async fn delete(&mut self) -> Result<(), PoolError> {
        let Some(store) = self.store.take() else { return Ok(()) };
        with_catalog(self.pool(), async |catalog| store.delete(catalog).await).await
    }

    fn hold(&mut self) -> Result<(), PoolError> {
        let store = self.store.as_ref().expect("an earlier step made it");
        self.storage = Some(Arc::new(storage::hold(Rc::clone(store))?));
        (self.store, self.pool) = (None, None);
        Ok(())
    }

    fn storage(&self) -> &Arc<Storage> {
        self.storage.as_ref().expect("an earlier step made it")
    }

    async fn start(&mut self) -> Result<(), VolumeError> {
        let storage = Arc::clone(self.storage());
        self.volume = Some(start(&self.params.name, storage, core::mem::take(&mut self.cores)).await?);
        Ok(())
    }
}
