// SPDX-License-Identifier: BSD-3-Clause

//! Code that uses the media pool, run where pools live.

use core::future::Future;
use std::panic::{resume_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::mpsc;

use futures::FutureExt;
use mpool::control::{PoolHandle, Rights};
use mpool::{Host, Kind, PoolError};

use super::app::{App, AppError};
use crate::pool::{runtime, SpdkHost};
use crate::spdk::tasks;

/// Opens a pool that is active in the module, by JSON-RPC or by examine. Only within [`App::run_pool`].
///
/// # Errors
/// There is no pool of this name, or it is open exclusively.
pub fn open_pool(name: &str) -> Result<PoolHandle, PoolError> {
    let ended = || PoolError::new(Kind::NotFound, "the module", "it does not run on this thread");
    runtime::get().ok_or_else(ended)?.service.registry().open(name, Rights::ReadWrite, false)
}

impl App {
    /// Runs asynchronous `work` on the application's thread, with the pools' host there, and waits for its result.
    /// Devices are opened by the names of bdevs ([`Host::open`]). A panic of the work resumes here.
    ///
    /// # Errors
    /// The module ended before the work did.
    pub fn run_pool<T, F>(&self, work: impl FnOnce(Rc<dyn Host>) -> F + Send + 'static) -> Result<T, AppError>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (sender, receiver) = mpsc::channel();
        self.app_thread().send(move || {
            let working = work(Rc::new(SpdkHost));
            tasks::spawn(async move {
                let outcome = AssertUnwindSafe(working).catch_unwind().await;
                // The receiver waits below, so it exists.
                let _ = sender.send(outcome);
            });
        });
        receiver.recv().map_err(|_| AppError::Ended)?.map_or_else(|panic| resume_unwind(panic), Ok)
    }
}
