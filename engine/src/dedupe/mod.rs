// SPDX-License-Identifier: BSD-3-Clause

//! The hash zone of a shard: all hash locks whose fingerprints the shard owns, and its part of the index.
//!
//! `hash_lock.rs` describes the state machine. Each transition is one function, in the module of the state that it
//! leaves: [`query`], [`verify`], [`share`], [`write`], [`update`], and [`pack`] for compressed writes. This module has
//! the arrivals, the membership and the end of locks. Work arrives through queues and leaves through the context, so no
//! function here is entered from inside another zone. Index queries and updates run in batches: all buckets of a batch
//! are touched first and then probed, so that their cache misses overlap.
//!
//! Invariants: a fingerprint has at most one registered lock; all members of a lock have the same 4096 bytes; at most
//! one of a lock and its fork updates the index (I3); correctness never depends on the index (I13).

mod advice;
mod allocation;
mod contexts;
mod dump;
mod hash_lock;
mod level2;
mod member;
mod pack;
mod query;
mod repack;
mod share;
mod update;
mod verify;
mod write;

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use hashbrown::hash_table::Entry;
use hashbrown::HashTable;

use crate::arena::{Arena, NONE};
use crate::context::Context;
use crate::env::Env;
use crate::error::RequestError;
use crate::fingerprint::Fingerprint;
use crate::format::{Geometry, Mapped, MappingState};
use crate::index::Index;
use crate::owner_count::OwnerCount;
use crate::statistics::Statistics;
use crate::units::{Lbn, ShardId, MAX_REFERENCES};
use hash_lock::{HashLock, LockState};
use level2::Level2;
use member::Member;

pub use advice::IndexConfig;

pub(crate) use pack::Compression;

/// Increments left after the writer's own when its write lock becomes a read lock.
const LEASE_OF_NEW_COPY: u8 = MAX_REFERENCES - 1;

/// The hash locks, their members and the index of one shard.
#[derive(Debug)]
pub struct HashZone<Buf> {
    members: Arena<Member<Buf>>,
    /// Members in use, for clients and for the volume itself.
    in_use: OwnerCount,
    locks: Arena<HashLock>,
    registered: HashTable<u32>,
    index: Index,
    level2: Option<Level2>,
    /// Whether the index is queried and updated.
    deduplication: bool,
    /// Size of level 1 in bytes, as configured.
    index_bytes: usize,
    /// Members that are not yet assigned to a lock.
    entering: VecDeque<u32>,
    /// Locks in Querying that do not wait for the history.
    queries: Vec<u32>,
    /// Locks in Updating.
    updates: Vec<u32>,
    /// Free buffers for verify reads, and the members that wait for one.
    scratch: Vec<Buf>,
    scratch_waiters: VecDeque<u32>,
    /// Whether the last allocation found every zone full.
    full: bool,
    /// Compression, and the blocks that wait to be written compressed.
    packing: pack::Compression<Buf>,
}

fn hash(fingerprint: Fingerprint) -> u64 {
    // A fingerprint is already as good as random, unless a test has weakened it.
    let folded = (fingerprint.0 >> 64) as u64 ^ fingerprint.0 as u64;
    folded.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Whether advice names a place that can hold a block's content: a data block of some slab, or a slot of one.
fn is_plausible(geometry: &Geometry, advice: Mapped) -> bool {
    advice.state != MappingState::Unmapped && geometry.physical_shard(advice.pbn).is_some()
}

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// An empty zone. `members` bounds the blocks processed at once; further arrivals are queued. A member never
    /// depends on a queued arrival: fragments in the packer do not count on the arrivals to fill their block.
    pub fn new(
        members: usize,
        index: &IndexConfig,
        partitions: RangeInclusive<u8>,
        scratch: Vec<Buf>,
        packing: Compression<Buf>,
        example: Buf,
    ) -> HashZone<Buf> {
        assert!(!scratch.is_empty(), "without memory for verify reads no advice could be checked");
        let vio = crate::message::VioRef { shard: ShardId(0), index: NONE };
        let none = Fingerprint(0);
        HashZone {
            members: Arena::new(members, Member::new(vio, Lbn(0), example, none)),
            in_use: OwnerCount::ZERO,
            locks: Arena::new(members, HashLock::new(none)),
            registered: HashTable::with_capacity(members * 2),
            index: Index::new(index.bytes),
            level2: index.level2.map(|history| Level2::new(history, partitions)),
            deduplication: true,
            index_bytes: index.bytes,
            entering: VecDeque::with_capacity(members),
            queries: Vec::with_capacity(members),
            updates: Vec::with_capacity(members),
            scratch,
            scratch_waiters: VecDeque::with_capacity(members),
            full: false,
            packing,
        }
    }

    /// Maximum number of blocks processed at once.
    pub fn members_at_most(&self) -> usize {
        self.members.capacity()
    }

    /// True when no block is being deduplicated.
    pub fn is_idle(&self) -> bool {
        self.members.in_use() == 0
    }

    pub fn gauges(&self, stats: &mut Statistics) {
        stats.hash_locks = self.locks.in_use() as u64;
        stats.compressed_fragments_in_packer = self.packing.parked() as u64;
        stats.blocks_in_stock = self.packing.stocked() as u64;
        self.index_gauges(stats);
    }

    /// Checks what must hold when nothing is in flight.
    pub fn audit_at_rest(&self) -> Result<(), String> {
        self.packing.audit_at_rest()?;
        if !self.registered.is_empty() || self.locks.in_use() > 0 || self.members.in_use() > 0 {
            return Err(format!(
                "hash zone at rest has {} registered locks, {} locks, {} members",
                self.registered.len(),
                self.locks.in_use(),
                self.members.in_use()
            ));
        }
        self.level2.as_ref().map_or(Ok(()), Level2::audit_at_rest)
    }

    /// Processes everything that is queued. Returns whether there was anything.
    pub fn advance<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        while let Some((member, result)) = cx.handoff.finished.pop_front() {
            self.finished(cx, member, result);
            progress = true;
        }
        while let Some((fingerprint, location)) = cx.handoff.advice.pop_front() {
            if self.deduplication {
                self.record(cx, fingerprint, location);
            }
            progress = true;
        }
        progress |= self.admit(cx);
        while let Some(member) = self.entering.pop_front() {
            self.enter(cx, member);
            progress = true;
        }
        progress |= self.hasten(cx);
        progress |= self.query_batch(cx);
        progress | self.update_batch(cx)
    }

    /// Turns arrivals into members while there are free members.
    fn admit<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        while self.members.available() > 0 {
            let Some(arrival) = cx.handoff.arrivals.pop_front() else { break };
            let member = Member::new(arrival.vio, arrival.lbn, arrival.data, arrival.fingerprint);
            let member =
                Member { relocating: arrival.relocating, old: arrival.old, awaited: arrival.awaited, ..member };
            self.in_use += OwnerCount::one(arrival.relocating);
            if !arrival.relocating {
                self.allow_calls();
            }
            let member = self.members.acquire(member).expect("availability was checked");
            self.entering.push_back(member);
            progress = true;
        }
        progress
    }

    /// Assigns a member to the lock of its fingerprint.
    fn enter<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        let fingerprint = self.members[member].fingerprint;
        if let Some(lock) = self.find(fingerprint) {
            self.will_not_park(member);
            return self.meet(cx, lock, member);
        }
        let lock = self.locks.acquire(HashLock::new(fingerprint)).expect("there are as many locks as members");
        self.register(lock);
        self.join(lock, member);
        self.locks[lock].agent = member;
        if self.members[member].relocating {
            // The index would only name the old location, which is to be freed.
            self.locks[lock].update_advice = true;
            return self.start_writing(cx, lock);
        }
        self.locks[lock].state = LockState::Querying;
        self.queries.push(lock);
    }

    /// The lock that arrivals with this fingerprint find.
    fn find(&self, fingerprint: Fingerprint) -> Option<u32> {
        self.registered.find(hash(fingerprint), |lock| self.locks[*lock].fingerprint == fingerprint).copied()
    }

    /// Makes `lock` the one that arrivals find, and replaces an older one if there is one.
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

    /// A member meets an existing lock: it joins if the content is equal.
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
            self.wait_for_agent(lock, member);
        }
    }

    /// Makes a block a member of a lock.
    fn join(&mut self, lock: u32, member: u32) {
        let head = self.locks[lock].live;
        self.members[member].lock = lock;
        self.members[member].live_prev = NONE;
        self.members[member].live_next = head;
        if head != NONE {
            self.members[head].live_prev = member;
        }
        self.locks[lock].live = member;
        self.locks[lock].awaited |= self.members[member].awaited;
        self.locks[lock].members += OwnerCount::one(self.members[member].relocating);
    }

    /// Removes a member from the ring of live members, whose content can be compared, if it is in the ring.
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

    /// A member's block cannot be stored.
    fn fail<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, error: RequestError) {
        let Member { vio, lock, relocating, .. } = self.members[member];
        cx.write_failed(vio, error);
        self.leave_ring(member);
        if lock != NONE && self.locks[lock].state != LockState::Bypassing {
            debug_assert_eq!(self.locks[lock].agent, member, "only an agent can fail before DEDUPING");
            if !(relocating && self.hand_over(cx, lock)) {
                self.bypass(cx, lock);
            }
        }
        self.exit(cx, member);
    }

    /// An internal block, whose relocation failed, stays where it is: a client that waits to share the block becomes
    /// the agent and asks the index for its location. Returns false if there is no such client.
    fn hand_over<E: Env<Buf = Buf>>(&mut self, cx: &Context<'_, E>, lock: u32) -> bool {
        let HashLock { state, waiters, .. } = self.locks[lock];
        let is_client = |waiter: u32| !self.members[waiter].relocating;
        if cx.is_read_only() || state != LockState::Writing || !waiters.first().is_some_and(is_client) {
            return false;
        }
        let next = self.locks[lock].waiters.pop(&mut self.members).expect("somebody waits");
        self.locks[lock].agent = next;
        self.locks[lock].state = LockState::Querying;
        self.locks[lock].update_advice = false;
        self.queries.push(lock);
        true
    }

    /// Ends a lock whose agent failed: each waiter writes alone, still as a member.
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

    /// A member leaves its lock; the last one frees the lock.
    fn exit<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        self.leave_ring(member);
        self.release_allocation(cx, member);
        let Member { lock, relocating, .. } = self.members[member];
        self.members.release(member);
        self.in_use -= OwnerCount::one(relocating);
        if lock == NONE {
            return;
        }
        self.locks[lock].members -= OwnerCount::one(relocating);
        if self.locks[lock].members == OwnerCount::ZERO {
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
    use crate::units::{Blocks, Pbn};

    /// vdo-9, partly: advice is used only if it names a data block, or a slot of one; there is no version byte in an
    /// index that lives in RAM.
    #[test]
    fn implausible_advice_is_dropped() {
        let geometry = Geometry::new(2, Blocks(100), Pbn(256), Pbn(256 + 64), 8).unwrap();
        let advice = |pbn, state| is_plausible(&geometry, Mapped { pbn: Pbn(pbn), state });
        assert!(advice(256, MappingState::Uncompressed) && advice(319, MappingState::Uncompressed));
        for pbn in [0, 1, 255, 320, u64::MAX] {
            assert!(!advice(pbn, MappingState::Uncompressed), "PBN {pbn}");
        }
        assert!(!advice(256, MappingState::Unmapped) && advice(256, MappingState::Compressed(3)));
    }
}
