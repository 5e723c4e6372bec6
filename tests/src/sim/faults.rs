// SPDX-License-Identifier: BSD-3-Clause

//! What goes wrong with the virtual disk, and who may complain about it.
//!
//! Faults are drawn from the seed, or scripted by a test. Each fault that can make a request fail is noted, and each
//! request that fails must name its cause: an unused fault of a fitting kind that happened while the request was in the
//! shard. So an error that comes out of nothing, or that two requests report for one fault, is noticed.

use engine::{Direction, Pbn};

use super::random::{mix, Random};

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
    /// Blocks that arrive spoilt, in 1000 block reads.
    pub rot: u32,
    /// Blocks that are spoilt on the disk for good, in 1000 block writes.
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
    /// A spoilt block was read, and not to verify advice.
    Rot,
}

/// What went wrong so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultCounts {
    /// Reads that failed.
    pub read_errors: u64,
    /// Writes that failed.
    pub write_errors: u64,
    /// Blocks that arrived spoilt.
    pub rotten_reads: u64,
    /// Blocks spoilt on the disk.
    pub decayed: u64,
    /// Transfers that took very long.
    pub slow: u64,
}

#[derive(Debug)]
struct Scripted {
    direction: Direction,
    pbn: Option<Pbn>,
    times: u32,
}

/// A request that was in the shard from `since` to `until`, used up `took`, of `time`, and could have used `other`.
#[derive(Debug)]
struct Undecided {
    since: u32,
    until: u32,
    took: Cause,
    time: u32,
    other: Cause,
}

/// The source of faults.
#[derive(Debug)]
pub struct Faults {
    rates: FaultRates,
    enabled: bool,
    random: Random,
    salt: u64,
    scripted: Vec<Scripted>,
    /// Times of the causes that no request has named yet, ascending, by [`Cause`].
    causes: [Vec<u32>; 3],
    /// Requests that may have failed for either of two causes, and took one.
    undecided: Vec<Undecided>,
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
            causes: Default::default(),
            undecided: Vec::new(),
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

    /// Where to spoil a block that is being read, if at all: index and bits of one byte.
    pub fn rots(&mut self) -> Option<(usize, u8)> {
        (self.enabled && self.random.chance(self.rates.rot)).then(|| self.spot())
    }

    /// Where to spoil a block that is being written, if at all.
    pub fn decays(&mut self) -> Option<(usize, u8)> {
        let spot = (self.enabled && self.random.chance(self.rates.decay)).then(|| self.spot());
        self.counts.decayed += u64::from(spot.is_some());
        spot
    }

    fn spot(&mut self) -> (usize, u8) {
        (self.random.index(engine::BLOCK_SIZE), 1 << self.random.below(8))
    }

    /// A fair coin, for what a failed transfer leaves behind.
    pub fn coin(&mut self) -> bool {
        self.random.chance(500)
    }

    /// Notes that from now on (`time`) a request may fail for this cause.
    pub fn note(&mut self, cause: Cause, time: u32) {
        self.causes[cause as usize].push(time);
    }

    /// Uses up a cause that is not older than `since`; false if there is none.
    ///
    /// Requests end in the order in which this is asked, so giving each the oldest cause that fits finds a cause for
    /// all of them whenever there is a way to do so.
    pub fn blame(&mut self, cause: Cause, since: u32) -> bool {
        self.take(cause, since, u32::MAX).is_some() || self.take_over(cause, since)
    }

    /// The same for a request that may have failed for either of two causes and ends at `now`.
    pub fn blame_either(&mut self, causes: [Cause; 2], since: u32, now: u32) -> bool {
        for (took, other) in [(causes[0], causes[1]), (causes[1], causes[0])] {
            if let Some(time) = self.take(took, since, now) {
                self.undecided.push(Undecided { since, until: now, took, time, other });
                return true;
            }
        }
        causes.into_iter().any(|cause| self.take_over(cause, since))
    }

    /// Uses up the oldest cause in a span of time.
    fn take(&mut self, cause: Cause, since: u32, until: u32) -> Option<u32> {
        let times = &mut self.causes[cause as usize];
        let oldest = times.partition_point(|time| *time < since);
        let fits = times.get(oldest).is_some_and(|time| *time <= until);
        fits.then(|| times.remove(oldest))
    }

    /// Takes the cause of a request that could have named another one, and lets it name that.
    fn take_over(&mut self, cause: Cause, since: u32) -> bool {
        for index in 0..self.undecided.len() {
            let Undecided { since: began, until, took, time, other } = self.undecided[index];
            if took == cause && time >= since && self.take(other, began, until).is_some() {
                self.undecided.swap_remove(index);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_serves_once_and_only_requests_it_could_have_met() {
        let mut faults = Faults::new(FaultRates::default(), Random::stream(1, 1));
        faults.note(Cause::ReadError, 10);
        assert!(!faults.blame(Cause::WriteError, 5), "another kind");
        assert!(!faults.blame(Cause::ReadError, 11), "before the request");
        assert!(faults.blame(Cause::ReadError, 10));
        assert!(!faults.blame(Cause::ReadError, 5), "used up");
    }

    #[test]
    fn a_request_with_two_possible_causes_does_not_take_anothers() {
        let mut faults = Faults::new(FaultRates::default(), Random::stream(1, 1));
        faults.note(Cause::WriteError, 10);
        faults.note(Cause::ReadError, 11);
        assert!(faults.blame_either([Cause::WriteError, Cause::ReadError], 5, 20));
        assert!(faults.blame(Cause::WriteError, 8), "the other one can have been the read error");
        assert!(!faults.blame(Cause::ReadError, 5), "both are used up now");
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
