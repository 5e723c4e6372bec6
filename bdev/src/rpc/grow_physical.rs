// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_grow_physical`: gives a volume more slabs, and answers with the size of its data area in MiB.

use crate::ffi;
use crate::params::SizeParams;
use crate::rpc::serve::serve;
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
            "name and optionally physical_size_mib",
            SizeParams::parse_physical,
            |_, params: SizeParams| async move { find(&params.name)?.grow_physical(params.mib).await },
            |writer, mib: &u64| writer.number(*mib),
        );
    }
}
