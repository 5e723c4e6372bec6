// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_rename`: gives a pool that is not active another name, and answers with the name as it is stored.

use crate::ffi;
use crate::pool::params::RenameParams;
use crate::rpc::serve::serve;

const MEMBERS: &str = "name, new_name and optionally capacity_bdev, staging_bdev";

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
            RenameParams::parse,
            |runtime, params| async move { runtime.service.rename(&params).await },
            |writer, name: &String| writer.object(|writer| writer.named_string("name", name)),
        );
    }
}
