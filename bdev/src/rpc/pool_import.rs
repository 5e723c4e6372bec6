// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_import`: gives a copy of a pool new identities, activates it, loads its volumes, and answers with its
//! parameters.

use engine::pool::PoolError;

use crate::ffi;
use crate::pool::params::ImportParams;
use crate::rpc::pool_json;
use crate::rpc::serve::serve;
use crate::volume::load::load_all;

const MEMBERS: &str = "capacity_bdev and optionally staging_bdev, new_name, force";

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
            ImportParams::parse,
            |runtime, params| async move {
                let imported = runtime.service.import(&params).await?;
                load_all(&runtime, imported.uuid).await;
                Ok::<_, PoolError>(imported)
            },
            pool_json::params_object,
        );
    }
}
