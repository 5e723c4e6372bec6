// SPDX-License-Identifier: BSD-3-Clause

//! Runs the pool's tasks on one thread, and only when a task was woken.
//!
//! A wake queues its task and, unless a kick is already in flight, *kicks*: asks the thread to call [`Executor::run`]
//! soon. On SPDK a kick is a message of the thread to itself, so an idle pool costs nothing, in polled mode and in
//! interrupt mode alike.
//!
//! Invariants:
//! * Futures are created, polled and dropped on the thread that created the executor; wakers may be used on any thread.
//! * A task is polled at least once after each wake before its end.
//! * A task takes the pool's locks in their order; a task that does not is detected at once ([`ordered`]).
//! * While tasks are queued, a kick is in flight.

use core::cell::RefCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use futures::future::LocalBoxFuture;
use mpool::lock::ordered;

pub type Task = LocalBoxFuture<'static, ()>;

/// Tasks to be polled, and the way to have [`Executor::run`] called.
struct Ready {
    queue: Mutex<VecDeque<Arc<TaskWaker>>>,
    kicked: AtomicBool,
    kick: Box<dyn Fn() + Send + Sync>,
}

impl Ready {
    fn push(&self, task: Arc<TaskWaker>) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(task);
        if !self.kicked.swap(true, Ordering::AcqRel) {
            (self.kick)();
        }
    }
}

struct TaskWaker {
    index: usize,
    /// The task is in the queue.
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(Arc::clone(self));
        }
    }
}

/// A slot for a task. It has no future while it is free and while its task is being polled.
struct Slot {
    waker: Arc<TaskWaker>,
    future: Option<Task>,
}

/// See the module's documentation.
pub struct Executor {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
    ready: Arc<Ready>,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Executor {{ tasks: {} }}", self.tasks())
    }
}

impl Executor {
    /// An executor without tasks. `kick` arranges for [`Executor::run`] to be called soon, on this thread, and not from
    /// inside `kick`.
    pub fn new(kick: impl Fn() + Send + Sync + 'static) -> Executor {
        let ready = Ready { queue: Mutex::new(VecDeque::new()), kicked: AtomicBool::new(false), kick: Box::new(kick) };
        Executor { slots: RefCell::default(), free: RefCell::default(), ready: Arc::new(ready) }
    }

    /// Number of tasks that have not ended.
    pub fn tasks(&self) -> usize {
        self.slots.borrow().len() - self.free.borrow().len()
    }

    /// Adds a task. The next run polls it first, not this call.
    pub fn spawn(&self, task: Task) {
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or(slots.len());
        let waker = Arc::new(TaskWaker { index, queued: AtomicBool::new(false), ready: Arc::clone(&self.ready) });
        let slot = Slot { waker: Arc::clone(&waker), future: Some(Box::pin(ordered(task))) };
        match slots.get_mut(index) {
            Some(place) => *place = slot,
            None => slots.push(slot),
        }
        drop(slots);
        waker.wake();
    }

    /// Polls each task that was woken before this call.
    pub fn run(&self) {
        // Before the queue is taken: a later wake kicks again.
        self.ready.kicked.store(false, Ordering::Release);
        let woken = core::mem::take(&mut *self.ready.queue.lock().unwrap_or_else(PoisonError::into_inner));
        for task in woken {
            task.queued.store(false, Ordering::Release);
            let Some(mut future) = self.take(&task) else { continue };
            let waker = Waker::from(Arc::clone(&task));
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => self.put_back(task.index, future),
                // The slot is freed first, because dropping the future may add tasks.
                Poll::Ready(()) => self.free.borrow_mut().push(task.index),
            }
        }
    }

    /// The future of a task, unless the task has ended (its slot may belong to another task by now).
    fn take(&self, task: &Arc<TaskWaker>) -> Option<Task> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(task.index).filter(|slot| Arc::ptr_eq(&slot.waker, task))?;
        slot.future.take()
    }

    fn put_back(&self, index: usize, future: Task) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(index) {
            slot.future = Some(future);
        }
    }

    /// Drops all tasks, including those that are added while others are dropped. Not from inside a task.
    pub fn clear(&self) {
        loop {
            let slots = core::mem::take(&mut *self.slots.borrow_mut());
            self.free.borrow_mut().clear();
            if slots.is_empty() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicUsize;
    use std::cell::Cell;
    use std::rc::Rc;

    use futures::channel::oneshot;
    use mpool::lock::{Lock, Rank};

    use super::*;

    fn executor() -> (Executor, Arc<AtomicUsize>) {
        let kicks = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&kicks);
        let executor = Executor::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        (executor, kicks)
    }

    #[test]
    fn tasks_run_when_woken_and_one_kick_serves_many_wakes() {
        let (executor, kicks) = executor();
        let ended = Rc::new(Cell::new(0));
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let (sender, receiver) = oneshot::channel::<()>();
                let ended = Rc::clone(&ended);
                executor.spawn(Box::pin(async move {
                    if receiver.await.is_ok() {
                        ended.set(ended.get() + 1);
                    }
                }));
                sender
            })
            .collect();
        assert_eq!((kicks.load(Ordering::Relaxed), executor.tasks()), (1, 3));
        executor.run();
        executor.run();
        assert_eq!((kicks.load(Ordering::Relaxed), ended.get()), (1, 0));
        for sender in senders {
            sender.send(()).expect("the task waits");
        }
        assert_eq!((kicks.load(Ordering::Relaxed), ended.get()), (2, 0));
        executor.run();
        assert_eq!((ended.get(), executor.tasks()), (3, 0));
    }

    #[test]
    fn a_task_that_wakes_itself_is_polled_again_by_the_next_run() {
        let (executor, kicks) = executor();
        let polls = Rc::new(Cell::new(0));
        let counter = Rc::clone(&polls);
        executor.spawn(Box::pin(futures::future::poll_fn(move |context| {
            counter.set(counter.get() + 1);
            if counter.get() < 3 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })));
        for run in 1..=3 {
            assert_eq!(kicks.load(Ordering::Relaxed), run);
            executor.run();
            assert_eq!(polls.get(), run);
        }
        assert_eq!((executor.tasks(), kicks.load(Ordering::Relaxed)), (0, 3));
    }

    #[test]
    fn a_late_wake_does_not_reach_the_next_task_in_the_same_place() {
        let (executor, _) = executor();
        let old = Rc::new(RefCell::new(None));
        let kept = Rc::clone(&old);
        executor.spawn(Box::pin(futures::future::poll_fn(move |context| {
            *kept.borrow_mut() = Some(context.waker().clone());
            Poll::Ready(())
        })));
        executor.run();
        let polls = Rc::new(Cell::new(0));
        let counter = Rc::clone(&polls);
        executor.spawn(Box::pin(futures::future::poll_fn(move |_| {
            counter.set(counter.get() + 1);
            Poll::Pending
        })));
        executor.run();
        let waker = old.borrow_mut().take().expect("polled");
        waker.wake();
        executor.run();
        assert_eq!(polls.get(), 1);
    }

    /// The order of the pool's locks is checked in tasks, and each task has its own.
    #[test]
    fn a_task_that_takes_locks_out_of_order_is_found_out() {
        let executor = Rc::new(executor().0);
        let locks = Rc::new([Lock::new(Rank::ClientObject), Lock::new(Rank::Compaction)]);
        for order in [[0, 1], [0, 1]] {
            let locks = Rc::clone(&locks);
            executor.spawn(Box::pin(async move {
                let _first = locks[order[0]].shared().await;
                let _second = locks[order[1]].shared().await;
                futures::future::pending::<()>().await;
            }));
        }
        executor.run();
        executor.spawn(Box::pin(async move {
            let _first = locks[1].shared().await;
            let _second = locks[0].shared().await;
        }));
        let run = std::panic::AssertUnwindSafe(|| executor.run());
        assert!(std::panic::catch_unwind(run).is_err());
    }

    #[test]
    fn tasks_may_add_tasks_and_are_dropped_by_clear() {
        let executor = Rc::new(executor().0);
        let inner = Rc::clone(&executor);
        let alive = Rc::new(());
        let (one, two) = (Rc::clone(&alive), Rc::clone(&alive));
        executor.spawn(Box::pin(async move {
            inner.spawn(Box::pin(async move {
                futures::future::pending::<()>().await;
                drop(one);
            }));
            futures::future::pending::<()>().await;
            drop((two, inner));
        }));
        executor.run();
        executor.run();
        assert_eq!((executor.tasks(), Rc::strong_count(&alive)), (2, 3));
        executor.clear();
        assert_eq!((executor.tasks(), Rc::strong_count(&alive)), (0, 1));
    }
}
