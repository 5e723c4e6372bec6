// SPDX-License-Identifier: BSD-3-Clause

//! Activation: makes a pool in memory from devices.
//!
//! Differs from the original: a missing drive is detected before the objects are read, not after. A superblock with the
//! new size and an MDC0 record with the old one, as a power cut during a resize leaves them, are reconciled. Containers
//! are added up to the number that suits the drive's size ([`super::layout`]).

use std::rc::Rc;

use uuid::Uuid;

use super::deactivate::shut_down;
use super::members::{self, Member};
use super::steps::{self, Step};
use super::{layout, Flags};
use crate::drive::Drive;
use crate::error::{Kind, PoolError, Result};
use crate::format::DriveDescriptor;
use crate::host::Level;
use crate::ids::MediaClass;
use crate::metadata::Recorded;
use crate::params::{CreateParams, ParamChanges};
use crate::registry::{ActivePool, Registry};
use crate::{names, superblocks, Pool};

/// The request to activate a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivateRequest {
    /// The name or, as text, the UUID that the pool must have. If that pool is active already on these devices, the
    /// request succeeds.
    pub name: Option<String>,
    /// The paths of its devices, 1 or 2.
    pub paths: Vec<String>,
    /// Parameters to change and store.
    pub changes: ParamChanges,
    /// The wanted number of client containers; without it, as many as suit the pool's size.
    pub containers: Option<usize>,
    /// Permissions for what is refused otherwise.
    pub flags: Flags,
}

impl Registry {
    /// Activates a pool.
    ///
    /// # Errors
    /// OutOfDomain, Invalid: the paths; devices of different pools, the same drive twice, a device that differs from
    /// its superblock. NoPool: no superblock. Busy: a device is in use, or the pool is active. Exists: another active
    /// pool has its name. NotPermitted: a superblock would have to be rewritten. UnknownSuperblock, NotSupported:
    /// written by newer software. NoDrive: a drive is missing. NotMember: a drive is not recorded. Also errors about
    /// the pool's metadata; Io.
    pub async fn activate(&self, request: &ActivateRequest) -> Result<Rc<ActivePool>> {
        self.alone(self.activate_alone(request)).await
    }

    pub(super) async fn activate_alone(&self, request: &ActivateRequest) -> Result<Rc<ActivePool>> {
        let name = request.name.as_deref().map(names::pool_name).transpose()?;
        if let Some(active) = name.as_deref().and_then(|name| self.find(name).ok()) {
            return active.check_is_on(&request.paths).map(|()| active);
        }
        let mut activation = Activation {
            registry: self,
            request,
            name,
            changes: request.changes.checked()?,
            members: Vec::new(),
            metadata: 0,
            recorded: None,
            pool: None,
        };
        members::check_paths(&request.paths)?;
        self.check_room()?;
        let operation = format!("activating the pool on {:?}", request.paths);
        steps::run(&**self.host(), &operation, &mut activation, &Activation::steps()).await?;
        activation.publish()
    }

    /// Refuses a pool beyond the limit of active pools.
    pub(super) fn check_room(&self) -> Result<()> {
        let most = self.tunables().pools_max() as usize;
        if self.pools().len() < most {
            return Ok(());
        }
        Err(PoolError::new(Kind::NoSpace, "pools", format!("{most} are active, the most there can be")))
    }
}

/// An activation in progress.
struct Activation<'r> {
    registry: &'r Registry,
    request: &'r ActivateRequest,
    name: Option<String>,
    changes: ParamChanges,
    members: Vec<Member>,
    /// The index of the member that holds MDC0.
    metadata: usize,
    recorded: Option<Recorded>,
    pool: Option<Rc<Pool>>,
}

impl<'r> Activation<'r> {
    fn steps() -> [Step<Activation<'r>>; 12] {
        [
            Step::<Self>::new("reading the superblocks", |state| Box::pin(state.read_superblocks())),
            Step::<Self>::new("comparing the drives", |state| Box::pin(async move { state.compare_drives() })),
            Step::<Self>::new("bringing the superblocks up to date", |state| Box::pin(state.update_superblocks())),
            Step::<Self>::new("reading the pool's properties", |state| Box::pin(state.load_properties()))
                .undone_by(|state| Box::pin(state.shut_down())),
            Step::<Self>::new("comparing the drives with those recorded", |state| {
                Box::pin(async move { state.check_members() })
            }),
            Step::<Self>::new("reading the objects", |state| Box::pin(state.load_objects())),
            Step::<Self>::new("bringing the metadata up to date", |state| Box::pin(state.convert())),
            Step::<Self>::new("recording the drives' sizes", |state| Box::pin(state.record_sizes())),
            Step::<Self>::new("completing an import", |state| Box::pin(state.complete_import())),
            Step::<Self>::new("storing the parameters", |state| Box::pin(state.store_params())),
            Step::<Self>::new("completing the containers", |state| Box::pin(state.complete_containers())),
            Step::<Self>::new("completing the root MDC", |state| Box::pin(state.complete_root())),
        ]
    }

    async fn read_superblocks(&mut self) -> Result<()> {
        self.members =
            members::read_members(&**self.registry.host(), &self.request.paths, self.request.flags.force).await?;
        Ok(())
    }

    fn compare_drives(&mut self) -> Result<()> {
        members::check_one_pool(&self.members)?;
        self.metadata = members::metadata_member(&self.members)?;
        let main = &self.members[self.metadata];
        self.registry.check_is_inactive(main.pool())?;
        main.check_is(self.name.as_deref())?;
        self.registry.check_name_is_free(main.superblock.name.as_str())?;
        for member in &self.members {
            let flags = self.request.flags;
            if !flags.force {
                member.superblock.check_metadata().map_err(|error| error.on(members::subject(&member.path)))?;
            }
            member.check_device(&**self.registry.host(), flags)?;
        }
        Ok(())
    }

    /// Rewrites superblocks of an older version, of drives that have grown or moved to another device, and those whose
    /// copies differ.
    async fn update_superblocks(&mut self) -> Result<()> {
        let (flags, format) = (self.request.flags, self.registry.format());
        let host = &**self.registry.host();
        for member in &mut self.members {
            let subject = members::subject(&member.path);
            let grown = member.grown(flags);
            if member.version > format.superblock {
                let reason = format!("its superblock has a newer version than {:?}", format.superblock);
                return Err(PoolError::new(Kind::UnknownSuperblock, subject, reason));
            }
            let old = superblocks::needs_conversion(member.version, format.superblock, flags.permit_meta_conv)
                .map_err(|error| error.while_doing(&subject))?;
            let former_bytes = member.superblock.drive.bytes;
            if let Some(grown) = grown {
                if !flags.permit_meta_conv {
                    let reason = "it has grown; rewriting its superblock is not permitted by the request";
                    return Err(PoolError::new(Kind::NotPermitted, subject, reason));
                }
                member.describe(grown);
            } else if !old && !member.is_out_of_date() {
                continue;
            }
            if !member.superblock.drive.leaves_room_at_end() {
                let reason = "its zones leave no room for the last copy of a superblock of this software";
                return Err(PoolError::new(Kind::NotSupported, subject, reason));
            }
            member.record_device();
            superblocks::rewrite(&*member.device, &mut member.superblock, format.superblock, host).await?;
            if grown.is_some() {
                superblocks::erase_former_end(&*member.device, former_bytes, host).await;
            }
            member.version = format.superblock;
        }
        Ok(())
    }

    async fn load_properties(&mut self) -> Result<()> {
        let tunables = self.registry.tunables();
        let drives = self.members.iter().map(|member| member.drive(&tunables)).collect::<Result<Vec<_>>>()?;
        let superblock = self.members[self.metadata].superblock.clone();
        let host = Rc::clone(self.registry.host());
        // Applies to a pool that has stored no configuration.
        let config = CreateParams::default().config(layout::ROOT_LOG_BYTES)?;
        let pool = Pool::assemble(host, tunables, drives, superblock, self.registry.format(), config)?;
        self.pool = Some(Rc::clone(&pool));
        members::reserve_mdc0(&pool)?;
        self.recorded = Some(pool.load_properties().await?);
        Ok(())
    }

    /// Checks that every given drive is recorded, and that every recorded one is present.
    fn check_members(&mut self) -> Result<()> {
        let (pool, recorded) = self.loaded()?;
        for drive in pool.drives() {
            match recorded.drives[drive.class().index()] {
                Some(known) if self.is_known_as(known.uuid, drive.descriptor().uuid) => {
                    if known.class_tuple() != drive.descriptor().class_tuple() {
                        return Err(PoolError::invalid(drive.subject(), "MDC0 describes it otherwise than it is"));
                    }
                }
                _ => {
                    let reason = format!("it is no member of pool '{}': it was never taken in", pool.name());
                    return Err(PoolError::new(Kind::NotMember, drive.subject(), reason));
                }
            }
        }
        for known in recorded.drives.iter().flatten() {
            if pool.drive_of(known.class).is_err() {
                self.miss(&pool, known)?;
            }
        }
        for class in MediaClass::ALL {
            if let (Ok(drive), Some(percent)) = (pool.drive_of(class), recorded.spares[class.index()]) {
                pool.note_spare_percent(class, percent);
                drive.space().borrow_mut().set_spare_percent(percent)?;
            }
        }
        Ok(())
    }

    /// True when MDC0 records a drive under one of the UUIDs in its superblock.
    fn is_known_as(&self, recorded: Uuid, drive: Uuid) -> bool {
        let member = self.members.iter().find(|member| member.superblock.drive.uuid == drive);
        recorded == drive || member.is_some_and(|member| member.superblock.origin().drive == recorded)
    }

    fn miss(&self, pool: &Pool, known: &DriveDescriptor) -> Result<()> {
        let reason = format!("its {} drive {} is missing", known.class, known.uuid);
        if !self.request.flags.force || known.class == MediaClass::Capacity {
            return Err(PoolError::new(Kind::NoDrive, pool.subject(), reason));
        }
        pool.log(Level::Warning, reason);
        pool.publish_drive(Drive::unavailable(*known, members::settings(&self.registry.tunables()))?);
        Ok(())
    }

    async fn load_objects(&mut self) -> Result<()> {
        let (pool, _) = self.loaded()?;
        // For a pool whose creation was interrupted before its first container.
        let drive = pool.drive_of(MediaClass::Capacity)?;
        pool.mdc_log_zones.set(layout::usual_log_zones(drive.zone_bytes(), drive.descriptor().bytes));
        pool.load_objects().await
    }

    async fn convert(&mut self) -> Result<()> {
        let (pool, _) = self.loaded()?;
        pool.convert_content().await
    }

    async fn record_sizes(&mut self) -> Result<()> {
        let (pool, recorded) = self.loaded()?;
        for drive in pool.drives() {
            if recorded.drives[drive.class().index()] != Some(drive.descriptor()) {
                pool.log_drive(&drive.descriptor()).await?;
            }
        }
        Ok(())
    }

    /// Clears the old UUIDs, now that MDC0 knows the drives by their new ones.
    async fn complete_import(&mut self) -> Result<()> {
        let (pool, _) = self.loaded()?;
        for drive in pool.drives() {
            let member = self.members.iter_mut().find(|member| member.superblock.drive.uuid == drive.descriptor().uuid);
            let Some(member) = member.filter(|member| member.superblock.former.is_some()) else { continue };
            let is_main = member.superblock.metadata.is_some();
            if is_main {
                // MDC0 may have been compacted since it was read.
                member.superblock = pool.superblock.borrow().clone();
            }
            member.superblock.former = None;
            let format = self.registry.format().superblock;
            superblocks::update(&drive, &mut member.superblock, format, &**self.registry.host()).await?;
            if is_main {
                *pool.superblock.borrow_mut() = member.superblock.clone();
            }
        }
        Ok(())
    }

    async fn store_params(&mut self) -> Result<()> {
        let (pool, recorded) = self.loaded()?;
        if recorded.config.is_none() {
            pool.log_config(pool.config()).await?;
        }
        pool.change_params(&self.changes).await
    }

    async fn complete_containers(&mut self) -> Result<()> {
        let (pool, _) = self.loaded()?;
        let usual = || -> Result<usize> {
            let zones = pool.drive_of(MediaClass::Capacity)?.descriptor().zones;
            Ok(layout::usual_containers(u64::from(zones), pool.mdc_log_zones.get()))
        };
        pool.ensure_containers(self.request.containers.map_or_else(usual, Ok)?).await
    }

    async fn complete_root(&mut self) -> Result<()> {
        let (pool, _) = self.loaded()?;
        pool.ensure_root_logs().await?;
        pool.rebuild_selection();
        Ok(())
    }

    async fn shut_down(&mut self) {
        if let Some(pool) = self.pool.take() {
            shut_down(&pool).await;
        }
    }

    fn publish(self) -> Result<Rc<ActivePool>> {
        let (pool, _) = self.loaded()?;
        pool.start_background();
        let paths = self.members.iter().map(|member| member.path.clone()).collect();
        pool.log(Level::Info, "active");
        Ok(self.registry.insert(pool, paths))
    }

    fn loaded(&self) -> Result<(Rc<Pool>, Recorded)> {
        match (&self.pool, &self.recorded) {
            (Some(pool), Some(recorded)) => Ok((Rc::clone(pool), recorded.clone())),
            _ => unreachable!("the properties are read before"),
        }
    }
}
