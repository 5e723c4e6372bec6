// SPDX-License-Identifier: BSD-3-Clause

//! A hash lock: all blocks in flight whose content is equal.
//!
//! With the lock, (a) one index query serves them all, (b) they share with each other and not only with old data, and
//! (c) they hold one lock together on the physical copy. The transitions, each made by the named function of the hash
//! zone:
//!
//! | from | when | condition | to | function |
//! |---|---|---|---|---|
//! | Initializing | first arrival | | Querying | `enter` |
//! | Querying | index answered | plausible advice | Locking | `answered` |
//! | Querying | index answered, asked too long, or not used | none | Writing | `answered` |
//! | Locking | agent back | no read lock | Writing, update advice | `locked` |
//! | Locking | agent back | locked | Verifying | `locked` |
//! | Verifying | compare done | equal | Deduping | `verify_done` |
//! | Verifying | compare done | different, or error | Unlocking, update advice | `verify_done` |
//! | Writing | agent's remap finished | waiters | Deduping | `finished` |
//! | Writing | agent's remap finished | update advice | Updating | `finished` |
//! | Writing | agent's remap finished | neither, holds the copy (compressed) | Unlocking | `finished` |
//! | Writing | agent's remap finished | neither, does not | Bypassing | `finished` |
//! | Deduping | member back | others remain | Deduping | `finished` |
//! | Deduping | last member back | update advice | Updating | `last_member_back` |
//! | Deduping | last member back | | Unlocking | `last_member_back` |
//! | Deduping | no increment left | the copy is a fragment | Deduping, asks for more | `launch` |
//! | Deduping | no increment left, or none to be had | | a new lock in Writing | `fork` |
//! | Updating | index told | holds the copy | Unlocking | `updated` |
//! | Updating | index told | does not | Bypassing | `updated` |
//! | Unlocking | lock released | not verified | Writing | `released` |
//! | Unlocking | lock released | verified | Bypassing | `released` |
//! | any | agent failed | | Bypassing, waiters write alone | `fail` |
//!
//! Differs from dm-vdo:
//! * A block is allocated when its lock enters Writing, not before hashing, so a duplicate never takes a block that it
//!   must give back. Hence every lock that has written updates the index (POST and QUERY are no longer different), and
//!   no waiter ever has an allocation that the agent lacks.
//! * The physical zone leases increments to the lock, which counts them itself; dm-vdo uses a shared atomic.
//! * A member's content is only sure to be unchanged until its data_vio finishes. A data_vio on another shard may
//!   finish any time after its member was sent to be remapped, so arrivals are compared with *live* members only. If a
//!   lock has no live member, arrivals wait (`late`) until the lock is gone and then start again: they find the new
//!   copy through the index. A lock whose last member has recorded its mapping has no live member, so no block waits
//!   for a lock in Updating, nor for a verified lock in Unlocking, and neither state goes back to Deduping or Locking.
//! * The fragments of a compressed block share its references. A lock on a fragment gets a small lease and asks for
//!   more before it forks; members that find no increment left wait for the answer.

use crate::arena::NONE;
use crate::fingerprint::Fingerprint;
use crate::format::Mapped;
use crate::owner_count::OwnerCount;
use crate::wait_queue::WaitQueue;

/// State of a hash lock; see the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// Just acquired.
    Initializing,
    /// The index is queried in the next batch, or the lock waits for the history.
    Querying,
    /// The agent asks for a read lock on the advised block.
    Locking,
    /// The advised block is read and compared.
    Verifying,
    /// All members record their mappings to the copy at the same time; there is no agent.
    Deduping,
    /// The agent stores a new copy.
    Writing,
    /// The index is updated in the next batch.
    Updating,
    /// The PBN lock on the copy is being released.
    Unlocking,
    /// Terminal state: the members finish on their own.
    Bypassing,
}

/// The shared state of all blocks in flight with equal content.
#[derive(Debug, Clone, Copy)]
pub struct HashLock {
    /// Fingerprint of the members' content.
    pub fingerprint: Fingerprint,
    pub state: LockState,
    /// Whether new arrivals find this lock.
    pub registered: bool,
    /// Whether its query has waited for the index history; a query waits at most once.
    pub has_waited: bool,
    /// Whether the index still has to be told the correct location.
    pub update_advice: bool,
    /// Whether `duplicate` is known to be an equal copy.
    pub verified: bool,
    /// Whether the advice has been counted as valid or stale.
    pub verify_counted: bool,
    /// The candidate; the copy once `verified`.
    pub duplicate: Option<Mapped>,
    /// Whether the lock holds a PBN lock on `duplicate`.
    pub holds_duplicate: bool,
    /// Increments leased with the PBN lock and not yet claimed by a member.
    pub lease: u8,
    /// Whether more increments have been requested; the waiters wait for them.
    pub extending: bool,
    /// A request waits for the LBN of a member, so the agent's fragment does not wait for partners.
    pub awaited: bool,
    /// The member that acts for the lock.
    pub agent: u32,
    /// Members that wait for the agent.
    pub waiters: WaitQueue,
    /// Arrivals that could not be compared; not members.
    pub late: WaitQueue,
    /// First of the live members, whose content can be compared.
    pub live: u32,
    pub members: OwnerCount,
}

impl HashLock {
    pub fn new(fingerprint: Fingerprint) -> HashLock {
        HashLock {
            fingerprint,
            state: LockState::Initializing,
            registered: false,
            has_waited: false,
            update_advice: false,
            verified: false,
            verify_counted: false,
            duplicate: None,
            holds_duplicate: false,
            lease: 0,
            extending: false,
            awaited: false,
            agent: NONE,
            waiters: WaitQueue::new(),
            late: WaitQueue::new(),
            live: NONE,
            members: OwnerCount::ZERO,
        }
    }
}
