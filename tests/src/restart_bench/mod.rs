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

use tests::setup::{default_tree, module_for, Reservation};
use tests::target::Rig;

use case::Case;
use options::Options;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// For the target; the initiator needs none.
const HUGEPAGES_MIB: u64 = 2048;

/// Runs the benchmark.
pub fn run() -> Outcome<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let tree = default_tree()?;
    let module = module_for(&tree)?;
    let reservation = Reservation::make(HUGEPAGES_MIB)?;
    let result =
        Rig::new(tree, &module, reservation.memory, 2).map_err(Box::from).and_then(|rig| measure(&rig, &options));
    reservation.restore();
    result
}

fn measure(rig: &Rig, options: &Options) -> Outcome<()> {
    let mut rows = Vec::new();
    for &gib in &options.sizes_gib {
        let mut case = Case::prepare(rig, options, gib)?;
        for _ in 0..options.repeats {
            let restart = case.restart(rig, options)?;
            eprintln!("{gib} GiB: {restart}");
            rows.push((gib, restart));
        }
    }
    table::print(&rows, options);
    Ok(())
}
