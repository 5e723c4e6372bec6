// SPDX-License-Identifier: BSD-3-Clause

//! The background tasks of a pool, and how they end: erasures, background compaction, the usage logger, the reaper.
//!
//! Invariant: when [`TaskGroup::drain`] returns, no task of the group is running.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::{poll_fn, Future};
use core::pin::pin;
use core::task::{Poll, Waker};
use std::rc::Rc;

use futures::future::{select, Either};

use super::host::Host;
use super::lock::ordered;
use crate::units::Nanos;

/// A group of tasks. Clones are the same group.
#[derive(Clone)]
pub struct TaskGroup {
    host: Rc<dyn Host>,
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    running: Cell<usize>,
    stopping: Cell<bool>,
    /// The wakers of tasks that wait for the stop signal or for the last task.
    wakers: RefCell<Vec<Waker>>,
}

impl TaskGroup {
    /// A group without tasks.
    #[must_use]
    pub fn new(host: Rc<dyn Host>) -> TaskGroup {
        TaskGroup { host, state: Rc::default() }
    }

    /// Starts a task, which is a task of its own for the order of locks. Tasks can be added even after
    /// [`TaskGroup::stop`], so that work needed for the shutdown can complete.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        // Counted before it runs. Uncounted also when the host drops the task unfinished.
        let counted = Counted::new(&self.state);
        let task = ordered(task);
        self.host.spawn(Box::pin(async move {
            task.await;
            drop(counted);
        }));
    }

    /// Tells loops to end. Sleeping ones are woken.
    pub fn stop(&self) {
        self.state.stopping.set(true);
        self.state.wake();
    }

    /// True after [`TaskGroup::stop`].
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.state.stopping.get()
    }

    /// The number of tasks that have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        self.state.running.get()
    }

    /// Sleeps until `time` has passed or the group is stopped. True if it is stopped.
    pub async fn sleep_or_stop(&self, time: Nanos) -> bool {
        if !self.is_stopping() {
            let told = pin!(self.state.wait_until(|state| state.stopping.get()));
            let (Either::Left(_) | Either::Right(_)) = select(told, self.host.sleep(time)).await;
        }
        self.is_stopping()
    }

    /// Waits until all tasks have ended, including those added meanwhile. Does not stop any.
    pub async fn drain(&self) {
        self.state.wait_until(|state| state.running.get() == 0).await;
    }
}

impl State {
    async fn wait_until(&self, reached: impl Fn(&State) -> bool) {
        poll_fn(|context| {
            if reached(self) {
                return Poll::Ready(());
            }
            let mut wakers = self.wakers.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        for waker in self.wakers.take() {
            waker.wake();
        }
    }
}

impl fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, stopping) = (self.running(), self.is_stopping());
        f.debug_struct("TaskGroup").field("running", &running).field("stopping", &stopping).finish_non_exhaustive()
    }
}

/// Counts a running task until this is dropped.
struct Counted {
    state: Rc<State>,
}

impl Counted {
    fn new(state: &Rc<State>) -> Counted {
        state.running.set(state.running.get() + 1);
        Counted { state: Rc::clone(state) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.state.running.set(self.state.running.get() - 1);
        if self.state.running.get() == 0 {
            self.state.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::task::Context;

    use async_trait::async_trait;
    use futures::future::{FutureExt, LocalBoxFuture};

    use super::*;
    use crate::device::Device;
    use crate::error::{Kind, PoolError};
    use crate::host::Level;

    /// Runs tasks on request; its clock stands still.
    #[derive(Default)]
    struct StandingHost {
        tasks: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
    }

    impl fmt::Debug for StandingHost {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("StandingHost")
        }
    }

    #[async_trait(?Send)]
    impl Host for StandingHost {
        fn now(&self) -> Nanos {
            Nanos(0)
        }

        async fn sleep(&self, time: Nanos) {
            if time.0 != 0 {
                core::future::pending::<()>().await;
            }
        }

        fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
            self.tasks.borrow_mut().push(task);
        }

        fn random(&self, bytes: &mut [u8]) {
            bytes.fill(4);
        }

        async fn open(&self, path: &str) -> Result<Rc<dyn Device>, PoolError> {
            Err(PoolError::new(Kind::NoDrive, path, "there are no devices"))
        }

        fn log(&self, _level: Level, _line: &str) {}
    }

    impl StandingHost {
        /// Polls every task once.
        fn turn(&self) {
            let mut tasks = self.tasks.take();
            tasks.retain_mut(|task| task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            self.tasks.borrow_mut().append(&mut tasks);
        }
    }

    fn group() -> (Rc<StandingHost>, TaskGroup) {
        let host = Rc::new(StandingHost::default());
        (Rc::clone(&host), TaskGroup::new(host))
    }

    #[test]
    fn a_sleeping_loop_ends_when_told() {
        let (host, group) = group();
        let looping = group.clone();
        group.spawn(async move { while !looping.sleep_or_stop(Nanos(1)).await {} });
        host.turn();
        assert_eq!(group.running(), 1);
        assert!(group.drain().now_or_never().is_none());
        group.stop();
        host.turn();
        assert_eq!(group.running(), 0);
        assert!(group.drain().now_or_never().is_some());
    }

    #[test]
    fn a_sleep_that_is_over_goes_on() {
        let (_host, group) = group();
        assert_eq!(group.sleep_or_stop(Nanos(0)).now_or_never(), Some(false));
        group.stop();
        assert_eq!(group.sleep_or_stop(Nanos(1)).now_or_never(), Some(true));
    }

    #[test]
    fn drain_waits_for_tasks_that_have_not_run_yet() {
        let (host, group) = group();
        let (adding, done) = (group.clone(), Rc::new(Cell::new(0)));
        let (first, second) = (Rc::clone(&done), Rc::clone(&done));
        group.spawn(async move {
            first.set(first.get() + 1);
            adding.spawn(async move { second.set(second.get() + 1) });
        });
        group.stop();
        host.turn();
        assert!(group.drain().now_or_never().is_none(), "the second has not run");
        host.turn();
        assert!(group.drain().now_or_never().is_some());
        assert_eq!(done.get(), 2);
    }

    #[test]
    fn who_drains_is_woken_by_the_end_of_the_last_task() {
        let (host, group) = group();
        group.spawn(async {});
        let (counter, waker) = futures_counter();
        let mut draining = Box::pin(group.drain());
        assert!(draining.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        host.turn();
        assert_eq!(counter.0.load(std::sync::atomic::Ordering::Relaxed), 1);
        assert!(draining.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }

    struct Wakes(std::sync::atomic::AtomicUsize);

    impl std::task::Wake for Wakes {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn futures_counter() -> (std::sync::Arc<Wakes>, Waker) {
        let counter = std::sync::Arc::new(Wakes(std::sync::atomic::AtomicUsize::new(0)));
        (std::sync::Arc::clone(&counter), Waker::from(counter))
    }
}
