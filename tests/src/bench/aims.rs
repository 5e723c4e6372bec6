// SPDX-License-Identifier: BSD-3-Clause

//! How the results stand to what was to be reached.

use ::tests::measure::{over, Record};

/// Queue depth at which aims are judged.
const JUDGED_DEPTH: f64 = 32.0;

/// What each case is to reach on one core, as a part of the raw bdev's requests per second.
const RATIO_AIMS: &[(&str, f64)] =
    &[("randwrite-unique", 0.25), ("randwrite-dup50", 0.25), ("randwrite-dup100", 0.25), ("randread", 0.6)];

/// What two shards are to reach, as a multiple of one.
const SCALE_AIM: f64 = 1.7;

/// How near to the arithmetic floor the design wants to come.
const FLOOR_AIM: f64 = 1.5;

/// What 64 appenders are to reach on the file, as a multiple of one: there a flush costs something.
const GROUP_AIM: f64 = 5.0;

/// A line for each aim that there is a figure for.
#[must_use]
pub fn judge(records: &[Record]) -> Vec<String> {
    let judged = |shards: f64| {
        let at = move |record: &&Record| {
            (record.figure("qd"), record.figure("shards")) == (Some(JUDGED_DEPTH), Some(shards))
        };
        records.iter().filter(at)
    };
    let find = |case: &str| judged(1.0).find(|record| record.get("case") == case);
    let ratios = RATIO_AIMS.iter().filter_map(|&(case, aim)| {
        let ratio = find(case)?.figure("ratio")?;
        Some(format!("{} {case}: {ratio:.2} of raw, aim {aim}", verdict(ratio >= aim)))
    });
    let freeing = ["randwrite-zero", "unmap-page"].into_iter().filter_map(|case| {
        let (record, raw) = (find(case)?, find("randwrite-unique")?.figure("raw_iops")?);
        let times = record.figure("iops")? * (record.figure("block_size")? / 4096.0) / raw;
        Some(format!("{} {case}: {times:.1} times the blocks per second of raw 4 KiB writes", verdict(times > 1.0)))
    });
    let scales = judged(2.0).filter_map(|two| {
        let case = two.get("case").as_str()?;
        let one = find(case)?;
        let times = |key| over(two.figure(key), one.figure(key));
        let (times, raw) = (times("iops")?, times("raw_iops")?);
        let verdict = verdict(times >= SCALE_AIM);
        Some(format!("{verdict} {case}: two shards do {times:.2} times one, aim {SCALE_AIM} (raw: {raw:.2})"))
    });
    let floors = judged(1.0).filter_map(|record| {
        // Unmap's floor is no arithmetic on data: nothing is aimed at there.
        let case = record.get("case").as_str().filter(|case| !case.starts_with("unmap"))?;
        let (all, generator) = (record.figure("times_floor")?, record.figure("generator_us")?);
        let own = all - generator / record.figure("floor_us")?;
        let verdict = verdict(own <= FLOOR_AIM);
        Some(format!(
            "{verdict} {case}: {all:.2} times the floor, {own:.2} without the load generator, aim {FLOOR_AIM}"
        ))
    });
    ratios.chain(freeing).chain(scales).chain(floors).chain(group_commit(records)).collect()
}

fn group_commit(records: &[Record]) -> Option<String> {
    let appends = |appenders: f64| {
        let of = |record: &&Record| record.get("sync_append") == "aio" && record.figure("appenders") == Some(appenders);
        records.iter().find(of)?.figure("appends")
    };
    let times = over(appends(64.0), appends(1.0))?;
    Some(format!("{} 64 appenders do {times:.1} times one on the file, aim {GROUP_AIM}", verdict(times >= GROUP_AIM)))
}

fn verdict(reached: bool) -> &'static str {
    if reached {
        "reached:"
    } else {
        "MISSED: "
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_judged_at_depth_32() {
        let case = |qd: u32, shards: u32, iops: f64| {
            let row = Record::new("case", "randread").with("qd", qd).with("shards", shards).with("iops", iops);
            let row = row.with("raw_iops", 100.0).with("ratio", iops / 100.0).with("floor_us", 1.0);
            row.with("times_floor", 2.0).with("generator_us", 0.75)
        };
        let lines = judge(&[case(1, 1, 1.0), case(32, 1, 60.0), case(32, 2, 90.0)]);
        let expected = [
            "reached: randread: 0.60 of raw, aim 0.6",
            "MISSED:  randread: two shards do 1.50 times one, aim 1.7 (raw: 1.00)",
            "reached: randread: 2.00 times the floor, 1.25 without the load generator, aim 1.5",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_gain_of_group_commit_is_judged_on_the_file() {
        let row = |bdev: &str, appenders: u32, appends: f64| {
            Record::new("sync_append", bdev).with("appenders", appenders).with("appends", appends)
        };
        let file = |many| judge(&[row("malloc", 64, 1.0), row("aio", 1, 100.0), row("aio", 64, many)]);
        assert_eq!(file(600.0), ["reached: 64 appenders do 6.0 times one on the file, aim 5"]);
        assert_eq!(file(499.0), ["MISSED:  64 appenders do 5.0 times one on the file, aim 5"]);
        assert!(judge(&[row("aio", 1, 1.0)]).is_empty());
    }
}
