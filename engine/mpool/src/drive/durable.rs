// SPDX-License-Identifier: BSD-3-Clause

//! Writes that are durable when they end, on any device: if the device cannot force single writes, a flush follows. In
//! the kernel the block layer does that; in SPDK the caller has to.
//!
//! A write of a log is retried at once, because most path failures are transient. If the flush failed the write is
//! repeated too: a device may drop what it could not make durable.

use crate::device::{Device, DeviceError, DeviceProperties, Ended, Transfer};

/// The number of attempts at a write.
const ATTEMPTS: u32 = 3;

/// As [`write_durably`], with retries after an I/O error.
pub(crate) async fn write_persistently(
    device: &dyn Device,
    properties: &DeviceProperties,
    transfer: Transfer,
) -> Ended {
    let Transfer { at, mut buf, range, chunk } = transfer;
    let mut attempt = 1;
    loop {
        let once = Transfer { at, buf, range: range.clone(), chunk };
        let (back, outcome) = write_durably(device, properties, once).await;
        if outcome != Err(DeviceError::Io) || attempt == ATTEMPTS {
            return (back, outcome);
        }
        (buf, attempt) = (back, attempt + 1);
    }
}

/// Writes; on success the data is durable. `properties` are the device's.
pub(crate) async fn write_durably(device: &dyn Device, properties: &DeviceProperties, transfer: Transfer) -> Ended {
    if !properties.volatile_cache {
        return device.write(transfer, false).await;
    }
    if properties.fua {
        return device.write(transfer, true).await;
    }
    let (buf, written) = device.write(transfer, false).await;
    match written {
        Ok(()) => (buf, device.flush().await),
        Err(error) => (buf, Err(error)),
    }
}
