// SPDX-License-Identifier: BSD-3-Clause

//! Checking advice against the stored block: LOCKING, VERIFYING and UNLOCKING.

use super::hash_lock::{HashLock, LockState};
use super::member::Member;
use super::pack::FRAGMENT_LEASE;
use super::HashZone;
use crate::context::{Context, Owner};
use crate::env::{Direction, Env};
use crate::error::RequestError;
use crate::format::{Mapped, MappingState};
use crate::message::{MemberRef, Message};
use crate::packing::compression::extract;
use crate::units::MAX_REFERENCES;

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// The agent asks for a read lock on the candidate. Not in a read-only shard, which never releases a lock: it would
    /// be held for ever.
    pub(super) fn start_locking<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        if cx.is_read_only() {
            return self.start_writing(cx, lock);
        }
        self.locks[lock].state = LockState::Locking;
        let agent = self.locks[lock].agent;
        let Some(Mapped { pbn, state }) = self.locks[lock].duplicate else {
            unreachable!("a lock in LOCKING has a candidate");
        };
        // The fragments of one compressed block are likely to be wanted together, each by its own hash lock.
        let at_most = if state == MappingState::Uncompressed { MAX_REFERENCES } else { FRAGMENT_LEASE };
        let member = MemberRef { shard: cx.id, index: agent };
        match cx.geometry.physical_shard(pbn) {
            Some(owner) if owner != cx.id => cx.send(owner, Message::LockForRead { member, pbn, at_most }),
            _ => {
                if let Some(lease) = cx.lock_candidate(member, pbn, at_most) {
                    self.locked(cx, agent, lease);
                }
            }
        }
    }

    /// The agent has the read lock, or was refused.
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

    /// Reads the candidate, or queues the agent until a buffer is free.
    pub(super) fn start_verify<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, agent: u32) {
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

    /// The candidate was read, or the read failed; an error only means "not a duplicate".
    pub fn verify_done<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        agent: u32,
        result: Result<(), RequestError>,
    ) {
        let lock = self.members[agent].lock;
        debug_assert_eq!(self.locks[lock].state, LockState::Verifying);
        let scratch = self.members[agent].scratch.take().expect("a verify read has memory");
        let equal = result.is_ok() && self.is_equal(cx, agent, scratch);
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
            cx.stats.index_false_tags += u64::from(first && result.is_ok());
            self.locks[lock].verified = false;
            self.locks[lock].update_advice = true;
            self.start_unlocking(cx, lock);
        }
    }

    /// Whether the candidate read is equal to the agent's content. A fragment that cannot be decompressed is not.
    fn is_equal<E: Env<Buf = Buf>>(&mut self, cx: &Context<'_, E>, agent: u32, read: Buf) -> bool {
        let Member { lock, data, .. } = self.members[agent];
        let (read, content) = (cx.env.block(read), cx.env.block(data));
        match self.locks[lock].duplicate {
            Some(Mapped { state: MappingState::Compressed(slot), .. }) => {
                let restored = &mut self.packing.restored;
                extract(read, slot, restored).is_ok() && **restored == *content
            }
            _ => read == content,
        }
    }

    /// The agent releases the PBN lock on the copy.
    pub(super) fn start_unlocking<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        self.locks[lock].state = LockState::Unlocking;
        let HashLock { agent, duplicate, lease, .. } = self.locks[lock];
        let pbn = duplicate.expect("a lock in UNLOCKING holds a copy").pbn;
        if cx.release(pbn, lease, Some(agent)) {
            self.released(cx, agent);
        }
    }

    /// The PBN lock on the copy is released, which ends UNLOCKING.
    pub fn released<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, agent: u32) {
        let lock = self.members[agent].lock;
        debug_assert_eq!(self.locks[lock].state, LockState::Unlocking);
        self.locks[lock].holds_duplicate = false;
        self.locks[lock].lease = 0;
        if !std::mem::replace(&mut self.locks[lock].verified, false) {
            return self.start_writing(cx, lock);
        }
        self.locks[lock].state = LockState::Bypassing;
        self.exit(cx, agent);
    }
}
