// SPDX-License-Identifier: BSD-3-Clause

//! What the methods share that do their work in a task on the application thread and then answer.

use core::fmt::Display;
use core::future::Future;
use std::rc::Rc;

use engine::pool::PoolError;

use super::{parameters, Request};
use crate::error::VolumeError;
use crate::ffi;
use crate::json::Writer;
use crate::params::{self, Fields, ParamError};
use crate::pool;
use crate::pool::runtime::{self, Runtime};

/// An error that a client can be told.
pub trait Refusal: Display {
    /// The code for a JSON-RPC response.
    fn code(&self) -> i32;

    /// Something that is broken, and not merely asked for at the wrong time, of the wrong object or without `force`: the
    /// operator's log has it, too.
    fn is_fault(&self) -> bool {
        matches!(-self.code(), libc::EIO | libc::ENOMEM | libc::ENXIO | libc::EFAULT | libc::EUCLEAN | libc::EROFS)
    }
}

impl Refusal for PoolError {
    fn code(&self) -> i32 {
        -self.kind().errno()
    }
}

impl Refusal for VolumeError {
    fn code(&self) -> i32 {
        VolumeError::code(self)
    }
}

/// Reads the parameters with `parse`, does `work` with them, and answers with what `write` makes of its outcome, or
/// with the error.
///
/// # Safety
/// As for a handler: both pointers come from SPDK.
pub unsafe fn serve<P: 'static, T: 'static, E: Refusal + 'static, F: Future<Output = Result<T, E>> + 'static>(
    request: *mut ffi::spdk_jsonrpc_request,
    params: *const ffi::spdk_json_val,
    members: &str,
    parse: impl FnOnce(Fields) -> Result<P, ParamError>,
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

/// What a method's only parameter, `name`, is the name of.
#[derive(Debug, Clone, Copy)]
pub enum Named {
    /// A volume.
    Volume,
    /// A pool.
    Pool,
}

impl Named {
    fn parse(self, fields: Fields) -> Result<String, ParamError> {
        match self {
            Named::Volume => params::parse_name(fields),
            Named::Pool => pool::params::parse_name(fields),
        }
    }
}

/// [`serve`] for methods whose only parameter is a name.
///
/// # Safety
/// As for a handler: both pointers come from SPDK.
pub unsafe fn serve_named<T: 'static, E: Refusal + 'static, F: Future<Output = Result<T, E>> + 'static>(
    request: *mut ffi::spdk_jsonrpc_request,
    params: *const ffi::spdk_json_val,
    named: Named,
    work: impl FnOnce(Rc<Runtime>, String) -> F + 'static,
    write: impl FnOnce(&mut Writer, &T) + 'static,
) {
    // SAFETY: the caller's promise.
    unsafe { serve(request, params, "name", |fields| named.parse(fields), work, write) };
}

fn refuse(request: Request, error: &impl Refusal) {
    log::log!(if error.is_fault() { log::Level::Error } else { log::Level::Debug }, "{error}");
    request.refuse(error.code(), error);
}

/// Answers `true`.
pub fn write_true(writer: &mut Writer, (): &()) {
    writer.boolean(true);
}
