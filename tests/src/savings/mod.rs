// SPDX-License-Identifier: BSD-3-Clause

//! Savings beside an oracle's.
//!
//! * `savings oracle FILE...` counts what the blocks of some files need at least.
//! * `savings run` writes real data over NVMe/TCP to a volume of the stock spdk_tgt and compares what it uses with the oracle's figure
//!   for the same logical blocks: after writing, after a clean restart, after `kill -9`, after a part was written once more in each
//!   of these lives, and after half of the data was overwritten at random ([`case`]). In the end every byte is read back.
//! * `savings history` writes twelve times as many blocks as the level-1 index has records, twice ([`history`]).
//!
//! Used is what the volume's statistics call `data_blocks_used`; pages of the block map are shown beside it.

mod case;
mod history;
mod layout;
mod options;
mod oracle;
mod results;
mod sets;
mod stand;
mod table;
mod traffic;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use tests::setup::{default_tree, module_for, Reservation};
use tests::target::Rig;

use options::{Mode, Options};
use oracle::{Census, Figures};
use results::Results;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// For the target; the initiator needs none.
const HUGEPAGES_MIB: u64 = 2048;

/// Does what the command line says.
pub fn run() -> Outcome<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    match &options.mode {
        Mode::Oracle(files) => judge(files),
        Mode::Run | Mode::History => measure(&options),
    }
}

fn judge(files: &[PathBuf]) -> Outcome<()> {
    let mut census = Census::new();
    for file in files {
        census.take(file)?;
    }
    table::print_figures(&Figures::of_all(&census));
    Ok(())
}

fn measure(options: &Options) -> Outcome<()> {
    let tree = default_tree()?;
    let began = Instant::now();
    let mut note = |text: &str| eprintln!("[{:5} s] {text}", began.elapsed().as_secs());
    let mut results = Results::new(&tree.version.to_string());
    let mut sets = Vec::new();
    if options.mode == Mode::Run {
        for &kind in &options.sets {
            sets.push(sets::data_set(kind, &tree, &mut note)?);
        }
    }
    let module = options.module.clone().map_or_else(|| module_for(&tree), Ok)?;
    let reservation = Reservation::make(HUGEPAGES_MIB)?;
    let measured = Rig::new(tree, &module, reservation.memory, options.shards).map_err(Box::from).and_then(|rig| {
        if options.mode == Mode::History {
            return history::measure(&rig, options, &mut results, &mut note);
        }
        sets.iter().try_for_each(|set| case::measure(&rig, options, set, &mut results, &mut note))
    });
    reservation.restore();
    // What was measured before a failure is worth having.
    results.write(&options.json_path())?;
    measured
}
