// SPDX-License-Identifier: BSD-3-Clause

//! The limits that the shards of a simulation are built with.

use engine::slabs::ReserveConfig;

use super::chapters::ChapterPlan;
use super::layout::SEGMENT_BYTES;

/// What each shard is built with.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Blocks in flight.
    pub vios: usize,
    /// Pieces held.
    pub pieces: usize,
    /// Bounce blocks.
    pub bounce: usize,
    /// Verify blocks.
    pub verify: usize,
    /// Blocks for compressed blocks on their way.
    pub containers: usize,
    /// Blocks for swaps.
    pub swaps: usize,
    /// New data is compressed, to begin with.
    pub compression: bool,
    /// Bytes of index.
    pub index_bytes: usize,
    /// The history of the index, if there is one.
    pub history: Option<ChapterPlan>,
    /// Bits of the fingerprint; all of them if not given. With 72 to 76 it is still as good as unique, and more than
    /// one in 32 is a hook.
    pub fingerprint_bits: Option<u32>,
    /// Segments in the recovery journal of each shard.
    pub segments: u32,
    /// Bytes in each of them.
    pub segment_bytes: u64,
    /// Bytes in a sector of the drive with the journals.
    pub sector_bytes: usize,
    /// Pages of the block map in memory, in each shard; at least the smallest possible number.
    pub map_pages: usize,
    /// Blocks of memory for transfers of pages.
    pub map_bufs: usize,
    /// Blocks of memory for transfers of the journal.
    pub journal_bufs: usize,
    /// Blocks of memory for transfers of slab metadata.
    pub slab_bufs: usize,
    /// Flushes are needed.
    pub volatile_cache: bool,
    /// What is kept back when a shard's part of the volume is full.
    pub reserve: ReserveConfig,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            vios: 512,
            pieces: 512,
            bounce: 512,
            verify: 64,
            containers: 16,
            swaps: 4,
            compression: false,
            index_bytes: 1 << 16,
            history: None,
            fingerprint_bits: None,
            segments: 4,
            segment_bytes: SEGMENT_BYTES,
            sector_bytes: 512,
            map_pages: 0,
            map_bufs: 32,
            journal_bufs: 32,
            slab_bufs: 64,
            volatile_cache: false,
            reserve: ReserveConfig::default(),
        }
    }
}
