// SPDX-License-Identifier: BSD-3-Clause

//! A host whose disks do what a test says: their transfers and commands are listed, held back, or fail; the rest is
//! left to the simulator's machine behind it.
//!
//! A failing operation has no effect. One that is held back has not reached the disk.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use async_trait::async_trait;
use futures::channel::oneshot;
use futures::future::LocalBoxFuture;
use mpool::device::{Ended, Transfer};
use mpool::units::Nanos;
use mpool::{Device, DeviceError, DeviceProperties, Host, IoBuf, Level, PoolError};
use tests::pool_sim::host::SimHost;

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

impl Script {
    /// Holds back what is chosen, until [`Script::release`].
    pub fn hold(&self, choice: impl Fn(&Op) -> bool + 'static) {
        *self.held.borrow_mut() = Some(Box::new(choice));
    }

    /// Lets go all that is held back, and holds back no more.
    pub fn release(&self) {
        self.held.take();
        self.let_go();
    }

    /// Lets go all that is held back, and holds back what is chosen from now on.
    pub fn hold_instead(&self, choice: impl Fn(&Op) -> bool + 'static) {
        self.hold(choice);
        self.let_go();
    }

    fn let_go(&self) {
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

    async fn begin(&self, op: Op) -> Result<InFlight<'_>, DeviceError> {
        self.begun.borrow_mut().push(op);
        self.in_flight.set(self.in_flight.get() + 1);
        self.most_in_flight.set(self.most_in_flight.get().max(self.in_flight.get()));
        let in_flight = InFlight(self);
        let chosen = |choice: &RefCell<Option<Choice>>| choice.borrow().as_ref().is_some_and(|choice| choice(&op));
        if chosen(&self.held) {
            let (sender, receiver) = oneshot::channel();
            self.waiting.borrow_mut().push(sender);
            // At the end of a life nobody lets it go.
            let _ = receiver.await;
        }
        if chosen(&self.failing) {
            return Err(DeviceError::Io);
        }
        Ok(in_flight)
    }
}

struct InFlight<'a>(&'a Script);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

/// The host.
pub struct ScriptedHost {
    pub sim: Rc<SimHost>,
    pub script: Rc<Script>,
}

impl fmt::Debug for ScriptedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sim.fmt(f)
    }
}

#[async_trait(?Send)]
impl Host for ScriptedHost {
    fn now(&self) -> Nanos {
        self.sim.now()
    }

    async fn sleep(&self, time: Nanos) {
        self.sim.sleep(time).await;
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.sim.spawn(task);
    }

    fn random(&self, bytes: &mut [u8]) {
        self.sim.random(bytes);
    }

    async fn open(&self, path: &str) -> Result<Rc<dyn Device>, PoolError> {
        let device = self.sim.open(path).await?;
        Ok(Rc::new(ScriptedDevice { device, script: Rc::clone(&self.script) }))
    }

    fn log(&self, level: Level, line: &str) {
        self.sim.log(level, line);
    }
}

struct ScriptedDevice {
    device: Rc<dyn Device>,
    script: Rc<Script>,
}

impl fmt::Debug for ScriptedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.device.fmt(f)
    }
}

#[async_trait(?Send)]
impl Device for ScriptedDevice {
    fn properties(&self) -> DeviceProperties {
        self.device.properties()
    }

    fn allocate(&self, bytes: usize) -> Result<IoBuf, DeviceError> {
        match self.script.no_memory.get() {
            0 => self.device.allocate(bytes),
            left => {
                self.script.no_memory.set(left - 1);
                Err(DeviceError::NoMemory)
            }
        }
    }

    async fn read(&self, transfer: Transfer) -> Ended {
        let op = Op { what: What::Read, at: transfer.at, bytes: transfer.range.len() as u64 };
        match self.script.begin(op).await {
            Ok(_in_flight) => self.device.read(transfer).await,
            Err(error) => (transfer.buf, Err(error)),
        }
    }

    async fn write(&self, transfer: Transfer, fua: bool) -> Ended {
        let what = if fua { What::ForcedWrite } else { What::Write };
        let op = Op { what, at: transfer.at, bytes: transfer.range.len() as u64 };
        match self.script.begin(op).await {
            Ok(_in_flight) => self.device.write(transfer, fua).await,
            Err(error) => (transfer.buf, Err(error)),
        }
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        let _in_flight = self.script.begin(Op { what: What::Flush, at: 0, bytes: 0 }).await?;
        self.device.flush().await
    }

    async fn unmap(&self, at: u64, bytes: u64) -> Result<(), DeviceError> {
        let _in_flight = self.script.begin(Op { what: What::Discard, at, bytes }).await?;
        self.device.unmap(at, bytes).await
    }
}
