// SPDX-License-Identifier: BSD-3-Clause

//! The world of a pool on a virtual machine: virtual time, seeded randomness, a table of disks by name.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use mpool::units::Nanos;
use mpool::{Device, Host, Kind, Level, PoolError};

use super::device::SimDevice;
use super::machine::Machine;

/// Tasks that were spawned and have not begun.
pub type Nursery = Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>>;

/// The host.
pub struct SimHost {
    machine: Rc<RefCell<Machine>>,
    nursery: Nursery,
    in_use: Vec<Rc<Cell<bool>>>,
}

impl fmt::Debug for SimHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulator")
    }
}

impl SimHost {
    /// The host of a machine.
    #[must_use]
    pub fn new(machine: Rc<RefCell<Machine>>, nursery: Nursery) -> SimHost {
        let in_use = machine.borrow().disks.iter().map(|_| Rc::default()).collect();
        SimHost { machine, nursery, in_use }
    }

    /// Prints an event, if wanted.
    pub fn trace(&self, what: impl FnOnce() -> String) {
        self.machine.borrow().trace(what);
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Rc<RefCell<Machine>> {
        &self.machine
    }
}

#[async_trait(?Send)]
impl Host for SimHost {
    fn now(&self) -> Nanos {
        self.machine.borrow().now
    }

    async fn sleep(&self, time: Nanos) {
        let until = Nanos(self.now().0.saturating_add(time.0));
        Sleep { machine: Rc::clone(&self.machine), until, key: None }.await;
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.nursery.borrow_mut().push(task);
    }

    fn random(&self, bytes: &mut [u8]) {
        let random = &mut self.machine.borrow_mut().random;
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&random.draw().to_le_bytes()[..part.len()]);
        }
    }

    async fn open(&self, path: &str) -> Result<Rc<dyn Device>, PoolError> {
        let subject = || format!("device '{path}'");
        let found = self.machine.borrow().disks.iter().position(|disk| disk.properties.name == path);
        let disk = found.ok_or_else(|| PoolError::new(Kind::NotFound, subject(), "there is no such device"))?;
        match SimDevice::open(&self.machine, disk, &self.in_use[disk]) {
            Some(device) => Ok(Rc::new(device)),
            None => Err(PoolError::new(Kind::Busy, subject(), "it is in use")),
        }
    }

    fn log(&self, level: Level, line: &str) {
        let mut machine = self.machine.borrow_mut();
        machine.trace(|| format!("{level:?}: {line}"));
        machine.log.push((level, line.to_owned()));
    }
}

/// Waits until a time.
struct Sleep {
    machine: Rc<RefCell<Machine>>,
    until: Nanos,
    key: Option<(Nanos, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut machine = this.machine.borrow_mut();
        if let Some(key) = this.key.take() {
            machine.sleepers.remove(&key);
        }
        if machine.now >= this.until {
            return Poll::Ready(());
        }
        let key = (this.until, machine.random.draw());
        machine.sleepers.insert(key, context.waker().clone());
        this.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.machine.borrow_mut().sleepers.remove(&key);
        }
    }
}
