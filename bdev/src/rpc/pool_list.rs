// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_list`: lists the active pools.

use engine::pool::PoolError;

use crate::ffi;
use crate::pool::params::parse_nothing;
use crate::rpc::pool_json;
use crate::rpc::serve::serve;

const MEMBERS: &str = "none";

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
            parse_nothing,
            |runtime, ()| async move { Ok::<_, PoolError>(runtime.service.active()) },
            |writer, pools| writer.array(|writer| pools.iter().for_each(|pool| pool_json::listed(writer, pool))),
        );
    }
}
