// SPDX-License-Identifier: BSD-3-Clause

//! The volumes that SPDK knows, in the order of their creation. An entry keeps its volume alive.

use std::sync::{Arc, Mutex, PoisonError};

use crate::volume::Volume;

static VOLUMES: Mutex<Vec<Arc<Volume>>> = Mutex::new(Vec::new());

fn with<R>(work: impl FnOnce(&mut Vec<Arc<Volume>>) -> R) -> R {
    work(&mut VOLUMES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Adds a volume.
pub fn add(volume: Arc<Volume>) {
    with(|volumes| volumes.push(volume));
}

/// Removes a volume, if it is there.
pub fn remove(volume: &Arc<Volume>) {
    with(|volumes| volumes.retain(|other| !Arc::ptr_eq(other, volume)));
}

/// The volume of that name.
pub fn find(name: &str) -> Option<Arc<Volume>> {
    with(|volumes| volumes.iter().find(|volume| volume.name() == name).cloned())
}

/// All volumes.
pub fn all() -> Vec<Arc<Volume>> {
    with(|volumes| volumes.clone())
}
