// SPDX-License-Identifier: BSD-3-Clause

//! Measures the dedupe bdev beside its base and SPDK's passthru; see `tests::bench`.

use std::process::ExitCode;

use clap::Parser;
use tests::bench::{run, Options};

fn main() -> ExitCode {
    run(Options::parse())
}
