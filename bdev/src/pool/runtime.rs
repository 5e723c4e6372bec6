// SPDX-License-Identifier: BSD-3-Clause

//! The one place where pools live: SPDK's application thread, from the module's start to its end.
//!
//! An `spdk_thread` may be polled by different threads of the operating system in turn (fio does so), so nothing
//! here is thread-local; it is confined to the `spdk_thread` instead.

use core::cell::{RefCell, UnsafeCell};
use core::ffi::c_void;
use core::future::Future;
use core::ptr;
use std::rc::{Rc, Weak};
use std::sync::OnceLock;

use super::bdev::OpenBdev;
use super::executor::Executor;
use super::service::Service;
use super::storage::Storages;
use crate::thread::Thread;

/// What the application thread keeps for pools.
#[derive(Debug)]
pub struct Runtime {
    /// Runs tasks.
    pub executor: Executor,
    /// The pools.
    pub service: Service,
    /// What volumes have in them.
    pub storages: Storages,
    /// Bdevs that pools have claimed.
    claimed: RefCell<Vec<Weak<OpenBdev>>>,
}

impl Runtime {
    /// Remembers a bdev that a pool has claimed.
    pub fn note_claimed(&self, bdev: &Rc<OpenBdev>) {
        let mut claimed = self.claimed.borrow_mut();
        claimed.retain(|known| known.strong_count() > 0);
        claimed.push(Rc::downgrade(bdev));
    }

    /// The bdev of a name that a pool has claimed and that has not been removed.
    pub fn find_claimed(&self, name: &str) -> Option<Rc<OpenBdev>> {
        let claimed = self.claimed.borrow();
        claimed.iter().filter_map(Weak::upgrade).find(|bdev| bdev.name() == name && !bdev.is_removed())
    }
}

/// The application thread: the one that SPDK initialised the module on.
static APP_THREAD: OnceLock<Thread> = OnceLock::new();

struct Confined(UnsafeCell<Option<Rc<Runtime>>>);

// SAFETY: touched by `get`, `start` and `stop` only, which return before that unless they are called on the
// application thread; each takes a reference that ends before anything else runs.
unsafe impl Sync for Confined {}

static RUNTIME: Confined = Confined(UnsafeCell::new(None));

/// Begins. On the application thread, when SPDK initialises the module.
pub fn start() {
    let Some(thread) = Thread::current() else { return };
    let app_thread = *APP_THREAD.get_or_init(|| thread);
    if !app_thread.is_current() {
        return;
    }
    let executor = Executor::new(move || {
        if !app_thread.send(run, ptr::null_mut()) {
            // As in `Thread::post`: nothing would ever end any more.
            log::error!("cannot send a message to SPDK's application thread: out of memory, or it has exited");
            std::process::abort();
        }
    });
    let runtime = Rc::new(Runtime {
        executor,
        service: Service::default(),
        storages: Storages::default(),
        claimed: RefCell::default(),
    });
    // SAFETY: on the application thread (checked above), and no other reference into the cell lives.
    unsafe { *RUNTIME.0.get() = Some(runtime) };
}

/// Drops all tasks and pools. On the application thread, not from inside a task.
pub fn stop() {
    let Some(runtime) = get() else { return };
    // SAFETY: `get` found this to be the application thread, and no other reference into the cell lives.
    unsafe { *RUNTIME.0.get() = None };
    runtime.executor.clear();
}

/// Closes all pools, drops what is left, and then calls `done`. On the application thread.
pub fn finish(done: impl FnOnce() + Send + 'static) {
    let (Some(runtime), Some(thread)) = (get(), Thread::current()) else { return done() };
    runtime.executor.spawn(Box::pin({
        let runtime = Rc::clone(&runtime);
        async move {
            runtime.service.finish().await;
            drop(runtime);
            thread.post(move || {
                stop();
                done();
            });
        }
    }));
}

/// The runtime. None on other threads, before the start and after the end.
pub fn get() -> Option<Rc<Runtime>> {
    if !APP_THREAD.get()?.is_current() {
        return None;
    }
    // SAFETY: on the application thread; the reference ends with this call.
    unsafe { (*RUNTIME.0.get()).clone() }
}

/// Runs a task on the application thread, which is the calling one. It is not begun by this call.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    match get() {
        Some(runtime) => runtime.executor.spawn(Box::pin(task)),
        None => {
            log::error!("a task of the media pool was dropped: SPDK has ended the module, or this is not its thread");
        }
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn run(_: *mut c_void) {
    if let Some(runtime) = get() {
        runtime.executor.run();
    }
}
