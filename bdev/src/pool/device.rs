// SPDX-License-Identifier: BSD-3-Clause

//! An SPDK bdev as the pool's [`Device`].
//!
//! Dropping it while operations are in flight lets them finish and then closes the bdev. SPDK has no write that forces
//! single blocks to the medium, so `fua` is never offered; the pool flushes instead.

use std::rc::Rc;

use async_trait::async_trait;
use mpool::device::{Ended, Transfer};
use mpool::{Device, DeviceError, DeviceProperties, IoBuf, PoolError};

use super::service;
use crate::spdk::dma_memory::DmaMemory;
use crate::spdk::open_bdev::{Access, OpenBdev};
use crate::spdk::open_bdev_io::Command;

/// See the module's documentation.
#[derive(Debug)]
pub struct BdevDevice(Rc<OpenBdev>);

impl BdevDevice {
    /// Opens a bdev.
    ///
    /// # Errors
    /// As for [`OpenBdev::open`].
    pub fn open(name: &str, access: Access) -> Result<BdevDevice, PoolError> {
        let bdev = OpenBdev::open(name, access)?;
        if access == Access::Claim {
            bdev.on_removal(service::drive_removed);
        }
        Ok(BdevDevice(bdev))
    }
}

#[async_trait(?Send)]
impl Device for BdevDevice {
    fn properties(&self) -> DeviceProperties {
        self.0.properties()
    }

    fn allocate(&self, bytes: usize) -> Result<IoBuf, DeviceError> {
        let memory = DmaMemory::new(bytes, self.0.alignment()).ok_or(DeviceError::NoMemory)?;
        Ok(Box::new(memory))
    }

    async fn read(&self, transfer: Transfer) -> Ended {
        self.0.transfer(Command::Read, transfer).await
    }

    async fn write(&self, transfer: Transfer, fua: bool) -> Ended {
        if fua {
            return (transfer.buf, Err(DeviceError::Invalid));
        }
        self.0.transfer(Command::Write, transfer).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.0.flush().await
    }

    async fn unmap(&self, at: u64, bytes: u64) -> Result<(), DeviceError> {
        self.0.unmap(at, bytes).await
    }
}
