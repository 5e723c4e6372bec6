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

/// Recovery failed. But for `Pool` it will fail again: what was found is damage, and the volume needs a rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecoveryError {
    /// A transfer or flush failed, or a journal segment cannot be read as a log.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The summary of a slab is damaged.
    #[error("the summary of slab {slab}: {damage}")]
    Summary {
        /// The slab.
        slab: u64,
        /// What is wrong with it.
        damage: SummaryDamage,
    },
    /// The counts of a slab cannot be made.
    #[error("slab {slab}: {error}")]
    Slab {
        /// The slab.
        slab: u64,
        /// What is wrong with it.
        error: ScrubError,
    },
    /// A page of the block map is damaged.
    #[error("{page:?} of the block map, in {pbn}: {damage}")]
    Page {
        /// The page.
        page: PageId,
        /// Its block; PBN 0 for a root.
        pbn: Pbn,
        /// What is wrong with it.
        damage: PageDamage,
    },
    /// The journals change a page of the block map that there is not.
    #[error("{page:?} of the block map is changed by a recovery journal, but does not exist")]
    PageMissing {
        /// The page.
        page: PageId,
    },
    /// A page of the block map is said to be where no page can be.
    #[error("{page:?} of the block map is said to be in {pbn}, which is no data block")]
    PagePlace {
        /// The page.
        page: PageId,
        /// The block.
        pbn: Pbn,
    },
    /// A record of a journal is damaged.
    #[error("record {record} of journal segment {segment}: {damage}")]
    Record {
        /// The segment.
        segment: u32,
        /// Number of the record in it.
        record: usize,
        /// What is wrong with it.
        damage: RecordDamage,
    },
    /// A record is of a journal that the volume did not have in this generation.
    #[error("record {record} of journal segment {segment} is of a journal of {found} shards instead of {expected}")]
    Shards {
        /// The segment.
        segment: u32,
        /// Number of the record in it.
        record: usize,
        /// Shards according to the record.
        found: u16,
        /// Shards of the volume in this generation.
        expected: u16,
    },
    /// Entries that had been committed are missing.
    #[error("the journal of {shard:?} goes on with entry {found} instead of {expected}")]
    Gap {
        /// The journal.
        shard: ShardId,
        /// The entry that should follow.
        expected: u64,
        /// The one that follows.
        found: u64,
    },
    /// The journal ends before what depends on it.
    #[error("the journal of {shard:?} ends with entry {end}, but slab {slab} has changes up to entry {contained}")]
    Short {
        /// The journal.
        shard: ShardId,
        /// The entry behind its last.
        end: u64,
        /// The slab.
        slab: u64,
        /// The last entry that the slab contains a change of.
        contained: u64,
    },
    /// An entry cannot be of this volume.
    #[error("entry {entry} of the journal of {shard:?}: {fault}")]
    Entry {
        /// The journal.
        shard: ShardId,
        /// The entry.
        entry: u64,
        /// What is wrong with it.
        fault: EntryFault,
    },
    /// The journals take more references from a block, or give it more, than a block can have.
    #[error("the recovery journals change the references of {pbn} by {change}")]
    Balance {
        /// The block.
        pbn: Pbn,
        /// The net change.
        change: i64,
    },
    /// What the journals change in a slab does not fit into its journal, even when that is empty.
    #[error("slab {slab} would need {needed} blocks of its journal's {blocks}")]
    SlabJournalTooSmall {
        /// The slab.
        slab: u64,
        /// Blocks needed.
        needed: u64,
        /// Blocks that there are.
        blocks: u32,
    },
}

/// Why an entry cannot be of this volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EntryFault {
    /// Beyond the logical size.
    #[error("{0} is beyond the volume's logical size")]
    Lbn(Lbn),
    /// No data block, or blocks of two slabs.
    #[error("{count} blocks from {first} on are not in one slab")]
    Blocks {
        /// First block.
        first: Pbn,
        /// Number of blocks.
        count: u32,
    },
    /// In another journal than that of the tree's shard.
    #[error("{0:?} of the block map belongs to another shard")]
    Shard(PageId),
}
