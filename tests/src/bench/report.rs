// SPDX-License-Identifier: BSD-3-Clause

//! The results as text: a table, the floor's steps, and how they stand to what was to be reached.

use std::fmt::Write;

use super::record::{Record, WorkerOutput};

/// Queue depth at which aims are judged.
const JUDGED_DEPTH: u32 = 32;

/// What each case is to reach on one core, as a part of the raw bdev's requests per second.
const RATIO_AIMS: &[(&str, f64)] =
    &[("randwrite-unique", 0.25), ("randwrite-dup50", 0.25), ("randwrite-dup100", 0.25), ("randread", 0.6)];

/// What two shards are to reach, as a multiple of one.
const SCALE_AIM: f64 = 1.7;

/// How near to the arithmetic floor the design wants to come.
const FLOOR_AIM: f64 = 1.5;

/// Everything that was measured, for people.
#[must_use]
pub fn text(outputs: &[WorkerOutput]) -> String {
    let mut out = String::new();
    let records: Vec<&Record> = outputs.iter().flat_map(|output| &output.records).collect();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, outputs, &records);
    out
}

fn write_all(out: &mut String, outputs: &[WorkerOutput], records: &[&Record]) -> std::fmt::Result {
    if let Some(output) = outputs.first() {
        writeln!(out, "{}", output.spdk)?;
    }
    table(out, records)?;
    for (output, record) in outputs.iter().filter_map(|output| Some((output, output.records.first()?))) {
        let steps = output.steps;
        writeln!(
            out,
            "floor, ns per 4 KiB ({} core(s)): hash {:.0} (cold {:.0}), check {:.0}, zero scan {:.0}, compare {:.0}, \
             copy to base {:.0} (in order {:.0}), copy from base {:.0} (in order {:.0}), compress {:.0}, decompress {:.0}, unmap entry {:.1} (alone {:.1}); load generator and bdev layer {:.0} per request",
            record.shards,
            steps.hash * 1e3,
            steps.hash_cold * 1e3,
            steps.check * 1e3,
            steps.zero_scan * 1e3,
            steps.compare * 1e3,
            steps.copy_to_base * 1e3,
            steps.append_to_base * 1e3,
            steps.copy_from_base * 1e3,
            steps.stream_from_base * 1e3,
            steps.compress * 1e3,
            steps.decompress * 1e3,
            steps.unmap_entry * 1e3,
            steps.unmap_one * 1e3,
            record.generator_us * 1e3
        )?;
    }
    aims(out, records)?;
    for failure in outputs.iter().flat_map(|output| &output.failures) {
        writeln!(out, "FAILED: {failure}")?;
    }
    Ok(())
}

fn table(out: &mut String, records: &[&Record]) -> std::fmt::Result {
    writeln!(
        out,
        "{:<17} {:>6} {:>4} {:>6} {:>9} {:>9} {:>9} {:>6} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8} {:>8} {:>5}",
        "case",
        "KiB",
        "QD",
        "shards",
        "raw kIOPS",
        "passthru",
        "dedupe",
        "ratio",
        "cpu us",
        "raw us",
        "floor us",
        "x floor",
        "p50 us",
        "p99 us",
        "p99.9",
        "share"
    )?;
    for record in records {
        let times_floor = record.cpu_us.map(|cpu| cpu / record.floor_us);
        writeln!(
            out,
            "{:<17} {:>6} {:>4} {:>6} {:>9} {:>9} {:>9} {:>6} {:>8} {:>8} {:>8.3} {:>6} {:>8} {:>8} {:>8} {:>5}",
            record.case,
            record.block_size >> 10,
            record.qd,
            record.shards,
            figure(record.raw_iops.map(|iops| iops / 1e3), 1),
            figure(record.passthru_iops.map(|iops| iops / 1e3), 1),
            figure(record.iops.map(|iops| iops / 1e3), 1),
            figure(record.ratio, 2),
            figure(record.cpu_us, 3),
            figure(record.raw_cpu_us, 3),
            record.floor_us,
            figure(times_floor, 2),
            figure(record.p50_us, 1),
            figure(record.p99_us, 1),
            figure(record.p999_us, 1),
            figure(record.core_share, 2)
        )?;
    }
    Ok(())
}

fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn aims(out: &mut String, records: &[&Record]) -> std::fmt::Result {
    let find = |case: &str, shards: u32| {
        records.iter().find(|record| record.case == case && record.qd == JUDGED_DEPTH && record.shards == shards)
    };
    for &(case, aim) in RATIO_AIMS {
        if let Some(ratio) = find(case, 1).and_then(|record| record.ratio) {
            writeln!(out, "{} {case}: {ratio:.2} of raw, aim {aim}", verdict(ratio >= aim))?;
        }
    }
    let raw_writes = find("randwrite-unique", 1).and_then(|record| record.raw_iops);
    for case in ["randwrite-zero", "unmap-page"] {
        let Some(record) = find(case, 1) else { continue };
        if let (Some(iops), Some(raw)) = (record.iops, raw_writes) {
            let times = iops * (record.block_size as f64 / 4096.0) / raw;
            writeln!(
                out,
                "{} {case}: {times:.1} times the blocks per second of raw 4 KiB writes",
                verdict(times > 1.0)
            )?;
        }
    }
    for record in records.iter().filter(|record| record.qd == JUDGED_DEPTH && record.shards == 2) {
        let Some(one) = find(&record.case, 1) else { continue };
        if let (Some(times), Some(raw)) = (over(record.iops, one.iops), over(record.raw_iops, one.raw_iops)) {
            let verdict = verdict(times >= SCALE_AIM);
            writeln!(
                out,
                "{verdict} {}: two shards do {times:.2} times one, aim {SCALE_AIM} (raw: {raw:.2})",
                record.case
            )?;
        }
    }
    // Unmap's floor is no arithmetic on data: nothing is aimed at there.
    let on_data = |record: &&&Record| !record.case.starts_with("unmap");
    for record in records.iter().filter(|record| record.qd == JUDGED_DEPTH && record.shards == 1).filter(on_data) {
        if let Some(cpu) = record.cpu_us {
            let (all, own) = (cpu / record.floor_us, (cpu - record.generator_us) / record.floor_us);
            writeln!(
                out,
                "{} {}: {all:.2} times the floor, {own:.2} without the load generator, aim {FLOOR_AIM}",
                verdict(own <= FLOOR_AIM),
                record.case
            )?;
        }
    }
    Ok(())
}

/// How many times as large, when both are known.
fn over(value: Option<f64>, base: Option<f64>) -> Option<f64> {
    value.zip(base).map(|(value, base)| value / base)
}

fn verdict(reached: bool) -> &'static str {
    if reached {
        "reached:"
    } else {
        "MISSED: "
    }
}
