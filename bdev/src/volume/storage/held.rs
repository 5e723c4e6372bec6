// SPDX-License-Identifier: BSD-3-Clause

//! What the application thread holds for each loaded volume.

use core::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use engine::volume::store::VolumeStore;
use uuid::Uuid;

use crate::spdk::open_bdev::Lease;
use crate::volume::history::History;
use crate::volume::{Operation, Volume};

/// The application thread's side of a volume.
#[derive(Debug)]
pub struct Held {
    /// The key by which the volume refers to this.
    pub key: u64,
    /// The volume's objects.
    pub store: Rc<VolumeStore>,
    /// Leases of the bdevs below.
    pub leases: Vec<Lease>,
    /// The volume, once there is one.
    pub volume: Weak<Volume>,
    /// A bdev was removed.
    pub removed: bool,
    /// The history of the volume's index, once it is open.
    pub history: Option<Rc<History>>,
    /// The operation in progress while the volume is not in service.
    pub operation: Option<Operation>,
}

/// What is held for all volumes.
#[derive(Debug, Default)]
pub struct Storages {
    held: RefCell<Vec<Held>>,
    next_key: Cell<u64>,
}

impl Storages {
    /// A key that was not used before.
    pub fn new_key(&self) -> u64 {
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        key
    }

    pub fn keep(&self, held: Held) {
        self.held.borrow_mut().push(held);
    }

    pub fn take(&self, key: u64) -> Option<Held> {
        let mut held = self.held.borrow_mut();
        let index = held.iter().position(|held| held.key == key)?;
        Some(held.swap_remove(index))
    }

    fn with<R>(&self, key: u64, ask: impl FnOnce(&mut Held) -> R) -> Option<R> {
        self.held.borrow_mut().iter_mut().find(|held| held.key == key).map(ask)
    }

    /// Names of the volumes of a pool that are loaded or being loaded.
    pub fn names_in(&self, pool: Uuid) -> Vec<String> {
        let held = self.held.borrow();
        let inside = held.iter().filter(|held| held.store.pool().uuid() == pool);
        inside.map(|held| held.store.entry().name.clone()).collect()
    }

    /// Whether a volume is loaded or being loaded.
    pub fn has(&self, uuid: Uuid) -> bool {
        self.held.borrow().iter().any(|held| held.store.entry().uuid == uuid)
    }

    pub fn store(&self, key: u64) -> Option<Rc<VolumeStore>> {
        self.with(key, |held| Rc::clone(&held.store))
    }

    pub fn history(&self, key: u64) -> Option<Rc<History>> {
        self.with(key, |held| held.history.clone()).flatten()
    }

    /// Sets or removes the history of a volume's index.
    pub fn set_history(&self, key: u64, history: Option<Rc<History>>) {
        // The previous history must not be dropped while the list is borrowed.
        let before = self.with(key, |held| core::mem::replace(&mut held.history, history));
        drop(before);
    }

    pub fn volume(&self, key: u64) -> Option<Arc<Volume>> {
        self.with(key, |held| held.volume.upgrade()).flatten()
    }

    /// Records the operation in progress on a volume that is not in service.
    pub fn note_operation(&self, key: u64, operation: Operation) {
        self.with(key, |held| held.operation = Some(operation));
    }

    /// Volumes that are not in service, and the operations in progress on them.
    pub fn operations(&self) -> Vec<(String, Operation)> {
        let held = self.held.borrow();
        let busy = held.iter().filter(|held| held.volume.upgrade().is_none());
        busy.filter_map(|held| Some((held.store.entry().name.clone(), held.operation?))).collect()
    }

    /// Sets the volume to tell of a removal. False if a bdev was removed before.
    pub fn watch(&self, key: u64, volume: Weak<Volume>) -> bool {
        let known = self.with(key, |held| {
            held.volume = volume;
            !held.removed
        });
        known.unwrap_or(false)
    }

    /// Notes that a bdev was removed. Returns the volume, if there is one yet.
    pub fn removed(&self, key: u64) -> Option<Arc<Volume>> {
        let volume = self.with(key, |held| {
            held.removed = true;
            held.volume.upgrade()
        });
        volume.flatten()
    }
}
