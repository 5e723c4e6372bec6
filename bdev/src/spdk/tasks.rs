// SPDX-License-Identifier: BSD-3-Clause

//! Tasks on SPDK's application thread, from the module's start to its end.

use core::ffi::c_void;
use core::future::Future;
use core::ptr;
use std::rc::Rc;

use super::app_local::{self, AppLocal};
use super::executor::Executor;
use super::thread::Thread;

static EXECUTOR: AppLocal<Executor> = AppLocal::new();

/// Creates the executor. On the application thread, when SPDK initialises the module; false on any other.
pub fn start() -> bool {
    let Some(app_thread) = app_local::enter() else { return false };
    EXECUTOR.set(Some(Rc::new(Executor::new(move || {
        if !app_thread.send(run, ptr::null_mut()) {
            // As in `Thread::post`: without messages no task would ever end.
            log::error!("cannot send a message to SPDK's application thread: out of memory, or it has exited");
            std::process::abort();
        }
    }))));
    true
}

/// Drops all tasks and accepts no more. On the application thread, not from inside a task.
pub fn stop() {
    if let Some(executor) = EXECUTOR.get() {
        EXECUTOR.set(None);
        executor.clear();
    }
}

/// Runs a task on the application thread, which must be the calling one. The task does not start inside this call.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    match EXECUTOR.get() {
        Some(executor) => executor.spawn(Box::pin(task)),
        None => log::error!("a task was dropped: SPDK has ended the module, or this is not its application thread"),
    }
}

/// Runs `task`, and calls `done` when the task is gone. Calls `done` alone, at once, if there is no executor.
pub fn finish(task: impl Future<Output = ()> + 'static, done: impl FnOnce() + Send + 'static) {
    let (Some(_), Some(thread)) = (EXECUTOR.get(), Thread::current()) else { return done() };
    spawn(async move {
        task.await;
        thread.post(done);
    });
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn run(_: *mut c_void) {
    if let Some(executor) = EXECUTOR.get() {
        executor.run();
    }
}
