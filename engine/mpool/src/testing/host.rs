// SPDX-License-Identifier: BSD-3-Clause

//! The world of a pool on a virtual machine: virtual time, seeded randomness, a table of disks by name.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::device::{SimDevice, Slot};
use super::disk::Disk;
use super::machine::Machine;
use super::script::Script;
use crate::host::PoolStatus;
use crate::units::Nanos;
use crate::{Device, Host, Kind, Level, PoolError};
use async_trait::async_trait;
use futures::future::LocalBoxFuture;

/// Tasks that were spawned and have not begun.
pub type Nursery = Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>>;

/// The host.
pub struct SimHost {
    machine: Rc<RefCell<Machine>>,
    nursery: Nursery,
    slots: RefCell<Vec<Rc<Slot>>>,
    told: RefCell<Vec<PoolStatus>>,
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
        let slots = machine.borrow().disks.iter().map(|_| Rc::default()).collect();
        SimHost { machine, nursery, slots: RefCell::new(slots), told: RefCell::default() }
    }

    /// Prints an event, if wanted.
    pub fn trace(&self, what: impl FnOnce() -> String) {
        self.machine.borrow().trace(what);
    }

    /// Plugs in one more disk.
    pub fn add(&self, disk: Disk) {
        self.machine.borrow_mut().disks.push(disk);
        self.slots.borrow_mut().push(Rc::default());
    }

    /// The number of the disk with a name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.machine.borrow().disks.iter().position(|disk| disk.properties.name == name)
    }

    /// What a test says of a disk.
    pub fn script(&self, disk: usize) -> Rc<Script> {
        Rc::clone(&self.slots.borrow()[disk].script)
    }

    /// True when somebody has opened the disk.
    pub fn is_open(&self, disk: usize) -> bool {
        self.slots.borrow()[disk].in_use.get()
    }

    /// The statuses of pools that it was told.
    pub fn told(&self) -> Vec<PoolStatus> {
        self.told.borrow().clone()
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
        let missing = || PoolError::new(Kind::NotFound, subject(), "there is no such device");
        let disk = self.find(path).ok_or_else(missing)?;
        let slot = Rc::clone(&self.slots.borrow()[disk]);
        match SimDevice::open(&self.machine, disk, &slot) {
            Some(device) => Ok(Rc::new(device)),
            None => Err(PoolError::new(Kind::Busy, subject(), "it is in use")),
        }
    }

    fn pool_changed(&self, _name: &str, status: PoolStatus) {
        self.told.borrow_mut().push(status);
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
        let key = (this.until, machine.order_of_sleeper());
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
