// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_activate`: activates a pool, loads its volumes, and answers with its parameters.

use engine::pool::PoolError;

use crate::ffi;
use crate::pool::params::ActivateParams;
use crate::rpc::pool_json;
use crate::rpc::serve::serve;
use crate::volume::load::load_all;

const MEMBERS: &str = "name and optionally capacity_bdev, staging_bdev, force, permit_meta_conv, resize, uid, gid, \
                       mode, label, type, readahead_pages, spare_percent_capacity, spare_percent_staging, tunables";

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
            ActivateParams::parse,
            |runtime, params| async move {
                let activated = runtime.service.activate(&params).await?;
                load_all(&runtime, activated.uuid).await;
                Ok::<_, PoolError>(activated)
            },
            pool_json::params_object,
        );
    }
}
