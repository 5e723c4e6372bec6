// SPDX-License-Identifier: BSD-3-Clause

//! What framing costs the processor: records of 4 KiB put into flush sets and sealed, no device behind it; and beside that the
//! arithmetic that it cannot do without, one copy and one check code over the same bytes.
//!
//! The records, like those of a client, are hot; flush buffers are as many as a journal has, and so in the second-level cache.

use std::hint::black_box;
use std::time::Instant;

use ::tests::framer_load::FramerLoad;
use ::tests::measure::Record;
use engine::fingerprint::Fingerprinter;
use engine::{Block, BLOCK_SIZE};

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

/// Times everything on the calling thread: rows for large flush sets, several in flight, and for a set for each record.
#[must_use]
pub fn measure() -> Vec<Record> {
    let records: Vec<Block> = (0..RECORDS).map(|number| [number as u8; BLOCK_SIZE]).collect();
    let large = append(&records, false);
    let single = append(&records, true);
    let mut copy = vec![0; (RECORDS + 1) * BLOCK_SIZE];
    // Relative to the page of the record, whatever the allocator does.
    let ahead = records.as_ptr().addr().wrapping_sub(copy.as_ptr().addr()).wrapping_add(COPY_OFFSET) % BLOCK_SIZE;
    let copy_ns = per_record(|index| {
        let to = &mut copy[ahead + index * BLOCK_SIZE..][..BLOCK_SIZE];
        black_box(to).copy_from_slice(black_box(&records[index]));
    });
    let crc_ns = per_record(|index| {
        black_box(Fingerprinter::check_code(black_box(&records[index])));
    });
    let large_name = format!("sets of {} KiB, {DEPTH} in flight", SET_BYTES >> 10);
    vec![row(&large_name, large, copy_ns, crc_ns), row("sets of their own", single, copy_ns, crc_ns)]
}

/// A row. The floor is copy and check code of the bytes that a record takes on media.
fn row(name: &str, (ns, media_bytes): (f64, f64), copy_ns: f64, crc_ns: f64) -> Record {
    let floor_ns = copy_ns + crc_ns * media_bytes / BLOCK_SIZE as f64;
    Record::new("framer", name)
        .with("ns", ns)
        .with("media_bytes", media_bytes)
        .with("copy_ns", copy_ns)
        .with("crc_ns", crc_ns)
        .with("floor_ns", floor_ns)
        .with("times_floor", ns / floor_ns)
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
        let row = row("sets", (42.0, 8192.0), 1.0, 10.0);
        assert_eq!((row.figure("floor_ns"), row.figure("times_floor")), (Some(21.0), Some(2.0)));
    }
}
