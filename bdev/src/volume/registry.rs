// SPDX-License-Identifier: BSD-3-Clause

//! The volumes that SPDK knows, in order of creation. An entry keeps its volume alive.

use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::spdk::bdevs;
use crate::volume::Volume;

static VOLUMES: Mutex<Vec<Arc<Volume>>> = Mutex::new(Vec::new());

/// Called when the last volume has ended.
static WAITER: Mutex<Option<fn()>> = Mutex::new(None);

fn with<R>(work: impl FnOnce(&mut Vec<Arc<Volume>>) -> R) -> R {
    work(&mut VOLUMES.lock().unwrap_or_else(PoisonError::into_inner))
}

pub fn add(volume: Arc<Volume>) {
    with(|volumes| volumes.push(volume));
}

/// Removes a volume, if it is registered.
pub fn remove(volume: &Arc<Volume>) {
    with(|volumes| volumes.retain(|other| !Arc::ptr_eq(other, volume)));
}

/// Calls `done` when no volume is left: at once if there is none, else when the last one has ended.
pub fn when_empty(done: fn()) {
    *WAITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    gone();
}

/// A volume has ended. Calls the waiter if it was the last one.
pub fn gone() {
    if !with(|volumes| volumes.is_empty()) {
        return;
    }
    let waiter = WAITER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(done) = waiter {
        done();
    }
}

pub fn named(name: &str) -> Option<Arc<Volume>> {
    with(|volumes| volumes.iter().find(|volume| volume.name() == name).cloned())
}

/// The volume of this name, UUID or alias. On the app thread.
pub fn find(key: &str) -> Option<Arc<Volume>> {
    let identified = |uuid: Uuid| with(|volumes| volumes.iter().find(|volume| volume.uuid() == uuid).cloned());
    let by_uuid = || Uuid::try_parse(key).ok().and_then(identified);
    named(key).or_else(by_uuid).or_else(|| named(&bdevs::canonical(key)))
}

pub fn all() -> Vec<Arc<Volume>> {
    with(|volumes| volumes.clone())
}
