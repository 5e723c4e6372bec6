// SPDX-License-Identifier: BSD-3-Clause

//! Hash locks that wait for the counts of a slab, to lock a block in it and compare with it.
//!
//! After a restart the index names blocks of slabs whose counts are not in memory yet. Without the counts it is not
//! known how many references a block can still take. So a hash lock whose candidate lies in such a slab waits, at most
//! [`PATIENCE`], while the scrubber loads that slab ahead of others: a second copy of the data would cost more than
//! reading the slab's counts. Once a wait for a slab has timed out, no hash lock waits for that slab again: a base that
//! hangs costs one such wait for each slab, not one for each write.
//!
//! Invariants: every waiter is answered once: when the slab is loaded, when its patience ends, or when the zone becomes
//! read-only. Waiters are in order of arrival, so the first is the first to expire.

use std::collections::VecDeque;

use mpool::units::Nanos;

use super::layout::SlabIndex;
use crate::message::MemberRef;
use crate::units::Pbn;

/// How long a hash lock waits for a slab. A slab of 2 GiB is loaded by 131 reads of 4 KiB, 64 at a time; the time
/// suffices for some dozens of slabs that are wanted at once.
pub const PATIENCE: Nanos = Nanos(100_000_000);

/// A hash lock that waits for a slab.
#[derive(Debug, Clone, Copy)]
pub(super) struct LockWaiter {
    /// The agent of the hash lock.
    pub member: MemberRef,
    pub pbn: Pbn,
    /// The most references to lease.
    pub at_most: u8,
    pub slab: SlabIndex,
    pub since: Nanos,
}

impl LockWaiter {
    /// When its patience ends.
    fn expires(&self) -> Nanos {
        Nanos(self.since.0.saturating_add(PATIENCE.0))
    }
}

/// All hash locks that wait in one zone.
#[derive(Debug, Default)]
pub(super) struct LockWaiters {
    waiting: VecDeque<LockWaiter>,
    timer_is_set: bool,
}

impl LockWaiters {
    /// No waiter, with room for `capacity`.
    pub fn new(capacity: usize) -> LockWaiters {
        LockWaiters { waiting: VecDeque::with_capacity(capacity), timer_is_set: false }
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Iterates over all waiters, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &LockWaiter> {
        self.waiting.iter()
    }

    pub fn push(&mut self, waiter: LockWaiter) {
        self.waiting.push_back(waiter);
    }

    /// Takes the oldest waiter.
    pub fn pop(&mut self) -> Option<LockWaiter> {
        self.waiting.pop_front()
    }

    /// Takes the oldest waiter if it has expired.
    pub fn pop_expired(&mut self, now: Nanos) -> Option<LockWaiter> {
        let is_due = self.waiting.front().is_some_and(|first| first.expires() <= now);
        if is_due {
            self.pop()
        } else {
            None
        }
    }

    /// Takes the waiters of a slab, in order.
    pub fn take(&mut self, slab: SlabIndex, mut each: impl FnMut(LockWaiter)) {
        for _ in 0..self.waiting.len() {
            let Some(waiter) = self.waiting.pop_front() else { return };
            if waiter.slab == slab {
                each(waiter);
            } else {
                self.waiting.push_back(waiter);
            }
        }
    }

    /// When to set the timer for; none if nothing waits or the timer is set already.
    pub fn set_timer(&mut self) -> Option<Nanos> {
        if self.timer_is_set {
            return None;
        }
        let first = self.waiting.front()?;
        self.timer_is_set = true;
        Some(first.expires())
    }

    pub fn timer_fired(&mut self) {
        self.timer_is_set = false;
    }
}
