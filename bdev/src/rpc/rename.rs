// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_rename`: gives a volume that is not loaded another name, and answers `true`. So a volume whose name is taken,
//! for instance one of an imported copy, can be loaded beside the other.

use crate::ffi;
use crate::params::parse_rename;
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
            "name, new_name",
            parse_rename,
            |_, (name, new_name)| async move { offline::rename(&name, &new_name).await },
            write_true,
        );
    }
}
