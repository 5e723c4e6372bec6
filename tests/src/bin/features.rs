// SPDX-License-Identifier: BSD-3-Clause

//! Writes `tests/FEATURES.md`; with `--check` only tells whether it is up to date.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tests::features::{table, table_path};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => write(),
        ["--check"] => check(),
        _ => Err("usage: features [--check]".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("features: {error}");
            ExitCode::FAILURE
        }
    }
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
