// SPDX-License-Identifier: BSD-3-Clause

//! Power cuts and failed flushes at random points of random use, with torn flush sets.
//!
//! A model tracks which records are durable and which were appended behind them, in order. After a cut, and when it is
//! reopened after a failed flush, the log holds the durable records and a prefix of the others, whole and in order.

use super::*;
use crate::mlog::block::{LogFormat, TORN_BYTES};
use crate::mlog::testing::{record, PureLog};
use crate::testing::Random;

/// The possible content of the log.
#[derive(Debug, Default)]
struct Model {
    durable: Vec<u64>,
    /// Appended behind the durable records.
    others: Vec<u64>,
}

impl Model {
    /// Makes the first `count` of the others durable.
    fn settle(&mut self, count: usize) {
        self.durable.extend(self.others.drain(..count));
    }

    fn allows(&self, found: &[u64]) -> bool {
        found.strip_prefix(&self.durable[..]).is_some_and(|behind| self.others.starts_with(behind))
    }
}

/// One log under random use.
struct Run {
    log: PureLog,
    random: Random,
    model: Model,
    in_flight: Vec<FlushSet<Vec<u8>>>,
    next: u64,
    /// A flush has failed: the log must be reopened.
    failed: bool,
    /// Bytes that the medium writes atomically.
    atomic: usize,
}

/// The size of a record, by number.
fn size_of(number: u64, sector: usize) -> usize {
    let mut random = Random::new(number ^ 0xabcd);
    match random.below(4) {
        0 => 8 + random.below(40),
        1 => sector - 60 + random.below(30),
        2 => 8 + random.below(sector),
        _ => 8 + random.below(3 * sector),
    }
}

impl Run {
    fn new(seed: u64, sector: usize, policy: Policy, atomic: usize) -> Run {
        let log = PureLog::small(sector, 14, policy, LogFormat::V2);
        Run {
            log,
            random: Random::new(seed),
            model: Model::default(),
            in_flight: Vec::new(),
            next: 1,
            failed: false,
            atomic,
        }
    }

    fn act(&mut self) {
        match self.random.below(8) {
            0..=3 => self.append(),
            4..=5 => self.in_flight.extend(self.log.writer.next_flush(true)),
            6 => self.end_one(true),
            _ => {
                let ok = !self.random.one_in(4);
                self.end_one(ok);
            }
        }
    }

    fn append(&mut self) {
        let record = record(self.next, size_of(self.next, self.log.config.geometry.sector_bytes));
        if self.log.writer.append(&record).is_ok() {
            self.model.others.push(self.next);
        }
        self.next += 1;
    }

    /// Ends a random set in flight.
    fn end_one(&mut self, ok: bool) {
        if self.in_flight.is_empty() {
            return;
        }
        let at = self.random.below(self.in_flight.len());
        let set = self.in_flight.swap_remove(at);
        if ok {
            self.log.write(&set);
        } else {
            self.tear(&set);
        }
        let before = self.log.writer.durable();
        let settled = self.log.writer.flushed(set.id, set.buffer, ok);
        self.model.settle((settled.durable.0 - before.0) as usize);
        self.failed = settled.lost.is_some();
    }

    /// Writes a random part of a set's pieces to the medium.
    fn tear(&mut self, set: &FlushSet<Vec<u8>>) {
        for at in (0..set.range.len()).step_by(self.atomic) {
            if self.random.one_in(2) {
                let to = set.at as usize + at;
                self.log.image[to..to + self.atomic].copy_from_slice(&set.buffer[at..at + self.atomic]);
            }
        }
    }

    /// Cuts the power. Returns whether the log's content is allowed; then continues with it.
    fn cut(&mut self, look_for_stale: bool) -> bool {
        for set in std::mem::take(&mut self.in_flight) {
            self.tear(&set);
        }
        let Ok(content) = self.log.content() else { return false };
        let found: Vec<u64> = content.records.iter().map(|record| number_of(record)).collect();
        let sector = self.log.config.geometry.sector_bytes;
        let whole = |bytes: &Vec<u8>| *bytes == record(number_of(bytes), size_of(number_of(bytes), sector));
        if !content.records.iter().all(whole) || !self.model.allows(&found) {
            return false;
        }
        self.model = Model { durable: found, others: Vec::new() };
        self.failed = false;
        let mut recovered = content.recovered;
        if recovered.remains && self.atomic < sector {
            let at = recovered.blocks as usize * sector;
            self.log.image[at..at + TORN_BYTES].fill(0);
        }
        if !look_for_stale {
            recovered.next_set = u64::from(recovered.last_set) + 1;
        }
        let (config, image) = (self.log.config, std::mem::take(&mut self.log.image));
        self.log = PureLog { image, ..PureLog::new(config, self.log.buffer_bytes) }.reopen_as(&recovered);
        true
    }
}

fn number_of(record: &[u8]) -> u64 {
    record.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Runs three cuts for each seed. Returns how many seeds ended with a log that is not allowed.
fn failures(seeds: core::ops::Range<u64>, sector: usize, policy: Policy, atomic: usize, look_for_stale: bool) -> usize {
    let fails = |seed: &u64| {
        let mut run = Run::new(*seed, sector, policy, atomic);
        !(0..3).all(|_| {
            let acts = 1 + run.random.below(16);
            (0..acts).all(|_| {
                run.act();
                !run.failed || run.cut(look_for_stale)
            }) && run.cut(look_for_stale)
        })
    };
    seeds.filter(fails).count()
}

/// mpool-63: 66 000 runs with torn flush sets, three cuts each, none with a log that is corrupt or has lost or
/// resurrected records.
#[test]
fn torn_flushes_lose_nothing_and_corrupt_nothing() {
    let mut failed = failures(0..29_000, 512, Policy::Continue, 512, true);
    failed += failures(0..29_000, 512, Policy::Fresh, 512, true);
    failed += failures(0..1_000, 4096, Policy::Continue, 4096, true);
    failed += failures(0..7_000, 4096, Policy::Fresh, 512, true);
    assert_eq!(failed, 0);
}

/// mpool-63: the same runs without the scan for stale sets find corrupt logs, so they would notice its absence.
#[test]
fn without_the_stale_scan_torn_flushes_corrupt() {
    for policy in [Policy::Continue, Policy::Fresh] {
        assert!(failures(0..2_000, 512, policy, 512, false) > 10, "{policy:?}");
    }
}

/// Defect 3: a rewritten block that the medium tears loses acknowledged records. [`Policy::Fresh`] is for such media.
#[test]
fn rewriting_blocks_that_can_be_torn_loses_records() {
    assert!(failures(0..1_000, 4096, Policy::Continue, 512, true) > 10);
    assert_eq!(failures(0..1_000, 4096, Policy::Fresh, 512, true), 0);
}
