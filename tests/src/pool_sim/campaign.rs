// SPDX-License-Identifier: BSD-3-Clause

//! The campaigns by name, for the program and the tests that run them.

use super::exhaustive::{run_script_seed, Blow};
use super::lives::run_lives_seed;
use super::log_campaign::run_log_seed;
use super::twins::run_twins_seed;
use crate::seeds::campaigns::{self, Options};
use crate::seeds::runner::{self, Outcome};

/// A campaign: what one seed of it does is in its own module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Campaign {
    /// Logs alone.
    Logs,
    /// Scripts, cut at every I/O.
    Cuts,
    /// Scripts, with a failure of every I/O and of every allocation, after which the pool must mend itself.
    Failures,
    /// Many lives of a pool in random use.
    Lives,
    /// A pool and a copy of its disks.
    Twins,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Different moments at which a script was cut.
    pub cut_points: u64,
    /// Lives of machines.
    pub lives: u64,
    /// Lives that ended with a power cut.
    pub cuts: u64,
    /// Calls of the pool or of logs.
    pub calls: u64,
    /// Operations of disks.
    pub operations: u64,
    /// Operations that failed by plan.
    pub faults: u64,
    /// Simulated nanoseconds.
    pub time: u64,
}

impl runner::Totals for Totals {
    fn add(&mut self, other: &Totals) {
        self.cut_points += other.cut_points;
        self.lives += other.lives;
        self.cuts += other.cuts;
        self.calls += other.calls;
        self.operations += other.operations;
        self.faults += other.faults;
        self.time += other.time;
    }
}

impl Totals {
    /// Adds one life.
    pub fn count<T>(&mut self, life: &mpool::testing::Life<T>) {
        self.lives += 1;
        self.cuts += u64::from(life.result.is_none());
        self.operations += life.counts.operations;
        self.faults += life.counts.failed;
        self.time += life.time.0;
    }
}

impl campaigns::Campaign for Campaign {
    type Totals = Totals;

    const PROGRAM: &'static str = "pool_campaign";

    const ALL: &'static [Campaign] =
        &[Campaign::Logs, Campaign::Cuts, Campaign::Failures, Campaign::Lives, Campaign::Twins];

    fn name(self) -> &'static str {
        match self {
            Campaign::Logs => "logs",
            Campaign::Cuts => "cuts",
            Campaign::Failures => "failures",
            Campaign::Lives => "lives",
            Campaign::Twins => "twins",
        }
    }

    fn purpose(self) -> &'static str {
        match self {
            Campaign::Logs => "one log without a pool: torn flush sets, failed writes, many lives",
            Campaign::Cuts => "a short script, cut at every I/O, before, in the middle and after it",
            Campaign::Failures => "a short script, every I/O and every allocation of memory made to fail, once, for good or with those after it",
            Campaign::Lives => "a pool in use by several tasks, cut at random, life after life",
            Campaign::Twins => "a copy of a pool's disks is imported beside it, cut off at random",
        }
    }

    fn run_seed(self, seed: u64, options: Options) -> Result<Totals, String> {
        match self {
            Campaign::Logs => run_log_seed(seed, options.trace),
            Campaign::Cuts => run_script_seed(seed, Blow::Cut, options),
            Campaign::Failures => run_script_seed(seed, Blow::Failure, options),
            Campaign::Lives => run_lives_seed(seed, options.trace),
            Campaign::Twins => run_twins_seed(seed, options.trace),
        }
    }

    fn print(outcome: &Outcome<Totals>) {
        let Totals { cut_points, lives, cuts, calls, operations, faults, time } = &outcome.totals;
        println!("  cut points   {cut_points} distinct");
        println!("  lives        {lives}, {cuts} of them ended by a power cut");
        println!("  calls        {calls}, with {operations} operations of disks, {faults} of which were made to fail");
        println!("  time         {:.1} s simulated", *time as f64 / 1e9);
    }
}
