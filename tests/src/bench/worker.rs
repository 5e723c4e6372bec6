// SPDX-License-Identifier: BSD-3-Clause

//! The measuring process: one SPDK application, three bdevs, all cases.

use std::path::Path;
use std::time::Duration;

use bdev_dedupe::load::{self, App, AppError, AppOptions, Content, Limit, LoadReport, LoadSpec, Operation, Order};
use engine::units::ENTRIES_PER_LEAF_PAGE;
use engine::BLOCK_SIZE;
use serde_json::{json, Value};
use thiserror::Error;

use super::case::Case;
use super::floor::{Floor, Steps, COLD_BYTES};
use super::host::ReactorTimes;
use super::options::{Options, Target};
use super::progress::Progress;
use super::record::{median, Record, WorkerOutput};
use super::rpc::{Client, RpcError};

/// Memory beside the malloc bdevs and the floor's: SPDK's pools, the load's buffers, our bdev's.
pub const OTHER_MIB: u64 = 1024;

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

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// SPDK did not run.
    #[error(transparent)]
    App(#[from] AppError),
    /// A bdev could not be made.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The load generator did not run on a null bdev.
    #[error("measuring the load generator: {0}")]
    Generator(load::LoadError),
    /// No memory for the floor.
    #[error("no memory to time the arithmetic floor: more huge pages are needed")]
    FloorMemory,
    /// A file or directory.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: &'static str,
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
    Rpc(#[from] RpcError),
}

/// Memory that a measuring process needs, in MiB.
#[must_use]
pub fn memory_mib(options: &Options) -> u64 {
    options.base_mib * options.targets.len() as u64 + (COLD_BYTES >> 20) as u64 + OTHER_MIB
}

/// Measures everything on the first `cores` cores.
///
/// # Errors
/// See [`WorkerError`]. Loads that fail are told of in the output instead.
pub fn measure(options: &Options, cores: u32) -> Result<WorkerOutput, WorkerError> {
    let dir = socket_dir()?;
    let socket = dir.path().join("rpc.sock");
    let app_options = app_options(options, cores, memory_mib(options), &socket);
    let options = options.clone();
    load::run(&app_options, move |app| Ok(Session::start(app, options, &socket)?.run()))?
}

/// A directory for the socket of the application's RPC server.
///
/// # Errors
/// It cannot be made.
pub fn socket_dir() -> Result<tempfile::TempDir, WorkerError> {
    tempfile::tempdir().map_err(|error| WorkerError::Io { what: "making a temporary directory", error })
}

/// An application on the first `cores` cores.
#[must_use]
pub fn app_options(options: &Options, cores: u32, memory_mib: u64, socket: &Path) -> AppOptions {
    AppOptions {
        name: "dedupe_bench".to_owned(),
        cores: (0..cores).collect(),
        huge_pages: !options.no_huge,
        // All at the start: 20.07 does not get back what is freed of memory that was added later.
        memory_mib: u32::try_from(memory_mib).unwrap_or(u32::MAX),
        rpc_socket: socket.to_owned(),
    }
}

/// Blocks of each malloc bdev.
#[must_use]
pub fn base_blocks(options: &Options) -> u64 {
    options.base_mib * ((1 << 20) / BLOCK_SIZE as u64)
}

/// Blocks of it that the load uses: whole leaf pages.
#[must_use]
pub fn region_blocks(options: &Options) -> u64 {
    let region = base_blocks(options) * REGION_PERCENT / 100;
    region - region % ENTRIES_PER_LEAF_PAGE
}

/// Writes the whole region of a bdev.
///
/// # Errors
/// A request fails.
pub fn fill(app: &App, bdev: &str, region_blocks: u64, content: Content) -> Result<(), load::LoadError> {
    app.run_load(&LoadSpec {
        bdev: bdev.to_owned(),
        operation: Operation::Write(content),
        order: Order::Sequential,
        blocks_per_request: 1,
        region_blocks,
        queue_depth: FILL_DEPTH,
        limit: Limit::OnePass,
        seed: 1,
    })?;
    Ok(())
}

struct Bdev {
    target: Target,
    name: &'static str,
    /// Whether it compresses now.
    compression: bool,
    /// What the region holds, and whether that was written with compression on; when it is known.
    holds: Option<(Content, bool)>,
}

struct Session<'a> {
    app: &'a App,
    rpc: Client,
    options: Options,
    bdevs: Vec<Bdev>,
    region_blocks: u64,
    spdk: String,
    /// Kept to the end: the same memory is timed twice.
    floor: Option<Floor>,
    steps: Steps,
    generator_us: f64,
    failures: Vec<String>,
}

impl<'a> Session<'a> {
    fn start(app: &'a App, options: Options, socket: &Path) -> Result<Session<'a>, WorkerError> {
        let mut rpc = Client::connect(socket)?;
        let version = rpc.call("spdk_get_version", &Value::Null)?;
        let spdk = version["version"].as_str().unwrap_or("SPDK").to_owned();
        let blocks = base_blocks(&options);
        let mut bdevs = Vec::new();
        for &target in &options.targets {
            bdevs.push(Bdev { target, name: create(&mut rpc, target, blocks)?, compression: false, holds: None });
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
            spdk,
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
        let report = self.app.run_load(&spec).map_err(WorkerError::Generator)?;
        Ok(report.busy_per_request.as_secs_f64() * 1e6)
    }

    fn run(mut self) -> WorkerOutput {
        let cases = self.options.selected_cases().unwrap_or_default();
        let qds = self.options.qd.clone();
        let steps = cases.len() * qds.len() * self.options.repeats as usize * self.bdevs.len();
        let mut progress = Progress::new(steps);
        let mut records = Vec::new();
        for case in &cases {
            for &qd in &qds {
                records.push(self.run_case(case, qd, &mut progress));
            }
        }
        progress.finish();
        // Again, for the machine may have been busy at the start.
        if let Some(floor) = self.floor.take() {
            self.steps = self.steps.least(measure_floor(self.app, floor).1);
        }
        for (record, case) in records.iter_mut().zip(cases.iter().flat_map(|case| qds.iter().map(move |_| case))) {
            record.floor_us = self.steps.floor(case);
        }
        WorkerOutput { spdk: self.spdk, records, steps: self.steps, failures: self.failures }
    }

    /// One case at one queue depth: the targets in turn, each round beginning with another one.
    fn run_case(&mut self, case: &Case, qd: u32, progress: &mut Progress) -> Record {
        let count = self.bdevs.len();
        let mut samples: Vec<Vec<LoadReport>> = vec![Vec::new(); count];
        let mut failed = vec![false; count];
        let mut shares = Vec::new();
        for round in 0..self.options.repeats as usize {
            for index in (0..count).map(|turn| (turn + round) % count) {
                let label = self.bdevs[index].target.label();
                progress.step(&format!("{} core(s), {}, QD {qd}, {label}", self.app.core_count(), case.name));
                if failed[index] {
                    continue;
                }
                let before = ReactorTimes::now();
                match self.run_once(case, qd, index, round as u64) {
                    Ok(report) => samples[index].push(report),
                    Err(error) => {
                        failed[index] = true;
                        self.failures.push(format!("{} at QD {qd} on {label}: {error}", case.name));
                    }
                }
                shares.extend(ReactorTimes::now().share_since(&before));
            }
        }
        let of = |target| {
            let index = self.bdevs.iter().position(|bdev| bdev.target == target);
            index.map_or(&[][..], |index| &samples[index][..])
        };
        let mut record = self.record(case, qd, of(Target::Raw), of(Target::Passthru), of(Target::Dedupe));
        record.core_share = median(shares);
        record
    }

    fn run_once(&mut self, case: &Case, qd: u32, index: usize, round: u64) -> Result<LoadReport, LoadFailure> {
        self.set_compression(index, case.compression)?;
        let compression = self.bdevs[index].compression;
        if self.bdevs[index].holds != Some((case.before, compression)) {
            self.fill(index, case.before)?;
        }
        self.bdevs[index].holds = None;
        let measure = self.options.measure();
        let spec = LoadSpec {
            bdev: self.bdevs[index].name.to_owned(),
            operation: case.operation,
            order: case.order,
            blocks_per_request: case.blocks,
            region_blocks: self.region_blocks,
            queue_depth: qd,
            limit: if case.one_pass { Limit::OnePass } else { Limit::Time { warm_up: measure / 5, measure } },
            seed: round + 1,
        };
        let report = self.app.run_load(&spec)?;
        self.bdevs[index].holds = case.after.map(|content| (content, compression));
        Ok(report)
    }

    /// Switches compression, if the bdev is ours.
    fn set_compression(&mut self, index: usize, enabled: bool) -> Result<(), RpcError> {
        let bdev = &mut self.bdevs[index];
        if bdev.target == Target::Dedupe && bdev.compression != enabled {
            self.rpc.call("bdev_dedupe_set_compression", &json!({ "name": bdev.name, "enabled": enabled }))?;
            bdev.compression = enabled;
        }
        Ok(())
    }

    /// Writes the whole region.
    fn fill(&mut self, index: usize, content: Content) -> Result<(), load::LoadError> {
        fill(self.app, self.bdevs[index].name, self.region_blocks, content)?;
        self.bdevs[index].holds = Some((content, self.bdevs[index].compression));
        Ok(())
    }

    fn record(
        &self,
        case: &Case,
        qd: u32,
        raw: &[LoadReport],
        passthru: &[LoadReport],
        dedupe: &[LoadReport],
    ) -> Record {
        let middle =
            |reports: &[LoadReport], value: fn(&LoadReport) -> f64| median(reports.iter().map(value).collect());
        let iops = |report: &LoadReport| report.iops;
        let cpu = |report: &LoadReport| report.busy_per_request.as_secs_f64() * 1e6;
        let core = |report: &LoadReport| report.core_time_per_request.as_secs_f64() * 1e6;
        let p50 = |report: &LoadReport| report.latency(0.5).as_secs_f64() * 1e6;
        let p99 = |report: &LoadReport| report.latency(0.99).as_secs_f64() * 1e6;
        let p999 = |report: &LoadReport| report.latency(0.999).as_secs_f64() * 1e6;
        let (ours, base) = (middle(dedupe, iops), middle(raw, iops));
        let least = dedupe.iter().map(iops).min_by(f64::total_cmp);
        let most = dedupe.iter().map(iops).max_by(f64::total_cmp);
        Record {
            case: case.name.to_owned(),
            block_size: case.request_bytes(),
            qd,
            shards: self.app.core_count() as u32,
            iops: ours,
            raw_iops: base,
            ratio: ours.zip(base).map(|(ours, base)| ours / base),
            cpu_us: middle(dedupe, cpu),
            floor_us: self.steps.floor(case),
            p50_us: middle(dedupe, p50),
            p99_us: middle(dedupe, p99),
            p999_us: middle(dedupe, p999),
            passthru_iops: middle(passthru, iops),
            raw_cpu_us: middle(raw, cpu),
            passthru_cpu_us: middle(passthru, cpu),
            generator_us: self.generator_us,
            core_us: middle(dedupe, core),
            raw_p50_us: middle(raw, p50),
            raw_p99_us: middle(raw, p99),
            iops_range: least.zip(most),
            repeats: self.options.repeats,
            core_share: None,
        }
    }
}

/// Times the floor's steps on the first core.
fn measure_floor(app: &App, mut floor: Floor) -> (Floor, Steps) {
    app.run_on(0, move || {
        let steps = floor.measure();
        (floor, steps)
    })
}

/// Makes a target on a malloc bdev of `blocks` blocks; the name of the bdev to drive.
///
/// # Errors
/// SPDK refuses, or the connection fails.
pub fn create(rpc: &mut Client, target: Target, blocks: u64) -> Result<&'static str, RpcError> {
    let (base, method, name) = match target {
        Target::Raw => return create_bdev(rpc, "bdev_malloc_create", "BenchRaw", blocks),
        Target::Passthru => ("BenchPassthruBase", "bdev_passthru_create", "BenchPassthru"),
        Target::Dedupe => ("BenchDedupeBase", "bdev_dedupe_create", "BenchDedupe"),
    };
    create_bdev(rpc, "bdev_malloc_create", base, blocks)?;
    rpc.call(method, &json!({ "base_bdev_name": base, "name": name }))?;
    Ok(name)
}

fn create_bdev(rpc: &mut Client, method: &str, name: &'static str, blocks: u64) -> Result<&'static str, RpcError> {
    rpc.call(method, &json!({ "name": name, "num_blocks": blocks, "block_size": BLOCK_SIZE }))?;
    Ok(name)
}
