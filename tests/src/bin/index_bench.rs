// SPDX-License-Identifier: BSD-3-Clause

//! What the index costs and finds: `index_bench [MiB of level 1, 64 if not given]`.

#![forbid(unsafe_code)]

#[path = "../index_bench/mod.rs"]
mod index_bench;

use std::process::ExitCode;

fn main() -> ExitCode {
    tests::program::run(index_bench::run)
}
