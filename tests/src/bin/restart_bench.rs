// SPDX-License-Identifier: BSD-3-Clause

//! How long a volume takes to come back after `kill -9`, over its size:
//! `restart_bench --sizes 4,16,64 --place /var/tmp`.

#![forbid(unsafe_code)]

#[path = "../restart_bench/mod.rs"]
mod restart_bench;

use std::process::ExitCode;

fn main() -> ExitCode {
    tests::program::run(restart_bench::run)
}
