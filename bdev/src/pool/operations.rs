// SPDX-License-Identifier: BSD-3-Clause

//! The work of the RPC methods: turns their parameters into requests to the engine's registry, one at a time.

use mpool::error::Result;
use mpool::ids::MediaClass;
use mpool::management::activate::ActivateRequest;
use mpool::management::create::CreateRequest;
use mpool::management::destroy::DestroyRequest;
use mpool::management::drive_add::DriveAddRequest;
use mpool::management::import::ImportRequest;
use mpool::management::rename::RenameRequest;
use mpool::management::scan::{pools_among, ScannedPool};
use mpool::management::Flags;
use mpool::params::{CreateParams as PoolCreateParams, LayoutWish, ParamChanges, PoolParams};
use mpool::{names, Kind, PoolError};
use uuid::Uuid;

use super::params::{
    ActivateParams, CreateParams, DestroyParams, DriveAddParams, ImportParams, RenameParams, SetParams, Settings,
};
use super::scan;
use super::service::{stored_name, Service};
use crate::spdk::bdevs;

impl Settings {
    /// The settings as the engine takes them.
    fn changes(&self) -> ParamChanges {
        let mut spare_percent = [None; 2];
        spare_percent[MediaClass::Capacity.index()] = self.spare_percent_capacity;
        spare_percent[MediaClass::Staging.index()] = self.spare_percent_staging;
        ParamChanges {
            uid: self.uid,
            gid: self.gid,
            mode: self.mode,
            label: self.label.clone(),
            user_type: self.user_type,
            readahead_pages: self.readahead_pages,
            spare_percent,
            tunables: self.tunables.0.clone(),
        }
    }
}

impl Service {
    /// Creates a pool, with a STAGING drive if one is given, and leaves it active. With `unless_exists`, an existing
    /// pool of that name on these bdevs is a success.
    ///
    /// # Errors
    /// The registry's error; no pool is left then.
    pub async fn create(&self, params: &CreateParams) -> Result<PoolParams> {
        for bdev in [Some(&params.capacity_bdev), params.staging_bdev.as_ref()].into_iter().flatten() {
            self.examinations.done_with(bdev).await;
            self.examinations.note(&bdevs::canonical(bdev));
        }
        let _managing = self.manage().await;
        if params.unless_exists {
            if let Some(there) = self.existing(params).await? {
                return Ok(there);
            }
        }
        let layout = LayoutWish {
            zone_mib: params.zone_size_mib,
            mdc0_log_mib: params.mdc0_capacity_mib,
            mdc_log_mib: params.mdcn_capacity_mib,
            containers: params.mdc_count.map(|count| count as usize),
            root_log_bytes: None,
        };
        let request = CreateRequest {
            name: params.name.clone(),
            capacity: bdevs::canonical(&params.capacity_bdev),
            staging: params.staging_bdev.as_deref().map(bdevs::canonical),
            staging_zone_mib: params.zone_size_mib,
            params: PoolCreateParams { changes: params.settings.changes(), layout, map_size_log2: None },
            force: params.force,
        };
        Ok(self.registry().create(&request).await?.pool().params())
    }

    /// The pool of this name on the given bdevs, activated if it was not. Its settings stay as they are.
    ///
    /// # Errors
    /// A pool of this name is on other bdevs; the registry's error for one that cannot be activated.
    async fn existing(&self, params: &CreateParams) -> Result<Option<PoolParams>> {
        let name = stored_name(&params.name)?;
        let given = [Some(&params.capacity_bdev), params.staging_bdev.as_ref()].into_iter().flatten();
        let paths: Vec<_> = given.map(|bdev| bdevs::canonical(bdev)).collect();
        if let Ok(active) = self.registry().find(&name) {
            active.check_is_on(&paths)?;
            return Ok(Some(active.pool().params()));
        }
        let found = pools_among(&scan::look_at(&paths).await);
        let Some(pool) = found.iter().find(|pool| pool.name == name) else { return Ok(None) };
        let request = ActivateRequest { name: Some(pool.uuid.to_string()), paths, ..ActivateRequest::default() };
        Ok(Some(self.registry().activate(&request).await?.pool().params()))
    }

    /// Activates a pool. Success if it is active already.
    ///
    /// # Errors
    /// There is no such pool; the registry's error.
    pub async fn activate(&self, params: &ActivateParams) -> Result<PoolParams> {
        let _managing = self.manage().await;
        let name = stored_name(&params.name)?;
        if let Ok(active) = self.registry().find(&name) {
            let given = [&params.bdevs.capacity_bdev, &params.bdevs.staging_bdev].into_iter().flatten();
            active.check_is_on(&given.map(|bdev| bdevs::canonical(bdev)).collect::<Vec<_>>())?;
            return Ok(active.pool().params());
        }
        let paths = scan::find(&name, &params.bdevs, &self.examinations).await?;
        let request = ActivateRequest {
            name: Some(name),
            paths,
            changes: params.settings.changes(),
            containers: None,
            flags: Flags { force: params.force, permit_meta_conv: params.permit_meta_conv, resize: params.resize },
        };
        Ok(self.registry().activate(&request).await?.pool().params())
    }

    /// Makes a pool of its own from a copy of a pool, with new identities, and activates it.
    ///
    /// # Errors
    /// The registry's error.
    pub async fn import(&self, params: &ImportParams) -> Result<PoolParams> {
        let given: Vec<_> = [Some(&params.capacity_bdev), params.staging_bdev.as_ref()].into_iter().flatten().collect();
        for bdev in &given {
            self.examinations.done_with(bdev).await;
        }
        let _managing = self.manage().await;
        let paths: Vec<_> = given.into_iter().map(|bdev| bdevs::canonical(bdev)).collect();
        paths.iter().for_each(|bdev| self.examinations.note(bdev));
        let request = ImportRequest { paths: paths.clone(), name: params.new_name.clone(), force: params.force };
        let uuid = self.registry().import(&request).await?;
        let request = ActivateRequest { name: Some(uuid.to_string()), paths, ..ActivateRequest::default() };
        Ok(self.registry().activate(&request).await?.pool().params())
    }

    /// Deactivates a pool, unless it has loaded volumes, which `volumes_in` names.
    ///
    /// # Errors
    /// Busy: it has loaded volumes. The registry's error.
    pub async fn deactivate(&self, name: &str, volumes_in: impl Fn(Uuid) -> Vec<String>) -> Result<()> {
        let _managing = self.manage().await;
        let name = stored_name(name)?;
        let pool = self.registry().find(&name)?.pool().uuid();
        let volumes = volumes_in(pool);
        if !volumes.is_empty() {
            let reason = format!(
                "its volumes '{}' are in service; bdev_dedupe_unload takes them out of it",
                volumes.join("' and '")
            );
            return Err(PoolError::new(Kind::Busy, format!("pool '{name}'"), reason));
        }
        self.registry().deactivate(&name).await
    }

    /// Destroys a pool, active or not.
    ///
    /// # Errors
    /// There is no such pool; the registry's error.
    pub async fn destroy(&self, params: &DestroyParams) -> Result<()> {
        let _managing = self.manage().await;
        let name = stored_name(&params.name)?;
        let paths = match self.registry().find(&name) {
            Ok(_) => Vec::new(),
            Err(_) => scan::find(&name, &params.bdevs, &self.examinations).await?,
        };
        let request = DestroyRequest { name: Some(name), paths, force: params.force };
        self.registry().destroy(&request).await
    }

    /// Renames a pool that is not active. Returns its new name.
    ///
    /// # Errors
    /// There is no such pool; the registry's error.
    pub async fn rename(&self, params: &RenameParams) -> Result<String> {
        let _managing = self.manage().await;
        let name = stored_name(&params.name)?;
        if let Ok(active) = self.registry().find(&name) {
            let name = active.pool().name();
            return Err(PoolError::new(Kind::Busy, format!("pool '{name}'"), "it is active; deactivate it first"));
        }
        let paths = scan::find(&name, &params.bdevs, &self.examinations).await?;
        let request = RenameRequest { paths, name: params.new_name.clone(), current: Some(name) };
        self.registry().rename(&request).await?;
        names::pool_name(&params.new_name)
    }

    /// Adds a STAGING drive to an active pool.
    ///
    /// # Errors
    /// The registry's error.
    pub async fn drive_add(&self, params: &DriveAddParams) -> Result<()> {
        self.examinations.done_with(&params.staging_bdev).await;
        let _managing = self.manage().await;
        let request = DriveAddRequest {
            pool: stored_name(&params.name)?,
            path: bdevs::canonical(&params.staging_bdev),
            class: MediaClass::Staging,
            zone_mib: params.zone_size_mib,
            spare_percent: None,
            force: params.force,
        };
        self.examinations.note(&request.path);
        self.registry().drive_add(&request).await
    }

    /// Changes parameters of an active pool.
    ///
    /// # Errors
    /// The registry's error.
    pub async fn set_params(&self, params: &SetParams) -> Result<PoolParams> {
        let _managing = self.manage().await;
        self.registry().set_params(&stored_name(&params.name)?, &params.settings.changes()).await
    }

    /// The pools on unclaimed bdevs.
    pub async fn scan(&self) -> Vec<ScannedPool> {
        let _managing = self.manage().await;
        pools_among(&scan::look_at_all().await)
    }
}
