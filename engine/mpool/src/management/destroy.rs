// SPDX-License-Identifier: BSD-3-Clause

//! Destruction: erases a pool's superblocks; its data stays where it is, unreachable.
//!
//! Crash rule: the drive with MDC0 is erased first. The pool exists as long as one copy of its superblock does; without
//! it the rest of the pool cannot be activated.
//!
//! Differs from mpool: the order. Destroying an active pool erases all of its drives, whichever are given. A device
//! without a superblock is skipped if another has one, so an interrupted destruction can be repeated.

use std::rc::Rc;

use super::members::{self, subject, Member};
use super::Flags;
use crate::device::Device;
use crate::error::{Kind, Result};
use crate::host::Level;
use crate::registry::{ActivePool, Registry};
use crate::superblocks;

/// The request to destroy a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DestroyRequest {
    /// The name of the pool; required unless paths are given.
    pub name: Option<String>,
    /// The paths of its devices; required unless the pool is active.
    pub paths: Vec<String>,
    /// Do not compare superblocks with devices, nor the name.
    pub force: bool,
}

impl Registry {
    /// Destroys a pool, deactivating it first.
    ///
    /// # Errors
    /// Invalid: the paths, devices of different pools, another name. Busy: the pool or a device is in use. NoPool: no
    /// superblock. Io: a device failed; the devices after it are not erased.
    pub async fn destroy(&self, request: &DestroyRequest) -> Result<()> {
        self.alone(self.destroy_alone(request)).await
    }

    async fn destroy_alone(&self, request: &DestroyRequest) -> Result<()> {
        let mut paths = request.paths.clone();
        if let Some(active) = self.meant_by(request) {
            if !paths.is_empty() {
                members::check_paths(&paths)?;
            }
            let others: Vec<_> = active.paths().into_iter().filter(|path| !paths.contains(path)).collect();
            paths.extend(others);
            members::check_paths(&paths)?;
            self.deactivate_alone(&active).await?;
        }
        members::check_paths(&paths)?;
        let Doomed { members: doomed, remains } = self.read_doomed(&paths, request).await?;
        for device in &remains {
            let erased = superblocks::erase(&**device).await;
            erased.map_err(|error| error.while_doing("completing the destruction of a pool"))?;
        }
        for member in &doomed {
            let erased = superblocks::erase(&*member.device).await;
            erased.map_err(|error| error.while_doing("destroying a pool"))?;
            let (name, path) = (&member.superblock.name, subject(&member.path));
            self.host().log(Level::Info, &format!("pool '{name}' is no longer on {path}"));
        }
        Ok(())
    }

    /// The active pool that the request names.
    fn meant_by(&self, request: &DestroyRequest) -> Option<Rc<ActivePool>> {
        let by_name = request.name.as_deref().and_then(|name| self.find(name).ok());
        by_name.or_else(|| {
            let uses_one = |active: &Rc<ActivePool>| active.paths().iter().any(|path| request.paths.contains(path));
            self.pools().into_iter().find(uses_one)
        })
    }

    /// The drives to erase, the one with MDC0 first.
    async fn read_doomed(&self, paths: &[String], request: &DestroyRequest) -> Result<Doomed> {
        let (mut doomed, mut remains) = (Vec::new(), Vec::new());
        let mut empty = None;
        for path in paths {
            let device = self.host().open(path).await?;
            match members::read_member(&**self.host(), path, Rc::clone(&device), request.force).await {
                Ok(member) => doomed.push(member),
                // A failed destruction has torn it.
                Err(error) if request.force && error.kind() == Kind::Invalid => remains.push(device),
                Err(error) if error.kind() == Kind::NoPool => {
                    if superblocks::has_remains(&*device).await? {
                        remains.push(device);
                    } else {
                        empty = Some(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if let (true, Some(error)) = (doomed.is_empty() && remains.is_empty(), empty) {
            return Err(error);
        }
        members::check_one_pool(&doomed)?;
        doomed.sort_by_key(|member| member.superblock.metadata.is_none());
        if !request.force {
            for member in &doomed {
                member.check_device(&**self.host(), Flags::default())?;
            }
            check_name(&doomed, request.name.as_deref())?;
        }
        Ok(Doomed { members: doomed, remains })
    }
}

/// What the destruction erases.
struct Doomed {
    /// Drives of the pool.
    members: Vec<Member>,
    /// Devices with leftovers of an interrupted creation or destruction.
    remains: Vec<Rc<dyn Device>>,
}

fn check_name(doomed: &[Member], expected: Option<&str>) -> Result<()> {
    // After an interrupted rename only the drive with MDC0 has the name that counts.
    match doomed.first().filter(|first| first.superblock.metadata.is_some()) {
        Some(first) => first.check_is(expected),
        None => Ok(()),
    }
}
