// SPDX-License-Identifier: BSD-3-Clause

//! The devices of an operation: opens them, reads their superblocks and compares them.

use std::rc::Rc;

use uuid::Uuid;

use super::Flags;
use crate::device::{Device, DeviceProperties};
use crate::drive::{check_device, Drive, DriveSettings};
use crate::error::{Kind, PoolError, Result};
use crate::format::{DeviceRecord, DriveDescriptor, Superblock, SuperblockVersion};
use crate::host::{Host, Level};
use crate::ids::{MediaClass, PAGE_BYTES};
use crate::superblocks::{self, device_check, Found};
use crate::tunables::Tunables;
use crate::{foreign, Pool};

/// The most devices of a pool: one for each media class.
pub(super) const MAX_DRIVES: usize = 2;

/// A device with a drive of a pool.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) path: String,
    pub(super) device: Rc<dyn Device>,
    /// The superblock; from media until it is changed for the next rewrite.
    pub(super) superblock: Superblock,
    /// The version of the superblock on media.
    pub(super) version: SuperblockVersion,
    /// All copies of the superblock are equal.
    pub(super) is_whole: bool,
}

/// Refuses an empty list, more paths than a pool can have, and duplicates.
pub(super) fn check_paths(paths: &[String]) -> Result<()> {
    if paths.is_empty() {
        return Err(PoolError::invalid("devices", "none is given"));
    }
    if paths.len() > MAX_DRIVES {
        let reason = format!("{} are given, but a pool has at most {MAX_DRIVES}", paths.len());
        return Err(PoolError::new(Kind::OutOfDomain, "devices", reason));
    }
    match paths.iter().enumerate().find(|(index, path)| paths[..*index].contains(path)) {
        Some((_, path)) => Err(PoolError::invalid(subject(path), "it is given twice")),
        None => Ok(()),
    }
}

/// The name of a device in messages.
pub(super) fn subject(path: &str) -> String {
    format!("device '{}'", path.escape_debug())
}

/// Opens devices and reads their superblocks; with `force` in any condition.
pub(super) async fn read_members(host: &dyn Host, paths: &[String], force: bool) -> Result<Vec<Member>> {
    let mut members = Vec::with_capacity(paths.len());
    for path in paths {
        let device = host.open(path).await?;
        members.push(read_member(host, path, device, force).await?);
    }
    Ok(members)
}

/// Reads the superblock of an open device; with `force` in any condition.
pub(super) async fn read_member(host: &dyn Host, path: &str, device: Rc<dyn Device>, force: bool) -> Result<Member> {
    let Found { superblock, version, is_whole, .. } = superblocks::read(&*device, host, force).await?;
    Ok(Member { path: path.to_owned(), device, superblock, version, is_whole })
}

/// Checks that these are different drives of one pool.
pub(super) fn check_one_pool(members: &[Member]) -> Result<()> {
    for (index, member) in members.iter().enumerate() {
        let Some(first) = members[..index].first() else { continue };
        if member.superblock.pool != first.superblock.pool {
            let (name, uuid) = (&member.superblock.name, member.superblock.pool);
            let reason = format!("it belongs to another pool, '{name}' ({uuid}), than '{}'", first.path);
            return Err(PoolError::invalid(subject(&member.path), reason));
        }
        let drive = member.superblock.drive.uuid;
        if let Some(twin) = members[..index].iter().find(|other| other.superblock.drive.uuid == drive) {
            let reason = format!("it is the same drive ({drive}) as '{}': one is a copy of the other", twin.path);
            return Err(PoolError::invalid(subject(&member.path), reason));
        }
    }
    Ok(())
}

/// The index of the member that holds MDC0; exactly one must claim it.
pub(super) fn metadata_member(members: &[Member]) -> Result<usize> {
    let mut with_mdc0 = (0..members.len()).filter(|index| members[*index].superblock.metadata.is_some());
    match (with_mdc0.next(), with_mdc0.next()) {
        (Some(only), None) => Ok(only),
        (Some(one), Some(other)) => {
            let reason = format!("it claims to have the pool's MDC0, as does '{}'", members[one].path);
            Err(PoolError::invalid(subject(&members[other].path), reason))
        }
        (None, _) => {
            let paths: Vec<_> = members.iter().map(|member| member.path.as_str()).collect();
            Err(PoolError::invalid(format!("devices {paths:?}"), "the device with the pool's MDC0 is not among them"))
        }
    }
}

impl Member {
    /// The UUID of the pool.
    pub(super) fn pool(&self) -> Uuid {
        self.superblock.pool
    }

    /// Checks that the device matches its superblock. Tolerated differences are logged.
    pub(super) fn check_device(&self, host: &dyn Host, flags: Flags) -> Result<()> {
        let device = self.device.properties();
        for warning in device_check::reconcile(&self.superblock, &device, flags.resize, flags.force)? {
            host.log(Level::Warning, &format!("{}: {warning}", subject(&self.path)));
        }
        Ok(())
    }

    /// Checks that the drive belongs to the pool with this name or, as text, UUID.
    pub(super) fn check_is(&self, expected: Option<&str>) -> Result<()> {
        let (name, uuid) = (self.superblock.name.as_str(), self.pool().to_string());
        match expected {
            Some(expected) if expected != name && expected != uuid => {
                let reason = format!("the pool on it is '{name}' ({uuid}), not '{}'", expected.escape_debug());
                Err(PoolError::invalid(subject(&self.path), reason))
            }
            _ => Ok(()),
        }
    }

    /// Checks only the size and type of the device against its superblock, whichever device it is.
    pub(super) fn check_geometry(&self, force: bool) -> Result<()> {
        let anywhere = Superblock { device: None, ..self.superblock.clone() };
        device_check::reconcile(&anywhere, &self.device.properties(), false, force).map(drop)
    }

    /// True when the superblock must be rewritten before the pool is used.
    pub(super) fn is_out_of_date(&self) -> bool {
        let records_device = self.version > SuperblockVersion::V1;
        !self.is_whole || (records_device && device_check::has_changed(&self.superblock, &self.device.properties()))
    }

    /// The drive, as the superblock describes it now.
    pub(super) fn drive(&self, tunables: &Tunables) -> Result<Rc<Drive>> {
        Drive::online(Rc::clone(&self.device), self.superblock.drive, settings(tunables))
    }

    /// Puts the present device into the next superblock.
    pub(super) fn record_device(&mut self) {
        self.superblock.device = Some(DeviceRecord::of(&self.device.properties()));
    }

    /// Puts another description of the drive into the next superblock.
    pub(super) fn describe(&mut self, drive: DriveDescriptor) {
        self.superblock.drive = drive;
        if let Some(metadata) = &mut self.superblock.metadata {
            metadata.drive = drive;
        }
    }

    /// The description of the drive with the size that its device has grown to, if that is to be used.
    pub(super) fn grown(&self, flags: Flags) -> Option<DriveDescriptor> {
        let (found, recorded) = (self.device.properties().bytes, &self.superblock.drive);
        (flags.resize && !flags.force && found > recorded.bytes).then(|| recorded.resized(found)).flatten()
    }
}

/// Checks that a device that is to become a drive holds no foreign data; with `force` the data is wiped.
pub(super) async fn clear_foreign(device: &dyn Device, path: &str, force: bool) -> Result<()> {
    let found = foreign::look(device).await?;
    if found.what.is_empty() {
        return Ok(());
    }
    if force {
        return foreign::wipe(device, &found).await;
    }
    let reason = format!("it has {}; it is taken with force only, and that is lost", found.describe());
    Err(PoolError::new(Kind::Busy, subject(path), reason))
}

/// Describes a device as a new drive.
pub(super) fn describe_new(
    subject: &str,
    properties: &DeviceProperties,
    class: MediaClass,
    uuid: Uuid,
    zone_bytes: u64,
) -> Result<DriveDescriptor> {
    check_device(properties)?;
    let pages = u32::try_from(zone_bytes / PAGE_BYTES as u64).unwrap_or(u32::MAX);
    let described = DriveDescriptor::new(class, properties, uuid, pages);
    described.map_err(|error| PoolError::invalid(subject, error.to_string()))
}

/// The drive settings from the tunables.
pub(super) fn settings(tunables: &Tunables) -> DriveSettings {
    DriveSettings {
        chunk_bytes: tunables.chunk_kib() as usize * 1024,
        regions: u64::from(tunables.space_map_regions()),
        align_zones: u64::from(tunables.space_map_align()),
        spare_percent: tunables.spare_percent() as u8,
    }
}

/// Marks the zones of MDC0, which no record describes, as in use.
pub(super) fn reserve_mdc0(pool: &Pool) -> Result<()> {
    for log in &pool.mdc0_logs {
        log.drive().space().borrow_mut().insert(log.extent())?;
    }
    Ok(())
}
