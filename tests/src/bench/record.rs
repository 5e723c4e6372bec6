// SPDX-License-Identifier: BSD-3-Clause

//! The rows: one for each case at each queue depth on each number of shards. Times are in microseconds.

use std::collections::HashMap;

use ::tests::measure::{column, median, over, range, Column, Record};
use bdev_dedupe::load::LoadReport;

use super::case::Case;
use super::floor::Steps;
use super::options::Target;

/// What the targets did in one round.
pub type Round = HashMap<Target, LoadReport>;

/// The table of the cases.
pub const TABLE: &[Column] = &[
    column("case", "case", 0),
    column("block_size", "KiB", 0).in_units_of(1024.0),
    column("qd", "QD", 0),
    column("shards", "shards", 0),
    column("raw_iops", "raw kIOPS", 1).in_units_of(1e3),
    column("passthru_iops", "passthru", 1).in_units_of(1e3),
    column("iops", "dedupe", 1).in_units_of(1e3),
    column("ratio", "ratio", 2),
    column("cpu_us", "cpu us", 3),
    column("raw_cpu_us", "raw us", 3),
    column("floor_us", "floor us", 3),
    column("times_floor", "x floor", 2),
    column("p50_us", "p50 us", 1),
    column("p99_us", "p99 us", 1),
    column("p999_us", "p99.9", 1),
    column("core_share", "share", 2),
];

/// The table of `--checks`.
pub const CHECKS_TABLE: &[Column] = &[
    column("case", "case", 0),
    column("block_size", "KiB", 0).in_units_of(1024.0),
    column("qd", "QD", 0),
    column("shards", "shards", 0),
    column("raw_iops", "raw kIOPS", 1).in_units_of(1e3),
    column("unchecked_iops", "unchecked", 1).in_units_of(1e3),
    column("iops", "checked", 1).in_units_of(1e3),
    column("check_ratio", "on/off", 3),
    column("check_ratio_range", "range", 3),
    column("unchecked_ratio", "off/raw", 2),
    column("ratio", "on/raw", 2),
    column("unchecked_cpu_us", "cpu off", 3),
    column("cpu_us", "cpu on", 3),
    column("check_ns", "check ns", 0),
    column("core_share", "share", 2),
];

/// The row of a case. Figures are medians of the rounds; those of a target that was not run, or that failed, are missing.
#[must_use]
pub fn record(case: &Case, qd: u32, shards: usize, rounds: &[Round]) -> Record {
    let of = |target: Target| rounds.iter().filter_map(move |round| round.get(&target));
    let middle = |target, value: fn(&LoadReport) -> f64| median(of(target).map(value));
    let micros = |quantile: f64| move |report: &LoadReport| report.latency(quantile).as_secs_f64() * 1e6;
    let latency = |target, quantile| median(of(target).map(micros(quantile)));
    let (ours, base) = (middle(Target::Dedupe, iops), middle(Target::Raw, iops));
    let record = Record::new("case", case.name)
        .with("block_size", case.request_bytes())
        .with("qd", qd)
        .with("shards", shards)
        .with("iops", ours)
        .with("raw_iops", base)
        .with("ratio", over(ours, base))
        .with("cpu_us", middle(Target::Dedupe, cpu))
        .with("floor_us", None::<f64>)
        .with("p50_us", latency(Target::Dedupe, 0.5))
        .with("p99_us", latency(Target::Dedupe, 0.99))
        .with("p999_us", latency(Target::Dedupe, 0.999))
        .with("passthru_iops", middle(Target::Passthru, iops))
        .with("raw_cpu_us", middle(Target::Raw, cpu))
        .with("passthru_cpu_us", middle(Target::Passthru, cpu))
        .with("core_us", middle(Target::Dedupe, |report| report.core_time_per_request.as_secs_f64() * 1e6))
        .with("raw_p50_us", latency(Target::Raw, 0.5))
        .with("raw_p99_us", latency(Target::Raw, 0.99))
        .with("iops_range", range(of(Target::Dedupe).map(iops)))
        .with("repeats", rounds.len());
    if of(Target::Unchecked).next().is_none() {
        return record;
    }
    with_check(record, case, rounds).with("unchecked_ratio", over(middle(Target::Unchecked, iops), base))
}

fn iops(report: &LoadReport) -> f64 {
    report.iops
}

fn cpu(report: &LoadReport) -> f64 {
    report.busy_per_request.as_secs_f64() * 1e6
}

/// What the check of reads costs: ratios and differences are those within a round, whose windows are neighbours in time.
fn with_check(record: Record, case: &Case, rounds: &[Round]) -> Record {
    let pairs =
        || rounds.iter().filter_map(|round| Some((round.get(&Target::Dedupe)?, round.get(&Target::Unchecked)?)));
    let ratios = || pairs().map(|(checked, unchecked)| checked.iops / unchecked.iops).collect::<Vec<_>>();
    let extra_us = median(pairs().map(|(checked, unchecked)| cpu(checked) - cpu(unchecked)));
    record
        .with("unchecked_iops", median(pairs().map(|(_, unchecked)| iops(unchecked))))
        .with("unchecked_cpu_us", median(pairs().map(|(_, unchecked)| cpu(unchecked))))
        .with("check_ratio", median(ratios()))
        .with("check_ratio_range", range(ratios()))
        .with("check_ns", extra_us.map(|extra| extra * 1e3 / f64::from(case.blocks)))
}

/// The row with the arithmetic that the request cannot do without, and how many times that it takes.
#[must_use]
pub fn with_floor(record: Record, case: &Case, steps: &Steps) -> Record {
    let floor = steps.floor(case);
    let times = over(record.figure("cpu_us"), Some(floor));
    record.with("floor_us", floor).with("times_floor", times)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::case::READS;

    fn window(iops: f64) -> LoadReport {
        let busy = Duration::from_secs_f64(1.0 / iops);
        LoadReport {
            iops,
            requests: 1,
            all_requests: 1,
            busy_per_request: busy,
            core_time_per_request: busy,
            latency: Default::default(),
            ticks_per_second: 1,
        }
    }

    #[test]
    fn the_check_is_judged_within_a_round() {
        // The machine halves its speed from the first round to the second.
        let round = |speed: f64| {
            let targets = [(Target::Raw, 1000.0), (Target::Dedupe, 400.0), (Target::Unchecked, 500.0)];
            Round::from(targets.map(|(target, iops)| (target, window(iops * speed))))
        };
        let row = record(&READS[0], 32, 1, &[round(1.0), round(0.5)]);
        assert_eq!(
            (row.figure("check_ratio"), row.get("check_ratio_range").to_string()),
            (Some(0.8), "[0.8,0.8]".into())
        );
        assert_eq!((row.figure("ratio"), row.figure("iops")), (Some(0.4), Some(300.0)));
        // 2500 - 2000 and 5000 - 4000 us.
        assert!(row.figure("check_ns").is_some_and(|ns| (ns - 750e3).abs() < 1.0), "{row:?}");
        let large = READS.iter().find(|case| case.blocks == 32).expect("the case exists");
        let row = record(large, 32, 1, &[round(1.0)]);
        assert!(row.figure("check_ns").is_some_and(|ns| (ns - 500e3 / 32.0).abs() < 1.0), "{row:?}");
    }

    #[test]
    fn what_was_not_run_is_missing() {
        let row = record(&READS[0], 1, 2, &[Round::from([(Target::Raw, window(10.0))])]);
        let row = with_floor(row, &READS[0], &Steps { check: 1.0, ..Steps::default() });
        assert_eq!((row.figure("raw_iops"), row.figure("iops"), row.figure("ratio")), (Some(10.0), None, None));
        assert_eq!((row.figure("floor_us"), row.figure("times_floor")), (Some(1.0), None));
        assert_eq!(row.get("unchecked_iops"), &serde_json::Value::Null);
    }
}
