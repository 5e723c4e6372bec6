// SPDX-License-Identifier: BSD-3-Clause

//! bdevperf inside one process, over every combination of block sizes and every I/O type, on one core and on two.

use serde_json::{json, Value};
use tests::target::{bdev_config, Bdevperf, Rig, Tool};

use crate::fixture::{local, malloc_params, rig};

/// bdevperf resets its bdev every ten seconds.
const RESET_SECONDS: u32 = 11;

fn config(base_block: u64, exposed_block: u64) -> Value {
    bdev_config(&[
        ("bdev_malloc_create", malloc_params("Base", 256, base_block)),
        ("bdev_dedupe_create", json!({"base_bdev_name": "Base", "name": "D0", "block_size": exposed_block})),
    ])
}

fn on_all_cores(rig: &Rig, config: Value) -> Tool {
    Tool { cores: rig.cores().to_vec(), ..local(rig, config) }
}

fn load(workload: &str, io_bytes: u32, seconds: u32) -> Bdevperf<'_> {
    let more: &[&str] = if workload == "randrw" { &["-M", "50"] } else { &[] };
    Bdevperf { workload, io_bytes, depth: 32, seconds, more }
}

/// Runs a load and looks at the total that bdevperf prints for errors.
fn run(rig: &Rig, tool: &Tool, load: &Bdevperf<'_>) {
    let log = tool.bdevperf(rig, load).unwrap_or_else(|error| panic!("{}: {error}", load.workload));
    assert!(!log.contains("error") && !log.contains("ERROR"), "{}: {log}", load.workload);
}

/// vdo-91, partly: requests of every multiple of 512 bytes read back as written, over bases of either block size.
#[test]
fn verify_finds_what_was_written_for_every_pair_of_block_sizes() {
    let rig = rig(1);
    for (base, exposed, io_bytes) in [(4096, 4096, 4096), (512, 4096, 8192), (4096, 512, 1536), (512, 512, 4608)] {
        run(&rig, &local(&rig, config(base, exposed)), &load("verify", io_bytes, 2));
    }
}

#[test]
fn verify_finds_what_was_written_in_large_requests_on_two_cores() {
    let rig = rig(2);
    let tool = on_all_cores(&rig, config(4096, 4096));
    run(&rig, &tool, &load("verify", 64 * 1024, 2));
    if !rig.is_old() {
        // The bdevperf of 20.07 verifies requests of up to 64 KiB.
        run(&rig, &tool, &load("verify", 1024 * 1024, 2));
    }
}

#[test]
fn every_workload_runs_on_one_core() {
    let rig = rig(1);
    let tool = local(&rig, config(4096, 4096));
    for workload in ["randrw", "write_zeroes", "unmap", "flush"] {
        run(&rig, &tool, &load(workload, 4096, 1));
    }
}

#[test]
fn every_workload_runs_on_two_cores() {
    let rig = rig(2);
    let tool = on_all_cores(&rig, config(4096, 512));
    for workload in ["randrw", "write_zeroes", "unmap", "flush"] {
        run(&rig, &tool, &load(workload, 6144, 1));
    }
}

#[test]
fn a_reset_loses_nothing() {
    let rig = rig(2);
    let log = on_all_cores(&rig, config(4096, 4096)).bdevperf(&rig, &load("reset", 4096, RESET_SECONDS));
    log.expect("data is as written across resets");
}
