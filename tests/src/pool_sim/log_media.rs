// SPDX-License-Identifier: BSD-3-Clause

//! The space of a log directly on a virtual disk, without a pool.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use mpool::device::Transfer;
use mpool::mlog::LogMedia;
use mpool::{Device, DeviceError, IoBuf, PoolError};

/// A range of a disk.
pub struct DiskRange {
    /// The disk.
    pub device: Rc<dyn Device>,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub bytes: u64,
    /// Largest piece of a transfer.
    pub chunk: usize,
    /// It does not flush, as a defect.
    pub never_flushes: bool,
    /// It says that blocks are never torn, as a defect.
    pub denies_tearing: bool,
}

impl fmt::Debug for DiskRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} bytes at {:#x}", self.bytes, self.start)
    }
}

fn explained<T>(outcome: Result<T, DeviceError>, doing: &str) -> Result<T, PoolError> {
    outcome.map_err(|error| PoolError::device("log", doing, error))
}

impl DiskRange {
    fn transfer(&self, at: u64, buf: IoBuf, range: Range<usize>) -> Transfer {
        assert!(at + range.len() as u64 <= self.bytes, "a log stays inside its space");
        Transfer { at: self.start + at, buf, range, chunk: self.chunk }
    }

    /// Discards all of it.
    ///
    /// # Errors
    /// The device failed.
    pub async fn discard(&self) -> Result<(), PoolError> {
        if !self.device.properties().discard {
            return Ok(());
        }
        explained(self.device.unmap(self.start, self.bytes).await, "discarding")
    }
}

#[async_trait(?Send)]
impl LogMedia for DiskRange {
    fn sector_bytes(&self) -> usize {
        self.device.properties().sector_bytes as usize
    }

    fn capacity_bytes(&self) -> u64 {
        self.bytes
    }

    fn continue_allowed(&self) -> bool {
        let properties = self.device.properties();
        self.denies_tearing || properties.atomic_write >= properties.sector_bytes
    }

    fn allocate(&self, bytes: usize) -> Result<IoBuf, PoolError> {
        explained(self.device.allocate(bytes), "allocating")
    }

    async fn read(&self, at: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<(), PoolError>) {
        let (buf, outcome) = self.device.read(self.transfer(at, buf, range)).await;
        (buf, explained(outcome, "reading"))
    }

    async fn write_durable(&self, at: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<(), PoolError>) {
        let properties = self.device.properties();
        let (buf, mut outcome) =
            self.device.write(self.transfer(at, buf, range), properties.fua && !self.never_flushes).await;
        if outcome.is_ok() && properties.volatile_cache && !properties.fua && !self.never_flushes {
            outcome = self.device.flush().await;
        }
        (buf, explained(outcome, "writing"))
    }

    async fn flush(&self) -> Result<(), PoolError> {
        if !self.device.properties().volatile_cache || self.never_flushes {
            return Ok(());
        }
        explained(self.device.flush().await, "flushing")
    }
}
