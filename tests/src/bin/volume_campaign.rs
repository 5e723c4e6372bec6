// SPDX-License-Identifier: BSD-3-Clause

//! The durability campaigns of volumes: `volume_campaign --campaign random --seeds 0..10000`, or one seed with all its
//! events: `volume_campaign --campaign random --seed 7 --trace`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tests::seeds::campaigns::run_program;
use tests::volume_sim::campaign::Campaign;

fn main() -> ExitCode {
    run_program::<Campaign>()
}
