// SPDX-License-Identifier: BSD-3-Clause

//! Runs the tasks of a machine in an order drawn from its seed.
//!
//! As a rule all tasks that are ready run before an operation is served, for that is how a reactor works; now and then
//! an operation is served in between.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::LocalBoxFuture;

use super::host::Nursery;
use super::machine::Machine;
use crate::units::Nanos;

/// Polls and operations after which a life is taken for endless.
const MOST_STEPS: u64 = 20_000_000;

/// Time after which a life in which no operation begins is taken for stuck.
const LONGEST_PAUSE: u64 = 3_600_000_000_000;

/// Why tasks do not run any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The first task has ended.
    Ended,
    /// The power was cut.
    Cut,
    /// Nothing happens any more, or too much.
    Stuck(String),
}

type Ready = Arc<Mutex<Vec<usize>>>;

struct TaskWaker {
    task: usize,
    queued: AtomicBool,
    ready: Ready,
}

impl TaskWaker {
    fn new(task: usize, ready: &Ready) -> Arc<TaskWaker> {
        let waker = Arc::new(TaskWaker { task, queued: AtomicBool::new(false), ready: Arc::clone(ready) });
        Arc::clone(&waker).wake();
        waker
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
        }
    }
}

struct Task {
    /// None when it has ended.
    future: Option<LocalBoxFuture<'static, ()>>,
    waker: Arc<TaskWaker>,
}

/// The tasks.
pub struct Executor {
    machine: Rc<RefCell<Machine>>,
    nursery: Nursery,
    tasks: Vec<Task>,
    ready: Ready,
    /// Polls and operations so far.
    pub steps: u64,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Executor with {} tasks after {} steps", self.tasks.len(), self.steps)
    }
}

impl Executor {
    /// An executor without tasks.
    #[must_use]
    pub fn new(machine: Rc<RefCell<Machine>>, nursery: Nursery) -> Executor {
        Executor { machine, nursery, tasks: Vec::new(), ready: Ready::default(), steps: 0 }
    }

    fn adopt(&mut self, future: LocalBoxFuture<'static, ()>) {
        let waker = TaskWaker::new(self.tasks.len(), &self.ready);
        self.tasks.push(Task { future: Some(future), waker });
    }

    /// Runs `future` and the tasks until it ends.
    ///
    /// # Panics
    /// It waits, but nothing happens any more.
    pub fn drive<T>(&mut self, future: impl Future<Output = T>) -> T {
        let (mut future, woken) = (pin!(future), Ready::default());
        let own = TaskWaker::new(0, &woken);
        loop {
            if woken.lock().unwrap_or_else(PoisonError::into_inner).pop().is_some() {
                own.queued.store(false, Ordering::Relaxed);
                let waker = Waker::from(Arc::clone(&own));
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            } else if !self.run_ready() {
                assert!(self.machine.borrow_mut().act(), "nothing will ever happen");
            }
        }
    }

    /// Runs tasks until none can run.
    pub fn settle(&mut self) {
        while self.run_ready() {}
    }

    /// Runs the task `main`, and all others, until it has ended, the power is cut, or nothing happens any more.
    pub fn run(&mut self, main: LocalBoxFuture<'static, ()>) -> Stop {
        self.adopt(main);
        let mut last_progress = (0, Nanos(0));
        while self.tasks[0].future.is_some() {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Stop::Stuck(format!("no end after {MOST_STEPS} steps"));
            }
            if self.run_ready() {
                if self.machine.borrow().off {
                    return Stop::Cut;
                }
                continue;
            }
            let mut machine = self.machine.borrow_mut();
            if !machine.act() {
                return Stop::Stuck("all tasks wait, but nothing is in flight and nobody sleeps".to_owned());
            }
            if machine.off {
                return Stop::Cut;
            }
            if machine.counts.operations != last_progress.0 || machine.is_busy() {
                last_progress = (machine.counts.operations, machine.now);
            } else if machine.now.0 - last_progress.1 .0 > LONGEST_PAUSE {
                return Stop::Stuck("the first task waits, but for an hour no operation has begun".to_owned());
            }
        }
        Stop::Ended
    }

    /// Runs one of the tasks that are ready; false when there is none, or an operation goes first.
    fn run_ready(&mut self) -> bool {
        let young: Vec<_> = self.nursery.borrow_mut().drain(..).collect();
        for task in young {
            self.adopt(task);
        }
        let task = {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            let mut machine = self.machine.borrow_mut();
            let Some(chosen) = machine.choose_task(ready.len()) else { return false };
            ready.remove(chosen)
        };
        let Task { future, waker } = &mut self.tasks[task];
        waker.queued.store(false, Ordering::Relaxed);
        let ended = future.as_mut().is_some_and(|future| {
            let waker = Waker::from(Arc::clone(waker));
            future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        });
        if ended {
            *future = None;
        }
        true
    }

    /// Drops all tasks, in the order in which they began.
    pub fn drop_tasks(&mut self) {
        self.machine.borrow_mut().off = true;
        loop {
            let tasks = std::mem::take(&mut self.tasks);
            let young: Vec<_> = self.nursery.borrow_mut().drain(..).collect();
            if tasks.is_empty() && young.is_empty() {
                return;
            }
        }
    }
}
