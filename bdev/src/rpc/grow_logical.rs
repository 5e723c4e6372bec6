// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_grow_logical`: makes the size that a volume shows larger, and answers `true`.

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
            "name, logical_size_mib",
            SizeParams::parse_logical,
            |_, params: SizeParams| async move {
                let volume = find(&params.name)?;
                volume.grow_logical(params.mib.unwrap_or_default()).await
            },
            write_true,
        );
    }
}
