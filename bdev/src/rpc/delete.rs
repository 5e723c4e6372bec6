// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_delete`: takes a volume down, destroys what it has in its pool, and the pool too when it was made for
//! the volume; answers `true` when that is done. The volume may be unloaded; one that
//! somebody has open or claimed is deleted with force only.

use crate::ffi;
use crate::params::parse_delete;
use crate::rpc::serve::{serve, write_true};
use crate::volume::offline;

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
            "name and optionally force",
            parse_delete,
            |_, (name, force)| async move { offline::delete(&name, force).await },
            write_true,
        );
    }
}
