// SPDX-License-Identifier: BSD-3-Clause

//! What cache maps ask of the mblocks beneath them.

use core::fmt;
use core::ops::Range;

use async_trait::async_trait;

use crate::device::IoBuf;
use crate::error::Result;
use crate::ids::ObjectId;

/// Committed mblocks, and memory to read them into.
#[async_trait(?Send)]
pub trait MblockSource: fmt::Debug {
    /// Holds a committed mblock, so that deleting it is refused, and tells its written length in bytes, a multiple of
    /// the page. Holds are counted.
    ///
    /// # Errors
    /// NotFound: there is no such mblock, or it is not committed.
    fn hold(&self, id: ObjectId) -> Result<u64>;

    /// Ends one hold.
    fn release(&self, id: ObjectId);

    /// Reads whole pages of a held mblock, from byte `offset` on, into `range` of `buf`, and gives the memory back.
    async fn read(&self, id: ObjectId, offset: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>);

    /// Memory that devices can transfer to, `bytes` long.
    ///
    /// # Errors
    /// NoMemory.
    fn allocate(&self, bytes: usize) -> Result<IoBuf>;
}
