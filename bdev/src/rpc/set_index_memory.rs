// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_set_index_memory`: changes the size of a volume's index while it is in use, and answers `true`.

use crate::ffi;
use crate::params;
use crate::registry;
use crate::rpc::delete::missing;
use crate::rpc::parameters;
use crate::volume::State;

/// SPDK's callback.
///
/// # Safety
/// Called by SPDK with a request and its decoded parameters.
pub unsafe extern "C" fn handle(request: *mut ffi::spdk_jsonrpc_request, params: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise.
    let parsed = unsafe { parameters(request, params, "name, index_memory_mib", params::parse_set_index_memory) };
    let Some((request, (name, mib))) = parsed else { return };
    match registry::find(&name) {
        None => request.refuse(-libc::ENODEV, missing(&name)),
        Some(volume) if volume.state() != State::Online => {
            request.refuse(-libc::EBUSY, format!("'{name}' is being removed"));
        }
        Some(volume) => match volume.refuse_index(mib) {
            Err(error) => request.refuse(error.code(), error),
            Ok(()) => volume.set_index_memory(mib, move || request.reply(|writer| writer.boolean(true))),
        },
    }
}
