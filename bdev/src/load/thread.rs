// SPDX-License-Identifier: BSD-3-Clause

//! SPDK threads as this module uses them: sending closures to them, and the time they spend working.

use core::ffi::c_void;
use core::ptr;
use std::sync::mpsc;
use std::time::Duration;

use crate::spdk::ffi;

/// Work for an SPDK thread.
type Work = Box<dyn FnOnce() + Send>;

/// A live SPDK thread. Only an [`super::App`] holds copies, and its threads outlive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ThreadHandle(*mut ffi::spdk_thread);

// SAFETY: the pointer is only given to spdk_thread_send_msg, which may be called from any thread (thread.h).
unsafe impl Send for ThreadHandle {}
// SAFETY: as above.
unsafe impl Sync for ThreadHandle {}

impl ThreadHandle {
    /// The calling SPDK thread.
    ///
    /// # Panics
    /// The caller is not on an SPDK thread.
    pub(super) fn current() -> ThreadHandle {
        // SAFETY: reads a thread-local variable of SPDK.
        let thread = unsafe { ffi::spdk_get_thread() };
        assert!(!thread.is_null(), "an SPDK thread runs this");
        ThreadHandle(thread)
    }

    /// Creates an SPDK thread on a core. Called on an SPDK thread.
    pub(super) fn create(name: &core::ffi::CStr, core: u32) -> Option<ThreadHandle> {
        // SAFETY: spdk_cpuset is plain bits; all zero is the empty set.
        let mut cores: ffi::spdk_cpuset = unsafe { core::mem::zeroed() };
        // SAFETY: `cores` is a valid set, and both calls read it (and the name) only while they last.
        let thread = unsafe {
            ffi::spdk_cpuset_set_cpu(&mut cores, core, true);
            ffi::spdk_thread_create(name.as_ptr(), ptr::addr_of_mut!(cores))
        };
        (!thread.is_null()).then_some(ThreadHandle(thread))
    }

    /// Queues `work` for the thread.
    pub(super) fn send(self, work: impl FnOnce() + Send + 'static) {
        let work: Box<Work> = Box::new(Box::new(work));
        // SAFETY: `self.0` has not exited (see the type); `run_work` takes back, once, what Box::into_raw gives away.
        unsafe { ffi::spdk_thread_send_msg(self.0, Some(run_work), Box::into_raw(work).cast()) };
    }

    /// Runs `work` on the thread and waits for its result. Not on an SPDK thread.
    pub(super) fn call<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel();
        self.send(move || {
            // The receiver waits below, so it exists.
            let _ = sender.send(work());
        });
        receiver.recv().expect("the SPDK thread ran the closure and sent its result")
    }

    /// Lets the thread exit as soon as it has nothing left to do.
    pub(super) fn exit(self) {
        self.send(|| {
            // SAFETY: runs on the very thread that is to exit, as SPDK demands.
            unsafe { ffi::spdk_thread_exit(ffi::spdk_get_thread()) };
        });
    }
}

/// # Safety
/// `context` is a `Box<Work>` from `into_raw`, not used since.
unsafe extern "C" fn run_work(context: *mut c_void) {
    // SAFETY: by contract of this function.
    let work = unsafe { Box::from_raw(context.cast::<Work>()) };
    (*work)();
}

/// The time of all SPDK threads of the application since their creation, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ThreadTimes {
    /// Polls that found work.
    pub busy_ticks: u64,
    /// Polls that found none.
    pub idle_ticks: u64,
}

/// Time that the calling SPDK thread has spent in polls that found work, up to the present poll; zero on another
/// thread.
#[must_use]
pub fn busy_time() -> Duration {
    let mut stats = ffi::spdk_thread_stats { busy_tsc: 0, idle_tsc: 0 };
    // SAFETY: `stats` is a local; SPDK refuses outside its threads. The rate of ticks needs no thread.
    let (rc, rate) = unsafe { (ffi::spdk_thread_get_stats(ptr::addr_of_mut!(stats)), ffi::spdk_get_ticks_hz()) };
    if rc != 0 {
        return Duration::ZERO;
    }
    Duration::from_secs_f64(stats.busy_tsc as f64 / rate as f64)
}

struct Collection {
    times: ThreadTimes,
    done: mpsc::Sender<ThreadTimes>,
}

/// Sums the times of all SPDK threads, `via` any one of them. Not on an SPDK thread.
pub(super) fn times(via: ThreadHandle) -> ThreadTimes {
    let (done, receiver) = mpsc::channel();
    via.send(move || {
        let collection = Box::into_raw(Box::new(Collection { times: ThreadTimes::default(), done }));
        // SAFETY: the context stays valid until `finish`, which SPDK calls once, after the last `add`; the calls run
        // one after the other.
        unsafe { ffi::spdk_for_each_thread(Some(add), collection.cast(), Some(finish)) };
    });
    receiver.recv().expect("SPDK visits its threads and then says so")
}

/// # Safety
/// `context` is a valid [`Collection`] that nothing else uses now.
unsafe extern "C" fn add(context: *mut c_void) {
    let mut stats = ffi::spdk_thread_stats { busy_tsc: 0, idle_tsc: 0 };
    // SAFETY: runs on an SPDK thread, and `stats` is a local.
    let rc = unsafe { ffi::spdk_thread_get_stats(ptr::addr_of_mut!(stats)) };
    // SAFETY: by contract of this function.
    let collection = unsafe { &mut *context.cast::<Collection>() };
    if rc == 0 {
        collection.times.busy_ticks += stats.busy_tsc;
        collection.times.idle_ticks += stats.idle_tsc;
    }
}

/// # Safety
/// `context` is a [`Collection`] from `into_raw`, not used any more.
unsafe extern "C" fn finish(context: *mut c_void) {
    // SAFETY: by contract of this function.
    let collection = unsafe { Box::from_raw(context.cast::<Collection>()) };
    // The receiver waits in `times`.
    let _ = collection.done.send(collection.times);
}
