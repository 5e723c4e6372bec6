// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_get_props`: shows an active pool with its media classes and drives, and how they fare.

use crate::ffi;
use crate::rpc::pool_json;
use crate::rpc::serve::{serve_named, Named};

/// SPDK's callback.
///
/// # Safety
/// Called by SPDK with a request and its decoded parameters.
pub unsafe extern "C" fn handle(request: *mut ffi::spdk_jsonrpc_request, params: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise.
    unsafe {
        serve_named(
            request,
            params,
            Named::Pool,
            |runtime, name| async move { runtime.service.find(&name) },
            pool_json::props,
        );
    }
}
