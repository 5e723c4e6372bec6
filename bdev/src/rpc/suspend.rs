// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_suspend`: lets a volume's requests wait until it is resumed, and saves its metadata. Answers `true`
//! when that is done.

use crate::ffi;
use crate::rpc::serve::{serve_named, write_true, Named};
use crate::volume::administration::find;

/// SPDK's callback.
///
/// # Safety
/// Called by SPDK with a request and its decoded parameters.
pub unsafe extern "C" fn handle(request: *mut ffi::spdk_jsonrpc_request, params: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise.
    unsafe {
        serve_named(request, params, Named::Volume, |_, name| async move { find(&name)?.suspend().await }, write_true);
    }
}
