// SPDX-License-Identifier: BSD-3-Clause

//! What framing costs the processor: records of 4 KiB put into flush sets and sealed, no device behind it; and beside that the
//! arithmetic that it cannot do without, one copy and one check code over the same bytes.
//!
//! The records, like those of a client, are hot; flush buffers are as many as a journal has, and so in the second-level cache.

use std::hint::black_box;
use std::time::Instant;

use ::tests::framer_load::FramerLoad;
use engine::fingerprint::Fingerprinter;
use engine::{Block, BLOCK_SIZE};
use serde::{Deserialize, Serialize};

/// Bytes of a large flush set, and how many are in flight.
const SET_BYTES: usize = 128 << 10;
const DEPTH: usize = 4;

/// Different records.
const RECORDS: usize = 32;

/// Records per timed round, and rounds. The shortest round counts: it is one that nothing else on the core has interrupted.
const ROUND_RECORDS: usize = 500;
const ROUNDS: usize = 200;

/// Where a copy lies within its page, other than what it is a copy of: between places of almost equal offset, `rep movsb`, which
/// glibc copies 4 KiB with, is some ten times slower on AMD's processors. The framer copies less at once.
const COPY_OFFSET: usize = 2048;

/// Nanoseconds for each record of 4 KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Framing {
    /// Appended to flush sets of 128 KiB, four in flight.
    pub large_sets_ns: f64,
    /// Bytes that such a record takes on media.
    pub large_sets_bytes: f64,
    /// Each in a flush set of its own.
    pub single_sets_ns: f64,
    /// Bytes that such a record takes on media.
    pub single_sets_bytes: f64,
    /// Copying 4 KiB, hot to hot.
    pub copy_ns: f64,
    /// The check code of 4 KiB, hot.
    pub crc_ns: f64,
}

impl Framing {
    /// Times everything on the calling thread.
    #[must_use]
    pub fn measure() -> Framing {
        let records: Vec<Block> = (0..RECORDS).map(|number| [number as u8; BLOCK_SIZE]).collect();
        let (large_sets_ns, large_sets_bytes) = append(&records, false);
        let (single_sets_ns, single_sets_bytes) = append(&records, true);
        let mut copy = vec![0; (RECORDS + 1) * BLOCK_SIZE];
        // Relative to the page of the record, whatever the allocator does.
        let ahead = records.as_ptr().addr().wrapping_sub(copy.as_ptr().addr()).wrapping_add(COPY_OFFSET) % BLOCK_SIZE;
        Framing {
            large_sets_ns,
            large_sets_bytes,
            single_sets_ns,
            single_sets_bytes,
            copy_ns: per_record(|index| {
                let to = &mut copy[ahead + index * BLOCK_SIZE..][..BLOCK_SIZE];
                black_box(to).copy_from_slice(black_box(&records[index]));
            }),
            crc_ns: per_record(|index| {
                black_box(Fingerprinter::check_code(black_box(&records[index])));
            }),
        }
    }

    /// Copy and check code of what a record takes in large sets.
    #[must_use]
    pub fn large_floor_ns(&self) -> f64 {
        self.copy_ns + self.crc_ns * self.large_sets_bytes / BLOCK_SIZE as f64
    }

    /// Copy and check code of what a record takes in a set of its own.
    #[must_use]
    pub fn single_floor_ns(&self) -> f64 {
        self.copy_ns + self.crc_ns * self.single_sets_bytes / BLOCK_SIZE as f64
    }
}

/// Nanoseconds and bytes on media for each record.
fn append(records: &[Block], commit_each: bool) -> (f64, f64) {
    let mut load = FramerLoad::new(BLOCK_SIZE, SET_BYTES, DEPTH);
    let ns = per_record(|index| {
        load.append(&records[index]);
        if commit_each {
            load.commit();
        }
    });
    load.settle();
    (ns, load.set_bytes() as f64 / load.appended().0 as f64)
}

/// Nanoseconds that `work` takes for one record, of which it gets the index.
fn per_record(mut work: impl FnMut(usize)) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        for index in 0..ROUND_RECORDS {
            work(index % RECORDS);
        }
        start.elapsed().as_secs_f64() * 1e9 / ROUND_RECORDS as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_count_the_bytes_on_media() {
        let framing = Framing {
            large_sets_bytes: 4096.0,
            single_sets_bytes: 8192.0,
            copy_ns: 1.0,
            crc_ns: 10.0,
            ..Framing::default()
        };
        assert_eq!((framing.large_floor_ns(), framing.single_floor_ns()), (11.0, 21.0));
    }
}
