// SPDX-License-Identifier: BSD-3-Clause

//! A hash lock: all blocks in flight whose content is equal.
//!
//! So that (a) one index query serves them all, (b) they share with each other and not only with old data, and (c) they
//! hold one lock together on the physical copy. The transitions, all made in `zone.rs` by the function named:
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
//! * A block is allocated when its lock enters Writing, not before hashing, so a duplicate
//!   never takes a block that it must give back. Hence every lock that has written tells the index (POST and QUERY
//!   differ no more), and no waiter ever has an allocation that the agent lacks.
//! * Increments are leased to the lock by the physical zone and counted here, instead of by a shared atomic.
//! * Content is the client's own memory, which is only sure to be unchanged until the client is answered. A member
//!   whose logical zone is on another shard may be answered any time after it was sent to be remapped, so arrivals are
//!   compared with *live* members only. If a lock has none, arrivals wait (`late`) until it is gone and start anew:
//!   they find the fresh copy through the index. A lock whose last member has recorded its mapping has none, so nobody waits
//!   for a lock in Updating, nor for one in Unlocking that is verified, and neither goes back to Deduping or Locking.
//! * The fragments of a compressed block share its references. A lock on one is leased some, and asks for more before it
//!   forks; members that find none left wait for the answer.

use crate::arena::NONE;
use crate::fingerprint::Fingerprint;
use crate::format::Mapped;
use crate::owner_count::OwnerCount;
use crate::wait_queue::WaitQueue;

/// State of a hash lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// Fresh from the pool.
    Initializing,
    /// The index is asked, in the next batch of probes, or the lock waits for its history.
    Querying,
    /// The agent tries for a read lock on the advised block.
    Locking,
    /// The advised block is read and compared.
    Verifying,
    /// Members record their mappings to the copy, all at once; there is no agent.
    Deduping,
    /// The agent stores a new copy.
    Writing,
    /// The index is told, in the next batch.
    Updating,
    /// The lock on the copy is given back.
    Unlocking,
    /// Terminal: members finish on their own.
    Bypassing,
}

/// A hash lock.
#[derive(Debug, Clone, Copy)]
pub struct HashLock {
    /// Fingerprint of the content.
    pub fingerprint: Fingerprint,
    /// State.
    pub state: LockState,
    /// Whether it is the one that new arrivals find.
    pub registered: bool,
    /// Whether its query has waited for the history of the index, which it does once.
    pub has_waited: bool,
    /// Whether the index does not know the right place yet.
    pub update_advice: bool,
    /// Whether `duplicate` is a true copy.
    pub verified: bool,
    /// Whether the advice has been counted as valid or stale.
    pub verify_counted: bool,
    /// Candidate, or copy once verified.
    pub duplicate: Option<Mapped>,
    /// Whether a PBN lock on `duplicate` is held.
    pub holds_duplicate: bool,
    /// Increments leased with that lock and not claimed by a member yet.
    pub lease: u8,
    /// Whether more increments have been asked for; waiters wait for them.
    pub extending: bool,
    /// Somebody waits for the LBN of a member: the agent's fragment waits for no company.
    pub awaited: bool,
    /// The member that performs the lock's operation.
    pub agent: u32,
    /// Members that wait for the agent.
    pub waiters: WaitQueue,
    /// Arrivals that could not be compared; not members.
    pub late: WaitQueue,
    /// First member of the ring whose content can be compared.
    pub live: u32,
    /// Number of members.
    pub members: OwnerCount,
}

impl HashLock {
    /// A fresh lock.
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
