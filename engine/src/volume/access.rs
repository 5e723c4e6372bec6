// SPDX-License-Identifier: BSD-3-Clause

//! A volume's media as recovery, check and rebuild see them: by place, without knowing of pools and drives.
//!
//! The volume's store implements it on the objects of a pool; tests on memory. It is used only while no shard runs, or
//! while all are quiesced.

use async_trait::async_trait;
use mpool::error::Result;

use crate::format::Place;

/// Reads and writes by place.
#[async_trait(?Send)]
pub trait VolumeMedia {
    /// Reads `blocks` blocks from `place` on, all in one object.
    ///
    /// # Errors
    /// Io, after one retry.
    async fn read(&self, place: Place, blocks: u32) -> Result<Vec<u8>>;

    /// Writes whole blocks from `place` on, all in one object. They are durable after a flush.
    ///
    /// # Errors
    /// Io, after one retry.
    async fn write(&self, place: Place, bytes: &[u8]) -> Result<()>;

    /// Makes all writes that have ended durable.
    ///
    /// # Errors
    /// Io.
    async fn flush(&self) -> Result<()>;

    /// Number of journal segments of the volume, over all journals.
    fn segments(&self) -> u32;

    /// The records of a journal segment, in order, up to its end.
    ///
    /// # Errors
    /// Io; CorruptLog.
    async fn segment_records(&self, segment: u32) -> Result<Vec<Vec<u8>>>;
}
