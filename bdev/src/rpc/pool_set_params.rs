// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_set_params`: changes parameters of an active pool, keeps them on its media, and answers with all of them.

use crate::ffi;
use crate::pool::params::SetParams;
use crate::rpc::pool_json;
use crate::rpc::serve::serve;

const MEMBERS: &str = "name and optionally uid, gid, mode, label, type, readahead_pages, spare_percent_capacity, \
                       spare_percent_staging, tunables";

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
            SetParams::parse,
            |runtime, params| async move { runtime.service.set_params(&params).await },
            pool_json::params_object,
        );
    }
}
