// SPDX-License-Identifier: BSD-3-Clause

//! The measuring process for the pool: one SPDK application on one core, two bdevs, all rounds.

use std::path::Path;
use std::time::Duration;

use bdev_dedupe::load::{self, App, AppError, AppOptions, Content, Limit, LoadError, Operation};
use engine::BLOCK_SIZE;
use serde_json::{json, Value};
use thiserror::Error;

use super::file::BackingFile;
use super::framer::Framing;
use super::record::{summarise, PoolOutput};
use super::rounds::{self, Plan, Round};
use crate::bench::host::ReactorTimes;
use crate::bench::options::Options;
use crate::bench::progress::Progress;
use crate::bench::record::median;
use crate::bench::rpc::{Client, RpcError};

/// Memory beside the malloc bdev: SPDK's pools, the loads' buffers.
const OTHER_MIB: u64 = 1024;

/// Bytes of each of the two logs: two zones of the usual size.
const LOG_BYTES: u64 = 64 << 20;

/// Transfers of mblocks: the largest that the load generator writes.
const TRANSFER_BYTES: usize = 256 << 10;

/// Bytes of mblocks in a round.
const MBLOCK_BYTES: u64 = 256 << 20;

/// Writers, then readers, of mblocks.
const WORKERS: [u32; 2] = [1, 4];

/// Transfers in flight for filling the file.
const FILL_DEPTH: u32 = 8;

/// A bdev that a pool is put on.
const SUBJECTS: [(&str, &str); 2] = [("malloc", "BenchPoolMalloc"), ("aio", "BenchPoolFile")];

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// SPDK did not run.
    #[error(transparent)]
    App(#[from] AppError),
    /// A bdev could not be made.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The file could not be written.
    #[error("filling the file: {0}")]
    Fill(LoadError),
    /// A file or directory.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// What happened.
        error: std::io::Error,
    },
}

/// Memory that the measuring process needs, in MiB.
#[must_use]
pub fn memory_mib(options: &Options) -> u64 {
    options.base_mib + OTHER_MIB
}

/// Measures everything.
///
/// # Errors
/// See [`WorkerError`]. Rounds that fail are told of in the output instead.
pub fn measure(options: &Options) -> Result<PoolOutput, WorkerError> {
    let failed = |what: String| move |error| WorkerError::Io { what, error };
    let dir = tempfile::tempdir().map_err(failed("making a temporary directory".to_owned()))?;
    let bytes = options.base_mib << 20;
    let file = BackingFile::create(&options.file_dir, bytes)
        .map_err(failed(format!("making a file in {}", options.file_dir.display())))?;
    let socket = dir.path().join("rpc.sock");
    let app_options = AppOptions {
        name: "dedupe_bench_pool".to_owned(),
        cores: vec![0],
        huge_pages: !options.no_huge,
        memory_mib: u32::try_from(memory_mib(options)).unwrap_or(u32::MAX),
        rpc_socket: socket.clone(),
    };
    let options = options.clone();
    load::run(&app_options, move |app| {
        let spdk = make_bdevs(&socket, bytes, file.path())?;
        let (filesystem, direct) = (file.filesystem(), file.is_direct());
        // The bdev has it open. Without a name it is gone whatever ends this process.
        drop(file);
        let fill = Operation::Write(Content::Unique);
        rounds::raw(app, SUBJECTS[1].1, fill, TRANSFER_BYTES, bytes, FILL_DEPTH, Limit::OnePass)
            .map_err(WorkerError::Fill)?;
        Ok(PoolOutput { spdk, filesystem, direct, ..run(app, &options) })
    })?
}

/// The bdevs, of `bytes` each; the name of the SPDK that they are in.
fn make_bdevs(socket: &Path, bytes: u64, file: &Path) -> Result<String, RpcError> {
    let mut rpc = Client::connect(socket)?;
    let version = rpc.call("spdk_get_version", &Value::Null)?;
    let [(_, malloc), (_, aio)] = SUBJECTS;
    let blocks = bytes / BLOCK_SIZE as u64;
    rpc.call("bdev_malloc_create", &json!({ "name": malloc, "num_blocks": blocks, "block_size": BLOCK_SIZE }))?;
    rpc.call("bdev_aio_create", &json!({ "name": aio, "filename": file, "block_size": BLOCK_SIZE }))?;
    Ok(version["version"].as_str().unwrap_or("SPDK").to_owned())
}

fn run(app: &App, options: &Options) -> PoolOutput {
    let plan = plan(options);
    let mut output = PoolOutput {
        spdk: String::new(),
        filesystem: None,
        direct: None,
        repeats: options.repeats,
        core_share: None,
        appends: Vec::new(),
        mblocks: Vec::new(),
        framing: app.run_on(0, Framing::measure),
        failures: Vec::new(),
    };
    let mut progress = Progress::new(SUBJECTS.len() * options.repeats as usize);
    let mut shares = Vec::new();
    for (kind, bdev) in SUBJECTS {
        let mut done: Vec<Round> = Vec::new();
        for round in 1..=options.repeats {
            progress.step(&format!("pool on {kind}, round {round}"));
            let before = ReactorTimes::now();
            match rounds::run(app, bdev, &plan) {
                Ok(round) => done.push(round),
                Err(error) => {
                    output.failures.push(format!("round {round} on {kind}: {error}"));
                    break;
                }
            }
            shares.extend(ReactorTimes::now().share_since(&before));
        }
        let (appends, mblocks) = summarise(kind, &plan, &done);
        output.appends.extend(appends);
        output.mblocks.extend(mblocks);
    }
    progress.finish();
    output.core_share = median(shares);
    output
}

fn plan(options: &Options) -> Plan {
    let measure = options.measure();
    Plan {
        appenders: options.appenders.clone(),
        workers: WORKERS.to_vec(),
        log_bytes: LOG_BYTES,
        transfer_bytes: TRANSFER_BYTES,
        mblock_bytes: MBLOCK_BYTES,
        warm_up: Duration::from_secs_f64(measure.as_secs_f64() / 5.0),
        measure,
    }
}
