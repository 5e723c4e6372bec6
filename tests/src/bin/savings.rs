// SPDX-License-Identifier: BSD-3-Clause

//! What a volume saves, beside what the best possible device would save: `savings run`, `savings history`,
//! `savings oracle FILE...`.

#![forbid(unsafe_code)]

#[path = "../savings/mod.rs"]
mod savings;

use std::process::ExitCode;

fn main() -> ExitCode {
    tests::program::run(savings::run)
}
