// SPDX-License-Identifier: BSD-3-Clause

//! What goes wrong with the virtual disk, and which requests may fail because of it.
//!
//! Faults are drawn from the seed, or scripted by a test. Each fault that can fail a request is noted, and each request
//! that fails must name its cause: an unused fault of a fitting kind, from the time that the request was in the shard.
//! That catches an error without a cause, and one fault that two requests report.

use engine::{Direction, Pbn, Place};
use mpool::testing::{mix, Random};

use super::damage::{Damage, DamageCounts};

/// How often things go wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// Reads that fail, in 1000 transfers.
    pub read_error: u32,
    /// Writes that fail, in 1000 transfers.
    pub write_error: u32,
    /// Blocks that can never be read, in 1000.
    pub bad_read: u32,
    /// Blocks that can never be written, in 1000.
    pub bad_write: u32,
    /// Blocks that arrive wrong, in 1000 block reads.
    pub rot: u32,
    /// Blocks that are stored wrong, in 1000 block writes.
    pub decay: u32,
    /// Transfers that take very long, in 1000.
    pub slow: u32,
}

impl FaultRates {
    /// True when something can go wrong (being slow is not wrong).
    #[must_use]
    pub fn any_error(&self) -> bool {
        FaultRates { slow: 0, ..*self } != FaultRates::default()
    }
}

/// Why a request may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A read of one block failed, and it was not a verify read.
    ReadError,
    /// A write of one block failed.
    WriteError,
    /// A block was read that is wrong, or that was shown wrong to somebody who compared it; not to verify advice.
    Rot,
}

/// What went wrong so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultCounts {
    /// Reads that failed.
    pub read_errors: u64,
    /// Writes that failed.
    pub write_errors: u64,
    /// Blocks stored wrong.
    pub stored_wrong: DamageCounts,
    /// Reads that made a block wrong.
    pub read_wrong: DamageCounts,
    /// Wrong blocks that were read for clients, stored wrong or not.
    pub wrong_reads: u64,
    /// Right blocks that were read for clients after somebody who compared them had been shown them wrong: he may share
    /// a block that is not his.
    pub misled_reads: u64,
    /// Wrong blocks that were read to be compared, or moved.
    pub wrong_verifies: u64,
    /// Transfers that took very long.
    pub slow: u64,
}

impl FaultCounts {
    /// Adds those of another run.
    pub fn add(&mut self, more: &FaultCounts) {
        self.read_errors += more.read_errors;
        self.write_errors += more.write_errors;
        self.stored_wrong.add(&more.stored_wrong);
        self.read_wrong.add(&more.read_wrong);
        self.wrong_reads += more.wrong_reads;
        self.misled_reads += more.misled_reads;
        self.wrong_verifies += more.wrong_verifies;
        self.slow += more.slow;
    }

    /// Blocks read for clients that may not hold what their reader is to see: each excuses one check code that does not
    /// fit.
    #[must_use]
    pub const fn doubtful_reads(&self) -> u64 {
        self.wrong_reads + self.misled_reads
    }
}

#[derive(Debug)]
struct Scripted {
    direction: Direction,
    pbn: Option<Pbn>,
    times: u32,
}

/// Something that went wrong.
#[derive(Debug)]
struct Fault {
    cause: Cause,
    time: u32,
    /// The complaint that names it.
    named_by: Option<usize>,
}

/// What a failed request has to name: a fault of one of these kinds in its time.
#[derive(Debug)]
struct Complaint {
    causes: [Cause; 2],
    since: u32,
    until: u32,
}

impl Complaint {
    fn fits(&self, fault: &Fault) -> bool {
        self.causes.contains(&fault.cause) && (self.since..=self.until).contains(&fault.time)
    }
}

/// Who complains of what: each complaint names one fault, each fault is named once at most.
///
/// Which fault a request has met cannot always be told from outside, so any assignment that serves all complaints will
/// do. The usual method for such problems finds one if there is one: a new complaint may take a fault from an older one
/// that can name another instead.
#[derive(Debug, Default)]
struct Complaints {
    faults: Vec<Fault>,
    complaints: Vec<Complaint>,
}

impl Complaints {
    /// Adds a complaint; false if not all complaints can be served then.
    fn add(&mut self, complaint: Complaint) -> bool {
        self.complaints.push(complaint);
        let mut visited = vec![false; self.faults.len()];
        self.serve(self.complaints.len() - 1, &mut visited)
    }

    fn serve(&mut self, complaint: usize, visited: &mut [bool]) -> bool {
        let Complaint { since, until, .. } = self.complaints[complaint];
        let first = self.faults.partition_point(|fault| fault.time < since);
        let end = self.faults.partition_point(|fault| fault.time <= until);
        let fitting =
            |complaints: &Complaints, fault: usize| complaints.complaints[complaint].fits(&complaints.faults[fault]);
        let free = (first..end).find(|fault| self.faults[*fault].named_by.is_none() && fitting(self, *fault));
        if let Some(fault) = free {
            self.faults[fault].named_by = Some(complaint);
            return true;
        }
        for fault in first..end {
            if visited[fault] || !fitting(self, fault) {
                continue;
            }
            visited[fault] = true;
            let holder = self.faults[fault].named_by;
            if holder.is_none_or(|holder| self.serve(holder, visited)) {
                self.faults[fault].named_by = Some(complaint);
                return true;
            }
        }
        false
    }
}

/// The source of faults.
#[derive(Debug)]
pub struct Faults {
    rates: FaultRates,
    enabled: bool,
    random: Random,
    salt: u64,
    scripted: Vec<Scripted>,
    /// So many writes of recovery journals are to fail.
    journal_writes: u32,
    complaints: Complaints,
    /// Totals.
    pub counts: FaultCounts,
}

impl Faults {
    /// Faults at some rates, in an order that depends on `random`.
    #[must_use]
    pub fn new(rates: FaultRates, mut random: Random) -> Faults {
        let salt = random.draw();
        Faults {
            rates,
            enabled: true,
            random,
            salt,
            scripted: Vec::new(),
            journal_writes: 0,
            complaints: Complaints::default(),
            counts: FaultCounts::default(),
        }
    }

    /// No faults but those that a test scripts.
    #[must_use]
    pub fn none() -> Faults {
        Faults::new(FaultRates::default(), Random::stream(0, 0))
    }

    /// Turns drawn faults on or off. Blocks that are spoilt on the disk stay so.
    pub fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Fails the next `times` transfers in a direction that touch `pbn` (or any block).
    pub fn script(&mut self, direction: Direction, pbn: Option<Pbn>, times: u32) {
        self.scripted.push(Scripted { direction, pbn, times });
    }

    /// Fails the next `times` writes of recovery journals.
    pub fn script_journal(&mut self, times: u32) {
        self.journal_writes = times;
    }

    /// True when the transfer of metadata fails.
    pub fn fails_metadata(&mut self, direction: Direction, place: Place) -> bool {
        let is_meant = direction == Direction::Write && matches!(place, Place::Journal { .. });
        let fails = is_meant && self.journal_writes > 0;
        self.journal_writes -= u32::from(fails);
        fails
    }

    /// True when the transfer fails.
    pub fn fails(&mut self, direction: Direction, first: Pbn, blocks: u64) -> bool {
        let touches = |pbn: Option<Pbn>| pbn.is_none_or(|pbn| pbn.0 >= first.0 && pbn.0 < first.0 + blocks);
        let script = self.scripted.iter_mut().find(|script| script.direction == direction && touches(script.pbn));
        if let Some(script) = script {
            script.times -= 1;
            self.scripted.retain(|script| script.times > 0);
            return true;
        }
        if !self.enabled {
            return false;
        }
        let (transient, bad, salt) = match direction {
            Direction::Read => (self.rates.read_error, self.rates.bad_read, self.salt),
            Direction::Write => (self.rates.write_error, self.rates.bad_write, !self.salt),
        };
        let is_bad = |pbn: u64| mix(pbn ^ salt) % 1000 < u64::from(bad);
        self.random.chance(transient) || (bad > 0 && (first.0..first.0 + blocks).any(is_bad))
    }

    /// True when the next transfer takes very long.
    pub fn is_slow(&mut self) -> bool {
        let slow = self.enabled && self.random.chance(self.rates.slow);
        self.counts.slow += u64::from(slow);
        slow
    }

    /// How a block that is being read arrives wrong, if it does.
    pub fn rots(&mut self) -> Option<Damage> {
        (self.enabled && self.random.chance(self.rates.rot)).then(|| Damage::draw(&mut self.random))
    }

    /// How a block that is being written is stored wrong, if it is.
    pub fn decays(&mut self) -> Option<Damage> {
        (self.enabled && self.random.chance(self.rates.decay)).then(|| Damage::draw(&mut self.random))
    }

    /// A fair coin, for what a failed transfer leaves behind.
    pub fn coin(&mut self) -> bool {
        self.random.chance(500)
    }

    /// Notes that from now on (`time`) a request may fail for this cause.
    pub fn note(&mut self, cause: Cause, time: u32) {
        self.complaints.faults.push(Fault { cause, time, named_by: None });
    }

    /// A request that was in the engine from `since` to `until` failed, for one of two causes (or twice the same).
    /// Returns false if there is no fault left for it to name.
    pub fn blame(&mut self, causes: [Cause; 2], since: u32, until: u32) -> bool {
        self.complaints.add(Complaint { causes, since, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: [Cause; 2] = [Cause::ReadError; 2];
    const WRITE: [Cause; 2] = [Cause::WriteError; 2];
    const EITHER: [Cause; 2] = [Cause::WriteError, Cause::ReadError];

    #[test]
    fn a_cause_serves_once_and_only_requests_it_could_have_met() {
        let mut faults = Faults::none();
        faults.note(Cause::ReadError, 10);
        assert!(!faults.blame(WRITE, 5, 20), "another kind");
        assert!(!faults.blame(READ, 11, 20), "before the request");
        assert!(faults.blame(READ, 10, 20));
        assert!(!faults.blame(READ, 5, 20), "used up");
    }

    #[test]
    fn requests_name_other_causes_if_that_serves_all() {
        let mut faults = Faults::none();
        for (cause, time) in [(Cause::WriteError, 10), (Cause::ReadError, 11), (Cause::ReadError, 25)] {
            faults.note(cause, time);
        }
        assert!(faults.blame(EITHER, 5, 20));
        assert!(faults.blame(READ, 5, 30));
        assert!(faults.blame(WRITE, 8, 30), "the first can name the read error, and the second the later one");
        assert!(!faults.blame(EITHER, 5, 30), "all are used up now");
    }

    #[test]
    fn scripted_faults_hit_their_block_so_many_times() {
        let mut faults = Faults::new(FaultRates::default(), Random::stream(1, 1));
        faults.script(Direction::Read, Some(Pbn(5)), 2);
        assert!(!faults.fails(Direction::Write, Pbn(5), 1));
        assert!(!faults.fails(Direction::Read, Pbn(6), 4));
        assert!(faults.fails(Direction::Read, Pbn(4), 2));
        assert!(faults.fails(Direction::Read, Pbn(5), 1));
        assert!(!faults.fails(Direction::Read, Pbn(5), 1));
    }
}
