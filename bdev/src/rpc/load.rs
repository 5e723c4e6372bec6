// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_load`: brings a volume that was unloaded back into service, and answers with its name.

use std::sync::Arc;

use crate::ffi;
use crate::params::LoadParams;
use crate::rpc::serve::serve;
use crate::volume::{load, Volume};

const MEMBERS: &str = "name and optionally pool_name, cpumask";

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
            MEMBERS,
            LoadParams::parse,
            |_, params| load::load(params),
            |writer, volume: &Arc<Volume>| writer.string(volume.name()),
        );
    }
}
