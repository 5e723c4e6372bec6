// SPDX-License-Identifier: BSD-3-Clause

//! The hash zone of a shard: all hash locks whose fingerprints it owns, and its part of the index.
//!
//! The state machine is described in `hash_lock.rs`; each of its transitions is one function here. Work arrives through
//! queues and leaves through the context, so no function here is entered from inside another zone. Index queries and
//! updates are done in batches: first all buckets of the batch are touched, then probed, so that their cache misses
//! overlap.
//!
//! Invariants: a fingerprint has at most one registered lock; every member of a lock has the same 4096 bytes; at most
//! one of a lock and its fork updates the index (vdo.md I3); nothing depends on the index being right (I13).

use std::collections::VecDeque;

use hashbrown::hash_table::Entry;
use hashbrown::HashTable;

use crate::arena::{Arena, NONE};
use crate::context::{Context, Owner};
use crate::env::{Direction, Env, Event};
use crate::error::RequestError;
use crate::hash::hash_lock::{HashLock, LockState};
use crate::hash::index::{Index, Update};
use crate::hash::member::Member;
use crate::hash::Fingerprint;
use crate::logical::{Mapped, MappingState};
use crate::message::{MemberRef, Message};
use crate::physical::{Allocation, Requester};
use crate::units::{Pbn, ShardId, MAX_REFERENCES};
use crate::volume::{Geometry, Statistics};

/// Increments that remain after the writer's own, when its write lock becomes a read lock (vdo.md 3.1).
const LEASE_OF_NEW_COPY: u8 = MAX_REFERENCES - 1;

/// The hash zone.
#[derive(Debug)]
pub struct HashZone<Buf> {
    members: Arena<Member<Buf>>,
    locks: Arena<HashLock>,
    registered: HashTable<u32>,
    index: Index,
    /// Members that have not met their lock yet.
    entering: VecDeque<u32>,
    /// Locks in Querying.
    queries: Vec<u32>,
    /// Locks in Updating.
    updates: Vec<u32>,
    /// Free memory for verify reads, and the members that wait for some.
    scratch: Vec<Buf>,
    scratch_waiters: VecDeque<u32>,
    /// Whether the last allocation found every zone full.
    full: bool,
}

fn hash(fingerprint: Fingerprint) -> u64 {
    // A fingerprint is as good as random already, unless a test has weakened it.
    let folded = (fingerprint.0 >> 64) as u64 ^ fingerprint.0 as u64;
    folded.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Whether advice names a place where a whole block of content can be: a data block of some slab, not compressed.
fn is_plausible(geometry: &Geometry, advice: Mapped) -> bool {
    advice.state == MappingState::Uncompressed && geometry.physical_shard(advice.pbn).is_some()
}

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// An empty zone. `members` bounds the blocks that it works on at once; more arrivals wait.
    pub fn new(members: usize, index_bytes: usize, scratch: Vec<Buf>, example: Buf) -> HashZone<Buf> {
        assert!(!scratch.is_empty(), "without memory for verify reads no advice could be checked");
        let vio = crate::message::VioRef { shard: ShardId(0), index: NONE };
        let none = Fingerprint(0);
        HashZone {
            members: Arena::new(members, Member::new(vio, example, none)),
            locks: Arena::new(members, HashLock::new(none)),
            registered: HashTable::with_capacity(members * 2),
            index: Index::new(index_bytes),
            entering: VecDeque::with_capacity(members),
            queries: Vec::with_capacity(members),
            updates: Vec::with_capacity(members),
            scratch,
            scratch_waiters: VecDeque::with_capacity(members),
            full: false,
        }
    }

    /// True when no block is being deduplicated.
    pub fn is_idle(&self) -> bool {
        self.members.in_use() == 0
    }

    /// Fills in the gauges.
    pub fn gauges(&self, stats: &mut Statistics) {
        stats.hash_locks = self.locks.in_use() as u64;
        stats.curr_dedupe_queries = self.queries.len() as u64;
        stats.entries_indexed = self.index.len();
        stats.entries_discarded = self.index.discarded();
        stats.index_capacity = self.index.capacity();
    }

    /// Changes the size of the index; see [`Index::resize`].
    pub fn resize_index(&mut self, bytes: usize) {
        self.index.resize(bytes);
    }

    /// Checks what must hold when nothing is in flight.
    pub fn audit_at_rest(&self) -> Result<(), String> {
        if !self.registered.is_empty() || self.locks.in_use() > 0 || self.members.in_use() > 0 {
            return Err(format!(
                "hash zone at rest has {} registered locks, {} locks, {} members",
                self.registered.len(),
                self.locks.in_use(),
                self.members.in_use()
            ));
        }
        Ok(())
    }

    /// Does all that waits. Returns whether there was anything.
    pub fn advance<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        while let Some((member, result)) = cx.handoff.finished.pop_front() {
            self.finished(cx, member, result);
            progress = true;
        }
        progress |= self.admit(cx);
        while let Some(member) = self.entering.pop_front() {
            self.enter(cx, member);
            progress = true;
        }
        progress |= self.query_batch(cx);
        progress | self.update_batch(cx)
    }

    /// Makes members of arrivals, as long as there is room.
    fn admit<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        while self.members.available() > 0 {
            let Some(arrival) = cx.handoff.arrivals.pop_front() else { break };
            let member = Member::new(arrival.vio, arrival.data, arrival.fingerprint);
            let member = self.members.acquire(member).expect("availability was checked");
            self.entering.push_back(member);
            progress = true;
        }
        progress
    }

    /// A member meets the lock of its fingerprint (vdo.md 2.3).
    fn enter<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        let fingerprint = self.members[member].fingerprint;
        let locks = &mut self.locks;
        let same = |lock: &u32| locks[*lock].fingerprint == fingerprint;
        if let Some(&lock) = self.registered.find(hash(fingerprint), same) {
            return self.meet(cx, lock, member);
        }
        let lock = self.locks.acquire(HashLock::new(fingerprint)).expect("there are as many locks as members");
        self.register(lock);
        self.join(lock, member);
        self.locks[lock].agent = member;
        self.locks[lock].state = LockState::Querying;
        self.queries.push(lock);
    }

    /// Makes `lock` the one that arrivals find, in place of an older one if there is one.
    fn register(&mut self, lock: u32) {
        let fingerprint = self.locks[lock].fingerprint;
        let locks = &self.locks;
        let entry = self.registered.entry(
            hash(fingerprint),
            |&other| locks[other].fingerprint == fingerprint,
            |&other| hash(locks[other].fingerprint),
        );
        let replaced = match entry {
            Entry::Occupied(mut occupied) => Some(std::mem::replace(occupied.get_mut(), lock)),
            Entry::Vacant(vacant) => {
                vacant.insert(lock);
                None
            }
        };
        if let Some(replaced) = replaced {
            self.locks[replaced].registered = false;
        }
        self.locks[lock].registered = true;
    }

    /// A member meets a lock that exists: it joins if the content is equal.
    fn meet<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32, member: u32) {
        let HashLock { state, live, .. } = self.locks[lock];
        if state == LockState::Bypassing {
            return self.start_write(cx, member);
        }
        if live == NONE {
            self.locks[lock].late.push(&mut self.members, member);
            return;
        }
        if cx.env.block(self.members[live].data) != cx.env.block(self.members[member].data) {
            cx.stats.concurrent_hash_collisions += 1;
            return self.start_write(cx, member);
        }
        cx.stats.concurrent_data_matches += 1;
        self.join(lock, member);
        if state == LockState::Deduping {
            self.launch(cx, member);
        } else {
            self.locks[lock].waiters.push(&mut self.members, member);
        }
    }

    /// Makes a member of a lock.
    fn join(&mut self, lock: u32, member: u32) {
        let head = self.locks[lock].live;
        self.members[member].lock = lock;
        self.members[member].live_prev = NONE;
        self.members[member].live_next = head;
        if head != NONE {
            self.members[head].live_prev = member;
        }
        self.locks[lock].live = member;
        self.locks[lock].members += 1;
    }

    /// Takes a member out of the ring of those whose content can be compared, if it is in it.
    fn leave_ring(&mut self, member: u32) {
        let Member { lock, live_next, live_prev, .. } = self.members[member];
        if lock == NONE {
            return;
        }
        if live_prev != NONE {
            self.members[live_prev].live_next = live_next;
        } else if self.locks[lock].live == member {
            self.locks[lock].live = live_next;
        } else {
            return;
        }
        if live_next != NONE {
            self.members[live_next].live_prev = live_prev;
        }
        self.members[member].live_next = NONE;
        self.members[member].live_prev = NONE;
    }

    /// Asks the index for all locks in Querying.
    fn query_batch<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let progress = !self.queries.is_empty();
        let mut queries = std::mem::take(&mut self.queries);
        self.index.touch_all(queries.iter().map(|&lock| self.locks[lock].fingerprint));
        for lock in queries.drain(..) {
            let advice = self.index.lookup(self.locks[lock].fingerprint);
            match advice {
                Some(_) => cx.stats.posts_found += 1,
                None => cx.stats.posts_not_found += 1,
            }
            self.answered(cx, lock, advice);
        }
        debug_assert!(self.queries.is_empty(), "an answer does not ask again");
        self.queries = queries;
        progress
    }

    /// The index has answered: only a block that can hold data is plausible (vdo.md 2.5, advice decoding).
    fn answered<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32, advice: Option<Mapped>) {
        let plausible = advice.filter(|advice| is_plausible(cx.geometry, *advice));
        if let (Some(advice), None) = (advice, plausible) {
            cx.stats.invalid_advice_pbn_count += 1;
            cx.report(Event::InvalidAdvice { pbn: advice.pbn });
        }
        if plausible.is_some() {
            self.locks[lock].duplicate = plausible;
            self.start_locking(cx, lock);
        } else {
            self.locks[lock].update_advice = true;
            self.start_writing(cx, lock);
        }
    }

    /// The agent tries for a read lock on the candidate.
    fn start_locking<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        self.locks[lock].state = LockState::Locking;
        let agent = self.locks[lock].agent;
        let Some(Mapped { pbn, .. }) = self.locks[lock].duplicate else {
            unreachable!("a lock in LOCKING has a candidate");
        };
        match cx.geometry.physical_shard(pbn) {
            Some(owner) if owner != cx.id => {
                let member = MemberRef { shard: cx.id, index: agent };
                cx.send(owner, Message::LockForRead { member, pbn });
            }
            _ => {
                let lease = cx.lock_for_read(pbn);
                self.locked(cx, agent, lease);
            }
        }
    }

    /// The agent has the read lock, or could not get it.
    pub fn locked<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, agent: u32, lease: Option<u8>) {
        let lock = self.members[agent].lock;
        debug_assert_eq!(self.locks[lock].state, LockState::Locking);
        let Some(lease) = lease else {
            cx.stats.dedupe_advice_stale += 1;
            self.locks[lock].update_advice = true;
            return self.start_writing(cx, lock);
        };
        assert!(lease > 0, "a read lock comes with an increment");
        self.locks[lock].lease = lease;
        self.locks[lock].holds_duplicate = true;
        self.locks[lock].state = LockState::Verifying;
        self.start_verify(cx, agent);
    }

    /// Reads the candidate, when there is memory for it.
    fn start_verify<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, agent: u32) {
        let Some(Mapped { pbn, .. }) = self.locks[self.members[agent].lock].duplicate else {
            unreachable!("a lock in VERIFYING has a candidate");
        };
        match self.scratch.pop() {
            Some(scratch) => {
                self.members[agent].scratch = Some(scratch);
                cx.stats.bios_verify_read += 1;
                cx.io.enqueue_direct(Direction::Read, pbn, scratch, Owner::Verify(agent));
            }
            None => self.scratch_waiters.push_back(agent),
        }
    }

    /// The candidate is in memory, or could not be read; an error only means "not a duplicate" (vdo.md 2.5).
    pub fn verify_done<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        agent: u32,
        result: Result<(), RequestError>,
    ) {
        let lock = self.members[agent].lock;
        debug_assert_eq!(self.locks[lock].state, LockState::Verifying);
        let scratch = self.members[agent].scratch.take().expect("a verify read has memory");
        let equal = result.is_ok() && cx.env.block(scratch) == cx.env.block(self.members[agent].data);
        self.scratch.push(scratch);
        if let Some(waiting) = self.scratch_waiters.pop_front() {
            self.start_verify(cx, waiting);
        }
        let first = !std::mem::replace(&mut self.locks[lock].verify_counted, true);
        if equal {
            cx.stats.dedupe_advice_valid += u64::from(first);
            self.locks[lock].verified = true;
            self.locks[lock].lease -= 1;
            self.members[agent].claimed = true;
            self.start_deduping(cx, lock, None);
        } else {
            cx.stats.dedupe_advice_stale += u64::from(first);
            self.locks[lock].verified = false;
            self.locks[lock].update_advice = true;
            self.start_unlocking(cx, lock);
        }
    }

    /// All members record their mappings to the copy. `done` is the agent if it has recorded its own already.
    fn start_deduping<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32, done: Option<u32>) {
        self.take_over_allocation(lock);
        self.locks[lock].state = LockState::Deduping;
        let agent = std::mem::replace(&mut self.locks[lock].agent, NONE);
        if done.is_none() {
            self.launch(cx, agent);
        }
        while let Some(waiter) = self.locks[lock].waiters.pop(&mut self.members) {
            self.launch(cx, waiter);
        }
        if let Some(done) = done {
            self.member_back(cx, lock, done);
        }
    }

    /// The block that the agent wrote becomes the copy that all share, with the agent's lock on it (vdo.md 2.5).
    fn take_over_allocation(&mut self, lock: u32) {
        if self.locks[lock].holds_duplicate {
            return;
        }
        let agent = self.locks[lock].agent;
        let pbn = self.members[agent].allocation.take().expect("an agent that has written holds its block");
        let lock = &mut self.locks[lock];
        lock.duplicate = Some(Mapped::uncompressed(pbn));
        lock.holds_duplicate = true;
        lock.lease = LEASE_OF_NEW_COPY;
        lock.verified = true;
    }

    /// Sends one member to record its mapping to the copy; without an increment left, it starts a new copy instead.
    fn launch<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        let lock = self.members[member].lock;
        if !self.members[member].claimed {
            if self.locks[lock].lease == 0 {
                return self.fork(cx, lock, member);
            }
            self.locks[lock].lease -= 1;
            self.members[member].claimed = true;
        }
        let location = self.locks[lock].duplicate.expect("a lock in DEDUPING has a copy");
        self.send_remap(cx, member, location);
    }

    /// Asks the logical zone to record where a member's content is.
    fn send_remap<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, location: Mapped) {
        let vio = self.members[member].vio;
        if vio.shard != cx.id {
            // Its client may be answered, and may change the content, before we hear of it.
            self.leave_ring(member);
        }
        cx.remap(vio, member, location);
    }

    /// The copy has all its references: `member` and whoever still waits get a new lock, which writes a new copy and
    /// takes the place of the old one (vdo.md 2.5, fork).
    fn fork<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, old: u32, member: u32) {
        cx.stats.hash_lock_forks += 1;
        let fingerprint = self.locks[old].fingerprint;
        let new = self.locks.acquire(HashLock::new(fingerprint)).expect("there are as many locks as members");
        self.locks[old].update_advice = false;
        self.locks[new].update_advice = true;
        self.register(new);
        self.move_member(old, new, member);
        let mut waiters = self.locks[old].waiters.take();
        while let Some(waiter) = waiters.pop(&mut self.members) {
            self.move_member(old, new, waiter);
            self.locks[new].waiters.push(&mut self.members, waiter);
        }
        self.locks[new].agent = member;
        self.start_writing(cx, new);
    }

    fn move_member(&mut self, old: u32, new: u32, member: u32) {
        self.leave_ring(member);
        self.locks[old].members -= 1;
        self.join(new, member);
    }

    /// The agent stores a new copy.
    fn start_writing<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        self.locks[lock].state = LockState::Writing;
        self.start_write(cx, self.locks[lock].agent);
    }

    /// Stores a member's content in a block of its own.
    fn start_write<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        if cx.is_read_only() {
            return self.fail(cx, member, RequestError::ReadOnly);
        }
        self.members[member].zones_tried = 0;
        self.allocate(cx, member);
    }

    /// Looks for a free block, in this shard first, then in each other one in turn; in a second round every zone that
    /// still scrubs slabs keeps the request until one is done (vdo.md 3.4).
    fn allocate<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        let shards = cx.geometry.shards() as u16;
        let tried = self.members[member].zones_tried;
        if tried == 2 * shards {
            if !std::mem::replace(&mut self.full, true) {
                cx.report(Event::OutOfSpace);
            }
            return self.fail(cx, member, RequestError::NoSpace);
        }
        let wait = tried >= shards;
        let zone = ShardId((cx.id.0 + tried) % shards);
        let reference = MemberRef { shard: cx.id, index: member };
        if zone != cx.id {
            return cx.send(zone, Message::Allocate { member: reference, wait });
        }
        match cx.allocate(Requester::Data(reference), wait) {
            Allocation::Waiting => {}
            Allocation::Block(pbn) => self.allocated(cx, member, Some(pbn)),
            Allocation::Full => self.allocated(cx, member, None),
        }
    }

    /// A physical zone has given a block, or is full.
    pub fn allocated<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, pbn: Option<Pbn>) {
        let Some(pbn) = pbn else {
            self.members[member].zones_tried += 1;
            return self.allocate(cx, member);
        };
        if std::mem::replace(&mut self.full, false) {
            cx.report(Event::SpaceReturned);
        }
        self.members[member].allocation = Some(pbn);
        cx.stats.bios_out_write += 1;
        cx.io.enqueue(Direction::Write, pbn, self.members[member].data, Owner::Write(member));
    }

    /// The content is on the base bdev, or the write failed: then once more in another block (architecture.md 5).
    pub fn write_done<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        member: u32,
        result: Result<(), RequestError>,
    ) {
        let pbn = self.members[member].allocation.expect("a write has a block");
        match result {
            Ok(()) => self.send_remap(cx, member, Mapped::uncompressed(pbn)),
            Err(error) => {
                cx.report(Event::IoFailed { direction: Direction::Write, pbn, purpose: "client data" });
                self.release_allocation(cx, member);
                if std::mem::replace(&mut self.members[member].retried, true) {
                    self.fail(cx, member, error);
                } else {
                    cx.stats.data_write_retries += 1;
                    self.start_write(cx, member);
                }
            }
        }
    }

    fn release_allocation<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        if let Some(pbn) = self.members[member].allocation.take() {
            // A journal entry whose write failed may be on media nevertheless. Its block must keep its content until the
            // volume is loaded again, which finds out.
            if cx.is_read_only() {
                return;
            }
            // After a remap the write lock is a read lock whose whole lease was the writer's; before, nothing was
            // leased, and the physical zone ignores what is returned.
            cx.release(pbn, 0, None);
        }
    }

    /// A member's remap is over (vdo.md 2.4, "agent's remap finished" and "member back").
    fn finished<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, result: Result<(), RequestError>) {
        self.leave_ring(member);
        let lock = self.members[member].lock;
        let shared = lock != NONE && self.locks[lock].state == LockState::Deduping;
        if result.is_ok() {
            if shared {
                cx.stats.dedupe_hits += 1;
            } else {
                cx.stats.unique_blocks += 1;
            }
        }
        if lock == NONE {
            return self.exit(cx, member);
        }
        match self.locks[lock].state {
            LockState::Deduping => self.member_back(cx, lock, member),
            LockState::Bypassing => self.exit(cx, member),
            LockState::Writing => {
                debug_assert_eq!(self.locks[lock].agent, member);
                if result.is_err() {
                    self.bypass(cx, lock);
                    self.exit(cx, member);
                } else if !self.locks[lock].waiters.is_empty() {
                    self.start_deduping(cx, lock, Some(member));
                } else if self.locks[lock].update_advice {
                    self.start_updating(lock);
                } else {
                    self.locks[lock].state = LockState::Bypassing;
                    self.exit(cx, member);
                }
            }
            state => unreachable!("no remap is under way in {state:?}"),
        }
    }

    /// A member has come back from recording its mapping; the last one cleans up.
    fn member_back<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32, member: u32) {
        if self.locks[lock].members > 1 {
            return self.exit(cx, member);
        }
        self.locks[lock].agent = member;
        if self.locks[lock].update_advice {
            self.start_updating(lock);
        } else {
            self.start_unlocking(cx, lock);
        }
    }

    fn start_updating(&mut self, lock: u32) {
        self.locks[lock].state = LockState::Updating;
        self.updates.push(lock);
    }

    /// Tells the index for all locks in Updating.
    fn update_batch<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let progress = !self.updates.is_empty();
        let mut updates = std::mem::take(&mut self.updates);
        for lock in updates.drain(..) {
            let HashLock { agent, duplicate, holds_duplicate, fingerprint, .. } = self.locks[lock];
            let location = match self.members[agent].allocation {
                Some(pbn) if !holds_duplicate => Mapped::uncompressed(pbn),
                _ => duplicate.expect("a lock that updates the index knows where the copy is"),
            };
            match self.index.update(fingerprint, location) {
                Update::Added | Update::Replaced(_) => cx.stats.updates_not_found += 1,
                Update::Changed => cx.stats.updates_found += 1,
            }
            self.locks[lock].update_advice = false;
            self.updated(cx, lock);
        }
        debug_assert!(self.updates.is_empty(), "an update does not cause another at once");
        self.updates = updates;
        progress
    }

    fn updated<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        let agent = self.locks[lock].agent;
        if !self.locks[lock].waiters.is_empty() {
            self.start_deduping(cx, lock, Some(agent));
        } else if self.locks[lock].holds_duplicate {
            self.start_unlocking(cx, lock);
        } else {
            self.locks[lock].state = LockState::Bypassing;
            self.exit(cx, agent);
        }
    }

    /// The agent gives the lock on the copy back.
    fn start_unlocking<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        self.locks[lock].state = LockState::Unlocking;
        let HashLock { agent, duplicate, lease, .. } = self.locks[lock];
        let pbn = duplicate.expect("a lock in UNLOCKING holds a copy").pbn;
        if cx.release(pbn, lease, Some(agent)) {
            self.released(cx, agent);
        }
    }

    /// The lock on the copy is gone (vdo.md 2.4, UNLOCKING).
    pub fn released<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, agent: u32) {
        let lock = self.members[agent].lock;
        debug_assert_eq!(self.locks[lock].state, LockState::Unlocking);
        self.locks[lock].holds_duplicate = false;
        self.locks[lock].lease = 0;
        if !std::mem::replace(&mut self.locks[lock].verified, false) {
            return self.start_writing(cx, lock);
        }
        match self.locks[lock].waiters.pop(&mut self.members) {
            Some(waiter) => {
                self.locks[lock].agent = waiter;
                self.exit(cx, agent);
                self.start_locking(cx, lock);
            }
            None => {
                self.locks[lock].state = LockState::Bypassing;
                self.exit(cx, agent);
            }
        }
    }

    /// A member cannot be stored (vdo.md 2.6).
    fn fail<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, error: RequestError) {
        let Member { vio, lock, .. } = self.members[member];
        cx.write_failed(vio, error);
        self.leave_ring(member);
        if lock != NONE && self.locks[lock].state != LockState::Bypassing {
            debug_assert_eq!(self.locks[lock].agent, member, "only an agent can fail before DEDUPING");
            self.bypass(cx, lock);
        }
        self.exit(cx, member);
    }

    /// Ends a lock whose agent failed: whoever waits writes alone, still as a member.
    fn bypass<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        self.locks[lock].state = LockState::Bypassing;
        self.locks[lock].update_advice = false;
        self.locks[lock].agent = NONE;
        if std::mem::replace(&mut self.locks[lock].holds_duplicate, false) {
            let HashLock { duplicate, lease, .. } = self.locks[lock];
            cx.release(duplicate.expect("a held copy has a place").pbn, lease, None);
        }
        let mut waiters = self.locks[lock].waiters.take();
        while let Some(waiter) = waiters.pop(&mut self.members) {
            self.start_write(cx, waiter);
        }
    }

    /// A member leaves; the last one of a lock takes it along.
    fn exit<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        self.leave_ring(member);
        self.release_allocation(cx, member);
        let lock = self.members[member].lock;
        self.members.release(member);
        if lock == NONE {
            return;
        }
        self.locks[lock].members -= 1;
        if self.locks[lock].members == 0 {
            self.free_lock(lock);
        }
    }

    fn free_lock(&mut self, lock: u32) {
        let HashLock { fingerprint, state, registered, holds_duplicate, waiters, mut late, .. } = self.locks[lock];
        assert_eq!(state, LockState::Bypassing, "a hash lock ends in BYPASSING");
        assert!(waiters.is_empty() && !holds_duplicate, "a hash lock ends with nothing held and nobody waiting");
        if registered {
            if let Ok(entry) = self.registered.find_entry(hash(fingerprint), |&other| other == lock) {
                entry.remove();
            }
        }
        while let Some(member) = late.pop(&mut self.members) {
            self.entering.push_back(member);
        }
        self.locks.release(lock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Blocks;

    /// vdo-9, partly: advice is used only if it names a data block that is not compressed; there is no version byte in
    /// an index that lives in RAM.
    #[test]
    fn implausible_advice_is_dropped() {
        let geometry = Geometry::new(2, Blocks(100), Pbn(256), Pbn(256 + 64), 8).unwrap();
        let advice = |pbn, state| is_plausible(&geometry, Mapped { pbn: Pbn(pbn), state });
        assert!(advice(256, MappingState::Uncompressed) && advice(319, MappingState::Uncompressed));
        for pbn in [0, 1, 255, 320, u64::MAX] {
            assert!(!advice(pbn, MappingState::Uncompressed), "PBN {pbn}");
        }
        assert!(!advice(256, MappingState::Unmapped) && !advice(256, MappingState::Compressed(3)));
    }
}
