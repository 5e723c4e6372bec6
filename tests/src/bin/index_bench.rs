// SPDX-License-Identifier: BSD-3-Clause

//! What the index costs and finds: `index_bench [MiB of level 1, 64 if not given]`.

#![forbid(unsafe_code)]

#[path = "../index_bench/mod.rs"]
mod index_bench;

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).map_or(Ok(64), |mib| mib.parse()) {
        Ok(mib @ 1..=4096) => {
            index_bench::run(mib);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: index_bench [MiB of level 1, 1 to 4096]");
            ExitCode::FAILURE
        }
    }
}
