// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_set_reserve`: changes how much of a volume is kept until the operator releases it, while it is in use, and
//! answers `true`. With 0 percent it is released: new data may take it.

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
            "name, percent",
            params::parse_set_reserve,
            |_, (name, percent): (String, u8)| async move { find(&name)?.set_reserve(percent).await },
            write_true,
        );
    }
}
