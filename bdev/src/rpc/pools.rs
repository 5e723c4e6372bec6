// SPDX-License-Identifier: BSD-3-Clause

//! The methods for media pools.

use mpool::params::PoolParams;

use super::method::{methods, Done};
use super::pool_get_iostat::{self, IoStatistics};
use super::pool_json::{Active, OnBdevs, Props, Renamed, Usages};
use crate::params::POOL;
use crate::pool::params::{
    ActivateParams, CreateParams, DestroyParams, DriveAddParams, ImportParams, RenameParams, SetParams,
};
use crate::volume::load::load_all;
use crate::volume::storage;

methods! {
    /// Format one or two bdevs as a media pool and activate it.
    ///
    /// With `unless_exists` a pool that is there is activated, and its volumes are loaded.
    fn mpool_create(runtime, params: CreateParams) -> PoolParams {
        let created = runtime.service.create(&params).await?;
        if params.unless_exists {
            load_all(&runtime, created.uuid).await;
        }
        created
    }

    /// Activate a media pool and load its volumes, as examine does when a bdev appears.
    fn mpool_activate(runtime, params: ActivateParams) -> PoolParams {
        let activated = runtime.service.activate(&params).await?;
        load_all(&runtime, activated.uuid).await;
        activated
    }

    /// Deactivate a media pool that nobody uses; its bdevs are free then.
    fn mpool_deactivate(runtime, name: String = POOL) -> Done {
        runtime.service.deactivate(&name, storage::names_in).await?;
    }

    /// Destroy a media pool, deactivating it first; all of its objects are lost.
    fn mpool_destroy(runtime, params: DestroyParams) -> Done {
        runtime.service.destroy(&params).await?;
    }

    /// Give a media pool that is not active another name.
    fn mpool_rename(runtime, params: RenameParams) -> Renamed {
        Renamed(runtime.service.rename(&params).await?)
    }

    /// Make a media pool of its own of a copy of one: give pool, drives and volumes new UUIDs, activate it and load its
    /// volumes.
    fn mpool_import(runtime, params: ImportParams) -> PoolParams {
        let imported = runtime.service.import(&params).await?;
        load_all(&runtime, imported.uuid).await;
        imported
    }

    /// Add a STAGING drive to an active media pool.
    fn mpool_drive_add(runtime, params: DriveAddParams) -> Done {
        runtime.service.drive_add(&params).await?;
    }

    /// Change settings of an active media pool; they are kept on its media.
    fn mpool_set_params(runtime, params: SetParams) -> PoolParams {
        runtime.service.set_params(&params).await?
    }

    /// Show the parameters of an active media pool.
    fn mpool_get_params(runtime, name: String = POOL) -> PoolParams {
        runtime.service.find(&name)?.params()
    }

    /// Show how full an active media pool is, and of what: in total and by media class.
    fn mpool_get_usage(runtime, name: String = POOL) -> Usages {
        Usages(runtime.service.find(&name)?)
    }

    /// Show an active media pool with its media classes and drives, and their state.
    fn mpool_get_props(runtime, name: String = POOL) -> Props {
        Props(runtime.service.find(&name)?)
    }

    /// Show what was read, written, flushed and discarded by an active media pool and its volumes, or by all: in total and by
    /// media class.
    ///
    /// The part of the volumes in service is told apart; names are those of `bdev_get_iostat`.
    fn mpool_get_iostat(runtime, name: Option<String> = POOL.letter('n').or("all")) -> IoStatistics {
        pool_get_iostat::gather(&runtime, name).await?
    }

    /// List the active media pools.
    fn mpool_list(runtime) -> Active {
        Active(runtime.service.active())
    }

    /// Look for media pools on all bdevs, active or not, without activating any.
    fn mpool_scan(runtime) -> OnBdevs {
        let found = runtime.service.scan().await;
        OnBdevs { active: runtime.service.active(), found }
    }
}
