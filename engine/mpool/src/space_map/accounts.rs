// SPDX-License-Identifier: BSD-3-Clause

//! The use of a drive's zones: usable space for all allocations, spare space for those that ask for it.
//!
//! Invariants: spare space in use never exceeds its target; both uses together are the allocated zones. Usable space in
//! use may exceed its target: after activation, when everything counts as usable, or after more space was made spare.

use super::SpaceError;

/// The space that an allocation may use. The numbers are mpool's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// Usable space only: the ordinary allocation.
    UsableOnly = 1,
    /// Usable space first, then spare space.
    UsableThenSpare = 2,
    /// Spare space only.
    SpareOnly = 3,
    /// Spare space first, then usable space: an allocation with the spare flag.
    SpareThenUsable = 4,
}

/// The zones of a drive by use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ZoneUsage {
    /// All zones.
    pub total_zones: u64,
    /// Zones that can be used: all, because no zone is known to be bad.
    pub available_zones: u64,
    /// Zones for ordinary allocations.
    pub usable_zones: u64,
    /// Usable zones that are not in use.
    pub free_usable_zones: u64,
    /// Zones in use as usable space; may exceed the usable zones.
    pub used_zones: u64,
    /// Zones kept spare.
    pub spare_zones: u64,
    /// Spare zones that are not in use.
    pub free_spare_zones: u64,
}

/// The bytes of a drive, or of several, by use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpaceUsage {
    /// All bytes.
    pub total_bytes: u64,
    /// Bytes that can be used.
    pub available_bytes: u64,
    /// Bytes for ordinary allocations.
    pub usable_bytes: u64,
    /// Usable bytes that are not in use.
    pub free_usable_bytes: u64,
    /// Bytes in use as usable space; may exceed the usable bytes.
    pub used_bytes: u64,
    /// Bytes kept spare.
    pub spare_bytes: u64,
    /// Spare bytes that are not in use.
    pub free_spare_bytes: u64,
}

impl ZoneUsage {
    /// The same in bytes, for zones of `zone_bytes`. The bytes of a drive fit a u64.
    #[must_use]
    pub fn bytes(&self, zone_bytes: u64) -> SpaceUsage {
        SpaceUsage {
            total_bytes: self.total_zones * zone_bytes,
            available_bytes: self.available_zones * zone_bytes,
            usable_bytes: self.usable_zones * zone_bytes,
            free_usable_bytes: self.free_usable_zones * zone_bytes,
            used_bytes: self.used_zones * zone_bytes,
            spare_bytes: self.spare_zones * zone_bytes,
            free_spare_bytes: self.free_spare_zones * zone_bytes,
        }
    }
}

impl SpaceUsage {
    /// The sum of two usages.
    #[must_use]
    pub fn plus(&self, other: &SpaceUsage) -> SpaceUsage {
        SpaceUsage {
            total_bytes: self.total_bytes.saturating_add(other.total_bytes),
            available_bytes: self.available_bytes.saturating_add(other.available_bytes),
            usable_bytes: self.usable_bytes.saturating_add(other.usable_bytes),
            free_usable_bytes: self.free_usable_bytes.saturating_add(other.free_usable_bytes),
            used_bytes: self.used_bytes.saturating_add(other.used_bytes),
            spare_bytes: self.spare_bytes.saturating_add(other.spare_bytes),
            free_spare_bytes: self.free_spare_bytes.saturating_add(other.free_spare_bytes),
        }
    }
}

/// The counts of a drive's zones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accounts {
    zones: u64,
    spare_percent: u8,
    usable_target: u64,
    usable_used: u64,
    spare_target: u64,
    spare_used: u64,
}

impl Accounts {
    /// The accounts of `zones` free zones.
    pub(super) fn new(zones: u64, spare_percent: u8) -> Result<Accounts, SpaceError> {
        let mut accounts =
            Accounts { zones, spare_percent, usable_target: 0, usable_used: 0, spare_target: 0, spare_used: 0 };
        accounts.set_spare_percent(spare_percent)?;
        Ok(accounts)
    }

    /// The accounts after allocating `zones` free zones under `policy`; none when the policy does not allow it.
    pub(super) fn charged(&self, zones: u64, policy: Policy) -> Option<Accounts> {
        let usable = self.usable_used.checked_add(zones)?;
        let spare = self.spare_used.checked_add(zones)?;
        let fits = match policy {
            Policy::UsableOnly => usable <= self.usable_target,
            Policy::SpareOnly => spare <= self.spare_target,
            Policy::UsableThenSpare | Policy::SpareThenUsable => {
                self.allocated_zones().checked_add(zones)? <= self.zones
            }
        };
        if !fits {
            return None;
        }
        let (usable_used, spare_used) = match policy {
            Policy::UsableOnly => (usable, self.spare_used),
            Policy::SpareOnly => (self.usable_used, spare),
            // Usable space in use beyond its target moves too.
            Policy::UsableThenSpare => {
                let moved = usable.saturating_sub(self.usable_target);
                (usable - moved, self.spare_used + moved)
            }
            Policy::SpareThenUsable => {
                let rest = spare.saturating_sub(self.spare_target);
                (self.usable_used + rest, spare - rest)
            }
        };
        let charged = Accounts { usable_used, spare_used, ..*self };
        charged.check();
        Some(charged)
    }

    /// Counts zones that were found in use.
    pub(super) fn insert(&mut self, zones: u64) {
        self.usable_used += zones;
        self.check();
    }

    /// Frees zones: spare space first, whatever policy they were allocated under.
    pub(super) fn free(&mut self, zones: u64) {
        let spare = zones.min(self.spare_used);
        self.spare_used -= spare;
        self.usable_used -= zones - spare;
        self.check();
    }

    /// Makes `percent` of the zones spare.
    pub(super) fn set_spare_percent(&mut self, percent: u8) -> Result<(), SpaceError> {
        let usable_percent = 100_u8.checked_sub(percent).ok_or(SpaceError::Percent(percent))?;
        self.spare_percent = percent;
        // At most `zones`, so it fits.
        self.usable_target = (u128::from(self.zones) * u128::from(usable_percent) / 100) as u64;
        self.spare_target = self.zones - self.usable_target;
        let excess = self.spare_used.saturating_sub(self.spare_target);
        self.spare_used -= excess;
        self.usable_used += excess;
        self.check();
        Ok(())
    }

    /// Adds free zones.
    pub(super) fn grow(&mut self, zones: u64) -> Result<(), SpaceError> {
        self.zones += zones;
        self.set_spare_percent(self.spare_percent)
    }

    /// The percentage of spare zones.
    pub(super) fn spare_percent(&self) -> u8 {
        self.spare_percent
    }

    pub(super) fn allocated_zones(&self) -> u64 {
        self.usable_used + self.spare_used
    }

    /// The zones by use.
    pub(super) fn usage(&self) -> ZoneUsage {
        ZoneUsage {
            total_zones: self.zones,
            available_zones: self.zones,
            usable_zones: self.usable_target,
            free_usable_zones: self.usable_target.saturating_sub(self.usable_used),
            used_zones: self.usable_used,
            spare_zones: self.spare_target,
            free_spare_zones: self.spare_target - self.spare_used,
        }
    }

    fn check(&self) {
        assert!(self.spare_used <= self.spare_target, "spare space in use exceeds its target");
        assert!(self.allocated_zones() <= self.zones, "more zones are in use than there are");
    }
}
