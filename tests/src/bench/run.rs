// SPDX-License-Identifier: BSD-3-Clause

//! The benchmark as a whole: one measuring process per core count, or one for the pool, then table and JSON.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use bdev_dedupe::load::switch_read_checks;
use serde::de::DeserializeOwned;
use serde::Serialize;

use super::checks::{self, ChecksOutput};
use super::host;
use super::options::Options;
use super::pool::{self, PoolOutput};
use super::record::{Record, WorkerOutput};
use super::report;
use super::worker;

/// Runs the benchmark, or the part of it that one process measures; the exit status is 0 if every load ran to its end.
#[must_use]
pub fn run(options: Options) -> ExitCode {
    let options = options.resolved();
    let result = match (&options.worker_output, options.worker_cores) {
        _ if options.list => {
            options.known_cases().iter().for_each(|case| println!("{}", case.name));
            Ok(true)
        }
        (Some(output), Some(cores)) => measure_here(&options, cores, output).map(|()| true),
        _ if options.checks != switch_read_checks(true).is_ok() => Err(wrong_build(&options)),
        _ if options.pool => run_pool(&options),
        _ if options.checks => run_checks(&options),
        _ => run_all(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The switch belongs to `--checks` alone: other figures are those of the module as it is.
fn wrong_build(options: &Options) -> String {
    let (with, has) = if options.checks { ("--checks needs", "does not have") } else { ("only --checks takes", "has") };
    format!("{with} a program with feature `checks` (see `make bench-checks`), which this one {has}")
}

fn measure_here(options: &Options, cores: u32, output: &Path) -> Result<(), String> {
    let text = if options.pool {
        serde_json::to_vec(&pool::measure(options).map_err(|error| error.to_string())?)
    } else if options.checks {
        serde_json::to_vec(&checks::measure(options, cores).map_err(|error| error.to_string())?)
    } else {
        serde_json::to_vec(&worker::measure(options, cores).map_err(|error| error.to_string())?)
    };
    let text = text.map_err(|error| error.to_string())?;
    fs::write(output, text).map_err(|error| format!("writing {}: {error}", output.display()))
}

/// The pool lives on one core.
fn run_pool(options: &Options) -> Result<bool, String> {
    let output = &measure_on::<PoolOutput>(options, &[1], pool::memory_mib)?[0];
    print!("{}", pool::text(output));
    write_json(&options.json_path(), output)?;
    Ok(output.failures.is_empty())
}

fn run_checks(options: &Options) -> Result<bool, String> {
    let outputs: Vec<ChecksOutput> = measure_on(options, &options.cores, checks::memory_mib)?;
    print!("{}", checks::text(&outputs));
    write_json(&options.json_path(), &outputs)?;
    Ok(outputs.iter().all(|output| output.failures.is_empty()))
}

fn run_all(options: &Options) -> Result<bool, String> {
    let outputs: Vec<WorkerOutput> = measure_on(options, &options.cores, worker::memory_mib)?;
    print!("{}", report::text(&outputs));
    let records: Vec<&Record> = outputs.iter().flat_map(|output| &output.records).collect();
    write_json(&options.json_path(), &records)?;
    Ok(outputs.iter().all(|output| output.failures.is_empty()))
}

/// Measures with each of some core counts, one after the other; there is an output for each.
fn measure_on<T: DeserializeOwned>(
    options: &Options,
    core_counts: &[u32],
    memory_mib: fn(&Options) -> u64,
) -> Result<Vec<T>, String> {
    options.check()?;
    let options = &with_memory(options, memory_mib(options));
    let dir = tempfile::tempdir().map_err(|error| format!("making a temporary directory: {error}"))?;
    core_counts.iter().map(|&cores| measure_in_child(options, cores, dir.path())).collect()
}

/// The options, without huge pages if there are none to be had: figures are worse then, though those of all targets alike.
fn with_memory(options: &Options, mib: u64) -> Options {
    let mut options = options.clone();
    if !options.no_huge {
        if let Err(reason) = host::ensure_huge_pages(mib) {
            eprintln!("bench: {reason}; going on without huge pages (SPDK 24.01 or later can)");
            options.no_huge = true;
        }
    }
    options
}

/// SPDK cannot be started twice in a process, so each core count has one of its own.
fn measure_in_child<T: DeserializeOwned>(options: &Options, cores: u32, dir: &Path) -> Result<T, String> {
    let program = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let output = dir.join(format!("cores-{cores}.json"));
    let status = Command::new(program)
        .args(options.worker_arguments(cores, &output))
        .status()
        .map_err(|error| format!("starting the measuring process: {error}"))?;
    if !status.success() {
        return Err(format!("the measuring process for {cores} core(s) ended with {status}"));
    }
    let text = fs::read(&output).map_err(|error| format!("reading {}: {error}", output.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("reading {}: {error}", output.display()))
}

fn write_json(path: &Path, results: &impl Serialize) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("writing {}: {error}", path.display());
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    let mut text = serde_json::to_string_pretty(results).map_err(|error| error.to_string())?;
    text.push('\n');
    fs::write(path, text).map_err(failed)?;
    eprintln!("results: {}", path.display());
    Ok(())
}
