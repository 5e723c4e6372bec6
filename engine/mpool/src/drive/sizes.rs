// SPDX-License-Identifier: BSD-3-Clause

//! The default sizes of a new pool: of zones, and of the logs of its containers.

use uuid::Uuid;

use super::{check_device, short_name, subject};
use crate::device::DeviceProperties;
use crate::error::{PoolError, Result};
use crate::format::{superblock_zones, DriveDescriptor};
use crate::ids::{MediaClass, PAGE_BYTES};

const MIB: u64 = 1 << 20;

/// The fewest bytes in a zone of a new pool.
pub const MIN_ZONE_BYTES: u64 = MIB;
/// The most bytes in a zone of a new pool.
pub const MAX_ZONE_BYTES: u64 = 64 * MIB;
/// Default bytes in a zone, on devices that are large enough.
pub const DEFAULT_ZONE_BYTES: u64 = 32 * MIB;

/// The fewest zones that a device should be cut into: 37 hold the metadata of 16 containers, the rest is for objects.
const ENOUGH_ZONES: u64 = 256;

/// Checks the zone size of a new pool, whole MiB from 1 to 64, and returns the pages in a zone.
///
/// # Errors
/// EINVAL.
pub fn check_zone_bytes(bytes: u64) -> Result<u32> {
    if !(MIN_ZONE_BYTES..=MAX_ZONE_BYTES).contains(&bytes) || !bytes.is_multiple_of(MIB) {
        let reason = format!("{bytes} bytes are not a whole number of MiB from 1 to {}", MAX_ZONE_BYTES / MIB);
        return Err(PoolError::invalid("zone size", reason));
    }
    // At most 64 MiB, so the number of pages fits.
    Ok((bytes / PAGE_BYTES as u64) as u32)
}

/// Describes a device as a new drive of a pool, with zones of `zone_bytes`.
///
/// # Errors
/// EINVAL: the device is unsuitable, the zone size is invalid, or the device has no room for a zone besides those of
/// the superblocks.
pub fn describe_new(
    device: &DeviceProperties,
    class: MediaClass,
    uuid: Uuid,
    zone_bytes: u64,
) -> Result<DriveDescriptor> {
    check_device(device)?;
    let object = subject(&short_name(&device.name));
    let descriptor = DriveDescriptor::new(class, device, uuid, check_zone_bytes(zone_bytes)?)
        .map_err(|error| PoolError::invalid(&object, error.to_string()))?;
    if u64::from(descriptor.zones) <= superblock_zones(zone_bytes) {
        return Err(PoolError::invalid(&object, format!("{} bytes have no room for a pool", device.bytes)));
    }
    Ok(descriptor)
}

/// The default zone size: 32 MiB for devices from 8 GiB on; below, the power of two of MiB that cuts the device into
/// 256 zones or a little more, but at least 1 MiB.
#[must_use]
pub fn default_zone_bytes(device_bytes: u64) -> u64 {
    let share = (device_bytes / ENOUGH_ZONES).max(MIN_ZONE_BYTES);
    (1 << share.ilog2()).min(DEFAULT_ZONE_BYTES)
}

/// The log sizes of the containers of a new pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MdcCapacities {
    /// Bytes of each log of MDC0.
    pub mdc0_bytes: u64,
    /// Bytes of each log of the other containers.
    pub mdcn_bytes: u64,
}

/// The default log sizes of containers: for MDC0 the larger of 32 MiB and a zone; for the others the larger of a zone
/// and 256 MiB divided by a zone's MiB.
///
/// Small devices get less, but never less than a zone: the two logs of MDC0 take at most 1/32 of the device, the logs
/// of 16 other containers at most 1/8. (With zones of 1 MiB, 16 containers as in mpool would take 8 GiB.) Zones of 32
/// MiB reach the figures of mpool from 2 GiB of device on, zones of 1 MiB from 64 GiB on.
#[must_use]
pub fn derived_capacities(zone_bytes: u64, device_bytes: u64) -> MdcCapacities {
    let zone_mib = (zone_bytes / MIB).max(1);
    let scaled = |exact_mib: u64, share: u64| {
        let whole_zones = (device_bytes / share).checked_div(zone_bytes).unwrap_or(0) * zone_bytes;
        (exact_mib * MIB).min(whole_zones).max(zone_bytes)
    };
    MdcCapacities {
        mdc0_bytes: scaled(32.max(zone_mib), 32 * 2),
        mdcn_bytes: scaled(zone_mib.max(256 / zone_mib), 8 * 32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Features;
    use crate::test_device::properties;

    /// mpool-5: the capacities of mpool for zones of 1 to 128 MiB, on a large device.
    #[test]
    fn capacities_of_containers_on_large_devices() {
        let table = [
            (1, 32, 256),
            (2, 32, 128),
            (4, 32, 64),
            (8, 32, 32),
            (16, 32, 16),
            (32, 32, 32),
            (64, 64, 64),
            (128, 128, 128),
        ];
        for (zone_mib, mdc0_mib, mdcn_mib) in table {
            let expected = MdcCapacities { mdc0_bytes: mdc0_mib * MIB, mdcn_bytes: mdcn_mib * MIB };
            assert_eq!(derived_capacities(zone_mib * MIB, 64 << 30), expected, "zone of {zone_mib} MiB");
        }
        let expected = MdcCapacities { mdc0_bytes: 32 * MIB, mdcn_bytes: 256 * MIB };
        assert_eq!(derived_capacities(PAGE_BYTES as u64, 1 << 40), expected, "a zone below 1 MiB divides by nothing");
    }

    /// A default pool with 16 containers, root logs of 8 MiB and room for objects fits devices from 256 MiB on.
    #[test]
    fn small_devices_hold_a_default_pool() {
        for device_mib in (256..=16384).step_by(32) {
            let device_bytes = device_mib * MIB;
            let zone = default_zone_bytes(device_bytes);
            let MdcCapacities { mdc0_bytes, mdcn_bytes } = derived_capacities(zone, device_bytes);
            let zones_of = |bytes: u64| bytes.div_ceil(zone);
            let metadata = 1 + 2 * zones_of(mdc0_bytes) + 32 * zones_of(mdcn_bytes) + 2 * zones_of(8 * MIB);
            assert!(metadata * zone * 4 <= device_bytes, "{device_mib} MiB: {metadata} zones of {zone}");
        }
    }

    #[test]
    fn default_zones() {
        let table =
            [(16, 1), (256, 1), (511, 1), (512, 2), (1024, 4), (4096, 16), (8191, 16), (8192, 32), (1 << 30, 32)];
        for (device_mib, zone_mib) in table {
            assert_eq!(default_zone_bytes(device_mib * MIB), zone_mib * MIB, "{device_mib} MiB");
        }
        assert_eq!(default_zone_bytes(0), MIB);
        assert_eq!(default_zone_bytes(u64::MAX), 32 * MIB);
    }

    #[test]
    fn a_new_drive_has_room_beside_its_superblocks() {
        let describe = |bytes: u64, zone_bytes: u64| {
            describe_new(&properties(bytes), MediaClass::Staging, Uuid::from_u128(9), zone_bytes).ok()
        };
        let drive = describe(5 * MIB + 4096, 2 * MIB).expect("two zones");
        assert_eq!(
            (drive.class, drive.zones, drive.zone_pages, drive.bytes),
            (MediaClass::Staging, 2, 512, 5 * MIB + 4096)
        );
        assert_eq!((drive.sector_shift, drive.features), (12, Features(3)));
        assert_eq!(describe(2 * MIB - 4096, MIB), None, "only the zone of the superblocks");
        assert_eq!(describe(MIB, 2 * MIB), None);
        assert_eq!(describe(16 * MIB, 4096), None, "no zone size");
    }

    #[test]
    fn zones_are_whole_mib_from_1_to_64() {
        assert_eq!(check_zone_bytes(MIB).ok(), Some(256));
        assert_eq!(check_zone_bytes(3 * MIB).ok(), Some(768));
        assert_eq!(check_zone_bytes(64 * MIB).ok(), Some(16384));
        for refused in [0, MIB - 1, MIB + 4096, 65 * MIB, u64::MAX] {
            assert!(check_zone_bytes(refused).is_err(), "{refused}");
        }
    }
}
