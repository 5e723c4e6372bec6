// SPDX-License-Identifier: BSD-3-Clause

//! The media pool's crash campaigns: `pool_campaign --campaign logs --seeds 0..20000`, or one seed with all its events:
//! `pool_campaign --campaign logs --seed 7 --trace`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tests::pool_sim::campaign::Campaign;
use tests::seeds::campaigns::run_program;

fn main() -> ExitCode {
    run_program::<Campaign>()
}
