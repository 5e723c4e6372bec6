// SPDX-License-Identifier: BSD-3-Clause

//! Adds a drive to an active pool.
//!
//! Crash rule: the drive is a member once MDC0 has its record. A cut before that leaves a superblock without a record;
//! activation refuses such a drive, and adding it again overwrites the superblock.
//!
//! Differs from mpool: adding again is possible. If it is uncertain whether the record was written, the superblock
//! stays: should the record be on media, the drive must be a valid member.

use std::rc::Rc;

use super::layout;
use super::members::{self, subject};
use super::steps::{self, Step};
use crate::device::Device;
use crate::drive::Drive;
use crate::error::{Kind, PoolError, Result};
use crate::format::{DeviceRecord, Superblock};
use crate::host::Level;
use crate::ids::MediaClass;
use crate::registry::{ActivePool, Registry};
use crate::superblocks;

/// The request to add a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveAddRequest {
    /// The active pool, by its name or its UUID as text.
    pub pool: String,
    /// The path of the device.
    pub path: String,
    /// The class that the drive joins, which must have no drive.
    pub class: MediaClass,
    /// The zone size in MiB; without it, one that suits the size of the device.
    pub zone_mib: Option<u32>,
    /// The percentage of spare zones; without it, the default.
    pub spare_percent: Option<u8>,
    /// Take the device even if it holds a pool or foreign data, which is lost.
    pub force: bool,
}

impl Registry {
    /// Adds a drive to an active pool.
    ///
    /// # Errors
    /// NotMember: no such active pool. Invalid: the class has a drive, or the device is of the wrong kind. Busy: the
    /// device is in use, or holds a superblock or foreign data. Io: the drive is no member, unless the next activation
    /// finds its record.
    pub async fn drive_add(&self, request: &DriveAddRequest) -> Result<()> {
        self.alone(self.drive_add_alone(request)).await
    }

    pub(super) async fn drive_add_alone(&self, request: &DriveAddRequest) -> Result<()> {
        let active = self.find(&request.pool)?;
        check_request(&active, request)?;
        let mut joining = Joining { registry: self, request, active, device: None, drive: None, recording: false };
        let operation = format!("adding {} to {}", subject(&request.path), joining.active.pool().subject());
        steps::run(&**self.host(), &operation, &mut joining, &Joining::steps()).await
    }
}

fn check_request(active: &ActivePool, request: &DriveAddRequest) -> Result<()> {
    if active.pool().drive_of(request.class).is_ok() {
        let reason = format!("its class {} has a drive already", request.class);
        return Err(PoolError::invalid(active.pool().subject(), reason));
    }
    if let Some(percent) = request.spare_percent.filter(|percent| *percent > 100) {
        let reason = format!("{percent} % of spare zones; 0 to 100 are possible");
        return Err(PoolError::invalid(subject(&request.path), reason));
    }
    layout::zone_bytes(&subject(&request.path), 0, request.zone_mib).map(drop)
}

/// An addition in progress.
struct Joining<'r> {
    registry: &'r Registry,
    request: &'r DriveAddRequest,
    active: Rc<ActivePool>,
    device: Option<Rc<dyn Device>>,
    drive: Option<Rc<Drive>>,
    /// The record may be on media.
    recording: bool,
}

impl<'r> Joining<'r> {
    fn steps() -> [Step<Joining<'r>>; 4] {
        [
            Step::<Self>::new("opening the device", |state| Box::pin(state.open_device())),
            Step::<Self>::new("looking for what is on the device", |state| Box::pin(state.check_for_pool())),
            Step::<Self>::new("writing the superblocks", |state| Box::pin(state.write_superblocks()))
                .undone_by(|state| Box::pin(state.erase_superblocks())),
            Step::<Self>::new("recording the drive", |state| Box::pin(state.record())),
        ]
    }

    async fn open_device(&mut self) -> Result<()> {
        self.device = Some(self.registry.host().open(&self.request.path).await?);
        Ok(())
    }

    async fn check_for_pool(&mut self) -> Result<()> {
        let force = self.request.force;
        if force || !superblocks::probe(&**self.device()).await? || self.is_left_over().await {
            return members::clear_foreign(&**self.device(), &self.request.path, force).await;
        }
        let reason = "it has the superblock of a pool; destroy that first, or take it with force";
        Err(PoolError::new(Kind::Busy, subject(&self.request.path), reason))
    }

    /// True for a drive of this pool without a record: an earlier addition was interrupted.
    async fn is_left_over(&self) -> bool {
        let pool = self.active.pool();
        let (host, device) = (&**self.registry.host(), Rc::clone(self.device()));
        let Ok(member) = members::read_member(host, &self.request.path, device, false).await else { return false };
        let known = pool.drives().iter().any(|drive| drive.descriptor().uuid == member.superblock.drive.uuid);
        member.pool() == pool.uuid() && member.superblock.metadata.is_none() && !known
    }

    async fn write_superblocks(&mut self) -> Result<()> {
        let (pool, properties) = (self.active.pool(), self.device().properties());
        let path = subject(&self.request.path);
        let zone_bytes = layout::zone_bytes(&path, properties.bytes, self.request.zone_mib)?;
        let uuid = self.registry.new_uuid();
        let descriptor = members::describe_new(&path, &properties, self.request.class, uuid, zone_bytes)?;
        let device = Rc::clone(self.device());
        self.drive = Some(Drive::online(device, descriptor, members::settings(&self.registry.tunables()))?);
        let superblock = Superblock {
            generation: 1,
            drive: descriptor,
            metadata: None,
            former: None,
            device: Some(DeviceRecord::of(&properties)),
            ..pool.superblock.borrow().clone()
        };
        superblocks::write_new(&**self.device(), &superblock, self.registry.format().superblock).await
    }

    async fn erase_superblocks(&mut self) {
        if self.recording {
            return;
        }
        if let Err(error) = superblocks::erase(&**self.device()).await {
            let line = format!("{}: the superblocks could not be erased again: {error}", subject(&self.request.path));
            self.registry.host().log(Level::Error, &line);
        }
    }

    async fn record(&mut self) -> Result<()> {
        let Some(drive) = self.drive.clone() else { unreachable!("it was described before") };
        self.recording = true;
        self.active.pool().log_new_drive(drive, self.request.spare_percent).await?;
        self.active.add_path(self.request.path.clone());
        Ok(())
    }

    fn device(&self) -> &Rc<dyn Device> {
        match &self.device {
            Some(device) => device,
            None => unreachable!("the device is opened first"),
        }
    }
}
