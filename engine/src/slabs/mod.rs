// SPDX-License-Identifier: BSD-3-Clause

//! The physical zone: which blocks are in use, how many references each has, and who may touch them now.
//!
//! A shard owns the slabs whose number is its own modulo the number of shards. [`PhysicalZone`] is the only interface:
//! it joins the PBN locks of blocks in flight with the block allocator and with the slab depot, which keeps slabs on
//! media. Operations change memory and answer at once, or by an event when they have to wait. [`PhysicalZone::advance`]
//! starts transfers, [`PhysicalZone::io_done`] takes their results. Memory is reserved when the zone is made.
//!
//! | files | what |
//! |---|---|
//! | `zone`, `apply`, `lifecycle` | the operations: locks and allocation; changes of counts; background and administration |
//! | `pbn_lock`, `lock_table` | PBN locks |
//! | `candidate`, `lock_waiters` | locks on blocks that may be duplicates, and who waits for them |
//! | `allocator`, `slab`, `slab_priority`, `reference_counts`, `layout` | which slab and which block; the counters |
//! | `depot`, `slab_state` | metadata of all slabs and of one, and which of it is in flight |
//! | `slab_journal`, `tail_block`, `commit`, `commit_requests`, `updates` | slab journals, and who waits for them |
//! | `dirty_blocks`, `write_back`, `rounds`, `thresholds` | reference blocks, and when they are written |
//! | `summary_update` | slab summaries |
//! | `scrubber` | loading slabs |
//! | `reserve` | which blocks are kept back, and for whom |
//!
//! Invariants, all of which [`PhysicalZone::audit`] recounts (dm-vdo's numbers):
//! * I2: a PBN lock exists only while it has a holder.
//! * I4: the references still to be granted under a lock fit between the block's counter and 254.
//! * I5: every counter of 255 (provisional) belongs to exactly one PBN lock.
//! * I6: free blocks are the counters that are zero, and the count of each reference block is its nonzero counters.
//! * I7, in another form: dirty reference blocks are queued by their needs.
//! * I8: the points and entries of a slab journal increase.
//! * I10: the open slab is in no list; every other slab whose counts are known is in the list of its priority; all
//!   others wait for the scrubber, or are being scrubbed.
//! * I11: `head <= committed <= written <= tail` of each slab journal.
//!
//! And the invariant that power cut tests check: at any moment, the media give for each slab the counts of exactly
//! those changes that the points in its summary cover.
//!
//! # Where it differs from dm-vdo
//!
//! **Claims are leases.** dm-vdo counts the increments under a lock in one atomic that every hash zone may raise. Here
//! shards share nothing, so a lock hands out claims in bulk, when the lock is taken:
//! * [`PhysicalZone::lock_for_read`] leases everything that is left of the lock's limit. The hash zone that holds the
//!   lease counts its claims itself, without a message for each, and returns the unused rest with
//!   [`PhysicalZone::release`]. So, unlike in dm-vdo, claims are returned, and the count never exceeds the limit.
//! * A second holder finds nothing left and is refused, although the first may not use its whole lease. That costs
//!   nothing where equal blocks share one hash lock, hence one holder. Holders that are known to come in numbers, such
//!   as those that share the fragments of one compressed block, take [`PhysicalZone::lock_for_read_sharing`], which
//!   leases only what is asked for.
//! * The writer of a fresh block gets no answer when its lock is downgraded: its own increment does that. So the writer
//!   owns the whole limit of 253 from then on without a grant, and returns 253 less what it used; a writer that never
//!   incremented returns nothing. A compressed block is downgraded explicitly, for all owners of its fragments at once
//!   ([`PhysicalZone::share_compressed`]): each gets an equal share of the 254.
//!
//! **The increment downgrades.** dm-vdo's writer visits the physical zone once to downgrade its lock and once to
//! increment. Here the first increment under a write lock does both, which saves a message and keeps the same order: no
//! reader can lock the block before it has a counted reference.
//!
//! **No holderless lock.** A new lock has its holder from the start, and nothing can fail between its creation and the
//! answer, so dm-vdo's trap (a failure releases a lock that has no holder) cannot arise.

mod allocator;
mod apply;
mod candidate;
mod commit;
mod commit_requests;
mod config;
mod depot;
mod dirty_blocks;
mod dump;
mod error;
mod event;
mod layout;
mod lifecycle;
mod lock_table;
mod lock_waiters;
#[cfg(test)]
mod model_tests;
mod pbn_lock;
#[cfg(test)]
mod power_cut_tests;
mod reference_counts;
mod reserve;
#[cfg(test)]
mod reserve_tests;
mod rounds;
#[cfg(test)]
mod scrub_tests;
mod scrubber;
mod slab;
mod slab_journal;
mod slab_priority;
mod slab_state;
#[cfg(test)]
mod slab_tests;
mod statistics;
mod summary_update;
mod tail_block;
#[cfg(test)]
mod test_zone;
mod thresholds;
mod updates;
mod write_back;
mod zone;

pub use config::{PbnLocks, PhysicalConfig, MIN_METADATA_BUFS};
pub use error::PhysicalError;
pub use event::{Applied, PhysicalEvent, Requester, Source};
pub use reserve::ReserveConfig;
pub use statistics::PhysicalStatistics;
pub use zone::{PhysicalZone, ReadLock};
