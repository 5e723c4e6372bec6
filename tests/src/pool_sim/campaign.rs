// SPDX-License-Identifier: BSD-3-Clause

//! The campaigns by name, for the program and the tests that run them.

use super::exhaustive::{run_script_seed, Blow, Extent};
use super::lives::run_lives_seed;
use super::log_campaign::run_log_seed;
use crate::seeds::runner;

/// A campaign: what one seed of it does is in its own module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Campaign {
    /// Logs alone.
    Logs,
    /// Scripts, cut at every I/O.
    Cuts,
    /// Scripts, with a failure of every I/O and of every allocation.
    Failures,
    /// Many lives of a pool in random use.
    Lives,
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
    pub fn count<T>(&mut self, life: &super::life::Life<T>) {
        self.lives += 1;
        self.cuts += u64::from(life.result.is_none());
        self.operations += life.counts.operations;
        self.faults += life.counts.failed;
        self.time += life.time.0;
    }
}

/// How campaigns are run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Print every event.
    pub trace: bool,
    /// Of scripts, print every event of the life with this number.
    pub trace_life: Option<u64>,
    /// Of scripts, cut or fail one in so many operations.
    pub stride: u64,
}

impl Campaign {
    /// All of them.
    pub const ALL: [Campaign; 4] = [Campaign::Logs, Campaign::Cuts, Campaign::Failures, Campaign::Lives];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Campaign::Logs => "logs",
            Campaign::Cuts => "cuts",
            Campaign::Failures => "failures",
            Campaign::Lives => "lives",
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        match self {
            Campaign::Logs => "one log without a pool: torn flush sets, failed writes, many lives",
            Campaign::Cuts => "a short script, cut at every I/O, before, in the middle and after it",
            Campaign::Failures => "a short script, every I/O and every allocation of memory made to fail once",
            Campaign::Lives => "a pool in use by several tasks, cut at random, life after life",
        }
    }
}

/// Runs one seed of a campaign.
///
/// # Errors
/// What is wrong.
pub fn run_seed(campaign: Campaign, seed: u64, options: Options) -> Result<Totals, String> {
    let Options { trace, trace_life, stride } = options;
    let extent = Extent { stride, trace_life };
    match campaign {
        Campaign::Logs => run_log_seed(seed, trace),
        Campaign::Cuts => run_script_seed(seed, Blow::Cut, extent),
        Campaign::Failures => run_script_seed(seed, Blow::Failure, extent),
        Campaign::Lives => run_lives_seed(seed, trace),
    }
}
