// SPDX-License-Identifier: BSD-3-Clause

//! What lives on SPDK's application thread alone.
//!
//! An `spdk_thread` may be polled by different threads of the operating system in turn (fio does so), so this is not
//! thread-local; it is confined to the `spdk_thread` instead.

use core::cell::UnsafeCell;
use std::rc::Rc;
use std::sync::OnceLock;

use super::thread::Thread;

/// The application thread: the one that SPDK initialised the module on.
static APP_THREAD: OnceLock<Thread> = OnceLock::new();

/// Notes that the calling thread is the application thread, if none was noted before. Returns it when it is.
pub fn enter() -> Option<Thread> {
    let thread = Thread::current()?;
    Some(*APP_THREAD.get_or_init(|| thread)).filter(|app| app.is_current())
}

fn is_here() -> bool {
    APP_THREAD.get().is_some_and(|thread| thread.is_current())
}

/// A value, or none, of the application thread's.
pub struct AppLocal<T>(UnsafeCell<Option<Rc<T>>>);

// SAFETY: touched by `get` and `set` only, which do so on the application thread alone; each takes a reference that ends
// before anything else runs.
unsafe impl<T> Sync for AppLocal<T> {}

impl<T> AppLocal<T> {
    /// Nothing yet.
    pub const fn new() -> AppLocal<T> {
        AppLocal(UnsafeCell::new(None))
    }

    /// The value. None on other threads, before it was set and after it was taken away.
    pub fn get(&self) -> Option<Rc<T>> {
        if !is_here() {
            return None;
        }
        // SAFETY: on the application thread; the reference ends with this call.
        unsafe { (*self.0.get()).clone() }
    }

    /// Sets the value, or takes it away. Does nothing on other threads.
    pub fn set(&self, value: Option<Rc<T>>) {
        if is_here() {
            // SAFETY: on the application thread, and no other reference into the cell lives. What was there is dropped
            // after the cell has been written.
            let before = unsafe { core::mem::replace(&mut *self.0.get(), value) };
            drop(before);
        }
    }
}
