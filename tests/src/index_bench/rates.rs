// SPDX-License-Identifier: BSD-3-Clause

//! Memory and time of the index at 90% fill.

use std::hint::black_box;

use engine::format::index_section::SECTION_RECORDS;
use engine::index::{History, HistoryConfig, ImageOf, Index};
use engine::SectionAt;

use super::{content, place, print, processor_time, spread};

/// Operations of one timed run, and runs; the median of them counts.
const OPERATIONS: u64 = 1_000_000;
const RUNS: usize = 5;

/// Lookups whose cache lines are on their way together.
const BATCH: u64 = 32;

/// Contents that were never recorded begin here.
const UNKNOWN: u64 = 1 << 40;

/// Measures an index of `bytes` bytes.
pub fn run(bytes: usize) {
    let mut index = Index::new(bytes);
    let records = index.capacity() / 10 * 9;
    for n in 0..records {
        index.update(content(n), place(n));
    }
    let statistics = index.statistics();
    print("level 1: memory, records", &format!("{} MiB, {}", bytes >> 20, statistics.entries));
    let fill = statistics.entries as f64 / statistics.capacity as f64;
    print("  filled to", &format!("{:.2} %", fill * 100.0));
    print(
        "  bytes a record",
        &format!("{:.3} a slot, {:.2} a record held", 8.0, bytes as f64 / statistics.entries as f64),
    );
    let kept = (0..records).filter(|&n| index.lookup(content(n)) == Some(place(n))).count();
    print("  found of what was recorded", &format!("{:.3} %", kept as f64 / records as f64 * 100.0));
    let wrong = (UNKNOWN..UNKNOWN + OPERATIONS).filter(|&n| index.lookup(content(n)).is_some()).count();
    print("  advice for what was never recorded", &format!("{:.5} %", wrong as f64 / OPERATIONS as f64 * 100.0));
    lookups(&mut index, "known", |n| spread(n) % records);
    lookups(&mut index, "unknown", |n| UNKNOWN + n);
    let mut next = records;
    rate("  updates, each with its record pushed out or changed", || {
        for n in next..next + OPERATIONS {
            index.update(content(n), place(n));
        }
        next += OPERATIONS;
        OPERATIONS
    });
    sections(&mut index);
    images(&mut index, bytes);
}

fn lookups(index: &mut Index, what: &str, nth: impl Fn(u64) -> u64) {
    let mut start = 0;
    rate(&format!("  lookups of {what} content, each after the last has answered"), || {
        let mut last = 0;
        for n in start..start + OPERATIONS {
            // The answer makes the next question, so that none begins before.
            last = index.lookup(content(nth(n + (black_box(last) >> 40)))).map_or(0, |found| found.pbn.0);
        }
        black_box(last);
        start += OPERATIONS;
        OPERATIONS
    });
    rate(&format!("  lookups of {what} content, one by one"), || {
        let found = (start..start + OPERATIONS).filter(|&n| index.lookup(content(nth(n))).is_some()).count();
        black_box(found);
        start += OPERATIONS;
        OPERATIONS
    });
    rate(&format!("  lookups of {what} content, {BATCH} at a time"), || {
        let mut found = 0;
        for first in (start..start + OPERATIONS).step_by(BATCH as usize) {
            let batch = first..first + BATCH;
            index.touch_all(batch.clone().map(|n| content(nth(n))));
            found += batch.filter(|&n| index.lookup(content(nth(n))).is_some()).count();
        }
        black_box(found);
        start += OPERATIONS;
        OPERATIONS
    });
}

/// What sections cost: adding, sealing, loading and refilling.
fn sections(index: &mut Index) {
    const SECTIONS: u64 = 64;
    let config = HistoryConfig { nonce: 1, window_sections: 1 << 14, section_records: SECTION_RECORDS as u16 };
    let mut history = History::new(config, 0..=255);
    let (mut next, mut images) = (UNKNOWN * 2, Vec::new());
    rate("level 2: records added, sorting and sealing of sections included", || {
        images.clear();
        let end = next + SECTIONS * SECTION_RECORDS as u64;
        images.extend((next..end).filter_map(|n| history.add(content(n), place(n))));
        next = end;
        history.chapter_closed(0, SECTIONS as u16);
        SECTIONS * SECTION_RECORDS as u64
    });
    let mut chapter = 1;
    rate("  records loaded into a full level 1 for a hook", || {
        for (section, image) in (0..).zip(&images) {
            let at = SectionAt { chapter, section };
            black_box(history.loaded(index, at, image).is_ok());
        }
        chapter += 1;
        SECTIONS * SECTION_RECORDS as u64
    });
    let hooks = history.statistics().hooks;
    let per_record = hooks as f64 / (next - UNKNOWN * 2) as f64;
    print(
        "  hooks a record, bytes of them at 90% fill",
        &format!("1 in {:.1}, {:.2}", 1.0 / per_record, per_record * 8.0 / 0.9),
    );
}

/// Saving and loading of level 1.
fn images(index: &mut Index, bytes: usize) {
    let of = ImageOf { nonce: 1, generation: 1, shard: 0, shards: 1 };
    let start = processor_time();
    let image: Vec<u8> = index.save(of).flatten().collect();
    let saved = processor_time() - start;
    let start = processor_time();
    let loaded = Index::load(bytes, of, &image).is_ok();
    let took = processor_time() - start;
    assert!(loaded, "what was saved loads");
    let mib = image.len() >> 20;
    print("image: size, time to make, time to load", &format!("{mib} MiB, {saved:.1?}, {took:.1?}"));
}

/// Prints the median of several runs of `work`, which says how many operations it has done.
fn rate(what: &str, mut work: impl FnMut() -> u64) {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = processor_time();
            let operations = work();
            (processor_time() - start).as_secs_f64() * 1e9 / operations as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times[RUNS / 2];
    print(what, &format!("{:6.1} ns, {:6.2} M/s", median, 1e3 / median));
}
