// SPDX-License-Identifier: BSD-3-Clause

//! JSON-RPC on top of SPDK's: registering methods, receiving and answering requests.

use core::ffi::CStr;
use core::fmt::Display;
use core::ptr::NonNull;
use std::ffi::CString;

use super::ffi;
use super::json::{read_object, Fields, Writer};

/// A request that is answered exactly once: answering consumes it.
#[derive(Debug)]
pub struct Request(NonNull<ffi::spdk_jsonrpc_request>);

// SAFETY: the request is answered on the app thread, where it arrived; it only travels through other threads.
unsafe impl Send for Request {}

impl Request {
    /// Answers with the one value that `write` writes.
    pub fn reply(self, write: impl FnOnce(&mut Writer)) {
        // SAFETY: not answered yet. Releases up to 20.07 give no document for a notification, which needs no answer.
        let document = unsafe { ffi::spdk_jsonrpc_begin_result(self.0.as_ptr()) };
        // SAFETY: the document is valid until it is ended.
        if let Some(mut writer) = unsafe { Writer::new(document) } {
            write(&mut writer);
            // SAFETY: begun above.
            unsafe { ffi::spdk_jsonrpc_end_result(self.0.as_ptr(), document) };
        }
    }

    /// Answers with an error.
    pub fn refuse(self, code: i32, message: impl Display) {
        let message = CString::new(message.to_string().replace('\0', "?")).unwrap_or_default();
        // SAFETY: not answered yet; SPDK copies the message.
        unsafe { ffi::spdk_jsonrpc_send_error_response(self.0.as_ptr(), code, message.as_ptr()) };
    }
}

pub trait Serve {
    const NAME: &'static CStr;

    /// Answers a request, now or later. `given` are the request's parameters; none if they are not an object.
    fn serve(request: Request, given: Option<Fields>);
}

/// Registers a method, which can be called once SPDK is started. Called by the module's constructor.
pub fn register<M: Serve>() {
    // SAFETY: name and handler are static; SPDK's list of methods is usable before `main`.
    unsafe { ffi::spdk_rpc_register_method(M::NAME.as_ptr(), Some(handle::<M>), ffi::SPDK_RPC_RUNTIME) };
}

/// # Safety
/// SPDK calls it, with a request that is not answered yet and its decoded parameters.
unsafe extern "C" fn handle<M: Serve>(request: *mut ffi::spdk_jsonrpc_request, given: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise; SPDK passes no null for a request.
    let (request, given) = unsafe { (Request(NonNull::new_unchecked(request)), read_object(given)) };
    M::serve(request, given);
}
