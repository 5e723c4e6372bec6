// SPDX-License-Identifier: BSD-3-Clause

//! A virtual disk as the pool sees it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::device::{pieces, Ended, PlainMemory, Transfer};
use crate::{Device, DeviceError, DeviceProperties, IoBuf};
use async_trait::async_trait;

use super::disk::{Change, Content, Disk};
use super::machine::Machine;
use super::operation::{command_end, transfer_end, Action, Call};
use super::script::{Op, Script, What};

/// Where a disk is plugged in.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Somebody has opened it.
    pub in_use: Cell<bool>,
    /// What a test says of it.
    pub script: Rc<Script>,
}

/// An open disk. While it lives, nobody else can open it.
pub struct SimDevice {
    machine: Rc<RefCell<Machine>>,
    disk: usize,
    slot: Rc<Slot>,
}

impl fmt::Debug for SimDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtual disk {}", self.disk)
    }
}

impl Drop for SimDevice {
    fn drop(&mut self) {
        self.slot.in_use.set(false);
    }
}

impl SimDevice {
    /// Opens a disk; none when it is in use.
    pub(super) fn open(machine: &Rc<RefCell<Machine>>, disk: usize, slot: &Rc<Slot>) -> Option<SimDevice> {
        let (machine, free) = (Rc::clone(machine), !slot.in_use.replace(true));
        free.then(|| SimDevice { machine, disk, slot: Rc::clone(slot) })
    }

    /// Begins the pieces of a transfer.
    async fn run(
        &self,
        transfer: Transfer,
        action: impl Fn(u64, &[u8], std::ops::Range<usize>, u64) -> Action,
    ) -> Ended {
        let Transfer { at, buf, range, chunk } = transfer;
        let unit = u64::from(self.properties().sector_bytes);
        let waiting = {
            let mut machine = self.machine.borrow_mut();
            let bytes = range.len() as u64;
            let fits = range.end <= (*buf).as_ref().len() && (chunk as u64).is_multiple_of(unit);
            if !fits {
                machine.misused(format!("a transfer of {range:?} in pieces of {chunk} does not fit its memory"));
                return (buf, Err(DeviceError::Invalid));
            }
            if let Err(error) = machine.check_range(self.disk, at, bytes, unit) {
                return (buf, Err(error));
            }
            let first = machine.next_number();
            let cut: Vec<_> = pieces(at, range, chunk).collect();
            let numbered = cut.into_iter().zip(first..);
            let actions: Vec<_> =
                numbered.map(|((at, part), number)| action(at, (*buf).as_ref(), part, number)).collect();
            let (call, waiting) = Call::new(Some(buf), actions.len());
            for action in actions {
                machine.begin(self.disk, action, Rc::clone(&call));
            }
            waiting
        };
        transfer_end(waiting).await
    }
}

#[async_trait(?Send)]
impl Device for SimDevice {
    fn properties(&self) -> DeviceProperties {
        match self.machine.borrow().disks.get(self.disk) {
            Some(disk) => disk.properties.clone(),
            None => unreachable!("a machine that is on has its disks"),
        }
    }

    fn allocate(&self, bytes: usize) -> Result<IoBuf, DeviceError> {
        self.slot.script.allocate()?;
        if self.machine.borrow_mut().is_out_of_memory() {
            return Err(DeviceError::NoMemory);
        }
        Ok(Box::new(PlainMemory(vec![0; bytes])))
    }

    async fn read(&self, transfer: Transfer) -> Ended {
        let op = Op { what: What::Read, at: transfer.at, bytes: transfer.range.len() as u64 };
        match self.slot.script.begin(op).await {
            Ok(_in_flight) => self.run(transfer, |at, _, range, _| Action::Read { at, range }).await,
            Err(error) => (transfer.buf, Err(error)),
        }
    }

    async fn write(&self, transfer: Transfer, fua: bool) -> Ended {
        if fua && !self.properties().fua {
            self.machine.borrow_mut().misused("FUA on a disk that has none".to_owned());
            return (transfer.buf, Err(DeviceError::Invalid));
        }
        let what = if fua { What::ForcedWrite } else { What::Write };
        let op = Op { what, at: transfer.at, bytes: transfer.range.len() as u64 };
        let _in_flight = match self.slot.script.begin(op).await {
            Ok(in_flight) => in_flight,
            Err(error) => return (transfer.buf, Err(error)),
        };
        self.run(transfer, |at, bytes, range, number| {
            Action::Change(Change::new(number, at, Content::Data(bytes[range].into()), fua))
        })
        .await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        let _in_flight = self.slot.script.begin(Op { what: What::Flush, at: 0, bytes: 0 }).await?;
        let waiting = {
            let mut machine = self.machine.borrow_mut();
            let began = machine.disks.get(self.disk).map_or(0, Disk::begin_flush);
            let (call, waiting) = Call::new(None, 1);
            machine.begin(self.disk, Action::Flush { began }, call);
            waiting
        };
        command_end(waiting).await
    }

    async fn unmap(&self, at: u64, bytes: u64) -> Result<(), DeviceError> {
        let _in_flight = self.slot.script.begin(Op { what: What::Discard, at, bytes }).await?;
        let properties = self.properties();
        let waiting = {
            let mut machine = self.machine.borrow_mut();
            if !properties.discard {
                machine.misused("discard on a disk that has none".to_owned());
                return Err(DeviceError::Invalid);
            }
            machine.check_range(self.disk, at, bytes, properties.discard_granularity)?;
            let filler = machine.draw_filler();
            let number = machine.next_number();
            let change = Change::new(number, at, Content::Discard(bytes, filler), false);
            let (call, waiting) = Call::new(None, 1);
            machine.begin(self.disk, Action::Change(change), call);
            waiting
        };
        command_end(waiting).await
    }
}
