// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_deactivate`: deactivates a pool that nobody uses, and answers `true`.

use crate::ffi;
use crate::rpc::serve::{serve_named, write_true, Named};

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
            |runtime, name| async move { runtime.service.deactivate(&name, &runtime.storages).await },
            write_true,
        );
    }
}
