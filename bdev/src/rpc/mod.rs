// SPDX-License-Identifier: BSD-3-Clause

//! JSON-RPC: one method a file, and what they share.

mod check;
mod create;
mod delete;
mod dump;
mod get_stats;
mod grow_logical;
mod grow_physical;
pub mod info;
mod load;
mod mode;
mod pool_activate;
mod pool_create;
mod pool_deactivate;
mod pool_destroy;
mod pool_drive_add;
mod pool_get_iostat;
mod pool_get_params;
mod pool_get_props;
mod pool_get_usage;
mod pool_import;
mod pool_json;
mod pool_list;
mod pool_rename;
mod pool_scan;
mod pool_set_params;
mod rebuild;
mod rename;
mod resume;
mod serve;
mod set_block_map_cache;
mod set_compression;
mod set_index;
mod set_index_memory;
mod set_read_only;
mod set_reserve;
mod suspend;
mod unload;

use core::ffi::CStr;
use core::fmt::Display;
use core::ptr::NonNull;
use std::ffi::CString;

use crate::error::INVALID_PARAMS;
use crate::ffi;
use crate::json::{self, Writer};
use crate::params::{Fields, ParamError};

type Handler = unsafe extern "C" fn(*mut ffi::spdk_jsonrpc_request, *const ffi::spdk_json_val);

const METHODS: [(&CStr, Handler); 33] = [
    (c"bdev_dedupe_create", create::handle),
    (c"bdev_dedupe_delete", delete::handle),
    (c"bdev_dedupe_get_stats", get_stats::handle),
    (c"bdev_dedupe_dump", dump::handle),
    (c"bdev_dedupe_load", load::handle),
    (c"bdev_dedupe_unload", unload::handle),
    (c"bdev_dedupe_rename", rename::handle),
    (c"bdev_dedupe_suspend", suspend::handle),
    (c"bdev_dedupe_resume", resume::handle),
    (c"bdev_dedupe_grow_logical", grow_logical::handle),
    (c"bdev_dedupe_grow_physical", grow_physical::handle),
    (c"bdev_dedupe_set_index", set_index::handle),
    (c"bdev_dedupe_set_index_memory", set_index_memory::handle),
    (c"bdev_dedupe_set_compression", set_compression::handle),
    (c"bdev_dedupe_set_reserve", set_reserve::handle),
    (c"bdev_dedupe_set_block_map_cache", set_block_map_cache::handle),
    (c"bdev_dedupe_set_read_only", set_read_only::handle),
    (c"bdev_dedupe_check", check::handle),
    (c"bdev_dedupe_rebuild", rebuild::handle),
    (c"mpool_create", pool_create::handle),
    (c"mpool_activate", pool_activate::handle),
    (c"mpool_deactivate", pool_deactivate::handle),
    (c"mpool_destroy", pool_destroy::handle),
    (c"mpool_import", pool_import::handle),
    (c"mpool_rename", pool_rename::handle),
    (c"mpool_drive_add", pool_drive_add::handle),
    (c"mpool_set_params", pool_set_params::handle),
    (c"mpool_get_params", pool_get_params::handle),
    (c"mpool_get_usage", pool_get_usage::handle),
    (c"mpool_get_props", pool_get_props::handle),
    (c"mpool_get_iostat", pool_get_iostat::handle),
    (c"mpool_list", pool_list::handle),
    (c"mpool_scan", pool_scan::handle),
];

/// Registers the methods. Called once, by the module's constructor.
pub fn register() {
    for (name, handler) in METHODS {
        // SAFETY: name and handler are static; SPDK's list of methods is usable before `main`.
        unsafe { ffi::spdk_rpc_register_method(name.as_ptr(), Some(handler), ffi::SPDK_RPC_RUNTIME) };
    }
}

/// A request that is to be answered once. Answering consumes it.
#[derive(Debug)]
pub struct Request(NonNull<ffi::spdk_jsonrpc_request>);

// SAFETY: the request is answered on the app thread, where it came in; it only travels through other threads.
unsafe impl Send for Request {}

impl Request {
    /// The request that a handler was called with.
    ///
    /// # Safety
    /// SPDK passed the pointer to a handler and it is not answered elsewhere.
    unsafe fn new(request: *mut ffi::spdk_jsonrpc_request) -> Request {
        // SAFETY: SPDK passes no null.
        Request(unsafe { NonNull::new_unchecked(request) })
    }

    /// Answers with what `write` writes, one value.
    fn reply(self, write: impl FnOnce(&mut Writer)) {
        // SAFETY: not answered yet. Releases up to 20.07 give no document for a notification, which wants no answer.
        let document = unsafe { ffi::spdk_jsonrpc_begin_result(self.0.as_ptr()) };
        // SAFETY: the document is valid until it is ended.
        if let Some(mut writer) = unsafe { Writer::new(document) } {
            write(&mut writer);
            // SAFETY: begun above.
            unsafe { ffi::spdk_jsonrpc_end_result(self.0.as_ptr(), document) };
        }
    }

    /// Answers with an error.
    fn refuse(self, code: i32, message: impl Display) {
        let message = CString::new(message.to_string().replace('\0', "?")).unwrap_or_default();
        // SAFETY: not answered yet; SPDK copies the message.
        unsafe { ffi::spdk_jsonrpc_send_error_response(self.0.as_ptr(), code, message.as_ptr()) };
    }
}

/// Reads parameters with `parse`, or answers that they are invalid.
///
/// # Safety
/// As for a handler: both pointers come from SPDK.
unsafe fn parameters<T>(
    request: *mut ffi::spdk_jsonrpc_request,
    params: *const ffi::spdk_json_val,
    members: &str,
    parse: impl FnOnce(Fields) -> Result<T, ParamError>,
) -> Option<(Request, T)> {
    // SAFETY: the caller's promise.
    let (request, fields) = unsafe { (Request::new(request), json::read_object(params)) };
    match fields.ok_or_else(|| ParamError::NotAnObject(members.to_owned())).and_then(parse) {
        Ok(parsed) => Some((request, parsed)),
        Err(error) => {
            request.refuse(INVALID_PARAMS, error);
            None
        }
    }
}
