// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_deactivate`: deactivates a pool that nobody uses, and answers `true`.

use crate::ffi;
use crate::pool::params::parse_name;
use crate::rpc::serve::{serve, write_true};

const MEMBERS: &str = "name";

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
            parse_name,
            |runtime, name: String| async move { runtime.service.deactivate(&name, &runtime.storages).await },
            write_true,
        );
    }
}
