// SPDX-License-Identifier: BSD-3-Clause

//! An object in memory: what mpool calls its layout.
//!
//! State: `Uncommitted -> Committed -> Removed`, or `Uncommitted -> Removed` by abort. An uncommitted object exists
//! only in memory; a power cut makes it vanish, and its zones are free again.
//!
//! Invariants: `written` and `generation` change only under the object's lock, held exclusively; those of a committed
//! object also only after the change was logged. An object with holds is not removed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use uuid::Uuid;

use crate::drive::Drive;
use crate::error::{PoolError, Result};
use crate::format::ObjectCreate;
use crate::ids::{Extent, MediaClass, ObjectId, ObjectType, Slot};
use crate::lock::{Lock, Rank};
use crate::mlog::record::DESCRIPTOR_BYTES;
use crate::mlog::Mlog;

/// The state of an object in its lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectState {
    /// Allocated, in memory only.
    Uncommitted,
    /// Recorded in its metadata container.
    Committed,
    /// Deleted or aborted.
    Removed,
}

/// An open log, shared by all openers.
#[derive(Debug)]
pub(super) struct OpenLog {
    pub(super) log: Rc<Mlog>,
    pub(super) openers: u32,
}

/// An object of the pool.
#[derive(Debug)]
pub struct Object {
    id: ObjectId,
    kind: ObjectType,
    class: MediaClass,
    drive: Rc<Drive>,
    extent: Extent,
    uuid: Option<Uuid>,
    state: Cell<ObjectState>,
    written: Cell<u64>,
    generation: Cell<u64>,
    holds: Cell<u32>,
    /// Its deletion is being logged.
    leaving: Cell<bool>,
    /// Its owner writes it without the pool's framer.
    claimed: Cell<bool>,
    lock: Lock,
    pub(super) open: RefCell<Option<OpenLog>>,
    /// It is unknown whether a log's last erasure counts; see `doubt`.
    erasure_in_doubt: Cell<bool>,
}

impl Object {
    /// An object as its creation record describes it, on the drive of its class.
    ///
    /// # Errors
    /// The id names no kind of object, or a log has no UUID.
    pub(crate) fn new(create: &ObjectCreate, drive: Rc<Drive>, state: ObjectState) -> Result<Rc<Object>> {
        let id = create.id;
        let Some(kind) = id.kind() else {
            return Err(PoolError::invalid(id.to_string(), "its type is none of mblock, mlog and slab object"));
        };
        if (kind == ObjectType::Mlog) != create.uuid.is_some() {
            return Err(PoolError::invalid(id.to_string(), "a log, and nothing else, has a UUID"));
        }
        let rank = match (id.slot(), id.uniquifier()) {
            (Slot::ZERO, 0 | 1) => Rank::RootLog,
            (Slot::ZERO, _) => Rank::MdcLog,
            _ => Rank::ClientObject,
        };
        Ok(Rc::new(Object {
            id,
            kind,
            class: create.class,
            drive,
            extent: create.extent,
            uuid: create.uuid,
            state: Cell::new(state),
            written: Cell::new(create.written_bytes),
            generation: Cell::new(create.generation),
            holds: Cell::new(0),
            leaving: Cell::new(false),
            claimed: Cell::new(false),
            lock: Lock::new(rank),
            open: RefCell::new(None),
            erasure_in_doubt: Cell::new(false),
        }))
    }

    /// The record that describes the present object.
    #[must_use]
    pub(super) fn creation(&self) -> ObjectCreate {
        ObjectCreate {
            id: self.id,
            class: self.class,
            extent: self.extent,
            generation: self.generation.get(),
            written_bytes: self.written.get(),
            uuid: self.uuid,
        }
    }

    /// Bytes of its creation record in a log, with the record's descriptor.
    pub(super) fn record_bytes(&self) -> u64 {
        let bytes = ObjectCreate::encoded_bytes(self.kind) + DESCRIPTOR_BYTES;
        bytes as u64
    }

    /// The id, unique for the life of the pool.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The kind, which the id contains.
    #[must_use]
    pub fn kind(&self) -> ObjectType {
        self.kind
    }

    /// The media class of its drive.
    #[must_use]
    pub fn class(&self) -> MediaClass {
        self.class
    }

    /// The drive with its zones.
    #[must_use]
    pub fn drive(&self) -> &Rc<Drive> {
        &self.drive
    }

    /// The zones of the object.
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The UUID in a log's blocks; none for other objects.
    #[must_use]
    pub fn uuid(&self) -> Option<Uuid> {
        self.uuid
    }

    /// The bytes of its zones.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.extent.zones.saturating_mul(self.drive.zone_bytes())
    }

    /// Bytes written to an mblock; 0 for other objects.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.written.get()
    }

    pub(crate) fn set_written(&self, bytes: u64) {
        assert!(bytes <= self.capacity_bytes(), "{}: {bytes} bytes do not fit", self.id);
        self.written.set(bytes);
    }

    /// The generation of a log; 0 for other objects.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.get()
    }

    pub(super) fn set_generation(&self, generation: u64) {
        assert!(generation >= self.generation.get(), "{}: a generation never goes back", self.id);
        self.generation.set(generation);
    }

    /// True if it is unknown whether a log's last erasure counts: records appended now may be lost.
    pub(super) fn is_erasure_in_doubt(&self) -> bool {
        self.erasure_in_doubt.get()
    }

    pub(super) fn set_erasure_in_doubt(&self, in_doubt: bool) {
        self.erasure_in_doubt.set(in_doubt);
        if let Some(open) = self.open.borrow().as_ref() {
            open.log.set_frozen(in_doubt);
        }
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> ObjectState {
        self.state.get()
    }

    pub(super) fn set_state(&self, state: ObjectState) {
        self.state.set(state);
    }

    /// The lock that reads share and changes hold exclusively.
    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Keeps the object from being deleted until the hold is dropped.
    #[must_use]
    pub fn hold(self: &Rc<Object>) -> Hold {
        self.holds.set(self.holds.get() + 1);
        Hold(Rc::clone(self))
    }

    /// As [`Object::hold`], for callers that do not take the lock: none while the object is being deleted.
    #[must_use]
    pub fn hold_unless_leaving(self: &Rc<Object>) -> Option<Hold> {
        (!self.leaving.get()).then(|| self.hold())
    }

    pub(super) fn set_leaving(&self, leaving: bool) {
        self.leaving.set(leaving);
    }

    /// True for a log that is open or claimed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.borrow().is_some() || self.claimed.get()
    }

    /// True for a log whose owner writes it without the pool's framer.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.claimed.get()
    }

    pub(crate) fn set_claimed(&self, claimed: bool) {
        self.claimed.set(claimed);
    }

    /// The number of holds, without the pool's own reference.
    #[must_use]
    pub fn holds(&self) -> u32 {
        self.holds.get()
    }
}

/// Keeps an object from being deleted: for an operation in progress, an open log, a map.
#[derive(Debug)]
pub struct Hold(Rc<Object>);

impl Hold {
    /// The held object.
    #[must_use]
    pub fn object(&self) -> &Rc<Object> {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.holds.set(self.0.holds.get() - 1);
    }
}

impl core::ops::Deref for Hold {
    type Target = Rc<Object>;

    fn deref(&self) -> &Rc<Object> {
        &self.0
    }
}
