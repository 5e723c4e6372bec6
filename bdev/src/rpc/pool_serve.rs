// SPDX-License-Identifier: BSD-3-Clause

//! What the `mpool_*` methods share: a task on the application thread that does the work and then answers.

use core::future::Future;
use std::rc::Rc;

use engine::pool::error::Result;
use engine::pool::PoolError;

use super::{parameters, Request};
use crate::ffi;
use crate::json::Writer;
use crate::params::{Fields, ParamError};
use crate::pool::runtime::{self, Runtime};

/// Reads the parameters with `parse`, does `work` with them, and answers with what `write` makes of its outcome, or
/// with the error.
///
/// # Safety
/// As for a handler: both pointers come from SPDK.
pub unsafe fn serve<P: 'static, T: 'static, F: Future<Output = Result<T>> + 'static>(
    request: *mut ffi::spdk_jsonrpc_request,
    params: *const ffi::spdk_json_val,
    members: &str,
    parse: impl FnOnce(Fields) -> core::result::Result<P, ParamError>,
    work: impl FnOnce(Rc<Runtime>, P) -> F + 'static,
    write: impl FnOnce(&mut Writer, &T) + 'static,
) {
    // SAFETY: the caller's promise.
    let Some((request, parsed)) = (unsafe { parameters(request, params, members, parse) }) else { return };
    let Some(runtime) = runtime::get() else {
        return request.refuse(-libc::ESHUTDOWN, "SPDK is ending the module");
    };
    let working = work(runtime, parsed);
    runtime::spawn(async move {
        match working.await {
            Ok(outcome) => request.reply(|writer| write(writer, &outcome)),
            Err(error) => refuse(request, &error),
        }
    });
}

fn refuse(request: Request, error: &PoolError) {
    log::error!("{error}");
    request.refuse(-error.kind().errno(), error);
}

/// Answers `true`.
pub fn write_true(writer: &mut Writer, (): &()) {
    writer.boolean(true);
}
