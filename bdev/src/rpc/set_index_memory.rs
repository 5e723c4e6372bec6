// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_set_index_memory`: changes the size of a volume's index while it is in use, and answers `true`.

use crate::ffi;
use crate::params;
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
            "name, index_memory_mib",
            params::parse_set_index_memory,
            |_, (name, mib): (String, u64)| async move { find(&name)?.set_index_memory(mib).await },
            write_true,
        );
    }
}
