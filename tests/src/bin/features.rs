// SPDX-License-Identifier: BSD-3-Clause

//! Writes `tests/FEATURES.md`; with `--check` only tells whether it is up to date.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tests::features::{table, table_path};

/// Writes `tests/FEATURES.md`.
#[derive(Debug, clap::Parser)]
struct Options {
    /// Only tell whether it is up to date
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    tests::program::run(|options: &Options| if options.check { check() } else { write() }.map(|()| ExitCode::SUCCESS))
}

fn write() -> Result<(), String> {
    let path = table_path();
    std::fs::write(&path, table()?).map_err(|error| format!("writing {}: {error}", path.display()))
}

fn check() -> Result<(), String> {
    let path = table_path();
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found == table()? {
        return Ok(());
    }
    Err(format!("{} is out of date: cargo run -p tests --bin features", path.display()))
}
