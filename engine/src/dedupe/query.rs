// SPDX-License-Identifier: BSD-3-Clause

//! Queries of the hash zone to the index: QUERYING.
//!
//! Queries run in batches: all buckets of a batch are touched first and then probed, so that their cache misses
//! overlap. Most queries are answered at once. The others wait for the history ([`super::level2`]) and are retried in a
//! later batch or, when that takes too long, go on without advice.
//!
//! While deduplication against stored data is off, the index is not queried, and waiting queries go on without advice.

use super::hash_lock::HashLock;
use super::level2::Asked;
use super::{is_plausible, HashZone};
use crate::context::Context;
use crate::env::{Env, Event};
use crate::format::index_section::SectionAt;
use crate::format::Mapped;

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// Queries the index for all locks in Querying that do not wait for the history.
    pub(super) fn query_batch<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let progress = !self.queries.is_empty() | self.end_waiting(cx);
        let mut queries = std::mem::take(&mut self.queries);
        if self.deduplication {
            self.index.touch_all(queries.iter().map(|&lock| self.locks[lock].fingerprint));
        }
        for lock in queries.drain(..) {
            if self.deduplication {
                self.query(cx, lock);
            } else {
                self.answered(cx, lock, None);
            }
        }
        // A lock whose agent failed may have got another agent, which is queried in the next batch.
        queries.append(&mut self.queries);
        self.queries = queries;
        progress
    }

    fn query<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        match self.index.lookup(self.locks[lock].fingerprint) {
            Some(advice) => {
                cx.stats.posts_found += 1;
                self.answered(cx, lock, Some(advice));
            }
            None if self.must_wait(cx, lock) => {}
            None => self.unanswered(cx, lock),
        }
    }

    /// Whether a query that level 1 cannot answer has to wait for the history.
    fn must_wait<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) -> bool {
        let HashLock { fingerprint, has_waited, .. } = self.locks[lock];
        if has_waited || cx.is_read_only() {
            return false;
        }
        let Some(level2) = &mut self.level2 else { return false };
        match level2.ask(cx, fingerprint, lock) {
            Asked::Nothing => false,
            Asked::Waits => {
                self.locks[lock].has_waited = true;
                true
            }
            Asked::Busy => {
                cx.stats.dedupe_context_busy += 1;
                cx.queries_timed_out(1);
                false
            }
        }
    }

    /// A section was read, or the read failed: retries the queries that waited for it.
    pub fn section_read<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        at: SectionAt,
        result: Result<&[u8], ()>,
    ) {
        let Some(level2) = &mut self.level2 else { return };
        let Some(load) = level2.loaded(cx, &mut self.index, at, result) else { return };
        while let Some(lock) = level2.contexts().take_answered(load) {
            self.queries.push(lock);
        }
        level2.stop_timer(cx);
    }

    /// The timer fired: queries that have waited too long go on without advice.
    pub fn index_timer<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) {
        let now = cx.env.now();
        let Some(level2) = &mut self.level2 else { return };
        level2.contexts().timer_fired();
        let mut given_up = 0;
        while let Some(lock) = self.level2.as_mut().and_then(|level2| level2.contexts().take_expired(now)) {
            given_up += 1;
            self.unanswered(cx, lock);
        }
        cx.queries_timed_out(given_up);
        if let Some(level2) = &mut self.level2 {
            level2.set_timer(cx);
        }
    }

    /// Ends all waiting in a shard that is read-only or does not use the index.
    fn end_waiting<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        if self.deduplication && !cx.is_read_only() {
            return false;
        }
        let mut progress = false;
        while let Some(lock) = self.level2.as_mut().and_then(|level2| level2.contexts().take_oldest()) {
            self.unanswered(cx, lock);
            progress = true;
        }
        if let Some(level2) = &mut self.level2 {
            level2.stop_timer(cx);
        }
        progress
    }

    /// The index has no record.
    fn unanswered<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        cx.stats.posts_not_found += 1;
        self.answered(cx, lock, None);
    }

    /// The index has answered. Advice is plausible only if it names a block that can hold data.
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
}
