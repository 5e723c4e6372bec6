// SPDX-License-Identifier: BSD-3-Clause

//! What a shard holds, and who waits for what: for an operator who asks why a request does not get done.
//!
//! A dump is taken between two turns of the shard and changes nothing. Its lists are bounded by the caller, each with the
//! number of all that there are, so that taking one costs the shard less than a millisecond whatever is in flight.

use crate::message::VioRef;
use crate::units::{Lbn, Pbn, ShardId};

/// Which part of a shard is dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpScope {
    /// Entries of each list, at most.
    pub most: usize,
    /// Slabs from this number of the volume on, in order; none: those at which something goes on.
    pub first_slab: Option<u64>,
}

/// The beginning of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed<T> {
    /// All that there are.
    pub total: usize,
    /// Some of them.
    pub shown: Vec<T>,
}

impl<T> Listed<T> {
    pub(crate) fn of(total: usize, all: impl Iterator<Item = T>, scope: &DumpScope) -> Listed<T> {
        Listed { total, shown: all.take(scope.most).collect() }
    }
}

/// How many are in each state, by the state's name.
pub type ByState = Vec<(&'static str, u64)>;

/// What one shard holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardDump {
    /// Its logical zone.
    pub logical: LogicalDump,
    /// Its hash zone.
    pub hash: HashDump,
    /// Its physical zone.
    pub physical: PhysicalDump,
    /// Its recovery journal.
    pub journal: JournalDump,
    /// Transfers of data under way.
    pub transfers: usize,
    /// Blocks of data that wait for a transfer.
    pub transfers_waiting: usize,
    /// Transfers and flushes of metadata that can still be started.
    pub metadata_transfers_free: usize,
}

/// What a logical zone holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalDump {
    /// Parts of clients' requests that are not answered.
    pub requests: usize,
    /// Those of them with blocks that have not begun.
    pub requests_waiting: usize,
    /// Unmaps and zeroes of whole pages that are under way.
    pub ranges: usize,
    /// data_vios in each stage.
    pub vios_by_stage: ByState,
    /// data_vios.
    pub vios: Listed<VioDump>,
    /// data_vios that wait for memory for their block.
    pub waiting_for_memory: usize,
    /// data_vios and ranges that wait for room in the recovery journal.
    pub waiting_for_journal: usize,
    /// Pages of the block map that are being made.
    pub page_allocations: usize,
}

/// A data_vio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VioDump {
    /// Its place in the zone.
    pub index: u32,
    /// Its stage.
    pub stage: &'static str,
    /// What it does: read, write, unmap or write zeroes; or moves what is stored.
    pub operation: &'static str,
    /// Its block.
    pub lbn: Lbn,
    /// Where the block is stored now, once that is known.
    pub stored_at: Option<Pbn>,
    /// Where it will be stored, once that is known.
    pub new_place: Option<Pbn>,
}

/// What a hash zone holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashDump {
    /// Hash locks in each state.
    pub locks_by_state: ByState,
    /// Hash locks.
    pub locks: Listed<HashLockDump>,
    /// Blocks that are being deduplicated, with a lock or without.
    pub members: usize,
    /// Blocks that wait to become one.
    pub arrivals: usize,
    /// Blocks that wait for memory for a verify read.
    pub waiting_for_memory: usize,
    /// Blocks in the packer.
    pub parked: usize,
}

/// A hash lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashLockDump {
    /// Fingerprint of its content.
    pub fingerprint: u128,
    /// Its state.
    pub state: &'static str,
    /// Whether arrivals find it.
    pub registered: bool,
    /// The block that is shared, or may be.
    pub duplicate: Option<Pbn>,
    /// Whether a PBN lock on that is held.
    pub holds_duplicate: bool,
    /// References that can still be added with that lock.
    pub lease: u8,
    /// The data_vio that acts for all.
    pub agent: Option<VioRef>,
    /// Blocks that have the lock in common.
    pub members: u32,
    /// Those of them that wait for the agent.
    pub waiters: usize,
    /// Blocks that wait until the lock is gone.
    pub late: usize,
}

/// What a physical zone holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhysicalDump {
    /// PBN locks.
    pub locks: Listed<PbnLockDump>,
    /// Slabs.
    pub slabs: Listed<SlabDump>,
    /// Who waits for a free block.
    pub waiting_for_block: usize,
    /// Hash locks that wait for a slab to be loaded.
    pub waiting_for_slab: Listed<SlabWaiterDump>,
    /// Changes of reference counts that wait for a slab journal.
    pub waiting_updates: usize,
    /// The scrubber.
    pub scrubber: ScrubberDump,
}

/// A PBN lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PbnLockDump {
    /// The block.
    pub pbn: Pbn,
    /// What its holders do with the block: read, write, or write a page of the block map.
    pub kind: &'static str,
    /// How many hold it.
    pub holders: u16,
    /// References that may be added while it is held.
    pub increment_limit: u8,
    /// Those of them that are out with holders, or used.
    pub leased: u8,
    /// Whether the block is in use only because of the lock.
    pub provisional: bool,
}

/// A slab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlabDump {
    /// Its number in the volume.
    pub number: u64,
    /// Whether its counts are known: rebuilt, unloaded, or rebuilding.
    pub status: &'static str,
    /// Whether blocks are allocated from it now.
    pub is_open: bool,
    /// Its place in the order of opening, higher first; none while it is open or not loaded.
    pub priority: Option<u8>,
    /// Its free blocks, as far as its counts are known.
    pub free_blocks: u32,
    /// The oldest block of its journal that is needed.
    pub journal_head: u64,
    /// All blocks of its journal before this one are on media.
    pub journal_committed: u64,
    /// The block of its journal that is filled next.
    pub journal_tail: u64,
    /// Reference blocks that are newer in memory than on media.
    pub dirty_reference_blocks: usize,
    /// Changes that wait for its journal.
    pub waiting_updates: usize,
    /// What they wait for.
    pub obstacle: Option<&'static str>,
    /// Shards whose recovery journal waits until what has come for the slab is on media.
    pub awaited_by: Vec<ShardId>,
    /// Hash locks that wait for it to be loaded.
    pub lock_waiters: usize,
}

/// A hash lock that waits for a slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabWaiterDump {
    /// The shard whose hash zone it is in.
    pub shard: ShardId,
    /// The block that it wants to lock.
    pub pbn: Pbn,
}

/// The scrubber of a physical zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubberDump {
    /// The slab that it is at.
    pub slab: Option<u64>,
    /// What it does: nothing, wait until all that has come for the slab is on media, or read.
    pub stage: &'static str,
    /// Its reads under way.
    pub reads: usize,
    /// Slabs that somebody waits for.
    pub awaited: usize,
    /// Slabs that come next, as their journals are long.
    pub urgent: usize,
    /// All other slabs that are not loaded.
    pub queued: usize,
    /// Slabs that it has loaded.
    pub scrubbed: u64,
}

/// The recovery journal of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalDump {
    /// Number of the next entry.
    pub next_entry: u64,
    /// All entries before this one are on media.
    pub committed: u64,
    /// All entries before this one are in the block map.
    pub applied: u64,
    /// The block map needs the entries from this one on.
    pub map_head: u64,
    /// The slab journals need the entries from this one on.
    pub slab_head: u64,
    /// Room in its segments, in sectors.
    pub free_sectors: u64,
    /// Flush sets that are being written.
    pub sets: usize,
    /// Whether somebody waits for room.
    pub full: bool,
    /// Whether a segment is being erased.
    pub erasing: bool,
    /// Whether it has failed.
    pub failed: bool,
}
