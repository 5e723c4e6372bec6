// SPDX-License-Identifier: BSD-3-Clause

//! Sharing one copy: DEDUPING, the fork to a new lock, and what follows a member's remap.

use super::hash_lock::{HashLock, LockState};
use super::pack::FRAGMENT_LEASE;
use super::{HashZone, LEASE_OF_NEW_COPY};
use crate::arena::NONE;
use crate::context::Context;
use crate::env::Env;
use crate::error::RequestError;
use crate::format::{Mapped, MappingState};
use crate::owner_count::OwnerCount;

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// All members record their mappings to the copy. `done` is the agent if it has already recorded its own.
    pub(super) fn start_deduping<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32, done: Option<u32>) {
        self.take_over_allocation(lock);
        self.locks[lock].state = LockState::Deduping;
        let agent = std::mem::replace(&mut self.locks[lock].agent, NONE);
        if done.is_none() {
            self.launch(cx, agent);
        }
        while !self.locks[lock].extending {
            let Some(waiter) = self.locks[lock].waiters.pop(&mut self.members) else { break };
            self.launch(cx, waiter);
        }
        if let Some(done) = done {
            self.member_back(cx, lock, done);
        }
    }

    /// The block that the agent wrote becomes the shared copy, with the agent's PBN lock on it.
    pub(super) fn take_over_allocation(&mut self, lock: u32) {
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

    /// Sends a member to record its mapping to the copy. If the lease is used up, the lock gets more increments or the
    /// member starts a new copy.
    pub(super) fn launch<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        let lock = self.members[member].lock;
        if !self.members[member].claimed {
            if self.locks[lock].lease == 0 {
                return self.claim_more(cx, lock, member);
            }
            self.locks[lock].lease -= 1;
            self.members[member].claimed = true;
        }
        let location = self.locks[lock].duplicate.expect("a lock in DEDUPING has a copy");
        self.send_remap(cx, member, location);
    }

    /// A lock's lease is used up. If the copy is a fragment, other fragments may have left references: asks for more,
    /// and `member` and those behind it wait for the answer. Otherwise `member` starts a new copy.
    fn claim_more<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32, member: u32) {
        let HashLock { duplicate, extending, .. } = self.locks[lock];
        let Mapped { pbn, state } = duplicate.expect("a lock in DEDUPING has a copy");
        if extending {
            return self.locks[lock].waiters.push(&mut self.members, member);
        }
        if state == MappingState::Uncompressed {
            return self.fork(cx, lock, member);
        }
        self.locks[lock].extending = true;
        // At the head of the queue, so that the loop that launches the waiters finds it there.
        self.locks[lock].waiters.push_front(&mut self.members, member);
        if let Some(lease) = cx.extend_lease(member, pbn, FRAGMENT_LEASE) {
            self.extended(cx, member, lease);
        }
    }

    /// The answer to `member`'s request: `lease` more increments for its lock, 0 when the block has no more.
    pub fn extended<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, lease: u8) {
        let lock = self.members[member].lock;
        debug_assert_eq!(self.locks[lock].state, LockState::Deduping);
        self.locks[lock].extending = false;
        self.locks[lock].lease += lease;
        if lease == 0 {
            let first = self.locks[lock].waiters.pop(&mut self.members).expect("somebody has asked");
            return self.fork(cx, lock, first);
        }
        while !self.locks[lock].extending {
            let Some(waiter) = self.locks[lock].waiters.pop(&mut self.members) else { return };
            self.launch(cx, waiter);
        }
    }

    /// Asks the logical zone to record the location of a member's content.
    pub(super) fn send_remap<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, location: Mapped) {
        let vio = self.members[member].vio;
        if vio.shard != cx.id {
            // Its client may be answered, and the buffer reused, before this shard learns of it.
            self.leave_ring(member);
        }
        cx.remap(vio, member, location);
    }

    /// The copy has all its references: `member` and the remaining waiters move to a new lock, which writes a new copy
    /// and is registered in place of the old lock.
    pub(super) fn fork<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, old: u32, member: u32) {
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
        if self.locks[old].members == OwnerCount::ZERO {
            // The old lock had no other members: all waited for more increments.
            let HashLock { duplicate, lease, .. } = self.locks[old];
            cx.release(duplicate.expect("a lock in DEDUPING has a copy").pbn, lease, None);
            (self.locks[old].state, self.locks[old].holds_duplicate) = (LockState::Bypassing, false);
            self.free_lock(old);
        }
        self.start_writing(cx, new);
    }

    pub(super) fn move_member(&mut self, old: u32, new: u32, member: u32) {
        self.leave_ring(member);
        self.locks[old].members -= OwnerCount::one(self.members[member].relocating);
        self.join(new, member);
    }

    /// A member's remap has ended.
    pub(super) fn finished<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        member: u32,
        result: Result<(), RequestError>,
    ) {
        self.leave_ring(member);
        let lock = self.members[member].lock;
        let shared = lock != NONE && self.locks[lock].state == LockState::Deduping;
        if result.is_ok() {
            if self.members[member].relocating {
                cx.stats.fragments_relocated += 1;
            } else if shared {
                cx.stats.dedupe_hits += 1;
            } else {
                cx.stats.unique_blocks += 1;
                self.stored(cx, member);
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
                } else if self.locks[lock].holds_duplicate {
                    self.start_unlocking(cx, lock);
                } else {
                    self.locks[lock].state = LockState::Bypassing;
                    self.exit(cx, member);
                }
            }
            state => unreachable!("no remap is under way in {state:?}"),
        }
    }

    /// A member has recorded its mapping; the last one ends the lock.
    pub(super) fn member_back<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32, member: u32) {
        if self.locks[lock].members.total() > 1 {
            return self.exit(cx, member);
        }
        self.locks[lock].agent = member;
        if self.locks[lock].update_advice {
            self.start_updating(lock);
        } else {
            self.start_unlocking(cx, lock);
        }
    }
}
