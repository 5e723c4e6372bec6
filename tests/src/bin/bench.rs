// SPDX-License-Identifier: BSD-3-Clause

//! Measures the dedupe bdev beside its base and SPDK's passthru. Its modules are in `src/bench`, outside the library:
//! they alone link SPDK.

#![forbid(unsafe_code)]

use std::process::ExitCode;

#[path = "../bench/mod.rs"]
mod bench;

fn main() -> ExitCode {
    tests::program::run(bench::run)
}
