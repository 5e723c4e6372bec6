// SPDX-License-Identifier: BSD-3-Clause

//! Dedupe contexts: the queries that wait for the index history, and how long they may wait.
//!
//! A query that level 1 can answer needs no context. A query that waits for a section to be loaded takes a context
//! until the load has ended:
//!
//! ```text
//!   Idle -> Pending              a query waits
//!   Pending -> Idle              its load has ended: the query is retried
//!   Pending -> TimedOut          it has waited too long: it goes on without advice
//!   TimedOut -> Idle             its load has ended after all: the late answer is dropped
//! ```
//!
//! Invariants: every accepted query comes back exactly once, by [`Contexts::take_answered`], [`Contexts::take_expired`]
//! or [`Contexts::take_oldest`]; a context stays in use until its load has ended, so a history that hangs makes at most
//! as many queries wait as there are contexts, and none after that. Pending contexts are in order of submission, so the
//! first one expires first.
//!
//! Differs from dm-vdo: a single thread does everything, so states change by assignment; many queries wait for one
//! load, whose end recycles all their contexts, including timed-out ones, so there is no queue of late answers; nothing
//! outside points to a context, so a requestor that has timed out cannot leave a pointer behind.

use mpool::units::Nanos;

use crate::arena::NONE;

/// Maximum number of loads in flight, numbered from 0.
pub const LOADS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Pending,
    TimedOut,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    state: State,
    /// The query that waits: the number given to [`Contexts::submit`].
    requestor: u32,
    submitted: Nanos,
    /// The next context of the same load, or the next idle one.
    next: u32,
    /// Neighbours in the list of pending contexts.
    older: u32,
    newer: u32,
}

/// A list of contexts.
#[derive(Debug, Clone, Copy)]
struct Row {
    first: u32,
    last: u32,
}

const EMPTY: Row = Row { first: NONE, last: NONE };

/// Time limits of waiting queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A query that has waited this long goes on without advice.
    pub timeout: Nanos,
    /// The timer never fires sooner than this after it was set, however many queries expire.
    pub minimum_interval: Nanos,
}

/// A fixed number of contexts.
#[derive(Debug)]
pub struct Contexts {
    patience: Patience,
    slots: Vec<Slot>,
    /// First idle context.
    idle: u32,
    pending: Row,
    loads: [Row; LOADS],
    active: u32,
    waiting: u32,
    timer_is_set: bool,
}

impl Contexts {
    pub fn new(count: usize, patience: Patience) -> Contexts {
        let slot = |index: usize| Slot {
            state: State::Idle,
            requestor: NONE,
            submitted: Nanos(0),
            next: if index + 1 < count { index as u32 + 1 } else { NONE },
            older: NONE,
            newer: NONE,
        };
        Contexts {
            patience,
            slots: (0..count).map(slot).collect(),
            idle: if count > 0 { 0 } else { NONE },
            pending: EMPTY,
            loads: [EMPTY; LOADS],
            active: 0,
            waiting: 0,
            timer_is_set: false,
        }
    }

    /// Contexts in use, including those of timed-out queries.
    pub const fn active(&self) -> u32 {
        self.active
    }

    /// Queries that wait.
    pub const fn waiting(&self) -> u32 {
        self.waiting
    }

    /// Makes a query wait for a load. Returns false when there is no free context; the query then does not wait.
    ///
    /// # Panics
    /// If there is no such load.
    #[must_use]
    pub fn submit(&mut self, requestor: u32, load: usize, now: Nanos) -> bool {
        let at = self.idle;
        if at == NONE {
            return false;
        }
        let newest = self.pending.last;
        let slot = &mut self.slots[at as usize];
        debug_assert_eq!(slot.state, State::Idle);
        self.idle = slot.next;
        *slot = Slot { state: State::Pending, requestor, submitted: now, next: NONE, older: newest, newer: NONE };
        self.link_load(load, at);
        if newest == NONE {
            self.pending.first = at;
        } else {
            self.slots[newest as usize].newer = at;
        }
        self.pending.last = at;
        self.active += 1;
        self.waiting += 1;
        true
    }

    fn link_load(&mut self, load: usize, at: u32) {
        let row = &mut self.loads[load];
        if row.first == NONE {
            row.first = at;
        } else {
            self.slots[row.last as usize].next = at;
        }
        row.last = at;
    }

    /// A load has ended: takes the next query that waited for it, until there are no more. Also recycles the contexts
    /// of timed-out queries of this load.
    pub fn take_answered(&mut self, load: usize) -> Option<u32> {
        loop {
            let at = self.loads[load].first;
            if at == NONE {
                return None;
            }
            let Slot { state, requestor, next, .. } = self.slots[at as usize];
            self.loads[load].first = next;
            if state == State::Pending {
                self.unlink_pending(at);
            }
            let slot = &mut self.slots[at as usize];
            (slot.state, slot.next) = (State::Idle, self.idle);
            self.idle = at;
            self.active -= 1;
            if state == State::Pending {
                return Some(requestor);
            }
        }
    }

    /// Takes the oldest query if it has waited too long.
    pub fn take_expired(&mut self, now: Nanos) -> Option<u32> {
        let oldest = self.slots.get(self.pending.first as usize)?;
        let is_due = oldest.submitted.0.saturating_add(self.patience.timeout.0) <= now.0;
        if is_due {
            self.take_oldest()
        } else {
            None
        }
    }

    /// Takes the oldest query unconditionally; it waits no more.
    pub fn take_oldest(&mut self) -> Option<u32> {
        let at = self.pending.first;
        let slot = self.slots.get_mut(at as usize)?;
        slot.state = State::TimedOut;
        let requestor = slot.requestor;
        self.unlink_pending(at);
        Some(requestor)
    }

    fn unlink_pending(&mut self, at: u32) {
        let Slot { older, newer, .. } = self.slots[at as usize];
        if older == NONE {
            self.pending.first = newer;
        } else {
            self.slots[older as usize].newer = newer;
        }
        if newer == NONE {
            self.pending.last = older;
        } else {
            self.slots[newer as usize].older = older;
        }
        self.waiting -= 1;
    }

    /// When to arm the timer, if it is not armed and a query waits: when the oldest query expires, but not before the
    /// minimum interval.
    pub fn set_timer(&mut self, now: Nanos) -> Option<Nanos> {
        if self.timer_is_set {
            return None;
        }
        let oldest = self.slots.get(self.pending.first as usize)?;
        self.timer_is_set = true;
        let expires = oldest.submitted.0.saturating_add(self.patience.timeout.0);
        Some(Nanos(expires.max(now.0.saturating_add(self.patience.minimum_interval.0))))
    }

    /// The timer has fired.
    pub fn timer_fired(&mut self) {
        self.timer_is_set = false;
    }

    /// Whether the timer is armed although no query waits. If so, it counts as stopped from now on.
    pub fn stop_timer(&mut self) -> bool {
        self.waiting == 0 && std::mem::replace(&mut self.timer_is_set, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { timeout: Nanos(200), minimum_interval: Nanos(10) };

    fn answered(contexts: &mut Contexts, load: usize) -> Vec<u32> {
        std::iter::from_fn(|| contexts.take_answered(load)).collect()
    }

    fn expired(contexts: &mut Contexts, now: u64) -> Vec<u32> {
        std::iter::from_fn(|| contexts.take_expired(Nanos(now))).collect()
    }

    fn submit(contexts: &mut Contexts, requestor: u32, load: usize, now: u64) -> bool {
        contexts.submit(requestor, load, Nanos(now))
    }

    /// vdo-27, partly: queries go on without advice when they have waited for the timeout, oldest first, and not before.
    #[test]
    fn queries_expire_in_the_order_in_which_they_came() {
        let mut contexts = Contexts::new(8, PATIENCE);
        for (requestor, now) in [(1, 0), (2, 50), (3, 50), (4, 120)] {
            assert!(submit(&mut contexts, requestor, requestor as usize % 2, now));
        }
        assert_eq!(expired(&mut contexts, 199), []);
        assert_eq!(expired(&mut contexts, 200), [1]);
        assert_eq!(answered(&mut contexts, 0), [2, 4], "the answer is for those that still wait");
        assert_eq!(expired(&mut contexts, 500), [3]);
        assert_eq!((contexts.active(), contexts.waiting()), (2, 0));
    }

    /// vdo-28: with an index that hangs all contexts are in use before long, and nobody waits any more; when it answers
    /// after all, the pool recovers.
    #[test]
    fn late_answers_recycle_contexts() {
        let mut contexts = Contexts::new(4, PATIENCE);
        assert!((0..4).all(|requestor| submit(&mut contexts, requestor, 0, 0)));
        assert!(!submit(&mut contexts, 4, 0, 1), "busy");
        assert_eq!(expired(&mut contexts, 200), [0, 1, 2, 3]);
        assert_eq!((contexts.active(), contexts.waiting()), (4, 0));
        assert!(!submit(&mut contexts, 5, 1, 300), "given up, but not answered");
        assert_eq!(answered(&mut contexts, 0), [], "nobody waits for it");
        assert_eq!(contexts.active(), 0);
        assert!((6..10).all(|requestor| submit(&mut contexts, requestor, 1, 300)));
        assert_eq!(answered(&mut contexts, 1), [6, 7, 8, 9]);
    }

    /// vdo-29: the timer fires when the oldest query expires, but no sooner than the minimum interval after it was set,
    /// however many queries are late.
    #[test]
    fn the_timer_is_not_set_more_often_than_the_minimum_interval() {
        let mut contexts = Contexts::new(4096, PATIENCE);
        assert_eq!(contexts.set_timer(Nanos(0)), None, "nobody waits");
        assert!(submit(&mut contexts, 0, 0, 0));
        assert_eq!(contexts.set_timer(Nanos(3)), Some(Nanos(200)));
        let mut fires = Vec::new();
        let mut next = Nanos(200);
        for now in 1..3000 {
            assert!(submit(&mut contexts, now as u32, 0, now));
            assert_eq!(contexts.set_timer(Nanos(now)), None, "it is set");
            if now == next.0 {
                contexts.timer_fired();
                assert!(!expired(&mut contexts, now).is_empty());
                next = contexts.set_timer(Nanos(now)).expect("there are more");
                fires.push(now);
            }
        }
        assert_eq!(fires[..3], [200, 210, 220]);
        assert_eq!(fires.len(), 280);
    }

    #[test]
    fn a_timer_that_nobody_needs_can_be_stopped_once() {
        let mut contexts = Contexts::new(4, PATIENCE);
        assert!(!contexts.stop_timer(), "it is not set");
        assert!(submit(&mut contexts, 1, 0, 0));
        assert_eq!(contexts.set_timer(Nanos(0)), Some(Nanos(200)));
        assert!(!contexts.stop_timer(), "it is needed");
        assert_eq!(answered(&mut contexts, 0), [1]);
        assert!(contexts.stop_timer());
        assert!(!contexts.stop_timer());
        assert!(submit(&mut contexts, 2, 0, 100));
        assert_eq!(contexts.set_timer(Nanos(100)), Some(Nanos(300)));
    }

    /// vdo-26, adapted: whatever the order of answers and of the timer, every query comes back exactly once, in order, and
    /// every context is returned exactly once. One thread does both, so no compare-and-swap.
    #[test]
    fn every_query_comes_back_once() {
        let mut random = 11u64;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut contexts = Contexts::new(40, PATIENCE);
        // Waiting queries with their load and start time, oldest first.
        let mut waiting: Vec<(u32, usize, u64)> = Vec::new();
        let mut given_up = [0u32; LOADS];
        let mut now = 0;
        for requestor in 0..100_000 {
            now += draw(12);
            match draw(20) {
                0 => {
                    let load = draw(LOADS as u64) as usize;
                    let expected: Vec<u32> =
                        waiting.iter().filter(|query| query.1 == load).map(|query| query.0).collect();
                    waiting.retain(|query| query.1 != load);
                    given_up[load] = 0;
                    assert_eq!(answered(&mut contexts, load), expected);
                }
                1 => {
                    let cutoff = waiting.iter().take_while(|query| query.2 + 200 <= now).count();
                    let expected: Vec<u32> = waiting[..cutoff].iter().map(|query| query.0).collect();
                    waiting.drain(..cutoff).for_each(|query| given_up[query.1] += 1);
                    assert_eq!(expired(&mut contexts, now), expected);
                }
                2 if draw(4) == 0 => {
                    let expected = (!waiting.is_empty()).then(|| waiting.remove(0));
                    given_up[expected.map_or(0, |query| query.1)] += u32::from(expected.is_some());
                    assert_eq!(contexts.take_oldest(), expected.map(|query| query.0));
                }
                _ => {
                    let load = draw(LOADS as u64) as usize;
                    let in_use = waiting.len() as u32 + given_up.iter().sum::<u32>();
                    assert_eq!(submit(&mut contexts, requestor, load, now), in_use < 40, "{in_use} are in use");
                    if in_use < 40 {
                        waiting.push((requestor, load, now));
                    }
                }
            }
            assert_eq!(contexts.waiting() as usize, waiting.len());
            assert_eq!(contexts.active() as usize, waiting.len() + given_up.iter().sum::<u32>() as usize);
        }
    }
}
