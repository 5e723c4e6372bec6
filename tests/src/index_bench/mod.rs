// SPDX-License-Identifier: BSD-3-Clause

//! Figures of the index alone, on one core, without shards, I/O or SPDK.
//!
//! * [`rates`]: memory of a record and time of each operation, for a level 1 that is filled to 90%;
//! * [`stream`]: what part of a sequence twelve times as long as level 1 is found when it is written again.
//!
//! Times are the processor's, not the clock's, so that what else runs on the machine disturbs less.
//! Fingerprints are made as they are needed, in a nanosecond or two, which the times contain.

mod rates;
mod stream;

use std::path::PathBuf;
use std::process::ExitCode;

use ::tests::measure::Results;
use engine::fingerprint::Fingerprint;
use engine::format::Mapped;
use engine::Pbn;

/// Measures the index alone: memory and time of its operations, and what it finds of a long sequence.
#[derive(Debug, clap::Parser)]
pub struct Options {
    /// Memory of level 1 in MiB
    #[arg(default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    mib: u16,

    /// Where to write the results as JSON
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// Measures everything.
///
/// # Errors
/// The results cannot be written.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let bytes = usize::from(options.mib) << 20;
    let mut records = rates::measure(bytes);
    records.extend(stream::measure(bytes));
    let results = Results { records, ..Results::default() };
    results.publish(&[rates::OPERATIONS_TABLE, rates::MEMORY_TABLE, stream::TABLE], options.json.as_deref())
}

/// A well-spread number (splitmix64).
const fn spread(n: u64) -> u64 {
    let z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The fingerprint of the `n`th content.
const fn content(n: u64) -> Fingerprint {
    Fingerprint((spread(2 * n + 1) as u128) << 64 | spread(2 * n + 2) as u128)
}

/// Where the `n`th content is stored.
const fn place(n: u64) -> Mapped {
    Mapped::uncompressed(Pbn(n % (1 << 35) + 1))
}
