// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_destroy`: destroys a pool, active or not, and answers `true`.

use crate::ffi;
use crate::pool::params::DestroyParams;
use crate::rpc::serve::{serve, write_true};

const MEMBERS: &str = "name and optionally capacity_bdev, staging_bdev, force";

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
            DestroyParams::parse,
            |runtime, params| async move { runtime.service.destroy(&params).await },
            write_true,
        );
    }
}
