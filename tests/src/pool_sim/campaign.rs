// SPDX-License-Identifier: BSD-3-Clause

//! The campaigns by name, for the program and the tests that run them.

use super::log_campaign::run_log_seed;

/// A campaign: what one seed of it does is in its own module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Campaign {
    /// Logs alone.
    Logs,
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

impl Totals {
    /// Adds another's.
    pub fn add(&mut self, other: &Totals) {
        self.cut_points += other.cut_points;
        self.lives += other.lives;
        self.cuts += other.cuts;
        self.calls += other.calls;
        self.operations += other.operations;
        self.faults += other.faults;
        self.time += other.time;
    }

    /// Adds one life.
    pub fn count<T>(&mut self, life: &super::life::Life<T>) {
        self.lives += 1;
        self.cuts += u64::from(life.result.is_none());
        self.operations += life.counts.operations;
        self.faults += life.counts.failed;
        self.time += life.time.0;
    }
}

impl Campaign {
    /// All of them.
    pub const ALL: [Campaign; 1] = [Campaign::Logs];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Campaign::Logs => "logs",
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        match self {
            Campaign::Logs => "one log without a pool: torn flush sets, failed writes, many lives",
        }
    }
}

/// Runs one seed of a campaign.
///
/// # Errors
/// What is wrong.
pub fn run_seed(campaign: Campaign, seed: u64, trace: bool) -> Result<Totals, String> {
    match campaign {
        Campaign::Logs => run_log_seed(seed, trace),
    }
}
