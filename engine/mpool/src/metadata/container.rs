// SPDX-License-Identifier: BSD-3-Clause

//! One metadata container in memory: the objects that it describes and the state of its log pair.
//!
//! Invariants: the container's log is never behind memory about a committed object (log first, then memory); the
//! committed objects and everything logged change only under `compaction`, held exclusively, so that its holder sees
//! them at rest.
//!
//! Differs from mpool: the two trees need no lock of their own, because a pool lives on one thread and no change of
//! them awaits in the middle.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::object::{Object, ObjectState};
use super::usage::ObjectUsage;
use crate::format::ContentVersion;
use crate::ids::{ObjectId, Slot};
use crate::lock::{Lock, Rank};
use crate::mdc::Mdc;

/// Uniquifiers between two checkpoints.
pub const UNIQUIFIERS_PER_CHECKPOINT: u64 = 256;

/// Records written to a container since its last compaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Records of created objects.
    pub creates: u64,
    /// Records that replaced a whole description.
    pub updates: u64,
    /// Records of deleted objects.
    pub deletes: u64,
    /// Records of erased logs.
    pub erases: u64,
}

impl RecordCounts {
    /// The number of all records.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.creates + self.updates + self.deletes + self.erases
    }
}

/// A metadata container.
#[derive(Debug)]
pub struct Container {
    slot: Slot,
    /// Held during changes of logged state.
    pub(super) compaction: Lock,
    /// Held while an id is allocated.
    pub(super) identifiers: Lock,
    /// The uniquifier allocated last.
    pub(super) last_uniquifier: Cell<u64>,
    /// The id checkpointed last.
    pub(super) checkpoint: Cell<Option<ObjectId>>,
    /// The open log pair; none before it is opened.
    pub(super) mdc: RefCell<Option<Rc<Mdc>>>,
    /// Some records of its log have not been read: memory lacks part of the logged state.
    pub(super) unread: Cell<bool>,
    /// The version of its content on media.
    pub(super) version: Cell<ContentVersion>,
    pub(super) counts: Cell<RecordCounts>,
    /// Bytes of the committed objects' records, as a compaction writes them.
    live_bytes: Cell<u64>,
    /// Usage by all objects, by [`crate::MediaClass::index`].
    usage: Cell<[ObjectUsage; 2]>,
    /// Compactions since the container was opened.
    pub(super) compactions: Cell<u64>,
    committed: RefCell<BTreeMap<ObjectId, Rc<Object>>>,
    uncommitted: RefCell<BTreeMap<ObjectId, Rc<Object>>>,
    /// Why the content of its log is uncertain; see `doubt`.
    doubt: RefCell<Option<String>>,
    /// Objects whose zones become free once that is resolved.
    limbo: RefCell<Vec<Rc<Object>>>,
}

impl Container {
    /// The container of a slot, not open, without objects.
    pub(crate) fn new(slot: Slot, version: ContentVersion) -> Container {
        let rank = if slot == Slot::ZERO { Rank::RootCompaction } else { Rank::Compaction };
        // The root logs own the first two uniquifiers of slot 1.
        let first_free = if slot == Slot(1) { 1 } else { 0 };
        Container {
            slot,
            compaction: Lock::new(rank),
            identifiers: Lock::new(Rank::Uniquifier),
            last_uniquifier: Cell::new(first_free),
            checkpoint: Cell::new(None),
            mdc: RefCell::new(None),
            unread: Cell::new(false),
            version: Cell::new(version),
            counts: Cell::new(RecordCounts::default()),
            live_bytes: Cell::new(0),
            usage: Cell::default(),
            compactions: Cell::new(0),
            committed: RefCell::default(),
            uncommitted: RefCell::default(),
            doubt: RefCell::default(),
            limbo: RefCell::default(),
        }
    }

    /// The number of the container.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Why the content of its log is uncertain; none when it is not.
    pub(super) fn doubt(&self) -> Option<String> {
        self.doubt.borrow().clone()
    }

    /// Sets or clears the doubt; returns whether that is a change.
    pub(super) fn set_doubt(&self, doubt: Option<String>) -> bool {
        let before = self.doubt.replace(doubt).is_some();
        before != self.doubt.borrow().is_some()
    }

    pub(super) fn put_in_limbo(&self, object: Rc<Object>) {
        self.limbo.borrow_mut().push(object);
    }

    pub(super) fn take_limbo(&self) -> Vec<Rc<Object>> {
        self.limbo.take()
    }

    /// The open log pair.
    pub(super) fn mdc(&self) -> Option<Rc<Mdc>> {
        self.mdc.borrow().clone()
    }

    /// True when its logs are open and in use.
    pub(super) fn is_open(&self) -> bool {
        self.mdc.borrow().is_some()
    }

    /// A committed object, by id.
    pub(crate) fn committed(&self, id: ObjectId) -> Option<Rc<Object>> {
        self.committed.borrow().get(&id).cloned()
    }

    /// An uncommitted object, by id.
    pub(super) fn uncommitted(&self, id: ObjectId) -> Option<Rc<Object>> {
        self.uncommitted.borrow().get(&id).cloned()
    }

    /// All committed objects, by id.
    pub(crate) fn all_committed(&self) -> Vec<Rc<Object>> {
        self.committed.borrow().values().cloned().collect()
    }

    /// All uncommitted objects, by id.
    pub(super) fn all_uncommitted(&self) -> Vec<Rc<Object>> {
        self.uncommitted.borrow().values().cloned().collect()
    }

    /// Bytes of the committed objects' records.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes.get()
    }

    /// Usage by all objects, by [`crate::MediaClass::index`].
    pub(super) fn usage(&self) -> [ObjectUsage; 2] {
        self.usage.get()
    }

    /// Updates the written length of an mblock.
    pub(crate) fn set_written(&self, object: &Object, bytes: u64) {
        self.account(object, ObjectUsage::without);
        object.set_written(bytes);
        self.account(object, ObjectUsage::with);
    }

    fn account(&self, object: &Object, change: fn(ObjectUsage, &Object) -> ObjectUsage) {
        let mut usage = self.usage.get();
        let of_class = &mut usage[object.class().index()];
        *of_class = change(*of_class, object);
        self.usage.set(usage);
    }

    /// Adds an object, whose id must be in neither tree.
    pub(super) fn insert(&self, object: Rc<Object>) {
        assert!(!self.knows(object.id()), "{} is there already", object.id());
        let tree = match object.state() {
            ObjectState::Committed => &self.committed,
            ObjectState::Uncommitted => &self.uncommitted,
            ObjectState::Removed => panic!("{} was removed", object.id()),
        };
        self.account(&object, ObjectUsage::with);
        if object.state() == ObjectState::Committed {
            self.live_bytes.set(self.live_bytes.get() + object.record_bytes());
        }
        tree.borrow_mut().insert(object.id(), object);
    }

    /// Adds the objects that its records describe, sorted by id. The container must be empty.
    pub(super) fn fill(&self, objects: Vec<Rc<Object>>) {
        assert!(self.committed.borrow().is_empty(), "{} has objects already", self.slot);
        for object in &objects {
            self.account(object, ObjectUsage::with);
            self.live_bytes.set(self.live_bytes.get() + object.record_bytes());
        }
        // A tree of sorted input is built from the leaves up.
        *self.committed.borrow_mut() = objects.into_iter().map(|object| (object.id(), object)).collect();
    }

    /// Moves an object from the uncommitted to the committed ones, after it was logged.
    pub(super) fn commit(&self, object: &Rc<Object>) {
        let taken = self.uncommitted.borrow_mut().remove(&object.id());
        assert!(taken.is_some(), "{} is not uncommitted", object.id());
        object.set_state(ObjectState::Committed);
        self.live_bytes.set(self.live_bytes.get() + object.record_bytes());
        self.committed.borrow_mut().insert(object.id(), Rc::clone(object));
    }

    /// Removes an object from its tree.
    pub(super) fn remove(&self, object: &Object) {
        let mut tree = match object.state() {
            ObjectState::Committed => self.committed.borrow_mut(),
            _ => self.uncommitted.borrow_mut(),
        };
        let taken = tree.remove(&object.id());
        assert!(taken.is_some(), "{} is not in its tree", object.id());
        self.account(object, ObjectUsage::without);
        if object.state() == ObjectState::Committed {
            self.live_bytes.set(self.live_bytes.get() - object.record_bytes());
        }
        object.set_state(ObjectState::Removed);
    }

    /// True when an object with this id exists, committed or not.
    pub(super) fn knows(&self, id: ObjectId) -> bool {
        self.committed.borrow().contains_key(&id) || self.uncommitted.borrow().contains_key(&id)
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut RecordCounts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }
}
