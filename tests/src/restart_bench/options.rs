// SPDX-License-Identifier: BSD-3-Clause

//! The command line.

use std::path::PathBuf;

use clap::value_parser;

/// Measures how long a volume takes to come back after `kill -9`.
#[derive(Debug, Clone, clap::Parser)]
pub struct Options {
    /// Sizes of the base's file, in GiB
    #[arg(long, value_delimiter = ',', default_values_t = [4, 16, 64], value_name = "GIB")]
    pub sizes: Vec<u64>,

    /// Where the files go; half of the largest size need not be free there
    #[arg(long, default_value = "/var/tmp", value_name = "DIR")]
    pub place: PathBuf,

    /// How long random writes run before each kill
    #[arg(long, default_value_t = 3000, value_name = "N")]
    pub load_ms: u64,

    /// Where they go, in MiB from the volume's start: the same work is to be recovered whatever the size
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub window_mib: u64,

    /// Kills and restarts for each size
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub repeats: u64,

    /// Where to write the results as JSON
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
}
