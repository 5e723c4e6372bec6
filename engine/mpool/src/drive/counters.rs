// SPDX-License-Identifier: BSD-3-Clause

//! I/O counters of a drive. They cover everything that the drive's device does for the pool: logs, objects and
//! superblocks.
//!
//! As with SPDK's bdevs, a failed operation counts as an error and not as an operation, and a transfer counts once,
//! however many pieces it is cut into. There are no latencies: a device knows no time.

use core::cell::Cell;
use core::fmt;
use std::rc::Rc;

use async_trait::async_trait;

use crate::device::{Device, DeviceError, DeviceProperties, Ended, IoBuf, Transfer};

macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// Counters of I/O. Their names are those of SPDK's `bdev_get_iostat` where that has them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct IoCounters {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl IoCounters {
            /// Adds up two sets of counters.
            #[must_use]
            pub const fn plus(self, other: IoCounters) -> IoCounters {
                IoCounters { $($name: self.$name.wrapping_add(other.$name),)+ }
            }

            /// All counters, by name.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }
        }
    };
}

counters! {
    /// Bytes of successful reads.
    bytes_read,
    /// Successful reads.
    num_read_ops,
    /// Bytes of successful writes.
    bytes_written,
    /// Successful writes.
    num_write_ops,
    /// Bytes of successful discards.
    bytes_unmapped,
    /// Successful discards.
    num_unmap_ops,
    /// Successful flushes.
    num_flush_ops,
    /// Reads that failed.
    num_read_errors,
    /// Writes that failed.
    num_write_errors,
    /// Discards that failed.
    num_unmap_errors,
    /// Flushes that failed.
    num_flush_errors,
}

impl IoCounters {
    /// Counts a completed read of `bytes`.
    pub const fn read(&mut self, bytes: u64, ok: bool) {
        if ok {
            self.num_read_ops += 1;
            self.bytes_read += bytes;
        } else {
            self.num_read_errors += 1;
        }
    }

    /// Counts a completed write of `bytes`.
    pub const fn write(&mut self, bytes: u64, ok: bool) {
        if ok {
            self.num_write_ops += 1;
            self.bytes_written += bytes;
        } else {
            self.num_write_errors += 1;
        }
    }

    /// Counts a completed discard of `bytes`.
    pub const fn unmap(&mut self, bytes: u64, ok: bool) {
        if ok {
            self.num_unmap_ops += 1;
            self.bytes_unmapped += bytes;
        } else {
            self.num_unmap_errors += 1;
        }
    }

    /// Counts a completed flush.
    pub const fn flush(&mut self, ok: bool) {
        if ok {
            self.num_flush_ops += 1;
        } else {
            self.num_flush_errors += 1;
        }
    }
}

/// A device that counts its operations.
pub(super) struct Counted {
    device: Rc<dyn Device>,
    counters: Rc<Cell<IoCounters>>,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.device.fmt(f)
    }
}

impl Counted {
    pub fn new(device: Rc<dyn Device>, counters: &Rc<Cell<IoCounters>>) -> Counted {
        Counted { device, counters: Rc::clone(counters) }
    }

    fn count(&self, count: impl FnOnce(&mut IoCounters)) {
        let mut counters = self.counters.get();
        count(&mut counters);
        self.counters.set(counters);
    }
}

#[async_trait(?Send)]
impl Device for Counted {
    fn properties(&self) -> DeviceProperties {
        self.device.properties()
    }

    fn allocate(&self, bytes: usize) -> Result<IoBuf, DeviceError> {
        self.device.allocate(bytes)
    }

    async fn read(&self, transfer: Transfer) -> Ended {
        let bytes = transfer.range.len() as u64;
        let (buf, outcome) = self.device.read(transfer).await;
        self.count(|counters| counters.read(bytes, outcome.is_ok()));
        (buf, outcome)
    }

    async fn write(&self, transfer: Transfer, fua: bool) -> Ended {
        let bytes = transfer.range.len() as u64;
        let (buf, outcome) = self.device.write(transfer, fua).await;
        self.count(|counters| counters.write(bytes, outcome.is_ok()));
        (buf, outcome)
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        let outcome = self.device.flush().await;
        self.count(|counters| counters.flush(outcome.is_ok()));
        outcome
    }

    async fn unmap(&self, at: u64, bytes: u64) -> Result<(), DeviceError> {
        let outcome = self.device.unmap(at, bytes).await;
        self.count(|counters| counters.unmap(bytes, outcome.is_ok()));
        outcome
    }
}
