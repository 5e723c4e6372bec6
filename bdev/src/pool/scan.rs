// SPDX-License-Identifier: BSD-3-Clause

//! Looks for pools on bdevs without changing anything: bdevs are opened for reading only and not claimed, because other
//! modules may be examining them at the same time.

use std::rc::Rc;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use mpool::error::Result;
use mpool::management::scan::{pools_among, Scanned, ScannedPool};
use mpool::registry::Registry;
use mpool::tunables::Tunables;
use mpool::units::Nanos;
use mpool::{Device, Host, Kind, Level, PoolError};

use super::device::BdevDevice;
use super::examine::Examinations;
use super::host::SpdkHost;
use super::params::Bdevs;
use crate::spdk::bdevs::{self, Claim};
use crate::spdk::open_bdev::Access;

/// A host whose devices are only read.
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

/// Looks at the bdevs of these names.
pub async fn look_at(names: &[String]) -> Vec<Scanned> {
    Registry::new(Rc::new(Looking), Tunables::default()).scan(names).await
}

/// Looks at all bdevs that are not claimed.
pub async fn look_at_all() -> Vec<Scanned> {
    let free: Vec<_> = bdevs::all().into_iter().filter(|name| bdevs::claim_of(name) == Some(Claim::None)).collect();
    look_at(&free).await
}

/// The bdevs of a pool that is not active: those given; else those that hold a pool of this name or UUID, if they were
/// examined or named before. The CAPACITY bdev comes first.
///
/// # Errors
/// NotFound: there is no such pool. Invalid: several pools have the name. Otherwise as for [`choose`].
pub async fn find(name_or_uuid: &str, given: &Bdevs, examinations: &Examinations) -> Result<Vec<String>> {
    let staging = given.staging_bdev.as_deref().map(bdevs::canonical);
    if let Some(capacity) = &given.capacity_bdev {
        let given: Vec<_> = [bdevs::canonical(capacity)].into_iter().chain(staging).collect();
        given.iter().for_each(|bdev| examinations.note(bdev));
        return Ok(given);
    }
    staging.iter().for_each(|bdev| examinations.note(bdev));
    let mut pools = pools_among(&look_at_all().await);
    pools.retain(|pool| pool.name == name_or_uuid || pool.uuid.to_string() == name_or_uuid);
    let object = || format!("pool '{}'", name_or_uuid.escape_debug());
    match &mut pools[..] {
        [] => Err(PoolError::new(Kind::NotFound, object(), "no bdev has it, of those that nobody uses")),
        [pool] => {
            if let Some(staging) = staging {
                pool.drives.retain(|(bdev, drive)| drive.has_mdc0 || *bdev == staging);
            }
            let Chosen { capacity, others } = choose(pool, examinations)?;
            Ok([capacity].into_iter().chain(others.into_iter().next()).collect())
        }
        several => {
            let uuids: Vec<_> = several.iter().map(|pool| pool.uuid.to_string()).collect();
            let reason = format!("{} pools have this name; give the UUID of one: {}", uuids.len(), uuids.join(", "));
            Err(PoolError::invalid(object(), reason))
        }
    }
}

/// The bdevs of a pool.
#[derive(Debug)]
pub struct Chosen {
    /// The bdev with MDC0.
    pub capacity: String,
    /// Other bdevs that claim to belong to the pool; at most one of them does.
    pub others: Vec<String>,
}

/// Chooses the bdevs of a pool from the bdevs found. Which of two copies of a drive is the right one cannot be told, so
/// neither is taken; nor is a bdev that was neither examined nor named.
///
/// # Errors
/// Exists: a drive was found twice. NoDrive: the CAPACITY drive is missing. NotPermitted: a bdev was not examined.
pub fn choose(pool: &ScannedPool, examinations: &Examinations) -> Result<Chosen> {
    let object = || format!("pool '{}' ({})", pool.name, pool.uuid);
    if let Some([one, other]) = pool.twins() {
        let reason = format!(
            "bdevs '{one}' and '{other}' have the same drive, so one is a copy of the other, and neither is taken by \
             itself; mpool_activate with capacity_bdev and staging_bdev takes the right one, mpool_import makes a pool of \
             its own of the copy"
        );
        return Err(PoolError::new(Kind::Exists, object(), reason));
    }
    if let Some((bdev, _)) = pool.drives.iter().find(|(bdev, _)| !examinations.knows(bdev)) {
        let reason = format!("bdev '{bdev}' has a drive of it, but was not examined; bdev_examine it, or name it");
        return Err(PoolError::new(Kind::NotPermitted, object(), reason));
    }
    let of = |has_mdc0: bool| {
        let drives = pool.drives.iter().filter(move |(_, drive)| drive.has_mdc0 == has_mdc0);
        drives.map(|(bdev, _)| bdev.clone())
    };
    match of(true).next() {
        Some(capacity) => Ok(Chosen { capacity, others: of(false).collect() }),
        None => Err(PoolError::new(Kind::NoDrive, object(), "none of the bdevs is its CAPACITY drive")),
    }
}
