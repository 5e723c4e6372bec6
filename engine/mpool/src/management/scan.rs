// SPDX-License-Identifier: BSD-3-Clause

//! Finds the pools on some devices, without activating them.

use uuid::Uuid;

use crate::error::Result;
use crate::format::{DriveDescriptor, SuperblockVersion};
use crate::registry::Registry;
use crate::superblocks::{self, Condition, Found};

/// The result of scanning one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Scanned {
    /// The path of the device.
    pub path: String,
    /// The drive on the device. NoPool: there is none. Busy: the device is in use, but not by an active pool. Else the
    /// defect of its superblock.
    pub drive: Result<ScannedDrive>,
}

/// A drive that a scan has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedDrive {
    /// The UUID of its pool.
    pub pool: Uuid,
    /// The name of its pool. If drives differ, that of the drive with MDC0 counts.
    pub name: String,
    /// Identity, class, geometry.
    pub drive: DriveDescriptor,
    /// The drive holds MDC0.
    pub has_mdc0: bool,
    /// The version of its superblock; none for a drive of an active pool.
    pub version: Option<SuperblockVersion>,
    /// A pool with the drive's pool UUID is active.
    pub active: bool,
    /// How far its superblock can be trusted.
    pub condition: Condition,
}

/// A pool of which a scan has found drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedPool {
    /// The UUID of the pool.
    pub uuid: Uuid,
    /// The name of the pool.
    pub name: String,
    /// The drives found: path and description.
    pub drives: Vec<(String, ScannedDrive)>,
    /// The pool is active.
    pub active: bool,
}

impl Registry {
    /// Scans the devices one after the other. None stays open.
    pub async fn scan(&self, paths: &[String]) -> Vec<Scanned> {
        self.alone(async {
            let mut found = Vec::with_capacity(paths.len());
            for path in paths {
                let drive = match self.active_drive(path) {
                    Some(drive) => Ok(drive),
                    None => self.scan_one(path).await,
                };
                found.push(Scanned { path: path.clone(), drive });
            }
            found
        })
        .await
    }

    /// The drive that an active pool has on a device.
    fn active_drive(&self, path: &str) -> Option<ScannedDrive> {
        self.pools().iter().find_map(|active| {
            let index = active.paths().iter().position(|used| used == path)?;
            let pool = active.pool();
            let drive = pool.drives().get(index)?.descriptor();
            let has_mdc0 = pool.superblock.borrow().drive.uuid == drive.uuid;
            let (uuid, name) = (pool.uuid(), pool.name().to_owned());
            Some(ScannedDrive {
                pool: uuid,
                name,
                drive,
                has_mdc0,
                version: None,
                active: true,
                condition: Condition::Sure,
            })
        })
    }

    async fn scan_one(&self, path: &str) -> Result<ScannedDrive> {
        let device = self.host().open(path).await?;
        let Found { superblock, version, condition, .. } = superblocks::find(&*device).await?;
        Ok(ScannedDrive {
            pool: superblock.pool,
            name: superblock.name.to_string(),
            drive: superblock.drive,
            has_mdc0: superblock.metadata.is_some(),
            version: Some(version),
            active: self.identified(superblock.pool).is_some(),
            condition,
        })
    }
}

impl ScannedPool {
    /// The paths of two devices with the same drive, one a copy of the other; none if there are no such devices.
    #[must_use]
    pub fn twins(&self) -> Option<[&str; 2]> {
        self.drives.iter().enumerate().find_map(|(index, (path, drive))| {
            let twin = self.drives[..index].iter().find(|(_, other)| other.drive.uuid == drive.drive.uuid);
            twin.map(|(other, _)| [other.as_str(), path.as_str()])
        })
    }

    /// The condition of the first superblock that is not certain; none if all are.
    #[must_use]
    pub fn doubtful(&self) -> Option<Condition> {
        self.drives.iter().map(|(_, drive)| drive.condition).find(|condition| *condition != Condition::Sure)
    }
}

/// The pools on scanned devices, ordered by UUID.
#[must_use]
pub fn pools_among(scanned: &[Scanned]) -> Vec<ScannedPool> {
    let mut pools: Vec<ScannedPool> = Vec::new();
    for (path, drive) in scanned.iter().filter_map(|found| Some((&found.path, found.drive.as_ref().ok()?))) {
        let known = pools.iter_mut().find(|pool| pool.uuid == drive.pool);
        let member = (path.clone(), drive.clone());
        match known {
            Some(pool) => {
                if drive.has_mdc0 {
                    pool.name.clone_from(&drive.name);
                }
                pool.drives.push(member);
            }
            None => pools.push(ScannedPool {
                uuid: drive.pool,
                name: drive.name.clone(),
                drives: vec![member],
                active: drive.active,
            }),
        }
    }
    pools.sort_by_key(|pool| pool.uuid);
    pools
}
