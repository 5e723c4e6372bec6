// SPDX-License-Identifier: BSD-3-Clause

//! Time on SPDK's application thread.

use core::cell::{Cell, RefCell};
use core::ffi::{c_int, c_void};
use core::future::Future;
use core::pin::Pin;
use core::ptr::{self, NonNull};
use core::task::{Context, Poll, Waker};

use mpool::units::Nanos;

use super::ffi;

pub fn now() -> Nanos {
    // SAFETY: reads the time stamp counter, and its rate, which SPDK measured at start.
    let (ticks, rate) = unsafe { (ffi::spdk_get_ticks(), ffi::spdk_get_ticks_hz().max(1)) };
    Nanos((u128::from(ticks) * 1_000_000_000 / u128::from(rate)) as u64)
}

/// What the poller knows of a sleep. Stays in place until the sleep is dropped.
#[derive(Debug)]
struct Alarm {
    waker: RefCell<Option<Waker>>,
    poller: Cell<*mut ffi::spdk_poller>,
}

impl Alarm {
    fn unregister(&self) {
        let mut poller = self.poller.replace(ptr::null_mut());
        if !poller.is_null() {
            // SAFETY: the cell held the poller, so it was registered on this thread and is not unregistered yet. SPDK
            // allows this from inside the poller, too.
            unsafe { ffi::spdk_poller_unregister(&mut poller) };
        }
    }
}

/// A future that ends at `until`.
#[derive(Debug)]
pub struct Sleep {
    until: Nanos,
    alarm: Option<NonNull<Alarm>>,
}

pub fn sleep(time: Nanos) -> Sleep {
    Sleep { until: Nanos(now().0.saturating_add(time.0)), alarm: None }
}

impl Sleep {
    /// Registers a poller for the end of the sleep, unless one is registered.
    fn arm(&mut self) -> &Alarm {
        let pointer = *self.alarm.get_or_insert_with(|| {
            let alarm = Alarm { waker: RefCell::new(None), poller: Cell::new(ptr::null_mut()) };
            NonNull::from(Box::leak(Box::new(alarm)))
        });
        // SAFETY: leaked above, and freed only when `self` is dropped.
        let alarm = unsafe { pointer.as_ref() };
        if alarm.poller.get().is_null() {
            let micros = self.until.0.saturating_sub(now().0).div_ceil(1000).max(1);
            // SAFETY: the alarm outlives its poller, which is unregistered when it fires or the sleep is dropped.
            let poller = unsafe {
                let context = pointer.as_ptr().cast();
                ffi::spdk_poller_register_named(Some(ring), context, micros, c"bdev_dedupe_pool_timer".as_ptr())
            };
            alarm.poller.set(poller);
        }
        alarm
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.until <= now() {
            return Poll::Ready(());
        }
        let alarm = self.arm();
        *alarm.waker.borrow_mut() = Some(context.waker().clone());
        if alarm.poller.get().is_null() {
            // No memory for a poller: check again at the next poll.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm.take() {
            // SAFETY: leaked by `arm`, freed once; without its poller SPDK does not know of it.
            unsafe {
                alarm.as_ref().unregister();
                drop(Box::from_raw(alarm.as_ptr()));
            }
        }
    }
}

/// SPDK's value for a poller that found work.
const POLLER_BUSY: c_int = 1;

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn ring(context: *mut c_void) -> c_int {
    // SAFETY: the context is an alarm that outlives its poller; both belong to this thread.
    let alarm = unsafe { &*context.cast::<Alarm>() };
    alarm.unregister();
    if let Some(waker) = alarm.waker.take() {
        waker.wake();
    }
    POLLER_BUSY
}
