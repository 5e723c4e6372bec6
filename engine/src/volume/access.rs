// SPDX-License-Identifier: BSD-3-Clause

//! A volume's media as recovery, check and rebuild see them: addressed by place, without pools and drives.
//!
//! The volume's store implements this trait on the objects of a pool, tests implement it on memory. It is used only
//! while no shard runs, or while all are quiesced.

use async_trait::async_trait;
use mpool::error::Result;

use crate::format::Place;

/// Reads and writes addressed by place.
#[async_trait(?Send)]
pub trait VolumeMedia {
    /// Reads `blocks` blocks from `place` on, all in one object.
    ///
    /// # Errors
    /// Io, after one retry.
    async fn read(&self, place: Place, blocks: u32) -> Result<Vec<u8>>;

    /// Writes whole blocks from `place` on, all in one object. A later flush makes them durable.
    ///
    /// # Errors
    /// Io, after one retry.
    async fn write(&self, place: Place, bytes: &[u8]) -> Result<()>;

    /// Makes all completed writes durable.
    ///
    /// # Errors
    /// Io.
    async fn flush(&self) -> Result<()>;

    /// The number of the volume's journal segments, over all journals.
    fn segments(&self) -> u32;

    /// The records of a journal segment, in order, up to the end of its log.
    ///
    /// # Errors
    /// Io; CorruptLog.
    async fn segment_records(&self, segment: u32) -> Result<Vec<Vec<u8>>>;
}
