// SPDX-License-Identifier: BSD-3-Clause

//! Serving a request: its parameters are read, a task on the application thread does its work, and it is answered.

use core::future::Future;
use std::rc::Rc;

use mpool::PoolError;

use super::method::Answer;
use crate::params::{Param, ParamError, Reader};
use crate::pool::runtime::{self, Runtime};
use crate::spdk::json::Fields;
use crate::spdk::json_rpc::Request;
use crate::spdk::tasks;
use crate::volume::error::{VolumeError, INVALID_PARAMS};

/// Why a request is refused.
#[derive(Debug)]
pub struct Refusal {
    /// The code for a JSON-RPC response: a negative errno, or invalid parameters.
    code: i32,
    message: String,
}

impl Refusal {
    /// Something is broken, and not merely asked for at the wrong time, of the wrong object or without `force`: the
    /// operator's log gets the message, too.
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

/// Serves a request of a method that has the parameters `params`: `read` parses them and returns the work to do.
pub fn serve<W, T, F>(
    request: Request,
    given: Option<Fields>,
    params: &[Param],
    read: impl FnOnce(&mut Reader) -> Result<W, ParamError>,
) where
    W: FnOnce(Rc<Runtime>) -> F + 'static,
    F: Future<Output = Result<T, Refusal>> + 'static,
    T: Answer + 'static,
{
    let work = match Reader::new(given, params).and_then(|mut reader| read(&mut reader)) {
        Ok(work) => work,
        Err(error) => return request.refuse(INVALID_PARAMS, error),
    };
    let Some(runtime) = runtime::get() else {
        return request.refuse(-libc::ESHUTDOWN, "SPDK is ending the module");
    };
    tasks::spawn(async move {
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
