// SPDX-License-Identifier: BSD-3-Clause

//! Read locks on candidates: blocks that the index advises, in slabs that may not be loaded yet.
//!
//! Differs from dm-vdo: a candidate whose slab is not loaded is not given up at once. Its slab comes before others, and who
//! wants to compare with it waits for that, a bounded time ([`super::lock_waiters`]).

use mpool::units::Nanos;

use super::error::PhysicalError;
use super::event::PhysicalEvent;
use super::layout::SlabIndex;
use super::lock_waiters::LockWaiter;
use super::slab_state::Status;
use super::zone::{PhysicalZone, ReadLock};
use crate::message::MemberRef;
use crate::units::Pbn;

impl<Buf: Copy> PhysicalZone<Buf> {
    /// As [`PhysicalZone::lock_for_read_sharing`], for a member of a hash lock. None if the block's slab must be loaded first:
    /// then the answer comes as [`PhysicalEvent::Locked`].
    ///
    /// # Errors
    /// [`PhysicalError::LockPoolExhausted`].
    pub fn lock_candidate(
        &mut self,
        member: MemberRef,
        pbn: Pbn,
        at_most: u8,
        now: Nanos,
    ) -> Result<Option<ReadLock>, PhysicalError> {
        if let Some(block) = self.layout().locate(pbn) {
            let slab = self.layout().slab(block);
            let state = self.depot.slab(slab);
            if state.status != Status::Rebuilt && !state.was_late && !self.depot.is_read_only() {
                self.scrubber.promote(slab);
                self.lock_waiters.push(LockWaiter { member, pbn, at_most, slab, since: now });
                return Ok(None);
            }
        }
        self.lock_for_read_sharing(pbn, at_most).map(Some)
    }

    /// Leases up to `at_most` more references to a holder of a read lock; none when there are no more.
    ///
    /// # Errors
    /// [`PhysicalError::NotOurs`], [`PhysicalError::NotLocked`].
    pub fn extend_lease(&mut self, pbn: Pbn, at_most: u8) -> Result<u8, PhysicalError> {
        self.locate(pbn)?;
        let lock = self.locks.get_mut(pbn).ok_or(PhysicalError::NotLocked { pbn })?;
        Ok(lock.lease(at_most))
    }

    /// When [`PhysicalZone::lock_timer_fired`] is to be called, if somebody waits and this has not been said yet.
    pub fn set_lock_timer(&mut self) -> Option<Nanos> {
        self.lock_waiters.set_timer()
    }

    /// Whoever has waited too long for a slab does without its block. Returns how many.
    pub fn lock_timer_fired(&mut self, now: Nanos) -> u64 {
        self.lock_waiters.timer_fired();
        let mut expired = 0;
        while let Some(waiter) = self.lock_waiters.pop_expired(now) {
            self.depot.slab_mut(waiter.slab).was_late = true;
            self.refuse_lock(waiter);
            expired += 1;
        }
        expired
    }

    /// A slab is loaded: those who waited for it get their locks.
    pub(super) fn lock_candidates_of(&mut self, slab: SlabIndex) {
        let mut waiters = std::mem::take(&mut self.lock_waiters);
        waiters.take(slab, |LockWaiter { member, pbn, at_most, .. }| {
            // An error means that the pool of locks is too small; then there is no lock to be had.
            let lease = match self.lock_for_read_sharing(pbn, at_most) {
                Ok(ReadLock::Granted { lease }) => Some(lease),
                Ok(ReadLock::Refused) | Err(_) => None,
            };
            self.depot.events.push_back(PhysicalEvent::Locked { member, lease });
        });
        self.lock_waiters = waiters;
    }

    /// Nothing is written any more, so nothing need be compared.
    pub(super) fn refuse_locks(&mut self) {
        while let Some(waiter) = self.lock_waiters.pop() {
            self.refuse_lock(waiter);
        }
    }

    fn refuse_lock(&mut self, LockWaiter { member, .. }: LockWaiter) {
        self.depot.events.push_back(PhysicalEvent::Locked { member, lease: None });
    }
}
