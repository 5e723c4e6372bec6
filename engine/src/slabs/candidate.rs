// SPDX-License-Identifier: BSD-3-Clause

//! Read locks on candidates: blocks that the index advises, possibly in slabs that are not loaded yet.
//!
//! Differs from dm-vdo: a candidate whose slab is not loaded is not rejected at once. Its slab moves ahead in the
//! scrubber's queue, and the hash lock that wants to compare waits for it, for a bounded time
//! ([`super::lock_waiters`]).

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
    /// As [`PhysicalZone::lock_for_read_sharing`], for a member of a hash lock. None if the block's slab must be loaded
    /// first: then [`PhysicalEvent::Locked`] brings the answer.
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

    /// Leases up to `at_most` more references to a holder of a read lock; 0 when none are left.
    ///
    /// # Errors
    /// [`PhysicalError::NotOurs`], [`PhysicalError::NotLocked`].
    pub fn extend_lease(&mut self, pbn: Pbn, at_most: u8) -> Result<u8, PhysicalError> {
        self.locate(pbn)?;
        let lock = self.locks.get_mut(pbn).ok_or(PhysicalError::NotLocked { pbn })?;
        Ok(lock.lease(at_most))
    }

    /// When to call [`PhysicalZone::lock_timer_fired`]; none if no hash lock waits or the timer is already set.
    pub fn set_lock_timer(&mut self) -> Option<Nanos> {
        self.lock_waiters.set_timer()
    }

    /// Refuses the lock to every hash lock that has waited longer than its patience for a slab. Returns how many there
    /// were.
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

    /// Grants or refuses the locks that waited for a slab which is now loaded.
    pub(super) fn lock_candidates_of(&mut self, slab: SlabIndex) {
        let mut waiters = std::mem::take(&mut self.lock_waiters);
        waiters.take(slab, |LockWaiter { member, pbn, at_most, .. }| {
            // An error means that the lock pool is too small: refuse.
            let lease = match self.lock_for_read_sharing(pbn, at_most) {
                Ok(ReadLock::Granted { lease }) => Some(lease),
                Ok(ReadLock::Refused) | Err(_) => None,
            };
            self.depot.events.push_back(PhysicalEvent::Locked { member, lease });
        });
        self.lock_waiters = waiters;
    }

    /// Refuses all waiting locks: the zone is read-only, so nothing need be compared.
    pub(super) fn refuse_locks(&mut self) {
        while let Some(waiter) = self.lock_waiters.pop() {
            self.refuse_lock(waiter);
        }
    }

    fn refuse_lock(&mut self, LockWaiter { member, .. }: LockWaiter) {
        self.depot.events.push_back(PhysicalEvent::Locked { member, lease: None });
    }
}
