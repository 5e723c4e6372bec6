// SPDX-License-Identifier: BSD-3-Clause

//! What the hash zone asks of the index and tells it: QUERYING and UPDATING (vdo.md 2.4, 2.7).
//!
//! Both are done in batches: first all buckets of the batch are touched, then probed, so that their cache misses overlap.

use super::{is_plausible, HashZone};
use crate::context::Context;
use crate::env::{Env, Event};
use crate::hash::hash_lock::{HashLock, LockState};
use crate::hash::index::Update;
use crate::logical::Mapped;

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// Asks the index for all locks in Querying.
    pub(super) fn query_batch<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
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
    pub(super) fn answered<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32, advice: Option<Mapped>) {
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

    pub(super) fn start_updating(&mut self, lock: u32) {
        self.locks[lock].state = LockState::Updating;
        self.updates.push(lock);
    }

    /// Tells the index for all locks in Updating.
    pub(super) fn update_batch<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
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

    pub(super) fn updated<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
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
}
