// SPDX-License-Identifier: BSD-3-Clause

//! The application's active pools, and operations on whole pools.
//!
//! The engine's [`Registry`] serialises single operations. Whatever needs several of them (creating a volume, examining
//! a bdev) holds [`Service::manage`] meanwhile, and so does every operation that an RPC asks for.

use core::cell::Cell;
use std::rc::Rc;

use futures::lock::{Mutex, MutexGuard};
use mpool::error::Result;
use mpool::ids::ObjectId;
use mpool::management::create::CreateRequest;
use mpool::management::destroy::DestroyRequest;
use mpool::params::{CreateParams, LayoutWish, ParamChanges, OWN_LABEL};
use mpool::registry::{ActivePool, Registry};
use mpool::tunables::Tunables;
use mpool::{names, Kind, Pool, PoolError};
use uuid::Uuid;

use super::examine::{self, Examinations};
use super::host::SpdkHost;
use super::inactive::InactivePools;
use super::runtime;
use crate::spdk::{bdevs, open_bdev, tasks};

/// See the module's documentation.
#[derive(Debug)]
pub struct Service {
    registry: Registry,
    managing: Mutex<()>,
    /// The bdevs that examine reads.
    pub examinations: Examinations,
    /// The pools that examine could not activate.
    pub(super) inactive: InactivePools,
    /// SPDK is ending: pools are closed as soon as they are unused.
    finishing: Cell<bool>,
}

impl Default for Service {
    fn default() -> Service {
        Service {
            registry: Registry::new(Rc::new(SpdkHost), Tunables::default()),
            managing: Mutex::new(()),
            examinations: Examinations::default(),
            inactive: InactivePools::default(),
            finishing: Cell::new(false),
        }
    }
}

impl Service {
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Waits for the exclusive right to manage pools.
    pub async fn manage(&self) -> MutexGuard<'_, ()> {
        self.managing.lock().await
    }

    pub fn is_finishing(&self) -> bool {
        self.finishing.get()
    }

    /// An active pool, by its name or the text of its UUID.
    ///
    /// # Errors
    /// NotMember: there is none.
    pub fn find(&self, name_or_uuid: &str) -> Result<Rc<Pool>> {
        Ok(Rc::clone(self.registry.find(&stored_name(name_or_uuid)?)?.pool()))
    }

    /// Why no active pool has a volume of this name, if a pool that could not be activated may be the cause.
    pub fn why_missing(&self, volume: &str) -> Option<PoolError> {
        let own = pool_name_for(volume, |_| true).ok();
        let is_active = |uuid| self.registry.identified(uuid).is_some();
        self.inactive.why(is_active, |pool| own.as_deref() == Some(pool))
    }

    /// All active pools, ordered by UUID.
    pub fn active(&self) -> Vec<Rc<Pool>> {
        self.registry.pools().iter().map(|active| Rc::clone(active.pool())).collect()
    }

    /// The active pool whose CAPACITY drive is on a bdev.
    pub fn pool_on(&self, bdev: &str) -> Option<Rc<Pool>> {
        let name = bdevs::canonical(bdev);
        let active = self.registry.pools().into_iter().find(|active| active.paths().first() == Some(&name))?;
        Some(Rc::clone(active.pool()))
    }

    /// The active pool that a bdev belongs to.
    pub fn user_of(&self, bdev: &str) -> Option<Rc<ActivePool>> {
        self.registry.pools().into_iter().find(|active| active.paths().iter().any(|path| path == bdev))
    }

    /// Makes the pool for a volume. It has small logs, since a volume needs few objects, and no spare zones: the volume
    /// takes all there is.
    pub async fn create_for_volume(&self, volume: &str, bdev: &str, force: bool) -> Result<Rc<Pool>> {
        let zone_mib = bdevs::bytes_of(bdev).map(own_zone_mib);
        let layout = LayoutWish {
            zone_mib,
            mdc0_log_mib: zone_mib.map(|zone| zone.max(OWN_MDC0_LOG_MIB)),
            mdc_log_mib: zone_mib,
            // The usual number: with fewer, the next activation would make more from the zones left over.
            containers: None,
            root_log_bytes: zone_mib.map(|zone| u64::from(zone) << 20),
        };
        let changes = ParamChanges {
            label: Some(OWN_LABEL.to_owned()),
            spare_percent: [None, Some(0)],
            ..ParamChanges::default()
        };
        let request = CreateRequest {
            name: pool_name_for(volume, |name| self.registry.named(name).is_none())?,
            capacity: bdevs::canonical(bdev),
            staging: None,
            staging_zone_mib: None,
            params: CreateParams { changes, layout, map_size_log2: None },
            force,
        };
        self.examinations.note(&request.capacity);
        Ok(Rc::clone(self.registry.create(&request).await?.pool()))
    }

    /// Destroys an active pool that nobody holds any more: closes it first, and opens its drives again.
    pub async fn destroy_active(&self, pool: Uuid) -> Result<()> {
        let name = Some(pool.to_string());
        self.registry.destroy(&DestroyRequest { name, paths: Vec::new(), force: false }).await
    }

    /// A user of a pool has released it: closes the pool if it is useless now.
    pub async fn released(&self, pool: Uuid) {
        let Some(active) = self.registry.identified(pool) else { return };
        let name = active.pool().name().to_owned();
        let lost = has_lost_a_drive(&active);
        if !lost && !self.is_finishing() {
            return;
        }
        if self.close(active).await && lost {
            if let Some(runtime) = runtime::get() {
                examine::look_again(&runtime, pool, name);
            }
        }
    }

    /// Deactivates a pool, unless it is in use: its user releases it later. Returns whether it is closed.
    async fn close(&self, active: Rc<ActivePool>) -> bool {
        let (name, uuid) = (active.pool().name().to_owned(), active.pool().uuid());
        // The drives are free once nobody holds the pool.
        drop(active);
        match self.registry.deactivate(&uuid.to_string()).await {
            Ok(()) => return true,
            Err(error) if error.kind() == Kind::Busy => log::debug!("pool '{name}' stays for now: {error}"),
            Err(error) => log::error!("pool '{name}' cannot be deactivated: {error}"),
        }
        false
    }

    /// SPDK is about to end: closes unused pools now, and the others as soon as they are unused.
    pub async fn finish(&self) {
        self.finishing.set(true);
        let _managing = self.manage().await;
        for active in self.registry.pools() {
            self.close(active).await;
        }
    }
}

/// Capacity of MDC0's logs in a volume's pool.
const OWN_MDC0_LOG_MIB: u32 = 2;

/// Zone size, in MiB, of a pool that is made for a volume: 1 below 32 GiB, then growing to 8, the smallest slab.
fn own_zone_mib(bytes: u64) -> u32 {
    let share = (bytes >> 34).clamp(1, 8);
    1 << share.ilog2()
}

/// The name of the pool that is made for a volume: the volume's name, if a pool can have it and no active pool does.
/// Otherwise a prefix of it, followed by a number that differs for each volume name and each attempt, so that no two
/// volumes want the same name.
fn pool_name_for(volume: &str, is_free: impl Fn(&str) -> bool) -> Result<String> {
    // A pool's name is at most as long as a volume's, and has only ASCII characters.
    let fitting = names::pool_name(volume)?;
    if fitting == volume && is_free(&fitting) {
        return Ok(fitting);
    }
    const NUMBER_BYTES: usize = 17;
    let start = &fitting[..fitting.len().min(names::NAME_FIELD_BYTES - 1 - NUMBER_BYTES)];
    // FNV-1a: distinguishes names, hides nothing.
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut number = volume.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    loop {
        let name = format!("{start}-{number:016x}");
        if is_free(&name) {
            return Ok(name);
        }
        number = number.wrapping_add(1);
    }
}

/// The stored form of a pool name that a client gave; a UUID stays as it is.
///
/// # Errors
/// No pool can have that name.
pub fn stored_name(given: &str) -> Result<String> {
    match Uuid::try_parse(given) {
        Ok(uuid) => Ok(uuid.to_string()),
        Err(_) => names::pool_name(given),
    }
}

pub fn label_of(pool: &Pool) -> String {
    pool.params().label
}

/// True when the pool has no objects but its root MDC.
pub fn has_only_root(pool: &Pool) -> bool {
    pool.objects().iter().all(|object| ObjectId::ROOT_LOGS.contains(&object.id()))
}

fn has_lost_a_drive(active: &ActivePool) -> bool {
    active.paths().iter().any(|path| open_bdev::find_claimed(path).is_none())
}

/// A claimed bdev was removed: its pool is closed, now or when its users have left, so that it can be found again.
pub fn drive_removed(name: &str) {
    let Some(runtime) = runtime::get() else { return };
    let Some(active) = runtime.service.user_of(name) else { return };
    log::warn!("pool '{}': its drive '{name}' was removed", active.pool().name());
    tasks::spawn(async move {
        let _managing = runtime.service.manage().await;
        let pool = active.pool().uuid();
        drop(active);
        runtime.service.released(pool).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_for_volumes_grow_with_the_bdev() {
        let table = [(64 << 20, 1), (16 << 30, 1), (33 << 30, 2), (100 << 30, 4), (128 << 30, 8), (1 << 50, 8)];
        for (bytes, mib) in table {
            assert_eq!(own_zone_mib(bytes), mib, "{bytes}");
        }
    }

    #[test]
    fn a_volume_names_its_pool() {
        let name = |volume: &str| pool_name_for(volume, |_| true).expect("valid");
        assert_eq!(name("D0"), "D0");
        assert_eq!(name(&"x".repeat(255)), "x".repeat(255));
        assert_eq!((name("a_b"), name("a b")), ("a_b".to_owned(), "a_b-e63f991904833892".to_owned()));
        assert_ne!(name("a b"), name("a/b"));
        let long = |end: &str| name(&format!("{}{end}", " ".repeat(254)));
        assert_eq!(long("1").len(), 255);
        assert_ne!(long("1"), long("2"));
        let taken = pool_name_for("D0", |name| name != "D0").expect("valid");
        assert!(taken.starts_with("D0-") && taken.len() == 19, "{taken}");
        let next = pool_name_for("D0", |name| name != "D0" && name != taken).expect("valid");
        assert_ne!(next, taken);
    }

    #[test]
    fn pools_are_looked_for_as_they_are_stored() {
        assert_eq!(stored_name("-a/b").expect("valid"), "_a_b");
        let uuid = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6";
        assert_eq!(stored_name(&uuid.to_uppercase()).expect("a UUID"), uuid);
        assert!(stored_name(&"x".repeat(256)).is_err());
    }
}
