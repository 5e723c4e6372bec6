// SPDX-License-Identifier: BSD-3-Clause

//! The space of one log, and the memory of its flush sets.

use core::fmt;
use core::ops::Range;

use async_trait::async_trait;

use crate::device::IoBuf;
use crate::error::Result;

/// The space of one log. Offsets are bytes from its start.
///
/// A transfer that has begun continues when its future is dropped; see [`crate::device`].
#[async_trait(?Send)]
pub trait LogMedia: fmt::Debug {
    /// Bytes in a block: 512 or 4096.
    fn sector_bytes(&self) -> usize;

    /// Bytes of the whole space.
    fn capacity_bytes(&self) -> u64;

    /// True when a power cut never tears the write of one block, so that a block with acknowledged records can be
    /// rewritten.
    fn continue_allowed(&self) -> bool;

    /// Allocates zeroed memory for transfers.
    ///
    /// # Errors
    /// NoMemory.
    fn allocate(&self, bytes: usize) -> Result<IoBuf>;

    /// Reads whole blocks from byte `at` on.
    async fn read(&self, at: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>);

    /// Writes whole blocks; on success they are durable.
    async fn write_durable(&self, at: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>);

    /// Makes earlier writes durable, also those of an earlier opener whose write or flush failed.
    async fn flush(&self) -> Result<()>;
}

/// The memory of a flush set.
pub trait FlushMemory {
    /// All bytes of the memory.
    fn bytes(&self) -> &[u8];

    /// All bytes of the memory, mutable.
    fn bytes_mut(&mut self) -> &mut [u8];
}

impl FlushMemory for IoBuf {
    fn bytes(&self) -> &[u8] {
        (**self).as_ref()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        (**self).as_mut()
    }
}

impl FlushMemory for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}
