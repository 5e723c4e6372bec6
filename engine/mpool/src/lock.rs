// SPDX-License-Identifier: BSD-3-Clause

//! A reader-writer lock for tasks on one thread, fair in order of arrival.
//!
//! Invariants:
//! * A free lock has no waiters; the first waiter of a shared lock waits for exclusive access.
//! * A release hands the lock over: it belongs to the next waiter before that one runs. So no task overtakes another,
//!   and a waiter that is dropped after the hand-over, but before it ran, passes the lock on.
//! * A task takes locks in the order of their ranks ([`order`]).

pub mod order;

#[cfg(test)]
mod tests;

use core::cell::{OnceCell, RefCell};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::rc::Rc;

pub use order::{ordered, Rank};

use order::TaskLocks;

/// A lock. It contains no data: the state that it protects may be in several places.
#[derive(Debug)]
pub struct Lock {
    rank: Rank,
    /// Allocated on first use: of a million objects hardly any lock is ever used.
    core: OnceCell<Rc<Core>>,
}

/// Holds the lock until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is given back when the guard is dropped"]
pub struct Guard {
    core: Rc<Core>,
    mode: Mode,
    task: Option<Rc<TaskLocks>>,
}

/// Waits for a lock. Dropping it leaves the queue.
#[derive(Debug)]
#[must_use = "nothing is locked before this has been awaited"]
pub struct Acquire {
    core: Rc<Core>,
    mode: Mode,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Shared,
    Exclusive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    NotAsked,
    Queued(u64),
    Over,
}

#[derive(Debug)]
struct Core {
    rank: Rank,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of shared holders.
    sharing: usize,
    /// The lock is held exclusively.
    excluded: bool,
    /// In order of arrival, hence of tickets. A waiter that is missing here owns the lock.
    waiters: VecDeque<Waiter>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    mode: Mode,
    waker: Waker,
}

impl Lock {
    /// A free lock of a rank.
    #[must_use]
    pub fn new(rank: Rank) -> Lock {
        Lock { rank, core: OnceCell::new() }
    }

    fn core(&self) -> &Rc<Core> {
        self.core.get_or_init(|| Rc::new(Core { rank: self.rank, state: RefCell::default() }))
    }

    /// Acquires the lock for sharing: waits until it is not held exclusively, and until all earlier waiters were
    /// served.
    ///
    /// # Panics
    /// When polled, if the task holds a lock of this rank or of an inner one.
    pub fn shared(&self) -> Acquire {
        self.acquire(Mode::Shared)
    }

    /// Acquires the lock exclusively: waits until it is free, and until all earlier waiters were served.
    ///
    /// # Panics
    /// When polled, if the task holds a lock of this rank or of an inner one.
    pub fn exclusive(&self) -> Acquire {
        self.acquire(Mode::Exclusive)
    }

    /// Acquires the lock exclusively if it is free.
    ///
    /// # Panics
    /// If the task holds a lock of this rank or of an inner one.
    #[must_use]
    pub fn try_exclusive(&self) -> Option<Guard> {
        let (core, task) = (self.core(), order::check(self.rank));
        core.state.borrow_mut().enter(Mode::Exclusive).then(|| Guard::new(core, Mode::Exclusive, task))
    }

    /// Acquires several locks of one rank exclusively, if all of them are free. A task may hold them together, because one
    /// that does not wait for any of them cannot deadlock.
    ///
    /// # Panics
    /// If the task holds a lock of this rank or of an inner one.
    #[must_use]
    pub fn try_exclusive_all<'a>(locks: impl IntoIterator<Item = &'a Lock>) -> Option<Vec<Guard>> {
        let mut guards: Vec<Guard> = Vec::new();
        for lock in locks {
            let core = lock.core();
            // The first guard accounts for the rank.
            let task = if guards.is_empty() { order::check(lock.rank) } else { None };
            if !core.state.borrow_mut().enter(Mode::Exclusive) {
                return None;
            }
            guards.push(Guard::new(core, Mode::Exclusive, task));
        }
        Some(guards)
    }

    /// True while the lock is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.core.get().is_some_and(|core| {
            let state = core.state.borrow();
            state.excluded || state.sharing != 0
        })
    }

    fn acquire(&self, mode: Mode) -> Acquire {
        Acquire { core: Rc::clone(self.core()), mode, phase: Phase::NotAsked }
    }
}

impl State {
    /// Takes the lock if it need not wait.
    fn enter(&mut self, mode: Mode) -> bool {
        let free = self.waiters.is_empty() && self.admits(mode);
        if free {
            self.take(mode);
        }
        free
    }

    /// True when the present holders, if any, are compatible with one more of `mode`.
    fn admits(&self, mode: Mode) -> bool {
        !self.excluded && (mode == Mode::Shared || self.sharing == 0)
    }

    fn take(&mut self, mode: Mode) {
        match mode {
            Mode::Shared => self.sharing += 1,
            Mode::Exclusive => self.excluded = true,
        }
    }

    fn wait(&mut self, mode: Mode, waker: Waker) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.push_back(Waiter { ticket, mode, waker });
        ticket
    }

    /// The position in the queue; none when the lock has been handed over.
    fn place(&self, ticket: u64) -> Option<usize> {
        self.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()
    }

    fn leave(&mut self, mode: Mode) {
        match mode {
            Mode::Shared => self.sharing -= 1,
            Mode::Exclusive => self.excluded = false,
        }
        self.hand_over();
    }

    /// Hands the lock to the waiters in front that can have it now.
    fn hand_over(&mut self) {
        while let Some(mode) = self.waiters.front().map(|waiter| waiter.mode).filter(|&mode| self.admits(mode)) {
            self.take(mode);
            if let Some(waiter) = self.waiters.pop_front() {
                waiter.waker.wake();
            }
        }
    }
}

impl Future for Acquire {
    type Output = Guard;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Guard> {
        assert!(self.phase != Phase::Over, "the lock has been handed out");
        let task = order::check(self.core.rank);
        let core = Rc::clone(&self.core);
        let mut state = core.state.borrow_mut();
        if let Phase::Queued(ticket) = self.phase {
            if let Some(place) = state.place(ticket) {
                state.waiters[place].waker.clone_from(context.waker());
                return Poll::Pending;
            }
        } else if !state.enter(self.mode) {
            self.phase = Phase::Queued(state.wait(self.mode, context.waker().clone()));
            return Poll::Pending;
        }
        self.phase = Phase::Over;
        Poll::Ready(Guard::new(&self.core, self.mode, task))
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Phase::Queued(ticket) = self.phase else { return };
        let mut state = self.core.state.borrow_mut();
        if let Some(place) = state.place(ticket) {
            state.waiters.remove(place);
            // Waiters behind may have waited only for this one.
            state.hand_over();
        } else {
            state.leave(self.mode);
        }
    }
}

impl Guard {
    fn new(core: &Rc<Core>, mode: Mode, task: Option<Rc<TaskLocks>>) -> Guard {
        if let Some(task) = &task {
            task.enter(core.rank);
        }
        Guard { core: Rc::clone(core), mode, task }
    }

    /// True when this guard holds `lock`.
    #[must_use]
    pub fn is_of(&self, lock: &Lock) -> bool {
        lock.core.get().is_some_and(|core| Rc::ptr_eq(&self.core, core))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.leave(self.core.rank);
        }
        self.core.state.borrow_mut().leave(self.mode);
    }
}
