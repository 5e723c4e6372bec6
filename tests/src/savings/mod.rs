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
mod sets;
mod stand;
mod table;
mod traffic;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::tests::measure::{Record, Results};
use ::tests::setup::{default_tree, module_for, Reservation};
use ::tests::target::Rig;
use spdk_sys_build::SpdkTree;

use options::{Common, Mode, Options};
use oracle::{Census, Figures};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// For the target; the initiator needs none.
const HUGEPAGES_MIB: u64 = 2048;

/// Does what the command line says.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    match &options.mode {
        Mode::Oracle { files } => judge(files),
        Mode::History(history) => {
            measure(default_tree()?, &history.common, "target/savings/history.json", |rig, results| {
                history::measure(rig, history, results)
            })
        }
        Mode::Run(run) => {
            let tree = default_tree()?;
            let sets = run.sets.iter().map(|&kind| sets::data_set(kind, &tree)).collect::<Outcome<Vec<_>>>()?;
            measure(tree, &run.common, "target/savings/run.json", |rig, results| {
                sets.iter().try_for_each(|set| case::measure(rig, run, set, results))
            })
        }
    }
}

fn judge(files: &[PathBuf]) -> Outcome<ExitCode> {
    let mut census = Census::new();
    for file in files {
        census.take(file)?;
    }
    let record = Figures::of_all(&census).add_to(Record::new("content", "all files"));
    let results = Results { records: vec![record], ..Results::default() };
    Ok(results.publish(&[table::ORACLE], None)?)
}

fn measure(
    tree: SpdkTree,
    options: &Common,
    usual_json: &str,
    work: impl FnOnce(&Rig, &mut Results) -> Outcome<()>,
) -> Outcome<ExitCode> {
    let mut results = Results { head: vec![format!("SPDK {}", tree.version)], ..Results::default() };
    let module = options.module.clone().map_or_else(|| module_for(&tree), Ok)?;
    let reservation = Reservation::make(HUGEPAGES_MIB)?;
    let rig = Rig::new(tree, &module, reservation.memory, options.shards);
    let measured = rig.map_err(Box::from).and_then(|rig| work(&rig, &mut results));
    reservation.restore();
    // What was measured before a failure is worth having.
    results.failures.extend(measured.err().map(|error| error.to_string()));
    let json = options.json.as_deref().unwrap_or(Path::new(usual_json));
    Ok(results.publish(&[table::MOMENTS, table::HISTORY], Some(json))?)
}
