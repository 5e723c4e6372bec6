// SPDX-License-Identifier: BSD-3-Clause

//! Memory and time of the index at 90% fill.

use std::hint::black_box;

use ::tests::measure::{column, median, processor_time, Column, Record};
use engine::format::index_section::SECTION_RECORDS;
use engine::index::{History, HistoryConfig, Index};
use engine::SectionAt;

use super::{content, place, spread};

/// The table of operations.
pub const OPERATIONS_TABLE: &[Column] =
    &[column("operation", "operation", 0), column("ns", "ns", 1), column("per_second", "M/s", 2).in_units_of(1e6)];

/// The table of memory, and of level 1 as a whole.
pub const MEMORY_TABLE: &[Column] = &[
    column("level_1_bytes", "level 1, MiB", 0).in_units_of(1048576.0),
    column("records", "records", 0),
    column("fill_percent", "fill %", 2),
    column("record_bytes", "bytes a record", 2),
    column("found_percent", "found %", 3),
    column("wrong_percent", "wrong advice %", 5),
    column("records_per_hook", "records a hook", 1),
    column("hook_bytes", "its bytes a record", 2),
];

/// Operations of one timed run, and runs; the median of them counts.
const OPERATIONS: u64 = 1_000_000;
const RUNS: usize = 5;

/// Lookups whose cache lines are on their way together.
const BATCH: u64 = 32;

/// Contents that were never recorded begin here.
const UNKNOWN: u64 = 1 << 40;

/// Measures an index of `bytes` bytes: its operations, then what it takes and finds.
pub fn measure(bytes: usize) -> Vec<Record> {
    let mut index = Index::new(bytes);
    let records = index.capacity() / 10 * 9;
    for n in 0..records {
        index.update(content(n), place(n));
    }
    let statistics = index.statistics();
    let kept = (0..records).filter(|&n| index.lookup(content(n)) == Some(place(n))).count();
    let wrong = (UNKNOWN..UNKNOWN + OPERATIONS).filter(|&n| index.lookup(content(n)).is_some()).count();
    let memory = Record::new("level_1_bytes", bytes)
        .with("records", statistics.entries)
        .with("fill_percent", statistics.entries as f64 / statistics.capacity as f64 * 100.0)
        .with("record_bytes", bytes as f64 / statistics.entries as f64)
        .with("found_percent", kept as f64 / records as f64 * 100.0)
        .with("wrong_percent", wrong as f64 / OPERATIONS as f64 * 100.0);
    let mut rows = lookups(&mut index, "known", |n| spread(n) % records);
    rows.extend(lookups(&mut index, "unknown", |n| UNKNOWN + n));
    let mut next = records;
    rows.push(rate("updates, each with its record pushed out or changed", || {
        for n in next..next + OPERATIONS {
            index.update(content(n), place(n));
        }
        next += OPERATIONS;
        OPERATIONS
    }));
    let (sections, hook_share) = sections(&mut index);
    rows.extend(sections);
    rows.push(memory.with("records_per_hook", 1.0 / hook_share).with("hook_bytes", hook_share * 8.0 / 0.9));
    rows
}

fn lookups(index: &mut Index, what: &str, nth: impl Fn(u64) -> u64) -> Vec<Record> {
    let mut start = 0;
    let dependent = rate(&format!("lookups of {what} content, each after the last has answered"), || {
        let mut last = 0;
        for n in start..start + OPERATIONS {
            // The answer makes the next question, so that none begins before.
            last = index.lookup(content(nth(n + (black_box(last) >> 40)))).map_or(0, |found| found.pbn.0);
        }
        black_box(last);
        start += OPERATIONS;
        OPERATIONS
    });
    let single = rate(&format!("lookups of {what} content, one by one"), || {
        let found = (start..start + OPERATIONS).filter(|&n| index.lookup(content(nth(n))).is_some()).count();
        black_box(found);
        start += OPERATIONS;
        OPERATIONS
    });
    let batched = rate(&format!("lookups of {what} content, {BATCH} at a time"), || {
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
    vec![dependent, single, batched]
}

/// What sections cost: adding, sealing, loading and refilling; and hooks for each record.
fn sections(index: &mut Index) -> ([Record; 2], f64) {
    const SECTIONS: u64 = 64;
    let config = HistoryConfig { nonce: 1, window_sections: 1 << 14, section_records: SECTION_RECORDS as u16 };
    let mut history = History::new(config, 0..=255);
    let (mut next, mut images) = (UNKNOWN * 2, Vec::new());
    let added = rate("level 2: records added, sorting and sealing of sections included", || {
        images.clear();
        let end = next + SECTIONS * SECTION_RECORDS as u64;
        images.extend((next..end).filter_map(|n| history.add(content(n), place(n))));
        next = end;
        history.chapter_closed(0, SECTIONS as u16);
        SECTIONS * SECTION_RECORDS as u64
    });
    let mut chapter = 1;
    let loaded = rate("level 2: records loaded into a full level 1 for a hook", || {
        for (section, image) in (0..).zip(&images) {
            let at = SectionAt { chapter, section };
            black_box(history.loaded(index, at, image).is_ok());
        }
        chapter += 1;
        SECTIONS * SECTION_RECORDS as u64
    });
    let hooks = history.statistics().hooks;
    ([added, loaded], hooks as f64 / (next - UNKNOWN * 2) as f64)
}

/// The median of several runs of `work`, which says how many operations it has done.
fn rate(what: &str, mut work: impl FnMut() -> u64) -> Record {
    log::info!("{what}");
    let times = (0..RUNS).map(|_| {
        let start = processor_time();
        let operations = work();
        (processor_time() - start).as_secs_f64() * 1e9 / operations as f64
    });
    let ns = median(times);
    Record::new("operation", what).with("ns", ns).with("per_second", ns.map(|ns| 1e9 / ns))
}
