// SPDX-License-Identifier: BSD-3-Clause

//! The notifications (`notify_get_notifications`) that this module adds to those of SPDK's bdev layer.

use core::ffi::CStr;
use std::ffi::CString;

use mpool::host::PoolStatus;

use super::ffi;

/// A volume accepts no more writes.
const READ_ONLY: &CStr = c"bdev_dedupe_read_only";

/// A pool has become faulted, or has another fault: `mpool_list` says which.
const FAULTED: &CStr = c"mpool_faulted";

/// A pool has no fault any more.
const OPTIMAL: &CStr = c"mpool_optimal";

/// Registers the notification types. Called once, when the module begins.
pub fn register() {
    for kind in [READ_ONLY, FAULTED, OPTIMAL] {
        // SAFETY: the type is a C string that lives as long as the process; SPDK's list is always usable.
        let registered = unsafe { ffi::spdk_notify_type_register(kind.as_ptr()) };
        if registered.is_null() {
            log::warn!("SPDK does not take the notification type {kind:?}");
        }
    }
}

fn send(kind: &CStr, name: &str) {
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: both are C strings; SPDK copies them.
    unsafe { ffi::spdk_notify_send(kind.as_ptr(), name.as_ptr()) };
}

/// Notifies that the volume of this name accepts no more writes.
pub fn read_only(name: &str) {
    send(READ_ONLY, name);
}

/// Notifies that the status of the pool of this name has changed.
pub fn pool_changed(name: &str, status: PoolStatus) {
    let kind = match status {
        PoolStatus::Optimal => OPTIMAL,
        PoolStatus::Faulted => FAULTED,
    };
    send(kind, name);
}
