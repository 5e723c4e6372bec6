// SPDX-License-Identifier: BSD-3-Clause

//! The physical zone: which blocks are in use, how often, and who may touch them now (vdo.md sections 3 and 4.1-4.4).
//!
//! A shard owns the slabs whose number is its own modulo the number of shards. [`PhysicalZone`] is the only way in: it
//! joins the PBN locks of blocks in flight with the block allocator, and everything in it is synchronous, owned by one
//! shard, and sized when it is made: no operation allocates memory.
//!
//! Files: `zone` (the operations), `pbn_lock` (one lock), `lock_table` (all locks of a zone), `allocator` (chooses slab
//! and block), `slab` and `slab_priority` (which slab is next), `reference_counts` (the counters), `layout` (numbers of
//! slabs and blocks inside a zone), `home_slot` (where a block belongs in a hash table).
//!
//! Invariants, all of which [`PhysicalZone::audit`] recounts (numbers of vdo.md section 10):
//! * I2: a PBN lock exists only while it has a holder.
//! * I4: references still to be granted under a lock fit between the block's counter and 254.
//! * I5: every counter of 255 (provisional) belongs to exactly one PBN lock.
//! * I6: free blocks are the counters that are zero, and the count of each reference block is its nonzero counters.
//! * I10: the open slab is in no list; every other slab is in the list of its priority.
//!
//! # Where it differs from dm-vdo
//!
//! **Claims are leases.** dm-vdo counts the increments under a lock in one atomic that every hash zone may raise. Here
//! nothing is shared between shards (architecture.md section 1.1), so a lock hands claims out in bulk, with the lock
//! itself:
//! * [`PhysicalZone::lock_for_read`] leases everything that is left of the lock's limit. The hash zone that holds the
//!   lease counts its claims itself, without a message for each, and gives back what it did not use with
//!   [`PhysicalZone::release`]. Thus, unlike in dm-vdo, claims are returned, and the count never runs past the limit.
//! * A second holder finds nothing left and is refused, although the first may not use its whole lease. That costs
//!   nothing where equal blocks share one hash lock, hence one holder. Holders that are known to come in numbers, such
//!   as the fragments of one compressed block, take [`PhysicalZone::lock_for_read_sharing`], which leases at most what
//!   is asked for.
//! * The writer of a fresh block is not answered when its lock is downgraded: its own increment does that. So it owns
//!   the whole limit of 253 from then on without a grant, and gives back 253 less what it used; a writer that never
//!   incremented gives back nothing. A compressed block is downgraded explicitly, and nothing of its 254 is leased by
//!   that: every fragment takes its own.
//!
//! **The increment downgrades.** dm-vdo's writer visits the physical zone once to downgrade its lock and once to
//! increment. Here the first increment under a write lock does both, which saves a message and keeps the same order:
//! nobody can lock the block for reading before it holds a counted reference.
//!
//! **No holderless lock.** A new lock has its holder from the start, and nothing can fail between its making and the
//! answer, so the trap of vdo.md 2.5 (a failure releases a lock without holder) cannot arise.

mod allocator;
mod error;
mod home_slot;
mod layout;
mod lock_table;
#[cfg(test)]
mod model_tests;
mod pbn_lock;
mod reference_counts;
mod slab;
mod slab_priority;
mod zone;

pub use error::PhysicalError;
pub(crate) use home_slot::home_slot;
pub use zone::{PhysicalZone, ReadLock};
