// SPDX-License-Identifier: BSD-3-Clause

//! What a test says of a disk: its transfers and commands are listed, held back, or fail.
//!
//! A failing operation has no effect. One that is held back has not reached the disk.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;

use futures::channel::oneshot;

use crate::DeviceError;

/// What a transfer or command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Read,
    Write,
    /// A write that is durable when it ends.
    ForcedWrite,
    Flush,
    Discard,
}

/// A transfer or command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    pub what: What,
    pub at: u64,
    pub bytes: u64,
}

impl Op {
    /// True when it touches a byte from `at` on, `bytes` of them.
    pub fn touches(&self, at: u64, bytes: u64) -> bool {
        self.at < at + bytes && at < self.at + self.bytes
    }

    pub fn is_write(&self) -> bool {
        matches!(self.what, What::Write | What::ForcedWrite)
    }
}

type Choice = Box<dyn Fn(&Op) -> bool>;

/// What a test says of the disk.
#[derive(Default)]
pub struct Script {
    /// All that was begun.
    pub begun: RefCell<Vec<Op>>,
    /// The most that was in flight at a time.
    pub most_in_flight: Cell<usize>,
    /// Allocations of memory that are still to fail.
    pub no_memory: Cell<u32>,
    in_flight: Cell<usize>,
    held: RefCell<Option<Choice>>,
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
    failing: RefCell<Option<Choice>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script with {} operations, {} held", self.begun.borrow().len(), self.held())
    }
}

impl Script {
    /// Takes memory.
    pub(super) fn allocate(&self) -> Result<(), DeviceError> {
        let left = self.no_memory.get();
        self.no_memory.set(left.saturating_sub(1));
        if left > 0 {
            Err(DeviceError::NoMemory)
        } else {
            Ok(())
        }
    }

    /// Holds back what is chosen, until [`Script::release`].
    pub fn hold(&self, choice: impl Fn(&Op) -> bool + 'static) {
        *self.held.borrow_mut() = Some(Box::new(choice));
    }

    /// Releases all that is held back, and holds back no more.
    pub fn release(&self) {
        self.held.take();
        self.release_waiting();
    }

    /// Releases all that is held back, and holds back what is chosen from now on.
    pub fn hold_instead(&self, choice: impl Fn(&Op) -> bool + 'static) {
        self.hold(choice);
        self.release_waiting();
    }

    fn release_waiting(&self) {
        for waiting in self.waiting.take() {
            // Whoever stopped waiting need not be told.
            let _ = waiting.send(());
        }
    }

    /// How many are held back.
    pub fn held(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Lets what is chosen fail, until [`Script::heal`].
    pub fn fail(&self, choice: impl Fn(&Op) -> bool + 'static) {
        *self.failing.borrow_mut() = Some(Box::new(choice));
    }

    /// Fails all writes after the next `count`.
    pub fn fail_writes_after(&self, count: u64) {
        let left = Cell::new(count);
        self.fail(move |op| op.is_write() && left.replace(left.get().saturating_sub(1)) == 0);
    }

    /// Fails the next `count` transfers of these bytes.
    pub fn fail_some_in(&self, count: u32, bytes: Range<u64>) {
        let left = Cell::new(count);
        self.fail(move |op| {
            op.touches(bytes.start, bytes.end - bytes.start) && left.replace(left.get().saturating_sub(1)) > 0
        });
    }

    /// Lets nothing fail any more.
    pub fn heal(&self) {
        self.failing.take();
        self.no_memory.set(0);
    }

    /// Forgets what was begun.
    pub fn forget(&self) {
        self.begun.take();
        self.most_in_flight.set(0);
    }

    /// What was begun and is chosen.
    pub fn count(&self, choice: impl Fn(&Op) -> bool) -> usize {
        self.begun.borrow().iter().filter(|op| choice(op)).count()
    }

    pub(super) async fn begin(&self, op: Op) -> Result<InFlight<'_>, DeviceError> {
        self.begun.borrow_mut().push(op);
        self.in_flight.set(self.in_flight.get() + 1);
        self.most_in_flight.set(self.most_in_flight.get().max(self.in_flight.get()));
        let in_flight = InFlight(self);
        let chosen = |choice: &RefCell<Option<Choice>>| choice.borrow().as_ref().is_some_and(|choice| choice(&op));
        if chosen(&self.held) {
            let (sender, receiver) = oneshot::channel();
            self.waiting.borrow_mut().push(sender);
            // At the end of a life nobody releases it.
            let _ = receiver.await;
        }
        if chosen(&self.failing) {
            return Err(DeviceError::Io);
        }
        Ok(in_flight)
    }
}

pub(super) struct InFlight<'a>(&'a Script);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}
