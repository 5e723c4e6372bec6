// SPDX-License-Identifier: BSD-3-Clause

//! The benchmark as a whole: one measuring process per core count, or one for the pool, then tables and JSON.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use ::tests::measure::{Column, Results};
use ::tests::setup::{Memory, Reservation};
use bdev_dedupe::load::switch_read_checks;

use super::options::Options;
use super::{aims, pool, record, worker};

/// Runs the benchmark, or the part of it that one process measures; the exit status is 0 if every load ran to its end.
///
/// # Errors
/// Why nothing was measured, or the results could not be written.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let options = options.clone().resolved();
    if options.list {
        options.known_cases().iter().for_each(|case| println!("{}", case.name));
        return Ok(ExitCode::SUCCESS);
    }
    if let (Some(output), Some(cores)) = (&options.worker_output, options.worker_cores) {
        return measure_here(&options, cores, output).map(|()| ExitCode::SUCCESS);
    }
    if options.checks != switch_read_checks(true).is_ok() {
        return Err(wrong_build(&options));
    }
    options.check()?;
    // The pool lives on one core.
    let core_counts = if options.pool { &[1][..] } else { &options.cores };
    let mut results = measure_on(&options, core_counts)?;
    if !options.checks {
        results.notes.extend(aims::judge(&results.records));
    }
    let tables: &[&[Column]] = match (options.pool, options.checks) {
        (true, _) => pool::TABLES,
        (_, true) => &[record::CHECKS_TABLE],
        _ => &[record::TABLE],
    };
    results.publish(tables, Some(&options.json_path()))
}

/// The switch belongs to `--checks` alone: other figures are those of the module as it is.
fn wrong_build(options: &Options) -> String {
    let (with, has) = if options.checks { ("--checks needs", "does not have") } else { ("only --checks takes", "has") };
    format!("{with} a program with feature `checks` (see `make bench-checks`), which this one {has}")
}

fn measure_here(options: &Options, cores: u32, output: &Path) -> Result<(), String> {
    let measured = if options.pool { pool::measure(options) } else { worker::measure(options, cores) };
    let text = serde_json::to_vec(&measured.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    fs::write(output, text).map_err(|error| format!("writing {}: {error}", output.display()))
}

/// Measures with each of some core counts, one after the other.
fn measure_on(options: &Options, core_counts: &[u32]) -> Result<Results, String> {
    let mut options = options.clone();
    let mib = if options.pool { pool::memory_mib(&options) } else { worker::memory_mib(&options) };
    if options.no_huge {
        return measure_in_children(&options, core_counts);
    }
    let reservation = Reservation::make(mib).map_err(|error| error.to_string())?;
    if reservation.memory == Memory::NoHuge {
        log::warn!("there are no {mib} MiB of huge pages: going on without (SPDK 24.01 or later can), which is slower");
        options.no_huge = true;
    }
    let measured = measure_in_children(&options, core_counts);
    reservation.restore();
    measured
}

/// SPDK cannot be started twice in a process, so each core count has one of its own.
fn measure_in_children(options: &Options, core_counts: &[u32]) -> Result<Results, String> {
    let dir = tempfile::tempdir().map_err(|error| format!("making a temporary directory: {error}"))?;
    let program = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let mut results = Results::default();
    for &cores in core_counts {
        let output = dir.path().join(format!("cores-{cores}.json"));
        let status = Command::new(&program)
            .args(options.worker_arguments(cores, &output))
            .status()
            .map_err(|error| format!("starting the measuring process: {error}"))?;
        if !status.success() {
            return Err(format!("the measuring process for {cores} core(s) ended with {status}"));
        }
        let text = fs::read(&output).map_err(|error| format!("reading {}: {error}", output.display()))?;
        let measured = serde_json::from_slice(&text);
        results.add(measured.map_err(|error| format!("reading {}: {error}", output.display()))?);
    }
    Ok(results)
}
