// SPDX-License-Identifier: BSD-3-Clause

//! An active pool: the shared state of all of its operations.
//!
//! Invariants: the number of containers never decreases while the pool is active, and all of them are open; drives are
//! only added; a zone belongs to one object, to the superblocks, to an erasure in progress, or is free.

use core::fmt;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use uuid::Uuid;

use super::{Container, Erasures, Object, ObjectState};
use crate::cache::MapTable;
use crate::drive::Drive;
use crate::error::{Kind, PoolError, Result};
use crate::format::{ContentVersion, MediaFormat, MpConfig, ObjectCreate, Superblock, SuperblockFlags};
use crate::host::{Host, Level};
use crate::ids::{MediaClass, ObjectId, Slot, SLOTS};
use crate::lock::{Lock, Rank};
use crate::selection::Selector;
use crate::tasks::TaskGroup;
use crate::tunables::{KeptTunable, Tunables};

/// An active pool. Lives on one thread; see [`Host`].
pub struct Pool {
    pub(crate) host: Rc<dyn Host>,
    /// The tunables in force: the host's, overridden by those stored in the pool.
    pub(crate) tunables: RefCell<Tunables>,
    /// The tunables stored in this pool, as on media.
    pub(crate) kept_tunables: RefCell<BTreeMap<KeptTunable, u64>>,
    uuid: Uuid,
    name: String,
    pub(crate) format: MediaFormat,
    drives: RefCell<Vec<Rc<Drive>>>,
    /// The superblock of the drive that holds MDC0, as it is on media.
    pub(crate) superblock: RefCell<Superblock>,
    /// One for each slot; those from `container_count` on are not in use.
    containers: Vec<Container>,
    pub(crate) container_count: Cell<usize>,
    /// The logs of MDC0, which no record describes.
    pub(crate) mdc0_logs: [Rc<Object>; 2],
    /// Zones in each log of a new container.
    pub(crate) mdc_log_zones: Cell<u64>,
    pub(crate) config: RefCell<MpConfig>,
    spares: [Cell<u8>; 2],
    pub(crate) selection: RefCell<Selector>,
    /// The container that background compaction considers next.
    pub(crate) next_to_compact: Cell<usize>,
    /// A task compacts wasteful logs; or none may yet, because the pool is being activated.
    pub(crate) compacting_waste: Cell<bool>,
    /// Held while containers are added or the whole set changes.
    pub(crate) activation: Lock,
    pub(crate) erasures: Rc<Erasures>,
    /// More containers were wanted than there was room for, and that was logged.
    pub(crate) growth_refused: Cell<bool>,
    /// A task retries what failed.
    pub(crate) mending: Cell<bool>,
    pub(crate) tasks: TaskGroup,
    pub(crate) maps: OnceCell<Rc<MapTable>>,

    me: Weak<Pool>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool '{}' ({})", self.name, self.uuid)
    }
}

impl Pool {
    /// A pool on these drives, without any I/O yet. `superblock` is that of the drive that holds MDC0; `config` is in
    /// force until one is read from media.
    ///
    /// # Errors
    /// Invalid: the superblock has no place of MDC0. NoDrive: the drive of CAPACITY is missing.
    pub(crate) fn assemble(
        host: Rc<dyn Host>,
        tunables: Tunables,
        drives: Vec<Rc<Drive>>,
        superblock: Superblock,
        format: MediaFormat,
        config: MpConfig,
    ) -> Result<Rc<Pool>> {
        let mdc0_logs = mdc0_logs(&drives, &superblock)?;
        Ok(Rc::new_cyclic(|me| Pool {
            tasks: TaskGroup::new(Rc::clone(&host)),
            host,
            uuid: superblock.pool,
            name: superblock.name.as_str().to_owned(),
            format,
            drives: RefCell::new(drives),
            superblock: RefCell::new(superblock),
            containers: (0..SLOTS).map(|slot| Container::new(Slot(slot as u8), format.content)).collect(),
            container_count: Cell::new(0),
            mdc0_logs,
            mdc_log_zones: Cell::new(0),
            config: RefCell::new(config),
            spares: [Cell::new(tunables.spare_percent() as u8), Cell::new(tunables.spare_percent() as u8)],
            selection: RefCell::new(Selector::new()),
            next_to_compact: Cell::new(1),
            compacting_waste: Cell::new(true),
            activation: Lock::new(Rank::Activation),
            erasures: Rc::default(),
            growth_refused: Cell::new(false),
            mending: Cell::new(false),
            maps: OnceCell::new(),

            tunables: RefCell::new(tunables),
            kept_tunables: RefCell::default(),
            me: me.clone(),
        }))
    }

    /// The services of the host that the pool uses.
    #[must_use]
    pub fn host(&self) -> &Rc<dyn Host> {
        &self.host
    }

    /// The UUID, which an import changes.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The name, which a rename changes while the pool is inactive.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The drives, in the order in which they joined.
    #[must_use]
    pub fn drives(&self) -> Vec<Rc<Drive>> {
        self.drives.borrow().clone()
    }

    /// The drive of a class.
    ///
    /// # Errors
    /// NotFound: the class has no drive.
    pub fn drive_of(&self, class: MediaClass) -> Result<Rc<Drive>> {
        let drives = self.drives.borrow();
        let drive = drives.iter().find(|drive| drive.class() == class);
        drive.cloned().ok_or_else(|| {
            PoolError::new(Kind::NotFound, self.subject(), format!("no drive is in the media class {class}"))
        })
    }

    /// Adds a drive whose record has just been logged.
    pub(crate) fn publish_drive(&self, drive: Rc<Drive>) {
        assert!(self.drive_of(drive.class()).is_err(), "one drive in each class");
        drive.set_chunk_bytes(self.tunables.borrow().chunk_kib() as usize * 1024);
        self.drives.borrow_mut().push(drive);
    }

    /// The configuration stored on media.
    #[must_use]
    pub fn config(&self) -> MpConfig {
        self.config.borrow().clone()
    }

    /// The percentage of spare zones of a class.
    #[must_use]
    pub fn spare_percent(&self, class: MediaClass) -> u8 {
        self.spares[class.index()].get()
    }

    pub(crate) fn note_spare_percent(&self, class: MediaClass, percent: u8) {
        self.spares[class.index()].set(percent);
    }

    /// The number of metadata containers in use, including MDC0.
    #[must_use]
    pub fn container_count(&self) -> usize {
        self.container_count.get()
    }

    /// The pool wants more containers, and the last attempt to make one failed; another is made in each period. Logs of
    /// a container that were made already are kept for that.
    #[must_use]
    pub fn lacks_containers(&self) -> bool {
        self.growth_refused.get()
    }

    pub(crate) fn container(&self, slot: Slot) -> &Container {
        &self.containers[slot.index()]
    }

    /// The containers in use, MDC0 first.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().take(self.container_count.get())
    }

    /// The container for a client's object. None when no container in use has that slot, or when it is MDC0, which describes no client's object.
    pub(crate) fn client_container(&self, slot: Slot) -> Option<&Container> {
        (slot != Slot::ZERO && slot.index() < self.container_count.get()).then(|| self.container(slot))
    }

    /// The version of new content.
    pub(crate) fn content_version(&self) -> ContentVersion {
        self.format.content
    }

    /// True if logs of this pool may have blocks with headers of version 1.
    pub(crate) fn accepts_v1_logs(&self) -> bool {
        self.superblock.borrow().flags.contains(SuperblockFlags::LEGACY_LOGS)
    }

    /// The mask that recorded UUIDs of volumes are XORed with.
    #[must_use]
    pub fn volume_mask(&self) -> Uuid {
        self.superblock.borrow().volume_mask
    }

    pub(crate) fn weak(&self) -> Weak<Pool> {
        self.me.clone()
    }

    /// The name of the pool in messages.
    pub(crate) fn subject(&self) -> String {
        format!("pool '{}'", self.name)
    }

    pub(crate) fn log(&self, level: Level, line: impl AsRef<str>) {
        self.host.log(level, &format!("pool '{}': {}", self.name, line.as_ref()));
    }
}

/// The logs of MDC0 as objects; no record describes them.
fn mdc0_logs(drives: &[Rc<Drive>], superblock: &Superblock) -> Result<[Rc<Object>; 2]> {
    let subject = || format!("pool '{}'", superblock.name.as_str());
    let Some(location) = &superblock.metadata else {
        return Err(PoolError::invalid(subject(), "the superblock does not say where MDC0 is"));
    };
    let class = MediaClass::Capacity;
    let Some(drive) = drives.iter().find(|drive| drive.class() == class) else {
        return Err(PoolError::new(Kind::NoDrive, subject(), format!("no drive of class {class}")));
    };
    let log = |index: usize| {
        let place = &location.logs[index];
        let id = ObjectId::mdc_logs(Slot::ZERO)[index];
        let create = ObjectCreate {
            id,
            class,
            extent: place.extent,
            generation: place.generation,
            written_bytes: 0,
            uuid: Some(place.uuid),
        };
        Object::new(&create, Rc::clone(drive), ObjectState::Committed)
    };
    Ok([log(0)?, log(1)?])
}
