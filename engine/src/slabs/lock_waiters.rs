// SPDX-License-Identifier: BSD-3-Clause

//! Hash locks that wait for the counts of a slab, to lock a block in it and compare it.
//!
//! After a restart the index names blocks of slabs whose counts are not in memory yet. Without them nobody can tell how many
//! references a block may still get. A hash lock whose candidate lies in such a slab waits while that slab is loaded before
//! others, [`PATIENCE`] at most: a second copy of the data would cost more than a read of the slab's counts. Nobody waits for
//! a slab for which somebody has waited in vain: a base that hangs costs one such wait for each slab, and not every write one.
//!
//! Invariants: everyone who waits is answered once: when the slab is loaded, when patience is at an end, or when nothing is
//! written any more. They are in the order in which they came, so the first is the one whose patience ends first.

use std::collections::VecDeque;

use mpool::units::Nanos;

use super::layout::SlabIndex;
use crate::message::MemberRef;
use crate::units::Pbn;

/// How long a hash lock waits for a slab. A slab of 2 GiB is loaded by 131 reads of 4 KiB, 64 at a time; the time is enough for
/// some dozens of slabs that are wanted at once.
pub const PATIENCE: Nanos = Nanos(100_000_000);

/// A hash lock that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct LockWaiter {
    /// Its agent.
    pub member: MemberRef,
    /// The block to be locked.
    pub pbn: Pbn,
    /// References to be leased, at most.
    pub at_most: u8,
    /// The block's slab.
    pub slab: SlabIndex,
    /// Since when it waits.
    pub since: Nanos,
}

impl LockWaiter {
    /// When it waits no more.
    fn expires(&self) -> Nanos {
        Nanos(self.since.0.saturating_add(PATIENCE.0))
    }
}

/// All that wait in one zone.
#[derive(Debug, Default)]
pub(super) struct LockWaiters {
    waiting: VecDeque<LockWaiter>,
    timer_is_set: bool,
}

impl LockWaiters {
    /// Nobody, with room for so many.
    pub fn new(capacity: usize) -> LockWaiters {
        LockWaiters { waiting: VecDeque::with_capacity(capacity), timer_is_set: false }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All that wait, the one that has waited longest first.
    pub fn iter(&self) -> impl Iterator<Item = &LockWaiter> {
        self.waiting.iter()
    }

    /// One more waits.
    pub fn push(&mut self, waiter: LockWaiter) {
        self.waiting.push_back(waiter);
    }

    /// The one that has waited longest.
    pub fn pop(&mut self) -> Option<LockWaiter> {
        self.waiting.pop_front()
    }

    /// The one that has waited longest, if its patience is at an end.
    pub fn pop_expired(&mut self, now: Nanos) -> Option<LockWaiter> {
        let is_due = self.waiting.front().is_some_and(|first| first.expires() <= now);
        if is_due {
            self.pop()
        } else {
            None
        }
    }

    /// Takes those who wait for a slab, in order.
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

    /// When the timer is to be set, if somebody waits and it is not.
    pub fn set_timer(&mut self) -> Option<Nanos> {
        if self.timer_is_set {
            return None;
        }
        let first = self.waiting.front()?;
        self.timer_is_set = true;
        Some(first.expires())
    }

    /// The timer has fired.
    pub fn timer_fired(&mut self) {
        self.timer_is_set = false;
    }
}
