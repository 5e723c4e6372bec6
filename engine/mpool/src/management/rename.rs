// SPDX-License-Identifier: BSD-3-Clause

//! Renames an inactive pool.
//!
//! Crash rule: the name that counts is that of the drive with MDC0, whose superblock is rewritten last. A cut before
//! that keeps the old name; other drives may then have the new one, which does no harm.

use super::members::{self, subject};
use crate::error::{Kind, PoolError, Result};
use crate::format::PoolName;
use crate::registry::Registry;
use crate::{names, superblocks};

/// The request to rename a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RenameRequest {
    /// The paths of its devices, including the one with MDC0.
    pub paths: Vec<String>,
    /// The new name.
    pub name: String,
    /// The name or, as text, the UUID that the pool must have.
    pub current: Option<String>,
}

impl Registry {
    /// Renames an inactive pool.
    ///
    /// # Errors
    /// Invalid, NameTooLong: the name, the paths, devices of different pools. Exists: an active pool has the name.
    /// Busy: the pool is active, or a device is in use. NotSupported: a superblock of another version. NoPool; Io.
    pub async fn rename(&self, request: &RenameRequest) -> Result<()> {
        self.alone(self.rename_alone(request)).await
    }

    async fn rename_alone(&self, request: &RenameRequest) -> Result<()> {
        let name = names::pool_name(&request.name)?;
        members::check_paths(&request.paths)?;
        self.check_name_is_free(&name)?;
        let name = PoolName::new(&name).map_err(|error| PoolError::invalid("pool name", error.to_string()))?;
        let mut drives = members::read_members(&**self.host(), &request.paths, false).await?;
        members::check_one_pool(&drives)?;
        let main = members::metadata_member(&drives)?;
        self.check_is_inactive(drives[main].pool())?;
        drives[main].check_is(request.current.as_deref())?;
        let current = self.format().superblock;
        if let Some(other) = drives.iter().find(|member| member.version != current) {
            let reason = format!("its superblock has version {:?}, not {current:?}; activate it first", other.version);
            return Err(PoolError::new(Kind::NotSupported, subject(&other.path), reason));
        }
        drives.sort_by_key(|member| member.superblock.metadata.is_some());
        for member in drives.iter_mut().filter(|member| member.superblock.name != name) {
            member.superblock.name = name;
            superblocks::rewrite(&*member.device, &mut member.superblock, current, &**self.host()).await?;
        }
        Ok(())
    }
}
