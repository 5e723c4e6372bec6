// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_resume`: ends what `bdev_dedupe_suspend` has begun, and answers `true`.

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
            "name",
            params::parse_name,
            |_, name: String| async move { find(&name)?.resume().await },
            write_true,
        );
    }
}
