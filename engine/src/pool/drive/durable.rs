// SPDX-License-Identifier: BSD-3-Clause

//! Writes that are durable when they end, on any device: the kernel made them of plain writes and flushes where a device
//! could not, here nobody else does (mpool.md 8.3, SPDK notes).

use crate::pool::device::{Device, DeviceProperties, Ended, Transfer};

/// Writes; the data is durable when this ends well. `properties` are the device's.
pub(in crate::pool) async fn write_durably(
    device: &dyn Device,
    properties: &DeviceProperties,
    transfer: Transfer,
) -> Ended {
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
