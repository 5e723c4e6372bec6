// SPDX-License-Identifier: BSD-3-Clause

//! SPDK threads, as far as this module uses them: the current thread, work on another thread, creation, exit.
//!
//! Only SPDK's thread library is used, not its reactors: hosts without reactors (fio's plugin) poll threads themselves.
//! [`Thread::run`] allocates and is for the control path; the data path has its own queues.
//! themselves. [`Thread::run`] allocates and is for the control path; the data path has its own queues.

use core::ffi::c_void;
use core::ptr::NonNull;
use std::ffi::CString;

use super::{compat, ffi};

/// An `spdk_thread`. The handle may be used on any thread; nothing may be sent to a thread that has exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread(NonNull<ffi::spdk_thread>);

// SAFETY: the handle is only compared, and passed to `spdk_thread_send_msg`, which any thread may call.
unsafe impl Send for Thread {}
// SAFETY: as above.
unsafe impl Sync for Thread {}

impl Thread {
    /// The thread behind an SPDK pointer; none for null.
    pub fn from_raw(thread: *mut ffi::spdk_thread) -> Option<Thread> {
        NonNull::new(thread).map(Thread)
    }

    /// The calling thread; none outside SPDK threads.
    pub fn current() -> Option<Thread> {
        // SAFETY: reads a thread-local pointer.
        Thread::from_raw(unsafe { ffi::spdk_get_thread() })
    }

    pub fn is_current(self) -> bool {
        Thread::current() == Some(self)
    }

    /// Creates a thread for one core. None if SPDK has no memory for it.
    pub fn create(name: &str, core: u32) -> Option<Thread> {
        let name = CString::new(name).ok()?;
        // SAFETY: the set is allocated and freed here and not null in between; SPDK copies both it and the name.
        unsafe {
            let cores = NonNull::new(ffi::spdk_cpuset_alloc())?.as_ptr();
            ffi::spdk_cpuset_set_cpu(cores, core, true);
            let thread = compat::create_thread(name.as_ptr(), cores);
            ffi::spdk_cpuset_free(cores);
            thread
        }
    }

    /// Runs `work` on this thread; at once if this is the calling thread.
    pub fn run<F: FnOnce() + Send + 'static>(self, work: F) {
        if self.is_current() {
            work();
        } else {
            self.post(work);
        }
    }

    /// Runs `work` on this thread at its next poll, even if this is the calling thread.
    ///
    /// Without memory for a message nothing can be started or stopped any more. Later releases of SPDK abort in that
    /// case, and so does this.
    pub fn post<F: FnOnce() + Send + 'static>(self, work: F) {
        /// # Safety
        /// SPDK calls it, with what it was registered with.
        unsafe extern "C" fn trampoline<F: FnOnce()>(context: *mut c_void) {
            // SAFETY: the context is the box that `post` gave away with this function; SPDK calls it once.
            let work = unsafe { Box::from_raw(context.cast::<F>()) };
            work();
        }
        let context = Box::into_raw(Box::new(work)).cast();
        if !self.send(trampoline::<F>, context) {
            log::error!("cannot send a message to an SPDK thread: out of memory, or the thread has exited");
            std::process::abort();
        }
    }

    /// Sends a bare message. False if SPDK cannot take it.
    pub fn send(self, function: unsafe extern "C" fn(*mut c_void), context: *mut c_void) -> bool {
        // SAFETY: the thread has not exited (promise of the type); the caller answers for what the message does.
        unsafe { ffi::spdk_thread_send_msg(self.0.as_ptr(), Some(function), context) == 0 }
    }

    /// Lets the calling thread exit once its pollers and channels are gone. Does nothing outside SPDK threads.
    pub fn exit_current() {
        if let Some(thread) = Thread::current() {
            // SAFETY: the thread is the calling one, as SPDK demands.
            unsafe { ffi::spdk_thread_exit(thread.0.as_ptr()) };
        }
    }
}

/// The process's cores, ascending.
pub fn cores() -> Vec<u32> {
    // SAFETY: the environment is initialised before any module is; the calls only read it.
    let mut core = unsafe { ffi::spdk_env_get_first_core() };
    let mut cores = Vec::new();
    while core != u32::MAX {
        cores.push(core);
        // SAFETY: as above.
        core = unsafe { ffi::spdk_env_get_next_core(core) };
    }
    cores
}

/// The core of the calling thread; none if the environment does not know it.
pub fn current_core() -> Option<u32> {
    // SAFETY: reads a thread-local number.
    Some(unsafe { ffi::spdk_env_get_current_core() }).filter(|core| *core != u32::MAX)
}
