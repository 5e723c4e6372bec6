// SPDX-License-Identifier: BSD-3-Clause

//! What SPDK's notifications tell (`notify_get_notifications`), besides what its bdev layer tells itself.

use core::ffi::CStr;
use std::ffi::CString;

use mpool::host::PoolStatus;

use super::ffi;

/// A volume takes no writes any more.
const READ_ONLY: &CStr = c"bdev_dedupe_read_only";

/// A pool has a fault, or another one: `mpool_list` says which.
const FAULTED: &CStr = c"mpool_faulted";

/// A pool has no fault any more.
const OPTIMAL: &CStr = c"mpool_optimal";

/// Makes the types known. Called once, by the module's constructor.
pub fn register() {
    for kind in [READ_ONLY, FAULTED, OPTIMAL] {
        // SAFETY: the type is a C string that lives as long as the process; SPDK's list is usable before `main`.
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

/// The volume of this name takes no writes any more.
pub fn read_only(name: &str) {
    send(READ_ONLY, name);
}

/// How the pool of this name fares has changed.
pub fn pool_changed(name: &str, status: PoolStatus) {
    let kind = match status {
        PoolStatus::Optimal => OPTIMAL,
        PoolStatus::Faulted => FAULTED,
    };
    send(kind, name);
}
