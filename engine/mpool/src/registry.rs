// SPDX-License-Identifier: BSD-3-Clause

//! The active pools of a host, and the shared state of operations on whole pools.
//!
//! Invariants: active pools have distinct UUIDs and distinct names; an operation on whole pools runs alone, over all
//! pools of the host; a pool that is being deactivated cannot be opened any more.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;
use std::collections::BTreeMap;
use std::rc::Rc;

use uuid::Uuid;

use super::admission::Admission;
use super::error::{Kind, PoolError, Result};
use super::format::MediaFormat;
use super::host::Host;
use super::lock::{ordered, Lock, Rank};
use super::tunables::Tunables;
use super::Pool;

/// The active pools of a host. Each host has one registry.
pub struct Registry {
    host: Rc<dyn Host>,
    tunables: RefCell<Tunables>,
    format: MediaFormat,
    management: Lock,
    admission: Admission,
    pools: RefCell<BTreeMap<Uuid, Rc<ActivePool>>>,
}

/// An active pool, and its openers.
pub struct ActivePool {
    pool: Rc<Pool>,
    /// The paths of its devices, in the order in which they joined.
    paths: RefCell<Vec<String>>,
    openers: Cell<Openers>,
    admission: Admission,
}

/// The openers of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Openers {
    /// This many share the pool.
    Shared(usize),
    /// One holds the pool exclusively.
    Exclusive,
    /// There are none, and there can be no more.
    Closing,
}

impl Registry {
    /// A registry without pools. Pools are created in this software's format.
    #[must_use]
    pub fn new(host: Rc<dyn Host>, tunables: Tunables) -> Registry {
        Registry::with_format(host, tunables, MediaFormat::CURRENT)
    }

    /// A registry whose pools are created in, and converted to, a given format.
    #[must_use]
    pub fn with_format(host: Rc<dyn Host>, tunables: Tunables, format: MediaFormat) -> Registry {
        Registry {
            admission: Admission::new(tunables.large_io_max() as usize),
            host,
            tunables: RefCell::new(tunables),
            format,
            management: Lock::new(Rank::Management),
            pools: RefCell::default(),
        }
    }

    /// The services of the host that the pools use.
    #[must_use]
    pub fn host(&self) -> &Rc<dyn Host> {
        &self.host
    }

    /// The tunables with which pools are activated.
    #[must_use]
    pub fn tunables(&self) -> Tunables {
        self.tunables.borrow().clone()
    }

    /// Changes the tunables for pools activated from now on.
    pub fn set_tunables(&self, tunables: Tunables) {
        *self.tunables.borrow_mut() = tunables;
    }

    pub(super) fn format(&self) -> MediaFormat {
        self.format
    }

    /// Runs an operation on whole pools alone, after others have ended.
    pub(super) async fn alone<T>(&self, operation: impl Future<Output = T>) -> T {
        ordered(async {
            let _alone = self.management.exclusive().await;
            operation.await
        })
        .await
    }

    /// All active pools, ordered by UUID.
    #[must_use]
    pub fn pools(&self) -> Vec<Rc<ActivePool>> {
        self.pools.borrow().values().cloned().collect()
    }

    /// The active pool with a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Rc<ActivePool>> {
        self.pools.borrow().values().find(|active| active.pool.name() == name).cloned()
    }

    /// The active pool with a UUID.
    #[must_use]
    pub fn identified(&self, uuid: Uuid) -> Option<Rc<ActivePool>> {
        self.pools.borrow().get(&uuid).cloned()
    }

    /// The active pool with a name or, as text, a UUID.
    ///
    /// # Errors
    /// NotMember: there is none.
    pub fn find(&self, name_or_uuid: &str) -> Result<Rc<ActivePool>> {
        let by_uuid = || Uuid::parse_str(name_or_uuid).ok().and_then(|uuid| self.identified(uuid));
        self.named(name_or_uuid).or_else(by_uuid).ok_or_else(|| {
            PoolError::new(Kind::NotMember, format!("pool '{}'", name_or_uuid.escape_debug()), "no such active pool")
        })
    }

    /// Refuses the name of an active pool.
    pub(super) fn check_name_is_free(&self, name: &str) -> Result<()> {
        match self.named(name) {
            Some(_) => Err(PoolError::new(Kind::Exists, format!("pool '{name}'"), "an active pool has this name")),
            None => Ok(()),
        }
    }

    /// Refuses the UUID of an active pool.
    pub(super) fn check_is_inactive(&self, uuid: Uuid) -> Result<()> {
        match self.identified(uuid) {
            Some(active) => {
                let name = active.pool.name();
                Err(PoolError::new(Kind::Busy, format!("pool '{name}'"), format!("the pool {uuid} is active already")))
            }
            None => Ok(()),
        }
    }

    /// Adds a pool that has become active.
    pub(super) fn insert(&self, pool: Rc<Pool>, paths: Vec<String>) -> Rc<ActivePool> {
        assert!(self.named(pool.name()).is_none(), "the name was free when the activation began");
        let uuid = pool.uuid();
        let active = Rc::new(ActivePool {
            pool,
            paths: RefCell::new(paths),
            openers: Cell::new(Openers::Shared(0)),
            admission: self.admission.clone(),
        });
        let before = self.pools.borrow_mut().insert(uuid, Rc::clone(&active));
        assert!(before.is_none(), "the pool was inactive when the activation began");
        active
    }

    /// Removes a pool that is no longer active.
    pub(super) fn remove(&self, uuid: Uuid) {
        self.pools.borrow_mut().remove(&uuid);
    }
}

impl ActivePool {
    /// The pool, for callers that check their own rights.
    #[must_use]
    pub fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// The paths of its devices, in the order in which they joined.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.paths.borrow().clone()
    }

    /// Refuses devices that are not the pool's.
    ///
    /// # Errors
    /// Invalid: the pool is active on other devices.
    pub fn check_is_on(&self, paths: &[String]) -> Result<()> {
        let own = self.paths.borrow();
        match paths.iter().find(|path| !own.contains(path)) {
            None => Ok(()),
            Some(path) => {
                let reason = format!("it is active on '{}', not on '{}'", own.join("' and '"), path.escape_debug());
                Err(PoolError::invalid(format!("pool '{}'", self.pool.name()), reason))
            }
        }
    }

    pub(super) fn add_path(&self, path: String) {
        self.paths.borrow_mut().push(path);
    }

    /// The admission of large transfers, shared by all pools of the host.
    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The number of openers.
    #[must_use]
    pub fn openers(&self) -> usize {
        match self.openers.get() {
            Openers::Shared(count) => count,
            Openers::Exclusive => 1,
            Openers::Closing => 0,
        }
    }

    /// Adds an opener. Each success must be matched by one [`ActivePool::leave`].
    pub(super) fn enter(&self, exclusive: bool) -> Result<()> {
        let next = match (self.openers.get(), exclusive) {
            (Openers::Shared(0), true) => Openers::Exclusive,
            (Openers::Shared(count), false) => Openers::Shared(count + 1),
            (Openers::Shared(_), true) => return Err(self.busy("it is open, so it cannot be opened exclusively")),
            (Openers::Exclusive, _) => return Err(self.busy("it is opened exclusively")),
            (Openers::Closing, _) => return Err(self.busy("it is being deactivated")),
        };
        self.openers.set(next);
        Ok(())
    }

    pub(super) fn leave(&self) {
        self.openers.set(match self.openers.get() {
            Openers::Shared(count) => Openers::Shared(count - 1),
            Openers::Exclusive => Openers::Shared(0),
            Openers::Closing => unreachable!("it is closing only while nobody has it open"),
        });
        if self.openers() == 0 {
            self.pool.forget_unused_maps();
        }
    }

    /// Prevents further opens.
    ///
    /// # Errors
    /// Busy: the pool is open, or one of its objects is in use.
    pub(super) fn close_doors(&self) -> Result<()> {
        match self.openers.get() {
            Openers::Shared(0) if self.pool.is_idle() => {
                self.openers.set(Openers::Closing);
                Ok(())
            }
            Openers::Shared(0) => Err(self.busy("an object of it is open, mapped or in use")),
            Openers::Shared(count) => Err(self.busy(&format!("it is open {count} times"))),
            Openers::Exclusive => Err(self.busy("it is opened exclusively")),
            Openers::Closing => Err(self.busy("it is being deactivated")),
        }
    }

    fn busy(&self, reason: &str) -> PoolError {
        PoolError::new(Kind::Busy, format!("pool '{}'", self.pool.name()), reason)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pools.borrow().values()).finish()
    }
}

impl fmt::Debug for ActivePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {:?}", self.pool, self.paths.borrow())
    }
}
