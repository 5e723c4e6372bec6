// SPDX-License-Identifier: BSD-3-Clause

//! The campaigns by name, for the program and the tests that run them.

use super::lives::run_lives_seed;
use super::scripts::{run_script_seed, Blow, Extent};
use crate::seeds::runner;

/// A campaign: what one seed of it does is in its own module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Campaign {
    /// Many lives in random use.
    Random,
    /// Short scripts, cut at every I/O.
    Cuts,
    /// Short scripts, every I/O of which fails once, or for good.
    Failures,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lives of machines.
    pub lives: u64,
    /// Lives that ended with a power cut.
    pub cuts: u64,
    /// Lives that ended with a kill of the process.
    pub kills: u64,
    /// Different moments at which a script was cut, or failed.
    pub points: u64,
    /// Loads of a volume that was not saved.
    pub recoveries: u64,
    /// Rebuilds of a read-only volume.
    pub rebuilds: u64,
    /// Checks of a saved volume.
    pub checks: u64,
    /// Operations of disks.
    pub operations: u64,
    /// Operations that failed by plan.
    pub faults: u64,
    /// Requests of clients.
    pub requests: u64,
    /// Simulated nanoseconds.
    pub time: u64,
}

impl runner::Totals for Totals {
    fn add(&mut self, other: &Totals) {
        self.lives += other.lives;
        self.cuts += other.cuts;
        self.kills += other.kills;
        self.points += other.points;
        self.recoveries += other.recoveries;
        self.rebuilds += other.rebuilds;
        self.checks += other.checks;
        self.operations += other.operations;
        self.faults += other.faults;
        self.requests += other.requests;
        self.time += other.time;
    }
}

impl Totals {
    /// Adds one life.
    pub fn count<T>(&mut self, life: &crate::pool_sim::life::Life<T>) {
        self.lives += 1;
        let ended = life.result.is_none();
        let killed = ended && !life.disks.is_empty();
        self.kills += u64::from(killed);
        self.cuts += u64::from(ended && !killed);
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
    pub const ALL: [Campaign; 3] = [Campaign::Random, Campaign::Cuts, Campaign::Failures];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Campaign::Random => "random",
            Campaign::Cuts => "cuts",
            Campaign::Failures => "failures",
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        match self {
            Campaign::Random => "a volume in random use, cut, killed or stopped, life after life",
            Campaign::Cuts => "up to three requests, cut at every I/O, before, in the middle and after it",
            Campaign::Failures => "up to three requests, every I/O made to fail once, or for good",
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
        Campaign::Random => run_lives_seed(seed, trace),
        Campaign::Cuts => run_script_seed(seed, Blow::Cut, extent),
        Campaign::Failures => run_script_seed(seed, Blow::Failure, extent),
    }
}
