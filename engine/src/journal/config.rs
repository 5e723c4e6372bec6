// SPDX-License-Identifier: BSD-3-Clause

//! What a journal is made of, and what it and its owner tell each other.

use crate::format::JournalSegment;
use crate::units::{Pbn, ShardId, BLOCK_SIZE};

/// Bytes of the longest flush set: one record with its framing.
pub const SET_BYTES: usize = 16 * 1024;

/// Blocks of memory of one flush set.
pub(super) const SET_BLOCKS: usize = SET_BYTES / BLOCK_SIZE;

/// Most flush sets on their way together.
pub const MAX_SETS: usize = 8;

/// Blocks of memory that a journal can use: more bring nothing, fewer mean fewer flush sets together.
pub const JOURNAL_BLOCKS: usize = MAX_SETS * SET_BLOCKS;

/// Fewest segments of a journal: one is written, one waits to be erased, one is ready.
pub const MIN_SEGMENTS: usize = 3;

/// Logical blocks used and pages of the block map, as recovery is to find them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Logical blocks that are mapped.
    pub logical_blocks_used: i64,
    /// Pages of the block map that are stored, roots not counted.
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

/// What a journal is made of.
#[derive(Debug)]
pub struct JournalConfig<Buf> {
    /// The shard.
    pub shard: ShardId,
    /// Shards of the volume: the zones that confirm commits.
    pub shards: u16,
    /// Load generation.
    pub generation: u64,
    /// The ring, in any order; all erased. At least [`MIN_SEGMENTS`], all on drives with one size of sectors.
    pub segments: Vec<JournalSegment>,
    /// Page entries that can always be appended while [`super::Journal::room`] is 0.
    pub page_reserve: usize,
    /// Writes that have ended are durable only after a flush, as [`crate::io::MetadataIo::volatile_cache`] says.
    pub volatile_cache: bool,
    /// Counters at load.
    pub counters: Counters,
    /// Memory for writes, for the journal alone: at least that of one flush set (4 blocks), and up to
    /// [`JOURNAL_BLOCKS`].
    pub bufs: Vec<Buf>,
}

impl<Buf> JournalConfig<Buf> {
    /// Bytes of the smallest segment for drives with sectors of so many bytes: with one segment erased, the reserve
    /// and the longest entry fit whatever is lost at the end of the segment before.
    #[must_use]
    pub const fn min_segment_bytes(sector_bytes: usize, page_reserve: usize) -> u64 {
        (2 * SET_BYTES + page_reserve * sector_bytes) as u64
    }
}

/// Who waits for an entry to be committed. The number is the owner's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiter {
    /// The write of a block.
    Vio(u32),
    /// A range operation.
    Range(u32),
    /// The allocation of a page of the block map.
    Page(u32),
    /// The end of one.
    PageGone {
        /// The map's name for it.
        ticket: u32,
        /// The block that it gives back.
        pbn: Pbn,
    },
}
