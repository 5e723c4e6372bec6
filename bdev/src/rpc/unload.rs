// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_unload`: saves a volume and takes it out of service; what it has in its pool stays. Answers `true`
//! when that is done.

use crate::error::VolumeError;
use crate::ffi;
use crate::pool::storage::End;
use crate::rpc::serve::{serve_named, write_true, Named};
use crate::volume::administration::find;

/// SPDK's callback.
///
/// # Safety
/// Called by SPDK with a request and its decoded parameters.
pub unsafe extern "C" fn handle(request: *mut ffi::spdk_jsonrpc_request, params: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise.
    unsafe {
        serve_named(
            request,
            params,
            Named::Volume,
            |_, name| async move {
                let removed = find(&name)?.remove(End::Keep).await;
                removed.map_err(|error| VolumeError::pool(&name, error))
            },
            write_true,
        );
    }
}
