// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_create`: makes a volume in a pool, or on a base bdev in a pool of its own, and answers with its name.

use crate::ffi;
use crate::params::CreateParams;
use crate::rpc::parameters;
use crate::volume::Volume;

const MEMBERS: &str = "base_bdev_name or pool_name, name and optionally uuid, cpumask, block_size, logical_size_mib, \
                       slab_size_mib, physical_size_mib, index_memory_mib";

/// SPDK's callback.
///
/// # Safety
/// Called by SPDK with a request and its decoded parameters.
pub unsafe extern "C" fn handle(request: *mut ffi::spdk_jsonrpc_request, params: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise.
    let Some((request, params)) = (unsafe { parameters(request, params, MEMBERS, CreateParams::parse) }) else {
        return;
    };
    Volume::create(params, move |result| match result {
        Ok(volume) => request.reply(|writer| writer.string(volume.name())),
        Err(error) => {
            log::error!("{error}");
            request.refuse(error.code(), error);
        }
    });
}
