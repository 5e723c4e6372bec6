// SPDX-License-Identifier: BSD-3-Clause

//! Why a volume cannot be recovered.

use mpool::PoolError;
use thiserror::Error;

use crate::format::journal_record::RecordDamage;
use crate::format::map_page::PageDamage;
use crate::format::slab_rebuild::ScrubError;
use crate::format::slab_summary::SummaryDamage;
use crate::format::PageId;
use crate::units::{Lbn, Pbn, ShardId};

/// Why a recovery failed. Only `Pool` may be retried: every other error means damage, and the volume needs a rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecoveryError {
    /// A transfer or flush failed, or a journal segment cannot be read as a log.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The summary of a slab is damaged.
    #[error("the summary of slab {slab}: {damage}")]
    Summary {
        /// The number of the slab.
        slab: u64,
        /// The damage found.
        damage: SummaryDamage,
    },
    /// The counts of a slab cannot be computed.
    #[error("slab {slab}: {error}")]
    Slab {
        /// The number of the slab.
        slab: u64,
        /// The damage found.
        error: ScrubError,
    },
    /// A page of the block map is damaged.
    #[error("{page:?} of the block map, in {pbn}: {damage}")]
    Page {
        /// Level and index of the page.
        page: PageId,
        /// The page's block; PBN 0 for a root.
        pbn: Pbn,
        /// The damage found.
        damage: PageDamage,
    },
    /// The journals change a page of the block map that does not exist.
    #[error("{page:?} of the block map is changed by a recovery journal, but does not exist")]
    PageMissing {
        /// Level and index of the page.
        page: PageId,
    },
    /// A parent's entry names a block where no page can be.
    #[error("{page:?} of the block map is said to be in {pbn}, which is no data block")]
    PagePlace {
        /// Level and index of the page.
        page: PageId,
        /// The block that the entry names.
        pbn: Pbn,
    },
    /// A record of a journal is damaged.
    #[error("record {record} of journal segment {segment}: {damage}")]
    Record {
        /// The number of the segment in the volume.
        segment: u32,
        /// The number of the record in the segment.
        record: usize,
        /// The damage found.
        damage: RecordDamage,
    },
    /// A record belongs to a journal that the volume did not have in this generation.
    #[error("record {record} of journal segment {segment} is of a journal of {found} shards instead of {expected}")]
    Shards {
        /// The number of the segment in the volume.
        segment: u32,
        /// The number of the record in the segment.
        record: usize,
        /// The number of shards in the record.
        found: u16,
        /// The number of shards of the volume in this generation.
        expected: u16,
    },
    /// Entries that had been committed are missing.
    #[error("the journal of {shard:?} goes on with entry {found} instead of {expected}")]
    Gap {
        /// The shard whose journal has the gap.
        shard: ShardId,
        /// The number of the entry that should follow.
        expected: u64,
        /// The number of the entry that follows.
        found: u64,
    },
    /// The journal ends before entries that a slab contains.
    #[error("the journal of {shard:?} ends with entry {end}, but slab {slab} has changes up to entry {contained}")]
    Short {
        /// The shard whose journal is too short.
        shard: ShardId,
        /// The number of the entry behind the journal's last.
        end: u64,
        /// The number of the slab.
        slab: u64,
        /// The last entry of which the slab contains a change.
        contained: u64,
    },
    /// An entry cannot belong to this volume.
    #[error("entry {entry} of the journal of {shard:?}: {fault}")]
    Entry {
        /// The shard whose journal holds the entry.
        shard: ShardId,
        /// The number of the entry.
        entry: u64,
        /// The fault found.
        fault: EntryFault,
    },
    /// The journals take more references from a block, or give it more, than a block can have.
    #[error("the recovery journals change the references of {pbn} by {change}")]
    Balance {
        /// The block.
        pbn: Pbn,
        /// The net change of its references.
        change: i64,
    },
    /// The changes of a slab do not fit its journal, even when that is empty.
    #[error("slab {slab} would need {needed} blocks of its journal's {blocks}")]
    SlabJournalTooSmall {
        /// The number of the slab.
        slab: u64,
        /// Journal blocks that the changes need.
        needed: u64,
        /// Journal blocks that the slab has.
        blocks: u32,
    },
}

/// Why an entry cannot belong to this volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EntryFault {
    /// The logical block is beyond the logical size.
    #[error("{0} is beyond the volume's logical size")]
    Lbn(Lbn),
    /// The blocks are not data blocks of one slab.
    #[error("{count} blocks from {first} on are not in one slab")]
    Blocks {
        /// The first block.
        first: Pbn,
        /// The number of blocks.
        count: u32,
    },
    /// The page belongs to the tree of another shard than the journal's.
    #[error("{0:?} of the block map belongs to another shard")]
    Shard(PageId),
}
