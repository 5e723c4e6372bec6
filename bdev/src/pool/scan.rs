// SPDX-License-Identifier: BSD-3-Clause

//! What pools are on bdevs, without touching them: they are opened for reading only and not claimed, because other
//! modules may be looking at them at the same time.

use std::rc::Rc;

use async_trait::async_trait;
use engine::pool::error::Result;
use engine::pool::management::scan::{pools_among, Scanned, ScannedPool};
use engine::pool::registry::Registry;
use engine::pool::tunables::Tunables;
use engine::pool::{Device, Host, Kind, Level, PoolError};
use engine::Nanos;
use futures::future::LocalBoxFuture;

use super::bdev::Access;
use super::bdevs::{self, Claim};
use super::device::BdevDevice;
use super::host::SpdkHost;
use super::params::Bdevs;

/// A host whose devices are only looked at.
#[derive(Debug)]
struct Looking;

#[async_trait(?Send)]
impl Host for Looking {
    fn now(&self) -> Nanos {
        SpdkHost.now()
    }

    async fn sleep(&self, time: Nanos) {
        SpdkHost.sleep(time).await;
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        SpdkHost.spawn(task);
    }

    fn random(&self, bytes: &mut [u8]) {
        SpdkHost.random(bytes);
    }

    async fn open(&self, path: &str) -> Result<Rc<dyn Device>> {
        Ok(Rc::new(BdevDevice::open(path, Access::Look)?))
    }

    fn log(&self, level: Level, line: &str) {
        SpdkHost.log(level, line);
    }
}

/// Looks at some bdevs.
pub async fn look_at(names: &[String]) -> Vec<Scanned> {
    Registry::new(Rc::new(Looking), Tunables::default()).scan(names).await
}

/// Looks at all bdevs that nobody has claimed.
pub async fn look_at_all() -> Vec<Scanned> {
    let free: Vec<_> = bdevs::all().into_iter().filter(|name| bdevs::claim_of(name) == Some(Claim::None)).collect();
    look_at(&free).await
}

/// The bdevs of a pool that is not active: those given, else those that have a pool of this name or UUID on them. The
/// one of the CAPACITY class is the first.
///
/// # Errors
/// NotFound: there is no such pool. Invalid: several pools have the name. NoDrive: its CAPACITY drive is missing.
pub async fn find(name_or_uuid: &str, given: &Bdevs) -> Result<Vec<String>> {
    let staging = given.staging.as_deref().map(bdevs::canonical);
    if let Some(capacity) = &given.capacity {
        return Ok([bdevs::canonical(capacity)].into_iter().chain(staging).collect());
    }
    let mut pools = pools_among(&look_at_all().await);
    pools.retain(|pool| pool.name == name_or_uuid || pool.uuid.to_string() == name_or_uuid);
    let object = || format!("pool '{}'", name_or_uuid.escape_debug());
    match pools.len() {
        0 => Err(PoolError::new(Kind::NotFound, object(), "no bdev has it, of those that nobody uses")),
        1 => Ok(drives_of(&pools[0], staging)
            .ok_or_else(|| PoolError::new(Kind::NoDrive, object(), "none of the bdevs is its CAPACITY drive"))?),
        count => {
            let uuids: Vec<_> = pools.iter().map(|pool| pool.uuid.to_string()).collect();
            let reason = format!("{count} pools have this name; give the UUID of one: {}", uuids.join(", "));
            Err(PoolError::invalid(object(), reason))
        }
    }
}

/// The bdevs of a pool, the one with MDC0 first.
fn drives_of(pool: &ScannedPool, staging: Option<String>) -> Option<Vec<String>> {
    let capacity = pool.drives.iter().find(|(_, drive)| drive.has_mdc0)?;
    let others = pool.drives.iter().filter(|(_, drive)| !drive.has_mdc0).map(|(path, _)| path.clone());
    let staging = staging.or_else(|| others.into_iter().next());
    Some([capacity.0.clone()].into_iter().chain(staging).collect())
}
