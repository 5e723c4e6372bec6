// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_create`: makes a volume in a pool, or on a base bdev in a pool of its own, and answers with its name.

use std::sync::Arc;

use crate::ffi;
use crate::params::CreateParams;
use crate::rpc::serve::serve;
use crate::volume::{create, Volume};

const MEMBERS: &str = "base_bdev_name or pool_name, name and optionally uuid, cpumask, block_size, logical_size_mib, \
                       slab_size_mib, physical_size_mib, index_memory_mib, block_map_cache_mib, journal_size_mib, \
                       index_history_mib, compression, deduplication, reserve_percent, unless_exists, force";

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
            |_, params| create::create(params),
            |writer, volume: &Arc<Volume>| writer.string(volume.name()),
        );
    }
}
