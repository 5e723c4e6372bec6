// SPDX-License-Identifier: BSD-3-Clause

//! The main job, end to end: a dedupe bdev in the stock spdk_tgt, exported over NVMe/TCP, fed with real data, read
//! back, compared.
//!
//! `make demo` runs it after the setup. Exits with 0 only if every byte came back. Everything it starts or writes is
//! gone afterwards; the base has no name from the moment the target has opened it.

#![forbid(unsafe_code)]

#[path = "../demo/mod.rs"]
mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    tests::program::run(demo::run)
}
