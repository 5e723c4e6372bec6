// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_create`: formats one or two bdevs as a pool, activates it, and answers with its parameters. With `unless_exists` a
//! pool that is there is activated, and its volumes are loaded.

use engine::pool::PoolError;

use crate::ffi;
use crate::pool::params::CreateParams;
use crate::rpc::pool_json;
use crate::rpc::serve::serve;
use crate::volume::load::load_all;

const MEMBERS: &str = "name, capacity_bdev and optionally staging_bdev, zone_size_mib, mdc_count, mdc0_capacity_mib, \
                       mdcn_capacity_mib, unless_exists, force, uid, gid, mode, label, type, readahead_pages, \
                       spare_percent_capacity, spare_percent_staging, tunables";

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
            CreateParams::parse,
            |runtime, params| async move {
                let created = runtime.service.create(&params).await?;
                if params.unless_exists {
                    load_all(&runtime, created.uuid).await;
                }
                Ok::<_, PoolError>(created)
            },
            pool_json::params_object,
        );
    }
}
