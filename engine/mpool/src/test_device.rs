// SPDX-License-Identifier: BSD-3-Clause

//! A device in memory for tests: records its commands, and fails on request.
//!
//! Its trace has every command, piece by piece, writes with their data, so that a test can construct any image that a
//! power cut may leave: see [`TestDevice::writes`].

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use uuid::Uuid;

use super::device::{pieces, Device, DeviceError, DeviceProperties, Ended, IoBuf, PlainMemory, Transfer};
use crate::testing::plain_disk;

/// A command to a device. Reads and writes are pieces of transfers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Read { at: u64, bytes: usize },
    Write { at: u64, data: Vec<u8>, fua: bool },
    Flush,
    Unmap { at: u64, bytes: u64 },
}

type Fault = Box<dyn FnMut(&Operation) -> Option<DeviceError>>;

/// A device in memory.
pub(crate) struct TestDevice {
    properties: RefCell<DeviceProperties>,
    medium: RefCell<Vec<u8>>,
    trace: RefCell<Vec<Operation>>,
    fault: RefCell<Option<Fault>>,
}

impl core::fmt::Debug for TestDevice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TestDevice '{}'", self.properties.borrow().name)
    }
}

/// The properties of such a device: 4096-byte sectors, no volatile cache, unmap.
pub(crate) fn properties(bytes: u64) -> DeviceProperties {
    DeviceProperties {
        model: "memory".to_owned(),
        uuid: Uuid::nil(),
        uuid_lasts: false,
        ..plain_disk("dir/Test0", bytes, 4096)
    }
}

impl TestDevice {
    /// A device full of zeros.
    pub(crate) fn new(properties: DeviceProperties) -> Rc<TestDevice> {
        let medium = vec![0; properties.bytes as usize];
        TestDevice::with_image(properties, medium)
    }

    /// A device with this content.
    pub(crate) fn with_image(properties: DeviceProperties, image: Vec<u8>) -> Rc<TestDevice> {
        Rc::new(TestDevice {
            properties: RefCell::new(properties),
            medium: RefCell::new(image),
            trace: RefCell::default(),
            fault: RefCell::default(),
        })
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        self.medium.borrow().clone()
    }

    /// Changes the content without a command.
    pub(crate) fn poke(&self, at: usize, bytes: &[u8]) {
        self.medium.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Takes the commands since the last call.
    pub(crate) fn take_trace(&self) -> Vec<Operation> {
        self.trace.take()
    }

    /// The writes since the trace was last taken, in order: where, and what.
    pub(crate) fn writes(&self) -> Vec<(u64, Vec<u8>)> {
        let writes = self.take_trace().into_iter().filter_map(|operation| match operation {
            Operation::Write { at, data, .. } => Some((at, data)),
            _ => None,
        });
        writes.collect()
    }

    /// From now on, operations for which `fault` returns an error fail without effect.
    pub(crate) fn fail_when(&self, fault: impl FnMut(&Operation) -> Option<DeviceError> + 'static) {
        *self.fault.borrow_mut() = Some(Box::new(fault));
    }

    /// Ends all failures.
    pub(crate) fn heal(&self) {
        *self.fault.borrow_mut() = None;
    }

    fn begin(&self, operation: Operation) -> Result<(), DeviceError> {
        let failure = self.fault.borrow_mut().as_mut().and_then(|fault| fault(&operation));
        self.trace.borrow_mut().push(operation);
        failure.map_or(Ok(()), Err)
    }

    /// The range of a piece on the device.
    fn span(&self, at: u64, bytes: usize) -> Result<core::ops::Range<usize>, DeviceError> {
        let sector = u64::from(self.properties.borrow().sector_bytes);
        let end = at.checked_add(bytes as u64).ok_or(DeviceError::Invalid)?;
        let inside = end <= self.medium.borrow().len() as u64;
        let aligned = at.is_multiple_of(sector) && end.is_multiple_of(sector);
        if inside && aligned {
            Ok(at as usize..end as usize)
        } else {
            Err(DeviceError::Invalid)
        }
    }

    fn read_pieces(&self, transfer: &mut Transfer) -> Result<(), DeviceError> {
        for (at, range) in pieces(transfer.at, transfer.range.clone(), transfer.chunk) {
            self.begin(Operation::Read { at, bytes: range.len() })?;
            let span = self.span(at, range.len())?;
            (*transfer.buf).as_mut()[range].copy_from_slice(&self.medium.borrow()[span]);
        }
        Ok(())
    }

    fn write_pieces(&self, transfer: &Transfer, fua: bool) -> Result<(), DeviceError> {
        assert!(!fua || self.properties.borrow().fua, "a FUA write to a device that has none");
        for (at, range) in pieces(transfer.at, transfer.range.clone(), transfer.chunk) {
            let data = (*transfer.buf).as_ref()[range].to_vec();
            self.begin(Operation::Write { at, data: data.clone(), fua })?;
            let span = self.span(at, data.len())?;
            self.medium.borrow_mut()[span].copy_from_slice(&data);
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl Device for TestDevice {
    fn properties(&self) -> DeviceProperties {
        self.properties.borrow().clone()
    }

    fn allocate(&self, bytes: usize) -> Result<IoBuf, DeviceError> {
        Ok(Box::new(PlainMemory(vec![0; bytes])))
    }

    async fn read(&self, mut transfer: Transfer) -> Ended {
        let outcome = self.read_pieces(&mut transfer);
        (transfer.buf, outcome)
    }

    async fn write(&self, transfer: Transfer, fua: bool) -> Ended {
        let outcome = self.write_pieces(&transfer, fua);
        (transfer.buf, outcome)
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.begin(Operation::Flush)
    }

    async fn unmap(&self, at: u64, bytes: u64) -> Result<(), DeviceError> {
        self.begin(Operation::Unmap { at, bytes })
    }
}
