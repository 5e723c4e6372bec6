// SPDX-License-Identifier: BSD-3-Clause

//! A request's way: its parameters are read, its work is done in a task on the application thread, and it is answered.

use core::fmt::Display;
use core::future::Future;
use core::ptr::NonNull;
use std::ffi::CString;
use std::rc::Rc;

use engine::pool::PoolError;

use super::method::Answer;
use crate::error::{VolumeError, INVALID_PARAMS};
use crate::ffi;
use crate::json::{self, Writer};
use crate::params::{Param, ParamError, Reader};
use crate::pool::runtime::{self, Runtime};

/// Why a client is refused what it asked for.
#[derive(Debug)]
pub struct Refusal {
    /// The code for a JSON-RPC response: a negative errno, or invalid parameters.
    code: i32,
    message: String,
}

impl Refusal {
    /// Something is broken, and not merely asked for at the wrong time, of the wrong object or without `force`: the operator's
    /// log has it, too.
    fn is_fault(&self) -> bool {
        matches!(-self.code, libc::EIO | libc::ENOMEM | libc::ENXIO | libc::EFAULT | libc::EUCLEAN | libc::EROFS)
    }
}

impl From<PoolError> for Refusal {
    fn from(error: PoolError) -> Refusal {
        Refusal { code: -error.kind().errno(), message: error.to_string() }
    }
}

impl From<VolumeError> for Refusal {
    fn from(error: VolumeError) -> Refusal {
        Refusal { code: error.code(), message: error.to_string() }
    }
}

/// A request that is to be answered once. Answering consumes it.
#[derive(Debug)]
struct Request(NonNull<ffi::spdk_jsonrpc_request>);

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

/// Serves a request of a method that has the parameters `params`: `read` reads them and returns what is to be done.
///
/// # Safety
/// As for a handler: both pointers come from SPDK.
pub unsafe fn serve<W, T, F>(
    request: *mut ffi::spdk_jsonrpc_request,
    given: *const ffi::spdk_json_val,
    params: &[Param],
    read: impl FnOnce(&mut Reader) -> Result<W, ParamError>,
) where
    W: FnOnce(Rc<Runtime>) -> F + 'static,
    F: Future<Output = Result<T, Refusal>> + 'static,
    T: Answer + 'static,
{
    // SAFETY: the caller's promise.
    let (request, fields) = unsafe { (Request::new(request), json::read_object(given)) };
    let work = match Reader::new(fields, params).and_then(|mut reader| read(&mut reader)) {
        Ok(work) => work,
        Err(error) => return request.refuse(INVALID_PARAMS, error),
    };
    let Some(runtime) = runtime::get() else {
        return request.refuse(-libc::ESHUTDOWN, "SPDK is ending the module");
    };
    runtime::spawn(async move {
        match work(runtime).await {
            Ok(answer) => request.reply(|writer| answer.write(writer)),
            Err(refusal) => {
                let level = if refusal.is_fault() { log::Level::Error } else { log::Level::Debug };
                log::log!(level, "{}", refusal.message);
                request.refuse(refusal.code, refusal.message);
            }
        }
    });
}
