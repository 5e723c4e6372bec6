// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_drive_add`: adds a STAGING drive to an active pool, and answers `true`.

use crate::ffi;
use crate::pool::params::DriveAddParams;
use crate::rpc::serve::{serve, write_true};

const MEMBERS: &str = "name, staging_bdev and optionally zone_size_mib, force";

/// SPDK's callback.
///
/// # Safety
/// Called by SPDK with a request and its decoded parameters.
pub unsafe extern "C" fn handle(request: *mut ffi::spdk_jsonrpc_request, params: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise.
    unsafe {
        serve(
            request,
            params,
            MEMBERS,
            DriveAddParams::parse,
            |runtime, params| async move { runtime.service.drive_add(&params).await },
            write_true,
        );
    }
}
