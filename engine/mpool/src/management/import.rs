// SPDX-License-Identifier: BSD-3-Clause

//! Import: turns a copy of a pool into a pool of its own, with new UUIDs of pool, drives and volumes.
//!
//! Copying the bdevs of a pool, or taking snapshots of them, makes two pools with the same identity, neither of which
//! is activated automatically. An import writes new identities into the superblocks of one of them. The next activation
//! updates everything else that has the old ones; until then the superblock has both. Volumes get new UUIDs by a mask
//! (`volume/catalog.rs` of the engine).
//!
//! Crash rule: each superblock has the old identities or the new ones, the one with MDC0 last. An interrupted import is
//! repeated: drives belong together if they did so before it.

use std::rc::Rc;

use uuid::Uuid;

use super::members::{self, subject, Member};
use crate::error::{Kind, PoolError, Result};
use crate::format::PoolName;
use crate::host::Level;
use crate::registry::Registry;
use crate::{names, superblocks};

/// The request to import a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportRequest {
    /// The paths of its devices, all of them.
    pub paths: Vec<String>,
    /// The new name; without it, the pool keeps its name.
    pub name: Option<String>,
    /// Accept superblocks that are not certain, and devices that are smaller than recorded.
    pub force: bool,
}

impl Registry {
    /// Gives an inactive pool new identities. Returns the pool's new UUID.
    ///
    /// # Errors
    /// Invalid, NameTooLong: the name, the paths, devices of different pools. Exists: an active pool has the name. Busy: a
    /// device is in use. NotSupported: a superblock of another version. NotPermitted: force is needed. NoPool; Io.
    pub async fn import(&self, request: &ImportRequest) -> Result<Uuid> {
        self.alone(self.import_alone(request)).await
    }

    async fn import_alone(&self, request: &ImportRequest) -> Result<Uuid> {
        members::check_paths(&request.paths)?;
        let host = Rc::clone(self.host());
        let mut drives = members::read_members(&*host, &request.paths, request.force).await?;
        check_one_origin(&drives)?;
        let main = members::metadata_member(&drives)?;
        let name = match &request.name {
            Some(name) => names::pool_name(name)?,
            None => drives[main].superblock.name.to_string(),
        };
        self.check_name_is_free(&name)?;
        let name = PoolName::new(&name).map_err(|error| PoolError::invalid("pool name", error.to_string()))?;
        let current = self.format().superblock;
        for member in &drives {
            if member.version != current {
                let reason = format!("its superblock has version {:?}, not {current:?}", member.version);
                return Err(PoolError::new(Kind::NotSupported, subject(&member.path), reason));
            }
            member.check_geometry(request.force)?;
        }
        let (pool, mask) = (self.new_uuid(), self.new_mask());
        drives.sort_by_key(|member| member.superblock.metadata.is_some());
        for member in &mut drives {
            member.give_identity(pool, self.new_uuid(), mask);
            member.superblock.name = name;
            superblocks::rewrite(&*member.device, &mut member.superblock, current, &*host).await?;
            host.log(Level::Info, &format!("{}: imported as drive of pool '{name}' ({pool})", subject(&member.path)));
        }
        Ok(pool)
    }

    /// Random bits of a UUID that leave its version and variant unchanged.
    fn new_mask(&self) -> Uuid {
        const FIXED: u128 = 0xf << 76 | 0b11 << 62;
        Uuid::from_u128(self.new_uuid().as_u128() & !FIXED)
    }
}

/// Checks that these are different drives of one pool, allowing for interrupted imports.
fn check_one_origin(drives: &[Member]) -> Result<()> {
    for (index, member) in drives.iter().enumerate() {
        let Some(first) = drives[..index].first() else { continue };
        let (one, other) = (member.superblock.origin(), first.superblock.origin());
        let fault = if one.drive == other.drive {
            "it is the same drive as"
        } else if one.pool != other.pool && member.pool() != first.pool() {
            "it belongs to another pool than"
        } else {
            continue;
        };
        return Err(PoolError::invalid(subject(&member.path), format!("{fault} '{}'", first.path)));
    }
    Ok(())
}

impl Member {
    /// Sets new identities for the next superblock.
    fn give_identity(&mut self, pool: Uuid, drive: Uuid, mask: Uuid) {
        self.record_device();
        let superblock = &mut self.superblock;
        superblock.former = Some(superblock.origin());
        superblock.pool = pool;
        superblock.drive.uuid = drive;
        superblock.volume_mask = Uuid::from_u128(superblock.volume_mask.as_u128() ^ mask.as_u128());
        if let Some(metadata) = &mut superblock.metadata {
            metadata.drive.uuid = drive;
            metadata.logs.iter_mut().for_each(|log| log.drive = drive);
        }
    }
}
