// SPDX-License-Identifier: BSD-3-Clause

//! Creation: makes an active pool on a device.
//!
//! Crash rule: the pool exists once MDC0 has the record of its drive, the last of its properties to be written. Before
//! that, activation refuses the device; after that, it completes what is missing.
//!
//! Differs from mpool: the class is always CAPACITY. The parameters are logged before the drive, so they exist whenever
//! the pool does. The root logs are allocated right after the first container, so that a small drive has room for them.
//! A second device is not an error but joins as STAGING drive in the same call.

use std::rc::Rc;

use uuid::Uuid;

use super::activate::ActivateRequest;
use super::deactivate::shut_down;
use super::drive_add::DriveAddRequest;
use super::layout::{self, Layout};
use super::members::{self, subject};
use super::steps::{self, Step};
use crate::device::Device;
use crate::drive::Drive;
use crate::error::{Kind, PoolError, Result};
use crate::format::{DeviceRecord, Mdc0Location, Mdc0Log, MpConfig, PoolName, Superblock, SuperblockFlags};
use crate::host::Level;
use crate::ids::{Extent, MediaClass};
use crate::params::CreateParams;
use crate::registry::{ActivePool, Registry};
use crate::{names, superblocks, Pool};

/// The request to create a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateRequest {
    /// The name of the pool.
    pub name: String,
    /// The path of the CAPACITY device.
    pub capacity: String,
    /// The path of the STAGING device, if any.
    pub staging: Option<String>,
    /// The zone size on the STAGING device, in MiB.
    pub staging_zone_mib: Option<u32>,
    /// The parameters of the pool.
    pub params: CreateParams,
    /// Create the pool even if a device holds a pool or foreign data, which is lost.
    pub force: bool,
}

impl Registry {
    /// Creates a pool and activates it.
    ///
    /// # Errors
    /// Invalid, NameTooLong: the name, a parameter, or a device of the wrong kind. Exists: an active pool has the name.
    /// Busy: a device is in use, or holds a superblock or foreign data. NoSpace: the device is too small. Io. Then no
    /// pool exists.
    pub async fn create(&self, request: &CreateRequest) -> Result<Rc<ActivePool>> {
        self.alone(self.create_alone(request)).await
    }

    async fn create_alone(&self, request: &CreateRequest) -> Result<Rc<ActivePool>> {
        let name = names::pool_name(&request.name)?;
        self.check_name_is_free(&name)?;
        self.check_room()?;
        let paths: Vec<_> = [&request.capacity].into_iter().chain(&request.staging).cloned().collect();
        members::check_paths(&paths)?;
        if let (Some(path), Some(mib)) = (&request.staging, request.staging_zone_mib) {
            layout::zone_bytes(&subject(path), 0, Some(mib))?;
        }
        // Check the parameters before anything is written.
        request.params.config(0)?;
        let mut creation = Creation { registry: self, request, name, media: None, new: None, pool: None, active: None };
        let operation = format!("creating pool '{}'", creation.name);
        steps::run(&**self.host(), &operation, &mut creation, &Creation::steps()).await?;
        match creation.active {
            Some(active) => Ok(active),
            None => unreachable!("the last steps activate the pool"),
        }
    }
}

/// A creation in progress.
struct Creation<'r> {
    registry: &'r Registry,
    request: &'r CreateRequest,
    name: String,
    /// The open device, until the pool or the activation takes it.
    media: Option<Rc<dyn Device>>,
    new: Option<NewPool>,
    pool: Option<Rc<Pool>>,
    active: Option<Rc<ActivePool>>,
}

/// The plan of the new pool.
#[derive(Debug, Clone)]
struct NewPool {
    layout: Layout,
    superblock: Superblock,
    config: MpConfig,
}

impl<'r> Creation<'r> {
    fn steps() -> [Step<Creation<'r>>; 9] {
        [
            Step::<Self>::new("opening the device", |state| Box::pin(state.open_device())),
            Step::<Self>::new("looking for what is on the device", |state| Box::pin(state.check_for_pool())),
            Step::<Self>::new("dividing the device", |state| Box::pin(async move { state.divide() })),
            Step::<Self>::new("writing the superblocks", |state| Box::pin(state.write_superblocks()))
                .undone_by(|state| Box::pin(state.erase_superblocks())),
            Step::<Self>::new("writing the pool's properties", |state| Box::pin(state.write_properties()))
                .undone_by(|state| Box::pin(state.close_pool())),
            Step::<Self>::new("making the metadata containers", |state| Box::pin(state.make_containers())),
            Step::<Self>::new("closing the new pool", |state| Box::pin(state.finish_making())),
            Step::<Self>::new("activating the new pool", |state| Box::pin(state.activate()))
                .undone_by(|state| Box::pin(state.deactivate())),
            Step::<Self>::new("adding the STAGING device", |state| Box::pin(state.add_staging())),
        ]
    }

    async fn open_device(&mut self) -> Result<()> {
        self.media = Some(self.registry.host().open(&self.request.capacity).await?);
        Ok(())
    }

    async fn check_for_pool(&mut self) -> Result<()> {
        if !self.request.force && superblocks::probe(&**self.media()).await? {
            let reason = "it has the superblock of a pool; creating another needs force, and the old one is lost";
            return Err(PoolError::new(Kind::Busy, subject(&self.request.capacity), reason));
        }
        members::clear_foreign(&**self.media(), &self.request.capacity, self.request.force).await
    }

    fn divide(&mut self) -> Result<()> {
        let (path, properties) = (subject(&self.request.capacity), self.media().properties());
        let layout = Layout::choose(&path, properties.bytes, &self.request.params.layout)?;
        let uuid = self.registry.new_uuid();
        let drive = members::describe_new(&path, &properties, MediaClass::Capacity, uuid, layout.zone_bytes)?;
        let log = |number: u64| Mdc0Log {
            generation: number + 1,
            uuid: self.registry.new_uuid(),
            drive: drive.uuid,
            extent: Extent {
                first: layout.superblock_zones + number * layout.mdc0_log_zones,
                zones: layout.mdc0_log_zones,
            },
        };
        let superblock = Superblock {
            generation: 1,
            name: PoolName::new(&self.name).map_err(|error| PoolError::invalid("pool name", error.to_string()))?,
            pool: self.registry.new_uuid(),
            drive,
            metadata: Some(Mdc0Location { logs: [log(0), log(1)], drive }),
            flags: SuperblockFlags::NONE,
            former: None,
            volume_mask: Uuid::nil(),
            device: Some(DeviceRecord::of(&properties)),
        };
        superblock.check_metadata().map_err(|error| error.on(path))?;
        let config = self.request.params.config(layout.root_log_bytes)?;
        self.new = Some(NewPool { layout, superblock, config });
        Ok(())
    }

    async fn write_superblocks(&mut self) -> Result<()> {
        let format = self.registry.format();
        superblocks::write_new(&**self.media(), &self.new_pool().superblock, format.superblock).await
    }

    async fn erase_superblocks(&mut self) {
        let device = match self.media.take() {
            Some(device) => Ok(device),
            None => self.registry.host().open(&self.request.capacity).await,
        };
        let erased = match device {
            Ok(device) => superblocks::erase(&*device).await,
            Err(error) => Err(error),
        };
        if let Err(error) = erased {
            let line = format!("the superblocks of pool '{}' could not be erased again: {error}", self.name);
            self.registry.host().log(Level::Error, &line);
        }
    }

    /// Writes MDC0 with the pool's properties, the drive last: with its record the pool exists.
    async fn write_properties(&mut self) -> Result<()> {
        let new = self.new_pool().clone();
        let tunables = self.registry.tunables();
        let drive = Drive::online(Rc::clone(self.media()), new.superblock.drive, members::settings(&tunables))?;
        let host = Rc::clone(self.registry.host());
        let (drives, format) = (vec![Rc::clone(&drive)], self.registry.format());
        let pool = Pool::assemble(host, tunables, drives, new.superblock, format, new.config.clone())?;
        self.pool = Some(Rc::clone(&pool));
        members::reserve_mdc0(&pool)?;
        for log in &pool.mdc0_logs {
            // Advice only: blocks with other UUIDs do not count.
            let _ = drive.erase(log.extent(), true).await;
        }
        pool.open_fresh_mdc0().await?;
        pool.log_config(new.config).await?;
        for class in MediaClass::ALL {
            // The percentage of a STAGING drive is set when it joins.
            if let (Some(percent), true) = (self.spare_percent(class), class == MediaClass::Capacity) {
                pool.log_spare(class, percent).await?;
            }
        }
        let tunables = &self.request.params.changes.tunables;
        if !tunables.is_empty() {
            pool.log_tunables(tunables).await?;
        }
        pool.log_drive(&drive.descriptor()).await
    }

    /// Makes containers as far as there is room. Activation makes the missing ones, or fails.
    async fn make_containers(&mut self) -> Result<()> {
        let layout = self.new_pool().layout;
        let Some(pool) = self.pool.clone() else { unreachable!("it was made before") };
        pool.mdc_log_zones.set(layout.mdc_log_zones);
        for step in 0..3 {
            let made = match step {
                0 => pool.ensure_containers(1).await,
                1 => pool.ensure_root_logs().await,
                _ => pool.ensure_containers(layout.containers).await,
            };
            if let Err(error) = made {
                pool.log(Level::Warning, format!("{error}; its activation tries again"));
                break;
            }
        }
        Ok(())
    }

    async fn finish_making(&mut self) -> Result<()> {
        self.close_pool().await;
        self.media = None;
        Ok(())
    }

    async fn close_pool(&mut self) {
        if let Some(pool) = self.pool.take() {
            shut_down(&pool).await;
        }
    }

    async fn activate(&mut self) -> Result<()> {
        let request = ActivateRequest {
            paths: vec![self.request.capacity.clone()],
            containers: Some(self.new_pool().layout.containers),
            ..ActivateRequest::default()
        };
        self.active = Some(self.registry.activate_alone(&request).await?);
        Ok(())
    }

    async fn deactivate(&mut self) {
        if let Some(active) = self.active.take() {
            if let Err(error) = self.registry.deactivate_alone(&active).await {
                active.pool().log(Level::Error, format!("it could not be deactivated again: {error}"));
            }
        }
    }

    async fn add_staging(&mut self) -> Result<()> {
        let Some(path) = &self.request.staging else { return Ok(()) };
        let request = DriveAddRequest {
            pool: self.name.clone(),
            path: path.clone(),
            class: MediaClass::Staging,
            zone_mib: self.request.staging_zone_mib,
            spare_percent: self.spare_percent(MediaClass::Staging),
            force: self.request.force,
        };
        self.registry.drive_add_alone(&request).await
    }

    fn spare_percent(&self, class: MediaClass) -> Option<u8> {
        self.request.params.changes.spare_percent[class.index()]
    }

    fn media(&self) -> &Rc<dyn Device> {
        match &self.media {
            Some(device) => device,
            None => unreachable!("the device is opened first"),
        }
    }

    fn new_pool(&self) -> &NewPool {
        match &self.new {
            Some(new) => new,
            None => unreachable!("the device is divided before anything is written"),
        }
    }
}

impl Registry {
    /// A random UUID.
    pub(super) fn new_uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.host().random(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}
