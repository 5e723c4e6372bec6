// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_set_compression`: turns compression of a volume on or off while it is in use, and answers `true`.

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
            "name, enabled",
            params::parse_set_compression,
            |_, (name, enabled): (String, bool)| async move { find(&name)?.set_compression(enabled).await },
            write_true,
        );
    }
}
