// SPDX-License-Identifier: BSD-3-Clause

//! The command line.

use std::path::PathBuf;

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::{value_parser, Args, Parser, Subcommand};

use super::sets::SetKind;

/// Compares what a volume saves with what the best possible device would.
#[derive(Debug, Parser)]
pub struct Options {
    /// What is to be done.
    #[command(subcommand)]
    pub mode: Mode,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Mode {
    /// Count the blocks of files
    Oracle {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Write data sets
    Run(Run),
    /// Write more than the level-1 index knows, twice
    History(History),
}

/// How all is measured.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Requests under way at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 128], value_name = "N", value_parser = positive())]
    pub depths: Vec<usize>,

    /// A module that is there already [default: built of this workspace]
    #[arg(long, value_name = "PATH")]
    pub module: Option<PathBuf>,

    /// Where the results go as JSON [default: target/savings/run.json or history.json]
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,

    /// Cores of the target, each of which is a shard
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = positive())]
    pub shards: usize,

    /// Where the volume's file goes [default: /dev/shm where half of it is enough, else /var/tmp]
    #[arg(long, value_name = "DIR")]
    pub place: Option<PathBuf>,
}

/// Options for data sets.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// Which data is written
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = SetKind::ALL, value_name = "NAME")]
    pub sets: Vec<SetKind>,

    /// With and without compression
    #[arg(long, value_delimiter = ',', default_values = ["off", "on"], value_name = "off,on", value_parser = BoolishValueParser::new())]
    pub compression: Vec<bool>,

    /// How.
    #[command(flatten)]
    pub common: Common,
}

/// Options for the index's history.
#[derive(Debug, Clone, Args)]
pub struct History {
    /// Size of the level-1 index in MiB
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub index_mib: u64,

    /// Blocks, as a multiple of that index's records
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub times: u64,

    /// Windows of level 2 in MiB, 0 for none; a record takes 16 bytes
    #[arg(long, value_delimiter = ',', default_values_t = [0, 32], value_name = "N")]
    pub history_mib: Vec<u64>,

    /// How.
    #[command(flatten)]
    pub common: Common,
}

/// A number from 1.
fn positive() -> impl TypedValueParser<Value = usize> {
    value_parser!(u32).range(1..).map(|number| number as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Mode, clap::Error> {
        Ok(Options::try_parse_from(["savings"].into_iter().chain(line.split_whitespace()))?.mode)
    }

    #[test]
    fn modes_and_options_are_read() {
        let Ok(Mode::Run(run)) = parse("run --sets fio,roots --depths 1,32 --compression on --shards 2") else {
            panic!("not read")
        };
        assert_eq!((run.sets, run.common.depths), (vec![SetKind::Fio, SetKind::Roots], vec![1, 32]));
        assert_eq!((run.compression, run.common.shards), (vec![true], 2));
        let Ok(Mode::History(history)) = parse("history --json /x") else { panic!("not read") };
        assert_eq!((history.common.json, history.history_mib), (Some("/x".into()), vec![0, 32]));
        assert!(matches!(parse("oracle a b"), Ok(Mode::Oracle { files }) if files.len() == 2));
        for bad in ["", "oracle", "run --sets x", "run --depths 0", "run --depths", "run --what 1", "twice"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
