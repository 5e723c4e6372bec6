// SPDX-License-Identifier: BSD-3-Clause

//! The measuring process: one SPDK application, three bdevs, all cases.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use ::tests::measure::{median, Record, Results};
use ::tests::program::Progress;
use ::tests::target::{RpcClient, TargetError};
use bdev_dedupe::load::{self, App, AppError, AppOptions, Content, Limit, LoadReport, LoadSpec, Operation, Order};
use engine::units::ENTRIES_PER_LEAF_PAGE;
use engine::BLOCK_SIZE;
use serde_json::{json, Value};
use thiserror::Error;

use super::case::Case;
use super::floor::{Floor, Steps, COLD_BYTES};
use super::host::ReactorTimes;
use super::options::{Options, Target};
use super::record::{record, with_floor, Round};

/// Memory beside the malloc bdevs and the floor's: SPDK's pools, the load's buffers, our bdev's.
const OTHER_MIB: u64 = 1024;

/// Part of a base that the load uses: the rest is room for the pool's metadata, and for blocks that were replaced and are
/// not free yet.
const REGION_PERCENT: u64 = 80;

/// Queue depth for filling a region.
const FILL_DEPTH: u32 = 64;

/// Bdev for measuring the load generator itself, and the queue depth for that.
const NULL_BDEV: &str = "BenchNull";
const GENERATOR_DEPTH: u32 = 32;

/// It takes no longer than this to see what the load generator costs.
const GENERATOR_TIME: Duration = Duration::from_millis(500);

/// The server listens a moment after the application runs.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// SPDK did not run.
    #[error(transparent)]
    App(#[from] AppError),
    /// A bdev could not be made.
    #[error(transparent)]
    Rpc(#[from] TargetError),
    /// A load that everything depends on did not run.
    #[error("{what}: {error}")]
    Load {
        /// What it was for.
        what: &'static str,
        /// What happened.
        error: load::LoadError,
    },
    /// No memory for the floor.
    #[error("no memory to time the arithmetic floor: more huge pages are needed")]
    FloorMemory,
    /// A file or directory.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// What happened.
        error: std::io::Error,
    },
}

/// Why a case was not measured on a bdev.
#[derive(Debug, Error)]
enum LoadFailure {
    /// The load did not run to its end.
    #[error(transparent)]
    Load(#[from] load::LoadError),
    /// The bdev could not be made ready for it.
    #[error(transparent)]
    Rpc(#[from] TargetError),
    /// The check of reads cannot be switched.
    #[error(transparent)]
    Checks(#[from] load::AlwaysChecked),
}

/// Memory that a measuring process needs, in MiB.
#[must_use]
pub fn memory_mib(options: &Options) -> u64 {
    let bdevs = options.targets.iter().filter(|&&target| target != Target::Unchecked).count() as u64;
    options.base_mib * bdevs + (COLD_BYTES >> 20) as u64 + OTHER_MIB
}

/// Measures everything on the first `cores` cores.
///
/// # Errors
/// See [`WorkerError`]. Loads that fail are told of in the results instead.
pub fn measure(options: &Options, cores: u32) -> Result<Results, WorkerError> {
    let of = options.clone();
    in_app(options, cores, memory_mib(options), move |app, rpc| Ok(Session::start(app, of, rpc)?.run()))
}

/// Runs `work` beside an application on the first `cores` cores, with a connection to its RPC server; the results begin with
/// its version.
///
/// # Errors
/// Those of `work`, or SPDK does not run.
pub fn in_app(
    options: &Options,
    cores: u32,
    memory_mib: u64,
    work: impl FnOnce(&App, RpcClient) -> Result<Results, WorkerError> + Send + 'static,
) -> Result<Results, WorkerError> {
    let dir = tempfile::tempdir()
        .map_err(|error| WorkerError::Io { what: "making a temporary directory".to_owned(), error })?;
    let socket = dir.path().join("rpc.sock");
    let app_options = AppOptions {
        name: "dedupe_bench".to_owned(),
        cores: (0..cores).collect(),
        huge_pages: !options.no_huge,
        // All at the start: 20.07 does not get back what is freed of memory that was added later.
        memory_mib: u32::try_from(memory_mib).unwrap_or(u32::MAX),
        rpc_socket: socket.clone(),
    };
    load::run(&app_options, move |app| {
        let mut rpc = connect(&socket)?;
        let version = rpc.call("spdk_get_version", &Value::Null)?;
        let spdk = version["version"].as_str().unwrap_or("SPDK").to_owned();
        let mut results = work(app, rpc)?;
        results.head.insert(0, spdk);
        Ok(results)
    })?
}

fn connect(socket: &Path) -> Result<RpcClient, TargetError> {
    let deadline = std::time::Instant::now() + CONNECT_PATIENCE;
    loop {
        match RpcClient::connect(socket) {
            Err(_) if std::time::Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
}

/// Blocks of each malloc bdev.
fn base_blocks(options: &Options) -> u64 {
    options.base_mib * ((1 << 20) / BLOCK_SIZE as u64)
}

/// Blocks of it that the load uses: whole leaf pages.
fn region_blocks(options: &Options) -> u64 {
    let region = base_blocks(options) * REGION_PERCENT / 100;
    region - region % ENTRIES_PER_LEAF_PAGE
}

struct Bdev {
    name: &'static str,
    /// Whether it compresses now.
    compression: bool,
    /// What the region holds, and whether that was written with compression on; when it is known.
    holds: Option<(Content, bool)>,
}

struct Session<'a> {
    app: &'a App,
    rpc: RpcClient,
    options: Options,
    /// By target, but that checked and unchecked reads have one bdev.
    bdevs: HashMap<Target, Bdev>,
    region_blocks: u64,
    /// Kept to the end: the same memory is timed twice.
    floor: Option<Floor>,
    steps: Steps,
    generator_us: f64,
    failures: Vec<String>,
}

impl<'a> Session<'a> {
    fn start(app: &'a App, options: Options, mut rpc: RpcClient) -> Result<Session<'a>, WorkerError> {
        let blocks = base_blocks(&options);
        let mut bdevs = HashMap::new();
        for &target in options.targets.iter().filter(|&&target| target != Target::Unchecked) {
            bdevs.insert(target, Bdev { name: create(&mut rpc, target, blocks)?, compression: false, holds: None });
        }
        create_bdev(&mut rpc, "bdev_null_create", NULL_BDEV, blocks)?;
        let region_blocks = region_blocks(&options);
        let floor = app.run_on(0, Floor::new).ok_or(WorkerError::FloorMemory)?;
        let (floor, steps) = measure_floor(app, floor);
        let mut session = Session {
            app,
            rpc,
            options,
            bdevs,
            region_blocks,
            floor: Some(floor),
            steps,
            generator_us: 0.0,
            failures: Vec::new(),
        };
        session.generator_us = session.measure_generator()?;
        Ok(session)
    }

    fn measure_generator(&self) -> Result<f64, WorkerError> {
        let measure = self.options.measure().min(GENERATOR_TIME);
        let spec = LoadSpec {
            bdev: NULL_BDEV.to_owned(),
            operation: Operation::Write(Content::Unique),
            order: Order::Random,
            blocks_per_request: 1,
            region_blocks: self.region_blocks,
            queue_depth: GENERATOR_DEPTH,
            limit: Limit::Time { warm_up: measure / 5, measure },
            seed: 1,
        };
        let failed = |error| WorkerError::Load { what: "measuring the load generator", error };
        let report = self.app.run_load(&spec).map_err(failed)?;
        Ok(report.busy_per_request.as_secs_f64() * 1e6)
    }

    fn run(mut self) -> Results {
        let cases = self.options.selected_cases().unwrap_or_default();
        let qds = self.options.qd.clone();
        let rows: Vec<(&Case, u32)> = cases.iter().flat_map(|&case| qds.iter().map(move |&qd| (case, qd))).collect();
        let progress = Progress::begin();
        let records = rows.iter().enumerate().map(|(index, &(case, qd))| {
            let of_all = format!("[{}/{}] {} core(s), {}", index + 1, rows.len(), self.app.core_count(), case.name);
            self.run_case(case, qd, |what| progress.show(format_args!("{of_all}, QD {qd}, {what}")))
        });
        let records: Vec<Record> = records.collect();
        // Again, for the machine may have been busy at the start.
        if let Some(floor) = self.floor.take() {
            self.steps = self.steps.least(measure_floor(self.app, floor).1);
        }
        let records = records.into_iter().zip(&rows).map(|(record, (case, _))| with_floor(record, case, &self.steps));
        let note = format!(
            "floor, ns per 4 KiB ({} core(s)): {}; load generator and bdev layer {:.0} per request",
            self.app.core_count(),
            self.steps,
            self.generator_us * 1e3
        );
        Results { head: Vec::new(), records: records.collect(), notes: vec![note], failures: self.failures }
    }

    /// One case at one queue depth: the targets in turn, in each round in another order.
    fn run_case(&mut self, case: &Case, qd: u32, tell: impl Fn(&str)) -> Record {
        let targets = self.options.targets.clone();
        let (mut rounds, mut shares, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..self.options.repeats as usize {
            let mut round = Round::new();
            for target in order(number, targets.len()).into_iter().map(|index| targets[index]) {
                tell(target.label());
                if failed.contains(&target) {
                    continue;
                }
                let before = ReactorTimes::now();
                match self.run_once(case, qd, target, number as u64) {
                    Ok(report) => _ = round.insert(target, report),
                    Err(error) => {
                        failed.push(target);
                        self.failures.push(format!("{} at QD {qd} on {}: {error}", case.name, target.label()));
                    }
                }
                shares.extend(ReactorTimes::now().share_since(&before));
            }
            rounds.push(round);
        }
        // How much of its core the reactor had that others disturbed most: well below 1, the machine was busy.
        record(case, qd, self.app.core_count(), &rounds)
            .with("generator_us", self.generator_us)
            .with("core_share", median(shares))
    }

    /// The same requests for all targets of a round.
    fn run_once(&mut self, case: &Case, qd: u32, target: Target, round: u64) -> Result<LoadReport, LoadFailure> {
        if self.options.checks {
            load::switch_read_checks(target != Target::Unchecked)?;
        }
        let owner = if target == Target::Unchecked { Target::Dedupe } else { target };
        let Some(bdev) = self.bdevs.get_mut(&owner) else { unreachable!("each target has its bdev") };
        if owner == Target::Dedupe && bdev.compression != case.compression {
            let params = json!({ "name": bdev.name, "enabled": case.compression });
            self.rpc.call("bdev_dedupe_set_compression", &params)?;
            bdev.compression = case.compression;
        }
        let compression = bdev.compression;
        let measure = self.options.measure();
        let spec = LoadSpec {
            bdev: bdev.name.to_owned(),
            operation: case.operation,
            order: case.order,
            blocks_per_request: case.blocks,
            region_blocks: self.region_blocks,
            queue_depth: qd,
            limit: if case.one_pass { Limit::OnePass } else { Limit::Time { warm_up: measure / 5, measure } },
            seed: round + 1,
        };
        if bdev.holds != Some((case.before, compression)) {
            bdev.holds = None;
            fill(self.app, &spec, case.before)?;
        }
        bdev.holds = None;
        let report = self.app.run_load(&spec)?;
        bdev.holds = case.after.map(|content| (content, compression));
        Ok(report)
    }
}

/// Indices of `count` targets in the order of a round; six rounds have all orders of three.
fn order(round: usize, count: usize) -> Vec<usize> {
    let forwards = (0..count).map(|turn| (turn + round) % count);
    if round.is_multiple_of(2) {
        forwards.collect()
    } else {
        forwards.rev().collect()
    }
}

/// Writes the whole region of a load that comes.
fn fill(app: &App, coming: &LoadSpec, content: Content) -> Result<(), load::LoadError> {
    app.run_load(&LoadSpec {
        operation: Operation::Write(content),
        order: Order::Sequential,
        blocks_per_request: 1,
        queue_depth: FILL_DEPTH,
        limit: Limit::OnePass,
        seed: 1,
        ..coming.clone()
    })?;
    Ok(())
}

/// Times the floor's steps on the first core.
fn measure_floor(app: &App, mut floor: Floor) -> (Floor, Steps) {
    app.run_on(0, move || {
        let steps = floor.measure();
        (floor, steps)
    })
}

/// Makes a target on a malloc bdev of `blocks` blocks; the name of the bdev to drive.
fn create(rpc: &mut RpcClient, target: Target, blocks: u64) -> Result<&'static str, TargetError> {
    let (base, method, name) = match target {
        Target::Raw => return create_bdev(rpc, "bdev_malloc_create", "BenchRaw", blocks),
        Target::Passthru => ("BenchPassthruBase", "bdev_passthru_create", "BenchPassthru"),
        Target::Dedupe | Target::Unchecked => ("BenchDedupeBase", "bdev_dedupe_create", "BenchDedupe"),
    };
    create_bdev(rpc, "bdev_malloc_create", base, blocks)?;
    rpc.call(method, &json!({ "base_bdev_name": base, "name": name }))?;
    Ok(name)
}

/// Makes a bdev of `blocks` blocks.
///
/// # Errors
/// SPDK refuses, or the connection fails.
pub fn create_bdev(
    rpc: &mut RpcClient,
    method: &str,
    name: &'static str,
    blocks: u64,
) -> Result<&'static str, TargetError> {
    rpc.call(method, &json!({ "name": name, "num_blocks": blocks, "block_size": BLOCK_SIZE }))?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_rounds_have_all_orders_of_three() {
        let mut orders: Vec<_> = (0..6).map(|round| order(round, 3)).collect();
        orders.sort_unstable();
        orders.dedup();
        assert_eq!(orders.len(), 6);
        assert!(orders.iter().all(|order| (0..3).all(|index| order.contains(&index))));
        assert_eq!(order(1, 1), [0]);
    }
}
