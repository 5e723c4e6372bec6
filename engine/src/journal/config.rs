// SPDX-License-Identifier: BSD-3-Clause

//! Configuration of a journal, and types shared with its owner.

use crate::format::JournalSegment;
use crate::units::{Pbn, ShardId, BLOCK_SIZE};

/// Size of the longest flush set in bytes: one record with its framing.
pub const SET_BYTES: usize = 16 * 1024;

/// Blocks of memory of one flush set.
pub(super) const SET_BLOCKS: usize = SET_BYTES / BLOCK_SIZE;

/// Maximum number of flush sets in flight.
pub const MAX_SETS: usize = 8;

/// Blocks of memory that a journal can use: more have no effect, fewer mean fewer flush sets in flight.
pub const JOURNAL_BLOCKS: usize = MAX_SETS * SET_BLOCKS;

/// Minimum number of segments of a journal: one is written, one waits to be erased, one is ready.
pub const MIN_SEGMENTS: usize = 3;

/// Logical blocks in use and block-map pages, as recovery has to find them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Number of mapped logical blocks.
    pub logical_blocks_used: i64,
    /// Number of stored block-map pages, not counting roots.
    pub map_pages: i64,
}

impl Counters {
    /// The sum of two shards' counters.
    #[must_use]
    pub const fn plus(self, other: Counters) -> Counters {
        Counters {
            logical_blocks_used: self.logical_blocks_used.wrapping_add(other.logical_blocks_used),
            map_pages: self.map_pages.wrapping_add(other.map_pages),
        }
    }
}

/// Configuration of a journal.
#[derive(Debug)]
pub struct JournalConfig<Buf> {
    /// The shard that owns the journal.
    pub shard: ShardId,
    /// Number of shards of the volume, whose zones confirm commits.
    pub shards: u16,
    /// Load generation, from which page lives are derived.
    pub generation: u64,
    /// The segments of the ring, in any order, all erased. At least [`MIN_SEGMENTS`], all on drives with the same
    /// sector size.
    pub segments: Vec<JournalSegment>,
    /// Number of page entries that can still be appended while [`super::Journal::room`] is 0.
    pub page_reserve: usize,
    /// Completed writes are durable only after a flush, see [`crate::io::MetadataIo::volatile_cache`].
    pub volatile_cache: bool,
    /// Counters at load.
    pub counters: Counters,
    /// Buffers for writes, used only by the journal: at least those of one flush set (4 blocks), and up to
    /// [`JOURNAL_BLOCKS`].
    pub bufs: Vec<Buf>,
}

impl<Buf> JournalConfig<Buf> {
    /// Size of the smallest segment in bytes for drives with `sector_bytes` per sector: with one segment erased, the
    /// reserve and the longest entry fit whatever is lost at the end of the segment before.
    #[must_use]
    pub const fn min_segment_bytes(sector_bytes: usize, page_reserve: usize) -> u64 {
        (2 * SET_BYTES + page_reserve * sector_bytes) as u64
    }
}

/// What waits for an entry to be committed. The number is the owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiter {
    /// The write of a block.
    Vio(u32),
    /// A range operation.
    Range(u32),
    /// The allocation of a page of the block map.
    Page(u32),
    /// The release of a block-map page.
    PageGone {
        /// The map's ticket for the page.
        ticket: u32,
        /// The block to be freed.
        pbn: Pbn,
    },
}
