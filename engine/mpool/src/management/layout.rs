// SPDX-License-Identifier: BSD-3-Clause

//! The division of a new pool's drive: zone size, and sizes of the metadata containers.
//!
//! Differs from mpool: defaults are smaller on small devices, so that a pool of 16 MiB is usable. For zones and logs of
//! containers see [`derived_capacities`]. By default client containers take at most a quarter of the zones, root logs a
//! sixteenth. The same rule gives the number of client containers that the pool should have at activation.

use crate::drive::{check_zone_bytes, default_zone_bytes, derived_capacities, MAX_ZONE_BYTES};
use crate::error::{Kind, PoolError, Result};
use crate::format::superblock_zones;
use crate::params::LayoutWish;

/// Bytes in a MiB.
pub const MIB: u64 = 1 << 20;

/// The default number of client containers on devices that are large enough.
pub const USUAL_CONTAINERS: usize = 16;

/// The most client containers of a pool.
pub const MAX_CONTAINERS: usize = 255;

/// The default capacity of each root log, in bytes, on devices that are large enough.
pub const ROOT_LOG_BYTES: u64 = 8 * MIB;

/// The division of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bytes in a zone.
    pub zone_bytes: u64,
    /// Whole zones on the drive.
    pub zones: u64,
    /// Zones at the start for the superblocks.
    pub superblock_zones: u64,
    /// Zones of each log of MDC0.
    pub mdc0_log_zones: u64,
    /// Zones of each log of a client container.
    pub mdc_log_zones: u64,
    /// The number of client containers.
    pub containers: usize,
    /// The capacity of each root log, in bytes.
    pub root_log_bytes: u64,
}

impl Layout {
    /// The division of a drive of `bytes` bytes; `subject` is the drive's name in messages.
    ///
    /// # Errors
    /// Invalid: a requested size is out of range. NoSpace: no room for the superblocks and MDC0.
    pub fn choose(subject: &str, bytes: u64, wish: &LayoutWish) -> Result<Layout> {
        let zone_bytes = zone_bytes(subject, bytes, wish.zone_mib)?;
        let zones = bytes / zone_bytes;
        let capacities = derived_capacities(zone_bytes, bytes);
        let in_zones = |wish: Option<u32>, derived: u64| {
            wish.map_or(derived, |mib| u64::from(mib) * MIB).div_ceil(zone_bytes).max(1)
        };
        let mdc_log_zones = in_zones(wish.mdc_log_mib, capacities.mdcn_bytes);
        let layout = Layout {
            zone_bytes,
            zones,
            superblock_zones: superblock_zones(zone_bytes),
            mdc0_log_zones: in_zones(wish.mdc0_log_mib, capacities.mdc0_bytes),
            mdc_log_zones,
            containers: match wish.containers {
                Some(count) => check_containers(subject, count)?,
                None => usual_containers(zones, mdc_log_zones),
            },
            root_log_bytes: wish.root_log_bytes.unwrap_or_else(|| usual_root_log_bytes(zones, zone_bytes)),
        };
        layout.check(subject, bytes)?;
        Ok(layout)
    }

    fn check(&self, subject: &str, bytes: u64) -> Result<()> {
        // A space map has four regions, none of them empty.
        let needed = (self.superblock_zones + self.mdc0_log_zones.saturating_mul(2)).max(4);
        if self.zones < needed {
            let reason = format!(
                "its {bytes} bytes are {} zones of {} MiB, but superblocks and MDC0 need {needed}",
                self.zones,
                self.zone_bytes / MIB
            );
            return Err(PoolError::new(Kind::NoSpace, subject, reason));
        }
        Ok(())
    }
}

/// The zone size on a new drive of `bytes` bytes: the requested one, else the default.
///
/// # Errors
/// Invalid: not a power of two of MiB from 1 to 64.
pub fn zone_bytes(subject: &str, bytes: u64, wish_mib: Option<u32>) -> Result<u64> {
    let Some(mib) = wish_mib else { return Ok(default_zone_bytes(bytes)) };
    let wish = u64::from(mib) * MIB;
    if !mib.is_power_of_two() || check_zone_bytes(wish).is_err() {
        let most = MAX_ZONE_BYTES / MIB;
        let reason = format!("zones of {mib} MiB are wished; powers of two from 1 to {most} are possible");
        return Err(PoolError::invalid(subject, reason));
    }
    Ok(wish)
}

fn check_containers(subject: &str, count: usize) -> Result<usize> {
    if (1..=MAX_CONTAINERS).contains(&count) {
        return Ok(count);
    }
    let reason = format!("{count} client containers are wished; 1 to {MAX_CONTAINERS} are possible");
    Err(PoolError::invalid(subject, reason))
}

/// The default number of client containers on a drive of `zones` zones whose container logs have `mdc_log_zones`.
#[must_use]
pub fn usual_containers(zones: u64, mdc_log_zones: u64) -> usize {
    let room = zones / 4 / mdc_log_zones.saturating_mul(2).max(1);
    usize::try_from(room).unwrap_or(usize::MAX).clamp(1, USUAL_CONTAINERS)
}

/// The default zones of each log of a client container on a drive of `bytes` bytes.
#[must_use]
pub fn usual_log_zones(zone_bytes: u64, bytes: u64) -> u64 {
    derived_capacities(zone_bytes, bytes).mdcn_bytes.div_ceil(zone_bytes.max(1)).max(1)
}

/// The default capacity of each root log on a drive of `zones` zones.
#[must_use]
pub fn usual_root_log_bytes(zones: u64, zone_bytes: u64) -> u64 {
    ROOT_LOG_BYTES.min((zones / 32).max(1) * zone_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn choose(bytes: u64, wish: LayoutWish) -> Layout {
        Layout::choose("drive", bytes, &wish).expect("a division exists")
    }

    /// mpool-5, partly: a large device is divided with the capacities that follow from the zone size.
    #[test]
    fn capacities_follow_from_the_zone_size() {
        let expected = [(1, 32, 256), (2, 32, 128), (4, 32, 64), (8, 32, 32), (16, 32, 16), (32, 32, 32), (64, 64, 64)];
        for (zone, mdc0, mdc) in expected {
            let layout = choose(256 * GIB, LayoutWish { zone_mib: Some(zone), ..LayoutWish::default() });
            assert_eq!(layout.zone_bytes, u64::from(zone) * MIB);
            assert_eq!(layout.mdc0_log_zones * layout.zone_bytes, mdc0 * MIB, "zone {zone}");
            assert_eq!(layout.mdc_log_zones * layout.zone_bytes, mdc * MIB, "zone {zone}");
            assert_eq!((layout.containers, layout.superblock_zones), (16, 1));
            assert_eq!(layout.root_log_bytes, 8 * MIB);
        }
    }

    #[test]
    fn metadata_leaves_room_on_small_devices() {
        for mib in [12, 16, 20, 64, 100, 256, 1024, 4096, 5000, 10000] {
            let layout = choose(mib * MIB, LayoutWish::default());
            let root = 2 * layout.root_log_bytes.div_ceil(layout.zone_bytes);
            let containers = 2 * layout.containers as u64 * layout.mdc_log_zones;
            let taken = layout.superblock_zones + 2 * layout.mdc0_log_zones + containers + root;
            assert!(taken <= layout.zones * 3 / 4, "{mib} MiB: {taken} of {} zones", layout.zones);
        }
    }

    #[test]
    fn activation_aims_at_what_creation_chose() {
        for mib in [12, 64, 256, 1024, 16384] {
            let layout = choose(mib * MIB, LayoutWish::default());
            assert_eq!(layout.mdc_log_zones, usual_log_zones(layout.zone_bytes, mib * MIB));
            assert_eq!(layout.containers, usual_containers(layout.zones, layout.mdc_log_zones));
        }
    }

    #[test]
    fn wishes_are_kept_or_refused() {
        let wish = LayoutWish {
            zone_mib: Some(4),
            mdc0_log_mib: Some(6),
            mdc_log_mib: Some(1),
            containers: Some(255),
            root_log_bytes: Some(5),
        };
        let layout = choose(64 * MIB, wish);
        assert_eq!((layout.zones, layout.mdc0_log_zones, layout.mdc_log_zones), (16, 2, 1));
        assert_eq!((layout.containers, layout.root_log_bytes), (255, 5));
        for bad in [0, 3, 65, 128, u32::MAX] {
            let refused = Layout::choose("d", GIB, &LayoutWish { zone_mib: Some(bad), ..wish });
            assert_eq!(refused.expect_err("no such zone").kind(), Kind::Invalid);
        }
        for bad in [0, 256] {
            let refused = Layout::choose("d", GIB, &LayoutWish { containers: Some(bad), ..wish });
            assert_eq!(refused.expect_err("no such count").kind(), Kind::Invalid);
        }
    }

    #[test]
    fn mdc0_must_fit() {
        let wish = LayoutWish { zone_mib: Some(1), mdc0_log_mib: Some(4), ..LayoutWish::default() };
        assert_eq!(Layout::choose("d", 9 * MIB, &wish).expect("it just fits").zones, 9);
        assert_eq!(Layout::choose("d", 9 * MIB - 1, &wish).expect_err("8 zones").kind(), Kind::NoSpace);
        assert_eq!(Layout::choose("d", 0, &LayoutWish::default()).expect_err("no zone").kind(), Kind::NoSpace);
    }
}
