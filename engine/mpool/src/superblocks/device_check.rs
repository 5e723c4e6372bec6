// SPDX-License-Identifier: BSD-3-Clause

//! Checks whether a device is the one that its superblock was written to.
//!
//! The first bytes of a device can belong to another as well: to the disk below a partition, to one leg of a mirror, to
//! a copy. Using the wrong one overwrites others' data. So the superblock records its device, and differences are
//! reported: as a warning or, where the recorded device may still appear, as a refusal.

use crate::device::DeviceProperties;
use crate::drive::short_name;
use crate::error::{Kind, PoolError, Result};
use crate::format::{DeviceRecord, DriveDescriptor, Features, Superblock};

/// Checks that a device can be the drive that its superblock describes: at least as large, with the same sectors, type
/// and features; and that it is the recorded device, or that the recorded one cannot appear any more. Returns the
/// differences. With `force` any device passes; with `resize` it may have grown.
///
/// # Errors
/// EINVAL: the device differs from its description. EPERM: another device may still appear.
pub fn reconcile(superblock: &Superblock, device: &DeviceProperties, resize: bool, force: bool) -> Result<Vec<String>> {
    let subject = || format!("drive '{}'", short_name(&device.name));
    let geometry = check_geometry(&superblock.drive, device);
    let identity = match &superblock.device {
        Some(recorded) => check_identity(recorded, &DeviceRecord::of(device), resize),
        None => Ok(Vec::new()),
    };
    match (geometry, identity) {
        (Ok(()), Ok(warnings)) => Ok(warnings),
        (geometry, identity) if force => {
            let mut warnings: Vec<_> = geometry.err().into_iter().collect();
            warnings.extend(identity.unwrap_or_else(|reason| vec![reason]));
            Ok(warnings)
        }
        (Err(fault), _) => Err(PoolError::invalid(subject(), fault)),
        (_, Err(reason)) => Err(PoolError::new(Kind::NotPermitted, subject(), reason)),
    }
}

/// True when the record of the device in a superblock must be updated.
#[must_use]
pub fn has_changed(superblock: &Superblock, device: &DeviceProperties) -> bool {
    superblock.device.is_none_or(|recorded| {
        let mut now = DeviceRecord::of(device);
        if !recorded.uuid_lasts && !now.uuid_lasts {
            // A UUID that is generated at each start carries no information.
            now.uuid = recorded.uuid;
        }
        recorded != now
    })
}

fn check_geometry(recorded: &DriveDescriptor, device: &DeviceProperties) -> core::result::Result<(), String> {
    Err(if device.bytes < recorded.bytes {
        format!("it has {} bytes, its superblock says {}", device.bytes, recorded.bytes)
    } else if u64::from(device.sector_bytes) != recorded.sector_bytes() {
        format!("it has blocks of {} bytes, its superblock says {}", device.sector_bytes, recorded.sector_bytes())
    } else if device.kind != recorded.kind {
        format!("its type is {:?}, its superblock says {:?}", device.kind, recorded.kind)
    } else if Features::of(device) != recorded.features {
        format!("its features are {:#x}, its superblock says {:#x}", Features::of(device).0, recorded.features.0)
    } else {
        return Ok(());
    })
}

fn check_identity(
    recorded: &DeviceRecord,
    now: &DeviceRecord,
    resize: bool,
) -> core::result::Result<Vec<String>, String> {
    let lasts = recorded.uuid_lasts || now.uuid_lasts;
    let same_uuid = recorded.uuid_lasts && now.uuid_lasts && recorded.uuid == now.uuid;
    let same_product = recorded.product() == now.product();
    if same_uuid && same_product && recorded.bytes() == now.bytes() {
        return Ok(Vec::new());
    }
    // A stacked device appears later than the one below it.
    let may_come = !same_uuid && (recorded.uuid_lasts || (recorded.layered && !same_product));
    if may_come {
        return Err(format!(
            "the pool was made on {recorded}, this is {now}: the recorded one may still come, and this may be what it \
             stands on, a part of it, or a copy; with force this one is used from now on"
        ));
    }
    if recorded.bytes() != now.bytes() && !same_uuid && !resize {
        return Err(format!(
            "the pool was made on {recorded}, this is {now}: its size differs; if it has grown, resize takes that in, and \
             with force it is used as it is"
        ));
    }
    let mut warnings = Vec::new();
    if !same_product || recorded.bytes() != now.bytes() || (lasts && !same_uuid) {
        warnings.push(format!("the pool was made on {recorded}, this is {now}"));
    }
    Ok(warnings)
}
