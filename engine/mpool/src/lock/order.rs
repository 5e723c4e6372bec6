// SPDX-License-Identifier: BSD-3-Clause

//! The order in which a task takes locks, and its check.
//!
//! Invariant: a task holds at most one lock of a rank, and takes locks from the outer ranks to the inner ones. So tasks
//! cannot deadlock. The check costs a few instructions and stays on in release builds.
//!
//! A task is a future wrapped by [`ordered`]. Its set of held locks is installed around each of its polls, so tasks
//! that alternate on the thread do not mix. Futures joined within a task count as that task, unless they are wrapped
//! themselves: then each has its own set, to which the locks of the enclosing task are outer ones. Code outside of
//! wrapped futures is not checked.

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::rc::Rc;

use futures::future::LocalBoxFuture;

/// The ranks of locks, from the outermost to the innermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Rank {
    /// Operations on whole pools, one at a time over all pools of a host.
    Management = 0,
    /// Loading and unloading of a pool's metadata, and growth of its set of MDCs.
    Activation = 1,
    /// A metadata container of a client.
    ClientMdc = 2,
    /// A client's object.
    ClientObject = 3,
    /// Allocation of ids in one of MDC1 to MDC255.
    Uniquifier = 4,
    /// Records and compaction of one of MDC1 to MDC255.
    Compaction = 5,
    /// A log of one of MDC1 to MDC255.
    MdcLog = 6,
    /// Records and compaction of MDC0.
    RootCompaction = 7,
    /// A log of MDC0.
    RootLog = 8,
}

/// A set of ranks, one bit each.
type Ranks = u16;

impl Rank {
    const fn bit(self) -> Ranks {
        1 << self as u8
    }
}

/// The locks that a task holds.
#[derive(Debug, Default)]
pub(super) struct TaskLocks {
    held: Cell<Ranks>,
    /// The locks that the enclosing task held at its last poll of this one.
    outer: Cell<Ranks>,
}

impl TaskLocks {
    fn all(&self) -> Ranks {
        self.held.get() | self.outer.get()
    }

    pub(super) fn enter(&self, rank: Rank) {
        self.held.set(self.held.get() | rank.bit());
    }

    pub(super) fn leave(&self, rank: Rank) {
        self.held.set(self.held.get() & !rank.bit());
    }
}

thread_local! {
    static PRESENT: RefCell<Option<Rc<TaskLocks>>> = const { RefCell::new(None) };
}

/// The current task, which may now take a lock of `rank`; none outside of wrapped futures.
///
/// # Panics
/// The task holds a lock of this rank or of an inner one.
pub(super) fn check(rank: Rank) -> Option<Rc<TaskLocks>> {
    let task = PRESENT.with_borrow(Clone::clone);
    if let Some(task) = &task {
        assert!(task.all() < rank.bit(), "lock order: {rank:?} is asked for while {:#b} are held", task.all());
    }
    task
}

/// A future that is a task of its own for the order of locks.
#[must_use = "futures do nothing unless polled"]
pub struct Ordered<'a, T> {
    task: Rc<TaskLocks>,
    future: LocalBoxFuture<'a, T>,
}

/// Wraps a future as a task.
pub fn ordered<'a, F: Future + 'a>(future: F) -> Ordered<'a, F::Output> {
    Ordered { task: Rc::default(), future: Box::pin(future) }
}

impl<T> Future for Ordered<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let turn = Turn::of(&self.task);
        let outcome = self.future.as_mut().poll(context);
        drop(turn);
        outcome
    }
}

/// Makes a task the current one until it is dropped, also when a poll panics.
struct Turn {
    before: Option<Rc<TaskLocks>>,
}

impl Turn {
    fn of(task: &Rc<TaskLocks>) -> Turn {
        let before = PRESENT.replace(Some(Rc::clone(task)));
        task.outer.set(before.as_ref().map_or(0, |outer| outer.all()));
        Turn { before }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        PRESENT.set(self.before.take());
    }
}
