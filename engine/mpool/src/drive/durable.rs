// SPDX-License-Identifier: BSD-3-Clause

//! Writes that are durable when they end, on any device: where a device cannot do that by itself, a write is followed by a
//! flush. In the kernel the block layer does so; in SPDK the caller has to.
//!
//! A write of a log is tried again at once: most failures of a path pass. What is tried again is the write, too, when the
//! flush failed: a device may drop what it could not make durable.

use crate::device::{Device, DeviceError, DeviceProperties, Ended, Transfer};

/// How often a write is tried.
const ATTEMPTS: u32 = 3;

/// As [`write_durably`], tried again after an I/O error.
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

/// Writes; the data is durable when this ends well. `properties` are the device's.
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
