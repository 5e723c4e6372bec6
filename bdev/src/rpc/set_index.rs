// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_set_index`: creates, closes, disables or enables a volume's index while it is in use,
//! and answers `true`.

use crate::ffi;
use crate::params::{self, IndexAction};
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
            "name, action",
            params::parse_set_index,
            |_, (name, action): (String, IndexAction)| async move { find(&name)?.set_index(action).await },
            write_true,
        );
    }
}
