// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_delete`: takes a volume down, destroys what it has in its pool, and the pool
//! too when it was made for the volume; answers `true` when that is done.

use std::ffi::CString;

use crate::ffi;
use crate::params;
use crate::registry;
use crate::rpc::parameters;

/// SPDK's callback.
///
/// # Safety
/// Called by SPDK with a request and its decoded parameters.
pub unsafe extern "C" fn handle(request: *mut ffi::spdk_jsonrpc_request, params: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise.
    let Some((request, name)) = (unsafe { parameters(request, params, "name", params::parse_delete) }) else { return };
    match registry::find(&name) {
        Some(volume) => volume.delete(Box::new(move |outcome| match outcome {
            Ok(()) => request.reply(|writer| writer.boolean(true)),
            Err(error) => request.refuse(-error.kind().errno(), error),
        })),
        None => request.refuse(-libc::ENODEV, missing(&name)),
    }
}

/// Says what is wrong with a name that is no volume's.
pub fn missing(name: &str) -> String {
    let c_name = CString::new(name).unwrap_or_default();
    // SAFETY: the name is a C string; the result is only compared with null.
    let other = !unsafe { ffi::spdk_bdev_get_by_name(c_name.as_ptr()) }.is_null();
    if other {
        format!("bdev '{name}' is not a dedupe bdev")
    } else {
        format!("there is no bdev '{name}'")
    }
}
