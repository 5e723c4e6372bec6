// SPDX-License-Identifier: BSD-3-Clause

//! The properties and status of an active pool: mpool's PROP_GET, DEVPROPS_GET and MP_MCLASS_GET.

use crate::drive::{Drive, DriveStatus};
use crate::error::{Kind, PoolError, Result};
use crate::format::DriveDescriptor;
use crate::host::PoolStatus;
use crate::ids::MediaClass;
use crate::metadata::Usage;
use crate::params::PoolParams;
use crate::registry::Registry;
use crate::space_map::SpaceUsage;
use crate::Pool;

/// The properties of a drive of an active pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveProps {
    /// The name of its device; the UUID of a missing drive.
    pub name: String,
    /// Identity, class, geometry.
    pub descriptor: DriveDescriptor,
    /// Whether the drive works.
    pub status: DriveStatus,
    /// The use of its space.
    pub space: SpaceUsage,
}

/// The properties of a media class of an active pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassProps {
    /// The media class.
    pub class: MediaClass,
    /// The percentage of spare zones.
    pub spare_percent: u8,
    /// Drives that are missing or suspect: 0 or 1.
    pub unavailable: u32,
    /// The drive of the class.
    pub drive: DriveProps,
    /// Space and objects of the class.
    pub usage: Usage,
}

/// The properties of an active pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolProps {
    /// The parameters in force.
    pub params: PoolParams,
    /// The health of the pool.
    pub status: PoolStatus,
    /// Present faults, and what is being done about them.
    pub faults: Vec<String>,
    /// The classes that have a drive, by number.
    pub classes: Vec<ClassProps>,
}

impl Pool {
    /// All properties of the pool.
    #[must_use]
    pub fn props(&self) -> PoolProps {
        let classes: Vec<_> = MediaClass::ALL.into_iter().filter_map(|class| self.class_props(class).ok()).collect();
        PoolProps { params: self.params(), status: self.status(), faults: self.faults(), classes }
    }

    /// The health of the pool.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let all_there = self.drives().iter().all(|drive| drive.status() == DriveStatus::Online);
        if all_there && self.faults().is_empty() {
            PoolStatus::Optimal
        } else {
            PoolStatus::Faulted
        }
    }

    /// The properties of a media class.
    ///
    /// # Errors
    /// NotFound: the class has no drive.
    pub fn class_props(&self, class: MediaClass) -> Result<ClassProps> {
        let drive = drive_props(&*self.drive_of(class)?);
        let unavailable = u32::from(drive.status != DriveStatus::Online);
        let spare_percent = self.spare_percent(class);
        Ok(ClassProps { class, spare_percent, unavailable, drive, usage: self.class_usage(class)? })
    }

    /// The properties of a drive, by the name of its device.
    ///
    /// # Errors
    /// NotFound (defect 19).
    pub fn drive_props(&self, name: &str) -> Result<DriveProps> {
        let drives = self.drives();
        let drive = drives.iter().find(|drive| drive.name() == name);
        drive.map(|drive| drive_props(drive)).ok_or_else(|| {
            PoolError::new(Kind::NotFound, self.subject(), format!("it has no drive '{}'", name.escape_debug()))
        })
    }
}

fn drive_props(drive: &Drive) -> DriveProps {
    DriveProps {
        name: drive.name().to_owned(),
        descriptor: drive.descriptor(),
        status: drive.status(),
        space: drive.space_usage(),
    }
}

impl Registry {
    /// The properties of active pools, ordered by UUID, at most `limit` of them.
    ///
    /// # Errors
    /// Invalid: a limit of 0.
    pub fn list(&self, limit: usize) -> Result<Vec<PoolProps>> {
        if limit == 0 {
            return Err(PoolError::invalid("list of pools", "at least one must be asked for"));
        }
        Ok(self.pools().iter().take(limit).map(|active| active.pool().props()).collect())
    }

    /// The properties of an active pool, given by its name or its UUID as text.
    ///
    /// # Errors
    /// NotMember: no such active pool.
    pub fn get_props(&self, name_or_uuid: &str) -> Result<PoolProps> {
        Ok(self.find(name_or_uuid)?.pool().props())
    }

    /// Space and objects of an active pool.
    ///
    /// # Errors
    /// NotMember: no such active pool.
    pub fn get_usage(&self, name_or_uuid: &str) -> Result<Usage> {
        Ok(self.find(name_or_uuid)?.pool().usage())
    }
}
