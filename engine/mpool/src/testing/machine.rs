// SPDX-License-Identifier: BSD-3-Clause

//! A machine during one life, from power-on to power cut: disks, operations in flight, clock, log.
//!
//! The scheduler ([`Machine::act`]) lets one operation in flight take effect or end, in an order drawn from the seed.
//! Operations are numbered in the order in which they were begun, so that a script can be cut, or failed, at each.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::task::Waker;

use super::disk::{Change, Content, Disk, Fate, Keep};
use super::faults::{Failure, Faults};
use super::image::{Filler, Image};
use super::operation::{Action, Call, Operation};
use super::random::Random;
use crate::units::Nanos;
use crate::{DeviceError, Level};

/// What an operation of a calm machine takes, in nanoseconds.
const MOMENT: u64 = 1000;

/// When the power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When the operation was begun; nothing of it survives.
    Begun(u64),
    /// In the middle of the operation: some of it survives.
    Torn(u64),
    /// When the operation has ended.
    Ended(u64),
}

/// In which order operations are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As begun.
    First,
    /// The youngest first.
    Last,
    /// Any.
    Any,
}

/// What was done in one life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations begun.
    pub operations: u64,
    /// Among them, those that change a disk or make it durable.
    pub changes: u64,
    /// Operations and allocations that failed by plan.
    pub failed: u64,
    /// Allocations of memory.
    pub allocations: u64,
    /// Bytes of reads that were begun.
    pub read_bytes: u64,
    /// Of those that failed, how many had failed when the disks were healed.
    pub forgiven: u64,
}

impl Counts {
    /// Something has failed by plan since the disks were healed.
    #[must_use]
    pub const fn excuses(&self) -> bool {
        self.failed > self.forgiven
    }
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    /// The time.
    pub now: Nanos,
    /// The disks.
    pub disks: Vec<Disk>,
    /// Those who sleep, by the time at which they wake.
    pub sleepers: BTreeMap<(Nanos, u64), Waker>,
    /// What the operator was told.
    pub log: Vec<(Level, String)>,
    /// Totals.
    pub counts: Counts,
    /// What the pool did that no user of a device may do; the first such thing.
    pub misuse: Option<String>,
    /// True when the power is off.
    pub off: bool,
    /// For directed tests: tasks run in turn, time passes only while all wait, and each operation takes as long.
    pub calm: bool,
    /// Chance.
    pub random: Random,
    /// Sleepers so far.
    arrivals: u64,
    operations: Vec<Operation>,
    faults: Faults,
    /// What has failed for good: disk, bytes, and whether they cannot be read (or else written).
    bad: Option<(usize, Range<u64>, bool)>,
    cut: Option<Moment>,
    order: Order,
    trace: bool,
}

impl Machine {
    /// A machine that was switched on just now.
    #[must_use]
    pub fn new(disks: Vec<Disk>, seed: u64, order: Order, faults: Faults, cut: Option<Moment>, trace: bool) -> Machine {
        Machine {
            now: Nanos(0),
            disks,
            sleepers: BTreeMap::new(),
            log: Vec::new(),
            counts: Counts::default(),
            misuse: None,
            off: false,
            calm: false,
            random: Random::stream(seed, 0x6d61),
            arrivals: 0,
            operations: Vec::new(),
            faults,
            bad: None,
            cut,
            order,
            trace,
        }
    }

    /// Prints an event, if wanted.
    pub fn trace(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>12} {}", self.now.0, what());
        }
    }

    /// Notes a breach of the rules of devices.
    pub fn misused(&mut self, what: String) {
        self.trace(|| format!("MISUSE: {what}"));
        self.misuse.get_or_insert(what);
    }

    /// Nothing fails any more, and nothing is excused by what has failed.
    pub fn heal(&mut self) {
        self.faults = Faults::default();
        self.bad = None;
        self.counts.forgiven = self.counts.failed;
    }

    /// True when this allocation of memory fails.
    pub fn is_out_of_memory(&mut self) -> bool {
        let fails = self.faults.no_memory == Some(self.counts.allocations);
        self.counts.allocations += 1;
        self.counts.failed += u64::from(fails);
        fails
    }

    /// The number of the next operation.
    #[must_use]
    pub const fn next_number(&self) -> u64 {
        self.counts.operations
    }

    /// Where a sleeper stands among those that wake at the same time.
    pub(super) fn order_of_sleeper(&mut self) -> u64 {
        self.arrivals += 1;
        if self.calm {
            self.arrivals
        } else {
            self.random.draw()
        }
    }

    /// Which of `count` tasks that are ready runs next; none when an operation goes first.
    pub(super) fn choose_task(&mut self, count: usize) -> Option<usize> {
        if count == 0 || self.calm {
            return (count > 0).then_some(0);
        }
        let operation_first = self.is_busy() && self.random.chance(100);
        (!operation_first).then(|| self.random.index(count))
    }

    /// What a discard on this machine leaves; drawn anew for each.
    pub fn draw_filler(&mut self) -> Filler {
        let seed = self.random.draw();
        self.random.pick(&[Filler::Zeros, Filler::Garbage(seed), Filler::Old, Filler::Mixed(seed)])
    }

    /// Begins an operation.
    pub fn begin(&mut self, disk: usize, action: Action, call: Rc<Call>) {
        if self.off {
            return;
        }
        let number = self.counts.operations;
        self.counts.operations += 1;
        match &action {
            Action::Read { range, .. } => self.counts.read_bytes += range.len() as u64,
            Action::Change(_) | Action::Flush { .. } => self.counts.changes += 1,
        }
        self.trace(|| format!("operation {number} begins: {} {action}", self.disks[disk].properties.name));
        self.check_overlap(disk, &action);
        let delay = if self.calm { MOMENT } else { self.faults.delay(&mut self.random) };
        let not_before = Nanos(self.now.0 + delay);
        self.operations.push(Operation { number, disk, action, call, outcome: None, not_before });
        self.off |= self.cut == Some(Moment::Begun(number));
    }

    fn check_overlap(&mut self, disk: usize, action: &Action) {
        let Some(range) = action.changes() else { return };
        // A log is erased while a write of its old generation, which counts for nothing, may still be under way.
        if matches!(action, Action::Change(change) if matches!(change.content, Content::Discard(..))) {
            return;
        }
        let overlaps = |other: &&Operation| {
            other.disk == disk
                && other.action.changes().is_some_and(|with| with.start < range.end && range.start < with.end)
        };
        if let Some(other) = self.operations.iter().find(overlaps) {
            let what = format!("{action} is begun while operation {} is in flight: {}", other.number, other.action);
            self.misused(what);
        }
    }

    /// True when something is in flight.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.operations.is_empty()
    }

    /// Lets an operation take effect or end, or else the next sleeper wake. False when there is neither.
    pub fn act(&mut self) -> bool {
        self.now.0 += if self.calm { 1 } else { 1 + self.random.below(20_000) };
        if self.wake() {
            return true;
        }
        match self.choose() {
            Some(chosen) => self.advance(chosen),
            None => {
                let sleeper = self.sleepers.keys().next().map(|(at, _)| *at);
                let slow = self.operations.iter().map(|operation| operation.not_before).min();
                let Some(next) = sleeper.into_iter().chain(slow).min() else { return false };
                self.now = self.now.max(next);
                self.wake();
            }
        }
        true
    }

    /// Wakes those whose time has come; false when there are none.
    fn wake(&mut self) -> bool {
        let mut any = false;
        while let Some(entry) = self.sleepers.first_entry().filter(|entry| entry.key().0 <= self.now) {
            entry.remove().wake();
            any = true;
        }
        any
    }

    fn choose(&mut self) -> Option<usize> {
        let now = self.now;
        let ready = |operation: &Operation| operation.not_before <= now;
        match self.order {
            Order::First => self.operations.iter().position(ready),
            Order::Last => self.operations.iter().rposition(ready),
            Order::Any => {
                let count = self.operations.iter().filter(|operation| ready(operation)).count();
                if count == 0 {
                    return None;
                }
                let chosen = self.random.index(count);
                let mut places = (0..self.operations.len()).filter(|place| ready(&self.operations[*place]));
                places.nth(chosen)
            }
        }
    }

    fn advance(&mut self, chosen: usize) {
        let number = self.operations[chosen].number;
        if self.operations[chosen].outcome.is_none() {
            if self.cut == Some(Moment::Torn(number)) {
                self.off = true;
                return;
            }
            self.apply(chosen);
            if self.random.chance(300) {
                return;
            }
        }
        let operation = self.operations.remove(chosen);
        let outcome = operation.outcome.unwrap_or(Ok(()));
        self.trace(|| format!("operation {number} ends: {outcome:?}"));
        match &operation.action {
            Action::Flush { began } if outcome.is_ok() => self.disks[operation.disk].end_flush(*began),
            Action::Change(_) => self.disks[operation.disk].end(number),
            Action::Flush { .. } | Action::Read { .. } => {}
        }
        operation.call.end(number, outcome);
        self.off |= self.cut == Some(Moment::Ended(number));
    }

    fn apply(&mut self, chosen: usize) {
        let operation = &mut self.operations[chosen];
        let drawn = self.faults.failure(operation.number, &mut self.random);
        let target = operation.action.target().map(|(range, reads)| (operation.disk, range, reads));
        let is_bad = self.bad.as_ref().zip(target.as_ref()).is_some_and(|((disk, bytes, reads), target)| {
            (*disk, *reads) == (target.0, target.2) && bytes.start < target.1.end && target.1.start < bytes.end
        });
        if drawn.is_some() && self.faults.lasting && self.bad.is_none() {
            self.bad = target;
        }
        let failure = drawn.or(is_bad.then_some(Failure { error: DeviceError::Io, effect: false }));
        self.counts.failed += u64::from(failure.is_some());
        let outcome = failure.map_or(Ok(()), |failure| Err(failure.error));
        let effect = failure.is_none_or(|failure| failure.effect);
        let disk = &mut self.disks[operation.disk];
        match &operation.action {
            Action::Change(change) if effect => disk.apply(change.clone()),
            Action::Read { at, range } => operation.call.fill(range.clone(), |target| match outcome {
                Ok(()) => disk.read(*at, target),
                // What a failed read leaves in memory is not defined.
                Err(_) => target.fill(0xdb),
            }),
            Action::Flush { began } if effect && outcome.is_err() => disk.end_flush(*began),
            Action::Change(_) | Action::Flush { .. } => {}
        }
        operation.outcome = Some(outcome);
    }

    /// The power is off: what the disks hold now.
    pub fn cut_disks(&mut self, others: Keep) -> Vec<Image> {
        let special = match self.cut {
            Some(Moment::Begun(number)) => Some((number, Keep::Nothing)),
            Some(Moment::Torn(number)) => Some((number, Keep::Sectors(self.random.pick(&[200, 500, 800])))),
            Some(Moment::Ended(_)) | None => None,
        };
        self.trace(|| format!("the power is cut; {others:?} survives, but {special:?}"));
        let mut begun: Vec<Vec<Change>> = self.disks.iter().map(|_| Vec::new()).collect();
        for operation in self.operations.drain(..) {
            if let (Action::Change(change), None) = (operation.action, operation.outcome) {
                begun[operation.disk].push(change);
            }
        }
        let mut fate = Fate { others, special, random: &mut self.random };
        self.disks.drain(..).zip(begun).map(|(disk, begun)| disk.cut(begun, &mut fate)).collect()
    }

    /// The process has ended, and the power stays on: of what was in flight some takes effect.
    pub fn leave_disks(&mut self) -> Vec<Disk> {
        self.trace(|| "the process ends".to_owned());
        for operation in self.operations.drain(..) {
            let disk = &mut self.disks[operation.disk];
            let begun = operation.outcome.is_none();
            if let Action::Change(change) = operation.action {
                let number = change.number;
                if begun && self.random.chance(500) {
                    disk.apply(change);
                }
                disk.end(number);
            }
        }
        let mut disks = std::mem::take(&mut self.disks);
        disks.iter_mut().for_each(Disk::forget_numbers);
        disks
    }

    /// The machine was shut down in an orderly way: what the disks hold now.
    pub fn stop_disks(&mut self) -> Vec<Image> {
        while self.is_busy() && self.act() {}
        self.disks.drain(..).map(Disk::into_visible).collect()
    }

    /// Tells whether a range can be transferred on a disk.
    ///
    /// # Errors
    /// It cannot; that is noted as misuse.
    pub fn check_range(&mut self, disk: usize, at: u64, bytes: u64, unit: u64) -> Result<(), DeviceError> {
        let properties = &self.disks[disk].properties;
        let inside = at.checked_add(bytes).is_some_and(|end| end <= properties.bytes);
        if bytes > 0 && inside && at.is_multiple_of(unit) && bytes.is_multiple_of(unit) {
            return Ok(());
        }
        let what = format!("{}: {bytes:#x} bytes at {at:#x} are not aligned or not inside", properties.name);
        self.misused(what);
        Err(DeviceError::Invalid)
    }
}
