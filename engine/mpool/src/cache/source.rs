// SPDX-License-Identifier: BSD-3-Clause

//! What cache maps need of the mblocks below.

use core::fmt;
use core::ops::Range;

use async_trait::async_trait;

use crate::device::IoBuf;
use crate::error::Result;
use crate::ids::ObjectId;

/// Committed mblocks, and memory to read them into.
#[async_trait(?Send)]
pub trait MblockSource: fmt::Debug {
    /// Holds a committed mblock, so that it cannot be deleted, and returns its written length in bytes, a multiple of
    /// the page size. Holds are counted.
    ///
    /// # Errors
    /// NotFound: there is no such mblock, or it is not committed.
    fn hold(&self, id: ObjectId) -> Result<u64>;

    /// Releases one hold.
    fn release(&self, id: ObjectId);

    /// Reads whole pages of a held mblock, from byte `offset` on, into `range` of `buf`, and returns the memory.
    async fn read(&self, id: ObjectId, offset: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>);

    /// Allocates memory that devices can transfer to, `bytes` long.
    ///
    /// # Errors
    /// NoMemory.
    fn allocate(&self, bytes: usize) -> Result<IoBuf>;
}
