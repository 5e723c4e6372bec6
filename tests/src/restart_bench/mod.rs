// SPDX-License-Identifier: BSD-3-Clause

//! The steps of the benchmark.
//!
//! For each size: a sparse file, a volume that takes all of it, half of its room filled with blocks that are all
//! different, then a load of random writes, `kill -9`, and a new start. Measured is the time from the start of the
//! process to the first read over NVMe/TCP that has come back, and is right.

mod block;
mod case;
mod give_back;
mod options;
mod table;
mod writer;

use std::error::Error;
use std::process::ExitCode;

use ::tests::measure::Results;
use ::tests::setup::{default_tree, module_for, Reservation};
use ::tests::target::Rig;

use case::Case;
use options::Options;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// For the target; the initiator needs none.
const HUGEPAGES_MIB: u64 = 2048;

/// Runs the benchmark.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let tree = default_tree()?;
    let module = module_for(&tree)?;
    let reservation = Reservation::make(HUGEPAGES_MIB)?;
    let result =
        Rig::new(tree, &module, reservation.memory, 2).map_err(Box::from).and_then(|rig| measure(&rig, options));
    reservation.restore();
    Ok(result?.publish(&[table::TABLE], options.json.as_deref())?)
}

fn measure(rig: &Rig, options: &Options) -> Outcome<Results> {
    let mut results = Results::default();
    results.head.push(format!(
        "{} restarts for each size, {} ms of random 4 KiB writes to the first {} MiB before each kill; medians",
        options.repeats, options.load_ms, options.window_mib
    ));
    for &gib in &options.sizes {
        let mut case = Case::prepare(rig, options, gib)?;
        let mut restarts = Vec::new();
        for _ in 0..options.repeats {
            let restart = case.restart(rig, options)?;
            log::info!("{gib} GiB: {restart}");
            restarts.push(restart);
        }
        results.records.push(table::record(gib, &restarts));
    }
    results.notes.push(table::growth(&results.records));
    Ok(results)
}
