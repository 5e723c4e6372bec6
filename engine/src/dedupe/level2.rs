// SPDX-License-Identifier: BSD-3-Clause

//! The index history in a hash zone: the queries that wait for it, and the sections being read for them.
//!
//! A level-1 miss on a hook of a section that was not loaded lately asks the host for that section, and waits. All
//! other misses wait too while such a load is in flight: data that is written again mostly comes in its old order, so
//! these queries are likely to find their record in the section. When the section arrives, its records go to level 1
//! and each waiting query is retried, once. No query waits for a load that is already late: a base that hangs costs
//! each of a few loads one timeout, and not every write.
//!
//! Invariants: a query waits once, and no longer than [`PATIENCE`] allows; a load keeps its slot from the request to
//! the host until the host's answer; at most [`LOADS`] are in flight.

use std::ops::RangeInclusive;

use mpool::units::Nanos;

use super::contexts::{Contexts, Patience, LOADS};
use crate::context::Context;
use crate::env::Env;
use crate::fingerprint::Fingerprint;
use crate::format::index_section::SectionAt;
use crate::index::{History, HistoryConfig, Index};
use crate::statistics::Statistics;
use crate::timers::TimerUser;

/// Maximum number of waiting queries per shard.
const CONTEXTS: usize = 2048;

/// How long a query waits, and how often expired queries are looked for. dm-vdo waits 5 s, because there every query
/// goes to the base.
pub const PATIENCE: Patience = Patience { timeout: Nanos(20_000_000), minimum_interval: Nanos(1_000_000) };

/// A section being read.
#[derive(Debug, Clone, Copy)]
struct Load {
    at: SectionAt,
    begun: Nanos,
    /// The index was cleared while the section was being read.
    void: bool,
}

/// The outcome for a query that level 1 cannot answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// No section is known that may have a record, and no load that may have one is in flight.
    Nothing,
    /// The query waits.
    Waits,
    /// The query should wait, but there is no free context.
    Busy,
}

/// A shard's index history and the queries that wait for it.
#[derive(Debug)]
pub struct Level2 {
    config: HistoryConfig,
    partitions: RangeInclusive<u8>,
    history: History,
    contexts: Contexts,
    loads: [Option<Load>; LOADS],
}

impl Level2 {
    /// An empty history for the shard that owns `partitions`.
    pub fn new(config: HistoryConfig, partitions: RangeInclusive<u8>) -> Level2 {
        Level2 {
            config,
            history: History::new(config, partitions.clone()),
            partitions,
            contexts: Contexts::new(CONTEXTS, PATIENCE),
            loads: [None; LOADS],
        }
    }

    pub fn history(&mut self) -> &mut History {
        &mut self.history
    }

    pub fn contexts(&mut self) -> &mut Contexts {
        &mut self.contexts
    }

    /// Discards everything. Sections being read are ignored when they arrive.
    pub fn clear(&mut self) {
        self.history = History::new(self.config, self.partitions.clone());
        self.loads.iter_mut().flatten().for_each(|load| load.void = true);
    }

    /// True when the host has answered every read.
    pub fn is_answered(&self) -> bool {
        self.loads.iter().all(Option::is_none)
    }

    /// Checks what must hold when no block is being deduplicated.
    pub fn audit_at_rest(&self) -> Result<(), String> {
        let (active, waiting) = (self.contexts.active(), self.contexts.waiting());
        if waiting > 0 || (self.is_answered() && active > 0) {
            return Err(format!(
                "hash zone at rest has {waiting} queries that wait and {active} dedupe contexts in use"
            ));
        }
        Ok(())
    }

    /// Fills in the history's gauges and counters.
    pub fn gauges(&self, stats: &mut Statistics) {
        let history = self.history.statistics();
        stats.curr_dedupe_queries += u64::from(self.contexts.active());
        stats.index_hooks = history.hooks;
        stats.index_sections_readable = history.sections_readable;
        stats.index_sections_pending = history.sections_pending;
        stats.index_sections_sealed = history.sections_sealed;
        stats.index_sections_dropped = history.sections_dropped;
        stats.index_sections_loaded = history.sections_loaded;
        stats.index_sections_refilled = history.sections_refilled;
        stats.index_sections_failed = history.sections_failed;
        stats.index_records_carried = history.records_carried;
    }

    /// Level 1 does not know a fingerprint: makes the query of `lock` wait if a load may bring the record.
    pub fn ask<E: Env>(&mut self, cx: &mut Context<'_, E>, fingerprint: Fingerprint, lock: u32) -> Asked {
        let wanted = self.history.hook(fingerprint);
        if wanted.is_none() && self.is_answered() {
            return Asked::Nothing;
        }
        let now = cx.env.now();
        let load = match wanted {
            Some(at) => self.load_of(at).or_else(|| self.begin(cx, at, now)),
            None => self.newest(),
        };
        let Some(load) = load.filter(|load| !self.is_late(*load, now)) else { return Asked::Nothing };
        if !self.contexts.submit(lock, load, now) {
            return Asked::Busy;
        }
        self.set_timer(cx);
        Asked::Waits
    }

    /// A load has ended: its records go to `index`. Returns the number of the load, with which its waiting queries can
    /// be taken.
    pub fn loaded<E: Env>(
        &mut self,
        cx: &mut Context<'_, E>,
        index: &mut Index,
        at: SectionAt,
        result: Result<&[u8], ()>,
    ) -> Option<usize> {
        let number = self.load_of(at)?;
        let load = self.loads[number].take()?;
        match result {
            _ if load.void => {}
            Ok(image) => {
                // An error of the section has already been counted.
                if let Ok(Some(section)) = self.history.loaded(index, at, image) {
                    cx.env.append_section(section);
                }
            }
            Err(()) => self.history.load_failed(at),
        }
        Some(number)
    }

    /// Arms the timer if a query waits and it is not armed.
    pub fn set_timer<E: Env>(&mut self, cx: &mut Context<'_, E>) {
        if let Some(at) = self.contexts.set_timer(cx.env.now()) {
            cx.timers.arm(cx.env, TimerUser::Index, at);
        }
    }

    /// Stops the timer if no query waits.
    pub fn stop_timer<E: Env>(&mut self, cx: &mut Context<'_, E>) {
        if self.contexts.stop_timer() {
            cx.timers.stop(TimerUser::Index);
        }
    }

    fn begin<E: Env>(&mut self, cx: &mut Context<'_, E>, at: SectionAt, begun: Nanos) -> Option<usize> {
        let number = self.loads.iter().position(Option::is_none)?;
        self.loads[number] = Some(Load { at, begun, void: false });
        cx.env.read_section(at);
        Some(number)
    }

    fn load_of(&self, at: SectionAt) -> Option<usize> {
        self.loads.iter().position(|load| load.is_some_and(|load| load.at == at))
    }

    fn newest(&self) -> Option<usize> {
        let begun = |number: &usize| self.loads[*number].map(|load| load.begun);
        (0..LOADS).filter(|number| begun(number).is_some()).max_by_key(begun)
    }

    fn is_late(&self, load: usize, now: Nanos) -> bool {
        self.loads[load].is_some_and(|load| now.0 >= load.begun.0.saturating_add(PATIENCE.timeout.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A zone at rest has no query that waits, and no context in use without a read for it.
    #[test]
    fn the_audit_finds_a_query_that_is_left() {
        let config = HistoryConfig { nonce: 1, window_sections: 4, section_records: 16 };
        let mut level2 = Level2::new(config, 0..=0);
        assert_eq!(level2.audit_at_rest(), Ok(()));
        assert!(level2.contexts().submit(7, 0, Nanos(5)));
        let at = SectionAt { chapter: 1, section: 0 };
        for load in [None, Some(Load { at, begun: Nanos(5), void: false })] {
            level2.loads[0] = load;
            assert!(level2.audit_at_rest().is_err(), "{load:?}");
        }
    }
}
