// SPDX-License-Identifier: BSD-3-Clause

//! The space map: the free zones of a drive. It exists only in memory and is rebuilt at activation.
//!
//! The zones are divided into regions, each with its free extents in address order. An allocation takes the first
//! fitting extent of the first region that has one; successive allocations begin at successive regions. The [`Policy`]
//! decides what an allocation may use.
//!
//! Invariants:
//! * Every zone is in at most one free extent; free extents of a region neither touch nor overlap.
//! * The zones in use as usable and as spare space together are the zones that are not free.
//! * An operation that fails changes nothing except the region at which the next allocation begins.
//!
//! Differs from mpool: counts are u64 everywhere (section 13, defect 18); there are no locks, because a pool lives on
//! one thread.

use thiserror::Error;

use super::error::{Kind, PoolError, Result};
use super::ids::Extent;

mod accounts;
mod region;
#[cfg(test)]
mod tests;

pub use accounts::{Policy, SpaceUsage, ZoneUsage};

use accounts::Accounts;
use region::Region;

/// The default number of regions of a drive.
pub const DEFAULT_REGIONS: u64 = 4;

/// The default percentage of spare zones.
pub const DEFAULT_SPARE_PERCENT: u8 = 5;

/// The map of a drive's zones.
#[derive(Debug, Clone)]
pub struct SpaceMap {
    /// The name of the drive in messages.
    subject: String,
    zones: u64,
    regions: Vec<Region>,
    /// The region at which the next allocation begins.
    turn: usize,
    /// Allocations begin at multiples of this, a power of two.
    align_zones: u64,
    accounts: Accounts,
}

/// Why an operation on a space map failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SpaceError {
    /// No region has a large enough run of free zones, or the policy does not allow the allocation.
    #[error("no space for {0} zones")]
    NoSpace(u64),
    /// Zones to be marked in use are not free.
    #[error("zones {0} to {1} are not all free")]
    Taken(u64, u64),
    /// Zones to be freed are free already.
    #[error("zones {0} to {1} are partly free already")]
    Free(u64, u64),
    /// The zones are not on the drive, or there are none.
    #[error("{1} zones from zone {0} are not on a drive of {2} zones")]
    Outside(u64, u64, u64),
    /// The number of regions is impossible for the number of zones.
    #[error("{0} zones cannot be cut into {1} regions")]
    Regions(u64, u64),
    /// The percentage is above 100.
    #[error("{0} % spare")]
    Percent(u8),
    /// The alignment is not a power of two.
    #[error("an alignment of {0} zones")]
    Alignment(u64),
}

impl SpaceError {
    /// This error as a failure on `object`: ENOSPC or EINVAL.
    pub fn on(self, object: impl Into<String>) -> PoolError {
        let kind = if matches!(self, SpaceError::NoSpace(_)) { Kind::NoSpace } else { Kind::Invalid };
        PoolError::new(kind, object, self.to_string())
    }
}

impl SpaceMap {
    /// A map of `zones` free zones in `regions` regions; `subject` is the name in messages ("drive 'Malloc0'").
    ///
    /// # Errors
    /// EINVAL, [`SpaceError::Regions`]: no regions, or more than zones; [`SpaceError::Percent`].
    pub fn new(subject: impl Into<String>, zones: u64, regions: u64, spare_percent: u8) -> Result<SpaceMap> {
        let subject = subject.into();
        let accounts = Accounts::new(zones, spare_percent).map_err(|error| error.on(&subject))?;
        let Some(size) = zones.checked_div(regions).filter(|size| *size > 0) else {
            return Err(SpaceError::Regions(zones, regions).on(subject));
        };
        // The last region takes the remainder of the division.
        let ends = (1..regions).map(|number| number * size).chain([zones]);
        let regions = ends.enumerate().map(|(number, end)| Region::new(number as u64 * size, end)).collect();
        Ok(SpaceMap { subject, zones, regions, turn: 0, align_zones: 1, accounts })
    }

    /// Grows the map to `zones` zones; the new ones are free, and belong to the last region.
    ///
    /// # Errors
    /// EINVAL, [`SpaceError::Outside`]: there are more already.
    pub fn grow(&mut self, zones: u64) -> Result<()> {
        let new =
            zones.checked_sub(self.zones).ok_or_else(|| self.failure(SpaceError::Outside(0, zones, self.zones)))?;
        if let Some(last) = self.regions.last_mut().filter(|_| new > 0) {
            last.grow(zones);
            self.zones = zones;
            self.accounts.grow(new).map_err(|error| error.on(&self.subject))?;
        }
        Ok(())
    }

    /// Restricts allocations to begin at multiples of `zones`, a power of two (1: anywhere).
    ///
    /// # Errors
    /// EINVAL, [`SpaceError::Alignment`].
    pub fn set_alignment(&mut self, zones: u64) -> Result<()> {
        if !zones.is_power_of_two() {
            return Err(self.failure(SpaceError::Alignment(zones)));
        }
        self.align_zones = zones;
        Ok(())
    }

    /// Allocates a run of `zones` zones within one region.
    ///
    /// # Errors
    /// ENOSPC, [`SpaceError::NoSpace`]; EINVAL, [`SpaceError::Outside`]: `zones` is 0.
    pub fn allocate(&mut self, zones: u64, policy: Policy) -> Result<Extent> {
        if zones == 0 {
            return Err(self.failure(SpaceError::Outside(0, zones, self.zones)));
        }
        let turn = self.turn;
        self.turn = (turn + 1) % self.regions.len();
        let Some((region, first)) = self.first_fit(turn, zones) else {
            return Err(self.failure(SpaceError::NoSpace(zones)));
        };
        // Checked only now: the accounts need free zones. No other region is tried when they refuse.
        let Some(charged) = self.accounts.charged(zones, policy) else {
            return Err(self.failure(SpaceError::NoSpace(zones)));
        };
        self.regions[region].take(first, first + zones);
        self.accounts = charged;
        Ok(Extent { first, zones })
    }

    /// Marks zones as in use: of an object found on media, or of the superblocks. They count as usable space.
    ///
    /// # Errors
    /// EINVAL, [`SpaceError::Taken`]: not all are free; [`SpaceError::Outside`].
    pub fn insert(&mut self, extent: Extent) -> Result<()> {
        let end = self.end_of(extent)?;
        let parts: Vec<_> = self.parts(extent.first, end).collect();
        if !parts.iter().all(|(region, first, end)| self.regions[*region].is_free(*first, *end)) {
            return Err(self.failure(SpaceError::Taken(extent.first, end - 1)));
        }
        parts.iter().for_each(|(region, first, end)| self.regions[*region].take(*first, *end));
        self.accounts.insert(extent.zones);
        Ok(())
    }

    /// As [`SpaceMap::insert`], for many extents sorted by their first zones: a single walk instead of a search for
    /// each.
    ///
    /// # Errors
    /// As for one extent, with the index of the failing one. Then nothing is marked.
    pub fn insert_in_order(
        &mut self,
        extents: impl IntoIterator<Item = Extent>,
    ) -> core::result::Result<(), (usize, PoolError)> {
        let mut takings: Vec<_> = self.regions.iter().map(Region::taking).collect();
        let mut zones = 0;
        for (index, extent) in extents.into_iter().enumerate() {
            let end = self.end_of(extent).map_err(|error| (index, error))?;
            for (region, first, part_end) in self.parts(extent.first, end) {
                if !takings[region].take(first, part_end) {
                    return Err((index, self.failure(SpaceError::Taken(extent.first, end - 1))));
                }
            }
            zones += extent.zones;
        }
        let left: Vec<_> = takings.into_iter().map(region::Taking::finish).collect();
        self.regions.iter_mut().zip(left).for_each(|(region, left)| region.set_free(left));
        self.accounts.insert(zones);
        Ok(())
    }

    /// Frees zones.
    ///
    /// # Errors
    /// EINVAL, [`SpaceError::Free`]: one of them is free already; [`SpaceError::Outside`].
    pub fn free(&mut self, extent: Extent) -> Result<()> {
        let end = self.end_of(extent)?;
        let parts: Vec<_> = self.parts(extent.first, end).collect();
        if parts.iter().any(|(region, first, end)| self.regions[*region].touches_free(*first, *end)) {
            return Err(self.failure(SpaceError::Free(extent.first, end - 1)));
        }
        parts.iter().for_each(|(region, first, end)| self.regions[*region].give(*first, *end));
        self.accounts.free(extent.zones);
        Ok(())
    }

    /// Changes the percentage of spare zones. Spare space in use beyond that counts as usable space from then on.
    ///
    /// # Errors
    /// EINVAL, [`SpaceError::Percent`].
    pub fn set_spare_percent(&mut self, percent: u8) -> Result<()> {
        self.accounts.set_spare_percent(percent).map_err(|error| error.on(&self.subject))
    }

    /// The percentage of spare zones.
    #[must_use]
    pub fn spare_percent(&self) -> u8 {
        self.accounts.spare_percent()
    }

    /// The zones by use.
    #[must_use]
    pub fn usage(&self) -> ZoneUsage {
        self.accounts.usage()
    }

    /// The number of zones in use.
    #[must_use]
    pub fn allocated_zones(&self) -> u64 {
        self.accounts.allocated_zones()
    }

    /// The free extents, in address order. None crosses the border of a region.
    pub fn free_extents(&self) -> impl Iterator<Item = Extent> + '_ {
        self.regions.iter().flat_map(Region::free_extents)
    }

    /// The end of an extent, which must lie on the drive and not be empty.
    fn end_of(&self, extent: Extent) -> Result<u64> {
        let end = extent.end().filter(|end| extent.zones > 0 && *end <= self.zones);
        end.ok_or_else(|| self.failure(SpaceError::Outside(extent.first, extent.zones, self.zones)))
    }

    /// The first region, from `turn` on, with a run of `zones` free zones, and the first zone of the run.
    fn first_fit(&self, turn: usize, zones: u64) -> Option<(usize, u64)> {
        let mut order = (turn..self.regions.len()).chain(0..turn);
        order.find_map(|region| Some((region, self.regions[region].first_fit(zones, self.align_zones)?)))
    }

    fn failure(&self, error: SpaceError) -> PoolError {
        error.on(&self.subject)
    }

    /// Splits the zones from `first` to before `end` by region.
    fn parts(&self, first: u64, end: u64) -> impl Iterator<Item = (usize, u64, u64)> + '_ {
        self.regions.iter().enumerate().filter_map(move |(number, region)| {
            let (first, end) = (first.max(region.first()), end.min(region.end()));
            (first < end).then_some((number, first, end))
        })
    }
}
