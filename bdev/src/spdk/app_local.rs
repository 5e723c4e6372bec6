// SPDX-License-Identifier: BSD-3-Clause

//! Values that belong to SPDK's application thread.
//!
//! Different threads of the operating system may poll an `spdk_thread` in turn (fio does), so such a value is not
//! thread-local but confined to the `spdk_thread`.

use core::cell::UnsafeCell;
use std::rc::Rc;
use std::sync::OnceLock;

use super::thread::Thread;

/// The application thread: the one on which SPDK initialised the module.
static APP_THREAD: OnceLock<Thread> = OnceLock::new();

/// Records the calling thread as the application thread, unless one is recorded. Returns it if it is the application
/// thread.
pub fn enter() -> Option<Thread> {
    let thread = Thread::current()?;
    Some(*APP_THREAD.get_or_init(|| thread)).filter(|app| app.is_current())
}

fn is_here() -> bool {
    APP_THREAD.get().is_some_and(|thread| thread.is_current())
}

/// A value, or none, that belongs to the application thread.
pub struct AppLocal<T>(UnsafeCell<Option<Rc<T>>>);

// SAFETY: only `get` and `set` touch the cell, on the application thread; each takes a reference that ends before
// anything else runs.
unsafe impl<T> Sync for AppLocal<T> {}

impl<T> AppLocal<T> {
    pub const fn new() -> AppLocal<T> {
        AppLocal(UnsafeCell::new(None))
    }

    /// The value. None on other threads, before it is set and after it is removed.
    pub fn get(&self) -> Option<Rc<T>> {
        if !is_here() {
            return None;
        }
        // SAFETY: on the application thread; the reference ends with this call.
        unsafe { (*self.0.get()).clone() }
    }

    /// Sets or removes the value. Does nothing on other threads.
    pub fn set(&self, value: Option<Rc<T>>) {
        if is_here() {
            // SAFETY: on the application thread, and no other reference into the cell lives. The old value is dropped
            // after the cell has been written.
            let before = unsafe { core::mem::replace(&mut *self.0.get(), value) };
            drop(before);
        }
    }
}
