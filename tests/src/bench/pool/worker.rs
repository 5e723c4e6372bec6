// SPDX-License-Identifier: BSD-3-Clause

//! The measuring process for the pool: one SPDK application on one core, two bdevs, all rounds.

use std::path::Path;

use ::tests::measure::{median, Results};
use ::tests::program::Progress;
use ::tests::target::{RpcClient, TargetError};
use bdev_dedupe::load::{App, Content, Limit, Operation};
use engine::BLOCK_SIZE;
use serde_json::json;

use super::file::BackingFile;
use super::rounds::{self, Plan, Round};
use super::{framer, record};
use crate::bench::host::ReactorTimes;
use crate::bench::options::Options;
use crate::bench::worker::{create_bdev, in_app, WorkerError};

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

/// Memory that the measuring process needs, in MiB.
#[must_use]
pub fn memory_mib(options: &Options) -> u64 {
    options.base_mib + OTHER_MIB
}

/// Measures everything.
///
/// # Errors
/// See [`WorkerError`]. Rounds that fail are told of in the results instead.
pub fn measure(options: &Options) -> Result<Results, WorkerError> {
    let bytes = options.base_mib << 20;
    let what = format!("making a file in {}", options.file_dir.display());
    let file = BackingFile::create(&options.file_dir, bytes).map_err(|error| WorkerError::Io { what, error })?;
    let of = options.clone();
    in_app(options, 1, memory_mib(options), move |app, mut rpc| {
        make_bdevs(&mut rpc, bytes, file.path())?;
        let head = file.description();
        // The bdev has it open. Without a name it is gone whatever ends this process.
        drop(file);
        let fill = Operation::Write(Content::Unique);
        rounds::raw(app, SUBJECTS[1].1, fill, TRANSFER_BYTES, bytes, FILL_DEPTH, Limit::OnePass)
            .map_err(|error| WorkerError::Load { what: "filling the file", error })?;
        Ok(Results { head: vec![head], ..run(app, &of) })
    })
}

/// The bdevs, of `bytes` each.
fn make_bdevs(rpc: &mut RpcClient, bytes: u64, file: &Path) -> Result<(), TargetError> {
    let [(_, malloc), (_, aio)] = SUBJECTS;
    create_bdev(rpc, "bdev_malloc_create", malloc, bytes / BLOCK_SIZE as u64)?;
    rpc.call("bdev_aio_create", &json!({ "name": aio, "filename": file, "block_size": BLOCK_SIZE }))?;
    Ok(())
}

fn run(app: &App, options: &Options) -> Results {
    let plan = plan(options);
    let (mut results, mut mblocks) = (Results::default(), Vec::new());
    let progress = Progress::begin();
    for (kind, bdev) in SUBJECTS {
        let (mut done, mut shares) = (Vec::<Round>::new(), Vec::new());
        for round in 1..=options.repeats {
            progress.show(format_args!("pool on {kind}, round {round} of {}", options.repeats));
            let before = ReactorTimes::now();
            match rounds::run(app, bdev, &plan) {
                Ok(round) => done.push(round),
                Err(error) => {
                    results.failures.push(format!("round {round} on {kind}: {error}"));
                    break;
                }
            }
            shares.extend(ReactorTimes::now().share_since(&before));
        }
        let share = median(shares);
        results.records.extend(record::appends(kind, &plan, &done).map(|row| row.with("core_share", share)));
        mblocks.extend(record::mblocks(kind, &plan, &done).map(|row| row.with("core_share", share)));
    }
    results.records.extend(mblocks);
    results.records.extend(app.run_on(0, framer::measure));
    results
}

fn plan(options: &Options) -> Plan {
    let measure = options.measure();
    Plan {
        appenders: options.appenders.clone(),
        workers: WORKERS.to_vec(),
        log_bytes: LOG_BYTES,
        transfer_bytes: TRANSFER_BYTES,
        mblock_bytes: MBLOCK_BYTES,
        warm_up: measure / 5,
        measure,
    }
}
