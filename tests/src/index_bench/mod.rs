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

use std::time::Duration;

use engine::fingerprint::Fingerprint;
use engine::format::Mapped;
use engine::Pbn;

/// Runs and prints everything.
pub fn run(mib: usize) {
    rates::run(mib << 20);
    stream::run(mib << 20);
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

/// Time for which this thread has run; zero where the kernel does not tell.
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split_whitespace().next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

fn print(what: &str, figure: &str) {
    println!("{what:<68} {figure}");
}
