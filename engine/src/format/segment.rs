// SPDX-License-Identifier: BSD-3-Clause

//! A segment of a recovery journal: one log of the pool, as the shard that writes it knows it.

use mpool::mlog::block::Stamp;

/// An erased log that a shard writes its journal to.
#[derive(Debug, Clone, Copy)]
pub struct JournalSegment {
    /// The segment's number in the volume, as in [`crate::Place::Journal`].
    pub number: u32,
    /// The size in bytes, a multiple of the sector size.
    pub capacity_bytes: u64,
    /// Bytes of a drive sector: 512 or 4096.
    pub sector_bytes: usize,
    /// Identity and generation of the log. An erasure changes the generation.
    pub stamp: Stamp,
}
