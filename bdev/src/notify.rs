// SPDX-License-Identifier: BSD-3-Clause

//! What SPDK's notifications tell (`notify_get_notifications`), besides what its bdev layer tells itself.

use core::ffi::CStr;
use std::ffi::CString;

use crate::ffi;

/// A volume takes no writes any more.
const READ_ONLY: &CStr = c"bdev_dedupe_read_only";

/// Makes the types known. Called once, by the module's constructor.
pub fn register() {
    // SAFETY: the type is a C string that lives as long as the process; SPDK's list is usable before `main`.
    let registered = unsafe { ffi::spdk_notify_type_register(READ_ONLY.as_ptr()) };
    if registered.is_null() {
        log::warn!("SPDK does not take the notification type {READ_ONLY:?}");
    }
}

/// The volume of this name takes no writes any more.
pub fn read_only(name: &str) {
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: both are C strings; SPDK copies them.
    unsafe { ffi::spdk_notify_send(READ_ONLY.as_ptr(), name.as_ptr()) };
}
