// SPDX-License-Identifier: BSD-3-Clause

//! Runs a seed from an empty volume to a full audit, and adds up what happened.
//!
//! A run has rounds of load; after each the volume is quiesced and audited. Then everything is read back without faults.
//! In some seeds everything is unmapped after that, which must leave no block in use, and every single block is filled
//! again.

use engine::format::ROOT_LEVEL;
use engine::request::Operation;
use engine::statistics::Statistics;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use mpool::testing::Random;

use super::audit::{audit, check_efficiency};
use super::client::Request;
use super::cluster::Cluster;
use super::counts::{DiskCounts, WorldCounts};
use super::faults::{FaultCounts, FaultRates, Faults};
use super::plan::{Flavour, Plan};
use super::sabotage::Sabotage;
use super::schedule::Schedule;
use super::scribble::Scribbler;
use super::workload::Workload;
use super::world::World;
use crate::seeds::runner;

/// Events without any piece being answered after which a run counts as stuck.
const PATIENCE: u64 = 400_000;

/// Most blocks in one request of the last phases.
const STRIDE: u64 = 64;

/// How to run a seed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Print each event.
    pub trace: bool,
    /// Run without faults.
    pub no_faults: bool,
    /// Stop after so many requests in each round.
    pub most_requests: Option<u32>,
    /// A defect to put in on purpose.
    pub sabotage: Option<Sabotage>,
}

/// What happened in a run, or in several.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Seeds.
    pub seeds: u64,
    /// Events.
    pub events: u64,
    /// Requests, messages and their outcome.
    pub world: WorldCounts,
    /// Transfers.
    pub disk: DiskCounts,
    /// Faults.
    pub faults: FaultCounts,
    /// What the engine counted.
    pub engine: Statistics,
    /// Digest of all events; of several runs, the sum.
    pub digest: u64,
}

impl runner::Totals for Totals {
    fn add(&mut self, other: &Totals) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.digest = self.digest.wrapping_add(other.digest);
        self.engine.add(&other.engine);
        self.world.add(&other.world);
        self.disk.add(&other.disk);
        self.faults.add(&other.faults);
    }
}

/// Runs a seed.
///
/// # Errors
/// What went wrong, in a few lines.
pub fn run_seed(seed: u64, options: &Options) -> Result<Totals, String> {
    let mut plan = Plan::draw(seed);
    if options.no_faults {
        plan.faults = FaultRates::default();
    }
    if let Some(most) = options.most_requests {
        plan.rounds.iter_mut().for_each(|requests| *requests = most.min(*requests));
    }
    if options.trace {
        println!("{plan:#?}");
    }
    let mut run = Run::new(plan, options);
    run.rounds()?;
    run.read_back()?;
    if run.plan.refill {
        run.refill()?;
    }
    let totals = run.totals();
    check_detection(&totals)?;
    Ok(totals)
}

/// A check code that does not fit comes of a wrong block, or of one that was shown wrong to who compared it.
///
/// Such a block that went unnoticed is the model's affair: it held what its reader was to see all the same, or the seed
/// has failed. That happens: where a write was lost, its block still is a good copy of the older content.
fn check_detection(totals: &Totals) -> Result<(), String> {
    let (doubtful, noticed) = (totals.faults.doubtful_reads(), totals.engine.check_error_count);
    if noticed <= doubtful {
        Ok(())
    } else {
        Err(format!("{noticed} check codes did not fit, but only {doubtful} reads for clients give cause for one"))
    }
}

struct Run {
    plan: Plan,
    cluster: Cluster,
    schedule: Schedule,
    workload: Workload,
    scribbler: Scribbler,
    events: u64,
    /// Events since the last piece was answered, and how many were answered by then.
    patience: (u64, u64),
}

impl Run {
    fn new(plan: Plan, options: &Options) -> Run {
        let faults = Faults::new(plan.faults, Random::stream(plan.seed, 2));
        let mut cluster = Cluster::new(plan.geometry, &plan.sizes, faults);
        let world = &mut cluster.world;
        (world.room, world.trace) = (plan.room, options.trace);
        world.sabotage = options.sabotage;
        let has_reserve = cluster.ids().all(|id| cluster.statistics_of(id).reserved_blocks > 0);
        cluster.world.overwrites_go_on = has_reserve && plan.overwrites_go_on();
        let schedule = Schedule::new(plan.weights, Random::stream(plan.seed, 3));
        let workload = Workload::new(plan.seed);
        let scribbler = Scribbler::new(&plan, plan.seed);
        Run { plan, cluster, schedule, workload, scribbler, events: 0, patience: (0, 0) }
    }

    fn totals(&self) -> Totals {
        let Cluster { world, .. } = &self.cluster;
        Totals {
            seeds: 1,
            events: self.events,
            world: world.counts,
            disk: world.disk.counts,
            faults: world.faults.counts,
            engine: self.cluster.statistics(),
            digest: world.digest.number(),
        }
    }

    /// Lets one event happen. Returns false if nothing more can happen.
    fn step(&mut self) -> Result<bool, String> {
        self.events += 1;
        self.scribbler.now_and_then(&mut self.cluster.world);
        let more = self.schedule.step(&mut self.cluster);
        if let Some(failure) = &self.cluster.world.failure {
            return Err(format!("event {}: {failure}", self.cluster.world.now));
        }
        let ended = self.cluster.world.pieces.ended();
        if ended != self.patience.1 {
            self.patience = (0, ended);
        }
        self.patience.0 += 1;
        let open = self.cluster.world.pieces.open_requests();
        if self.patience.0 > PATIENCE || (!more && open > 0) {
            let why = if more { "is busy without progress" } else { "is stuck" };
            return Err(format!("the engine {why} with {open} requests open:\n{}", self.cluster.world.dump()));
        }
        Ok(more)
    }

    /// Runs requests with at most `depth` open at one time, then quiesces the volume and audits it.
    fn drive(
        &mut self,
        depth: usize,
        mut next: impl FnMut(&mut Workload, &Plan) -> Option<Request>,
    ) -> Result<(), String> {
        let mut left = true;
        while left || !self.cluster.is_quiet() {
            let room = self.cluster.world.pieces.open_requests() < depth;
            if left && room && self.schedule.random().chance(300) {
                match next(&mut self.workload, &self.plan) {
                    Some(request) => {
                        self.cluster.submit(&request);
                        self.change_index_now_and_then();
                        self.toggle_compression_now_and_then();
                    }
                    None => left = false,
                }
            }
            if !self.step()? && !left && self.cluster.is_quiet() {
                break;
            }
        }
        self.rest()
    }

    fn change_index_now_and_then(&mut self) {
        let random = self.schedule.random();
        if random.chance(self.plan.resize) {
            self.cluster.resize_index(random.pick(&[64, 640, 4096, 1 << 14]));
        }
        if random.chance(self.plan.switch) {
            match random.below(4) {
                0 => self.cluster.clear_index(),
                number => self.cluster.set_deduplication(number > 1),
            }
        }
    }

    fn toggle_compression_now_and_then(&mut self) {
        let random = self.schedule.random();
        if self.plan.toggle > 0 && random.chance(self.plan.toggle) {
            let enabled = random.chance(500);
            self.cluster.set_compression(enabled);
        }
    }

    fn rest(&mut self) -> Result<(), String> {
        while !self.cluster.is_quiet() || self.schedule.step(&mut self.cluster) {
            self.step()?;
        }
        self.cluster.save();
        while !self.cluster.is_saved() {
            if !self.step()? && !self.cluster.is_saved() {
                return Err(format!("the volume cannot be saved:\n{}", self.cluster.world.dump()));
            }
        }
        self.cluster.quiesce();
        let found = audit(&self.cluster)?;
        self.cluster.resume();
        if self.plan.flavour == Flavour::Efficiency {
            let statistics = self.cluster.statistics();
            // An index record can be lost to another one of the same tag.
            let spare = statistics.entries_discarded + statistics.dedupe_advice_stale;
            check_efficiency(&self.cluster, self.workload.written(), spare)?;
        }
        let world = &mut self.cluster.world;
        trace_rest(world, found.mapped, found.used);
        Ok(())
    }

    fn rounds(&mut self) -> Result<(), String> {
        for requests in self.plan.rounds.clone() {
            let mut left = requests;
            self.drive(self.plan.depth, |workload, plan| {
                left = left.checked_sub(1)?;
                Some(workload.next(plan))
            })?;
        }
        Ok(())
    }

    /// Requests that cover the hot ranges.
    fn sweep(&self, operation: Operation) -> Vec<Request> {
        let mut requests = Vec::new();
        for range in &self.plan.hot {
            for lbn in range.clone().step_by(STRIDE as usize) {
                requests.push(Request::on_blocks(operation, lbn, STRIDE.min(range.end - lbn)));
            }
        }
        requests
    }

    fn read_back(&mut self) -> Result<(), String> {
        self.cluster.world.faults.enable(false);
        let mut requests = self.sweep(Operation::Read);
        self.drive(8, |_, _| requests.pop())
    }

    fn refill(&mut self) -> Result<(), String> {
        let logical = self.plan.geometry.logical_blocks().0;
        let pages = (0..logical).step_by(PAGE as usize);
        let unmap = pages.map(|lbn| Request::on_blocks(Operation::Unmap, lbn, PAGE.min(logical - lbn)));
        let mut requests: Vec<_> = unmap.collect();
        self.drive(8, |_, _| requests.pop())?;
        let statistics = self.cluster.statistics();
        let used = statistics.data_blocks_used - statistics.block_map_pages;
        if used > 0 {
            return Err(format!("{used} blocks are in use after everything was unmapped"));
        }
        let failed = self.cluster.world.counts.no_space;
        let mut next = 0..self.plan.geometry.data_blocks().0.min(logical);
        self.drive(1, |workload, _| next.next().map(|lbn| workload.unique_write(lbn)))?;
        let statistics = self.cluster.statistics();
        let free = statistics.data_blocks - statistics.data_blocks_used;
        // A write where there are no pages yet takes one on each level, and gives them back when it finds no block for itself.
        let pages = u64::from(ROOT_LEVEL);
        let kept = statistics.reserved_blocks + statistics.operator_reserve_blocks + pages;
        if self.cluster.world.counts.no_space > failed && free > kept {
            return Err(format!("an empty volume is full when {free} blocks are free"));
        }
        Ok(())
    }
}

fn trace_rest(world: &World, mapped: u64, used: u64) {
    if world.trace {
        println!("{:>6} at rest: {mapped} logical blocks mapped, {used} data blocks used", world.now);
    }
}
