// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_set_block_map_cache`: changes the size of the cache of a volume's block map while it is in use, and
//! answers `true`.

use crate::ffi;
use crate::params::SizeParams;
use crate::rpc::serve::{serve, write_true};
use crate::volume::administration::find;

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
            "name, block_map_cache_mib",
            SizeParams::parse_cache,
            |_, params: SizeParams| async move {
                find(&params.name)?.set_block_map_cache(params.mib.unwrap_or_default()).await
            },
            write_true,
        );
    }
}
