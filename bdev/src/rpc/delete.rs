// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_delete`: takes a volume down, destroys what it has in its pool, and the pool too when it was made for
//! the volume; answers `true` when that is done. The volume may be unloaded.

use crate::ffi;
use crate::rpc::serve::{serve_named, write_true, Named};
use crate::volume::offline;

/// SPDK's callback.
///
/// # Safety
/// Called by SPDK with a request and its decoded parameters.
pub unsafe extern "C" fn handle(request: *mut ffi::spdk_jsonrpc_request, params: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise.
    unsafe {
        serve_named(request, params, Named::Volume, |_, name| async move { offline::delete(&name).await }, write_true);
    }
}
