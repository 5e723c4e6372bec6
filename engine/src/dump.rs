// SPDX-License-Identifier: BSD-3-Clause

//! What a shard holds and what each request waits for, for an operator who asks why a request does not complete.
//!
//! A dump is taken between two polls of the shard and changes nothing. The caller bounds the length of the lists; each
//! list also has the total number of entries. So a dump costs the shard less than a millisecond, whatever is in flight.

use crate::message::VioRef;
use crate::units::{Lbn, Pbn, ShardId};

/// Which part of a shard is dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpScope {
    /// Maximum number of entries of each list.
    pub most: usize,
    /// List all slabs in order, beginning with this number in the volume; `None`: only slabs with activity.
    pub first_slab: Option<u64>,
}

/// The first entries of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed<T> {
    /// Number of all entries, also of those not shown.
    pub total: usize,
    /// The first entries, at most [`DumpScope::most`].
    pub shown: Vec<T>,
}

impl<T> Listed<T> {
    pub(crate) fn of(total: usize, all: impl Iterator<Item = T>, scope: &DumpScope) -> Listed<T> {
        Listed { total, shown: all.take(scope.most).collect() }
    }
}

/// Number of objects in each state, with the state's name.
pub type ByState = Vec<(&'static str, u64)>;

/// What one shard holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardDump {
    /// Requests, data_vios and ranges in progress.
    pub logical: LogicalDump,
    /// Hash locks and their members.
    pub hash: HashDump,
    /// PBN locks, slabs and the scrubber.
    pub physical: PhysicalDump,
    /// Positions and room of the recovery journal.
    pub journal: JournalDump,
    /// Data transfers in flight.
    pub transfers: usize,
    /// Blocks of data that wait for a transfer.
    pub transfers_waiting: usize,
    /// Free slots for transfers and flushes of metadata.
    pub metadata_transfers_free: usize,
}

/// What a logical zone holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalDump {
    /// Pieces of client requests that are not answered yet.
    pub requests: usize,
    /// Pieces that have blocks not started yet.
    pub requests_waiting: usize,
    /// Unmaps and zeroes of whole pages in progress.
    pub ranges: usize,
    /// data_vios in each stage.
    pub vios_by_stage: ByState,
    /// The data_vios in use.
    pub vios: Listed<VioDump>,
    /// data_vios that wait for memory for their block.
    pub waiting_for_memory: usize,
    /// data_vios and ranges that wait for room in the recovery journal.
    pub waiting_for_journal: usize,
    /// Block-map pages being created.
    pub page_allocations: usize,
}

/// A data_vio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VioDump {
    /// Index in the zone's pool.
    pub index: u32,
    /// Name of its stage.
    pub stage: &'static str,
    /// Its operation: read, write, unmap or write zeroes; or the relocation of a stored block.
    pub operation: &'static str,
    /// The logical block that it works on.
    pub lbn: Lbn,
    /// Current location of the block, once known.
    pub stored_at: Option<Pbn>,
    /// New location of the block, once known.
    pub new_place: Option<Pbn>,
}

/// What a hash zone holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashDump {
    /// Hash locks in each state.
    pub locks_by_state: ByState,
    /// The hash locks in use.
    pub locks: Listed<HashLockDump>,
    /// Blocks being deduplicated, with or without a lock.
    pub members: usize,
    /// Blocks queued because no member is free.
    pub arrivals: usize,
    /// Blocks that wait for a buffer for a verify read.
    pub waiting_for_memory: usize,
    /// Blocks parked in the packer.
    pub parked: usize,
}

/// A hash lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashLockDump {
    /// Fingerprint of the members' content.
    pub fingerprint: u128,
    /// Name of its state.
    pub state: &'static str,
    /// Whether new arrivals with this fingerprint find the lock.
    pub registered: bool,
    /// The block that is shared or is a candidate for sharing.
    pub duplicate: Option<Pbn>,
    /// Whether the lock holds a PBN lock on `duplicate`.
    pub holds_duplicate: bool,
    /// References that can still be added under that PBN lock.
    pub lease: u8,
    /// The data_vio that acts for all members.
    pub agent: Option<VioRef>,
    /// Blocks that share this lock.
    pub members: u32,
    /// Members that wait for the agent.
    pub waiters: usize,
    /// Blocks that wait until the lock is gone.
    pub late: usize,
}

/// What a physical zone holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhysicalDump {
    /// The PBN locks in use.
    pub locks: Listed<PbnLockDump>,
    /// The slabs that [`DumpScope::first_slab`] selects.
    pub slabs: Listed<SlabDump>,
    /// Requesters that wait for a free block.
    pub waiting_for_block: usize,
    /// Hash locks that wait for a slab to be loaded.
    pub waiting_for_slab: Listed<SlabWaiterDump>,
    /// Reference-count changes that wait for room in a slab journal.
    pub waiting_updates: usize,
    /// What the scrubber does.
    pub scrubber: ScrubberDump,
}

/// A PBN lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PbnLockDump {
    /// The locked block.
    pub pbn: Pbn,
    /// Kind of lock: read, write, or write of a block-map page.
    pub kind: &'static str,
    /// Number of holders.
    pub holders: u16,
    /// References that may be added while the lock is held.
    pub increment_limit: u8,
    /// References of these that are leased to holders or used.
    pub leased: u8,
    /// Whether only the lock keeps the block in use.
    pub provisional: bool,
}

/// A slab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlabDump {
    /// Number in the volume.
    pub number: u64,
    /// State of its reference counts: rebuilt, unloaded, or rebuilding.
    pub status: &'static str,
    /// Whether blocks are currently allocated from the slab.
    pub is_open: bool,
    /// Priority for being opened, higher first; `None` while the slab is open or not loaded.
    pub priority: Option<u8>,
    /// Free blocks, as far as its counts are known.
    pub free_blocks: u32,
    /// The oldest block of its journal that is still needed.
    pub journal_head: u64,
    /// All blocks of its journal before this one are on media.
    pub journal_committed: u64,
    /// The block of its journal that is filled next.
    pub journal_tail: u64,
    /// Reference blocks that are newer in memory than on media.
    pub dirty_reference_blocks: usize,
    /// Changes that wait for its journal.
    pub waiting_updates: usize,
    /// What these changes wait for.
    pub obstacle: Option<&'static str>,
    /// Shards whose recovery journal waits until the changes sent to this slab are on media.
    pub awaited_by: Vec<ShardId>,
    /// Hash locks that wait for the slab to be loaded.
    pub lock_waiters: usize,
}

/// A hash lock that waits for a slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabWaiterDump {
    /// Shard of the hash zone.
    pub shard: ShardId,
    /// The block to be locked.
    pub pbn: Pbn,
}

/// The scrubber of a physical zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubberDump {
    /// The slab being scrubbed.
    pub slab: Option<u64>,
    /// Current activity: idle, waiting until all changes received for the slab are on media, or reading.
    pub stage: &'static str,
    /// Reads in flight.
    pub reads: usize,
    /// Slabs that a request waits for.
    pub awaited: usize,
    /// Slabs scrubbed next because their journals are long.
    pub urgent: usize,
    /// All other slabs that are not loaded.
    pub queued: usize,
    /// Slabs that the scrubber has loaded.
    pub scrubbed: u64,
}

/// The recovery journal of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalDump {
    /// Number of the next entry.
    pub next_entry: u64,
    /// All entries before this one are on media.
    pub committed: u64,
    /// All entries before this one are applied to the block map.
    pub applied: u64,
    /// The block map needs the entries from this one on.
    pub map_head: u64,
    /// The slab journals need the entries from this one on.
    pub slab_head: u64,
    /// Free sectors in its segments.
    pub free_sectors: u64,
    /// Flush sets being written.
    pub sets: usize,
    /// Whether the journal has no room for another entry.
    pub full: bool,
    /// Whether a segment is being erased.
    pub erasing: bool,
    /// Whether the journal has failed.
    pub failed: bool,
}
