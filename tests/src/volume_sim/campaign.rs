// SPDX-License-Identifier: BSD-3-Clause

//! The campaigns by name, for the program and the tests that run them.

use super::lives::run_lives_seed;
use super::scripts::{run_script_seed, Blow};
use crate::seeds::campaigns::{self, Options};
use crate::seeds::runner::{self, Outcome};

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
    /// Compressed blocks written anew on a full volume for overwrites of their fragments.
    pub swaps: u64,
    /// Lives that ended while such blocks were on their way.
    pub swaps_cut: u64,
    /// Blocks that the volume has stored in another place.
    pub relocations: u64,
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
        self.swaps += other.swaps;
        self.swaps_cut += other.swaps_cut;
        self.relocations += other.relocations;
        self.time += other.time;
    }
}

impl Totals {
    /// Adds one life.
    pub fn count<T>(&mut self, life: &mpool::testing::Life<T>) {
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

impl campaigns::Campaign for Campaign {
    type Totals = Totals;

    const PROGRAM: &'static str = "volume_campaign";

    const ALL: &'static [Campaign] = &[Campaign::Random, Campaign::Cuts, Campaign::Failures];

    fn name(self) -> &'static str {
        match self {
            Campaign::Random => "random",
            Campaign::Cuts => "cuts",
            Campaign::Failures => "failures",
        }
    }

    fn purpose(self) -> &'static str {
        match self {
            Campaign::Random => "a volume in random use, cut, killed or stopped, life after life",
            Campaign::Cuts => "up to three requests, cut at every I/O, before, in the middle and after it",
            Campaign::Failures => "up to three requests, every I/O made to fail once, for good, or with those after it",
        }
    }

    fn run_seed(self, seed: u64, options: Options) -> Result<Totals, String> {
        match self {
            Campaign::Random => run_lives_seed(seed, options.trace),
            Campaign::Cuts => run_script_seed(seed, Blow::Cut, options),
            Campaign::Failures => run_script_seed(seed, Blow::Failure, options),
        }
    }

    fn print(outcome: &Outcome<Totals>) {
        let Totals { lives, cuts, kills, points, recoveries, rebuilds, checks, operations, faults, .. } =
            &outcome.totals;
        let Totals { requests, swaps, swaps_cut, relocations, time, .. } = &outcome.totals;
        println!("  lives        {lives}: {cuts} ended by a power cut, {kills} by a kill; {points} points of scripts");
        println!("  loads        {recoveries} with recovery, {rebuilds} with a rebuild");
        println!("  checks       {checks} of saved volumes, all clean");
        println!("  operations   {operations} of disks, {faults} of which were made to fail");
        println!("  requests     {requests}, {:.0} a second", *requests as f64 / outcome.took.as_secs_f64());
        println!("  full         {swaps} blocks swapped, {swaps_cut} lives ended in the middle of it");
        println!("  moved        {relocations} blocks");
        println!("  time         {:.1} s simulated", *time as f64 / 1e9);
    }
}
