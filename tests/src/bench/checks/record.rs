// SPDX-License-Identifier: BSD-3-Clause

//! What the check costs, as it is written to JSON. Times are in microseconds unless named otherwise.

use bdev_dedupe::load::LoadReport;
use serde::{Deserialize, Serialize};

use crate::bench::case::Case;
use crate::bench::record::median;

/// What one measuring process leaves.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChecksOutput {
    /// Which SPDK.
    pub spdk: String,
    /// Nanoseconds for the check code of a hot block, alone.
    pub alone_ns: f64,
    /// Results in the order of the cases.
    pub records: Vec<CheckRecord>,
    /// Loads that failed, for the user.
    pub failures: Vec<String>,
}

/// One case at one queue depth.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckRecord {
    /// Name of the case.
    pub case: String,
    /// Bytes in a request.
    pub block_size: u64,
    /// Requests in flight on each core.
    pub qd: u32,
    /// Cores, jobs, and shards of our bdev.
    pub shards: u32,
    /// Requests per second of the malloc bdev; median of the rounds, as all that follows.
    pub raw_iops: f64,
    /// The same of our bdev.
    pub checked_iops: f64,
    /// The same of our bdev without the check.
    pub unchecked_iops: f64,
    /// Checked by unchecked requests per second.
    pub ratio: f64,
    /// Smallest and largest of that among the rounds.
    pub ratio_range: (f64, f64),
    /// Checked by raw requests per second.
    pub checked_of_raw: f64,
    /// Unchecked by raw requests per second.
    pub unchecked_of_raw: f64,
    /// Working time of all SPDK threads per request on our bdev.
    pub checked_cpu_us: f64,
    /// The same without the check.
    pub unchecked_cpu_us: f64,
    /// What a block of 4 KiB costs more with the check, in nanoseconds of working time.
    pub check_ns: f64,
    /// Rounds that the medians are of.
    pub repeats: usize,
    /// Part of the time that the busiest-shared reactor wanted its core and had it.
    pub core_share: Option<f64>,
}

/// What one window showed.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Requests per second.
    pub iops: f64,
    /// Working time per request.
    pub cpu_us: f64,
}

impl From<&LoadReport> for Window {
    fn from(report: &LoadReport) -> Window {
        Window { iops: report.iops, cpu_us: report.busy_per_request.as_secs_f64() * 1e6 }
    }
}

/// The three windows of a round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// Of the malloc bdev.
    pub raw: Window,
    /// Of ours as it is.
    pub checked: Window,
    /// Of ours without the check.
    pub unchecked: Window,
}

/// The record of a case; `None` without a round.
#[must_use]
pub fn summarise(case: &Case, qd: u32, shards: u32, rounds: &[Round], shares: Vec<f64>) -> Option<CheckRecord> {
    let middle = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    let ratios = || rounds.iter().map(|round| round.checked.iops / round.unchecked.iops);
    Some(CheckRecord {
        case: case.name.to_owned(),
        block_size: case.request_bytes(),
        qd,
        shards,
        raw_iops: middle(|round| round.raw.iops)?,
        checked_iops: middle(|round| round.checked.iops)?,
        unchecked_iops: middle(|round| round.unchecked.iops)?,
        ratio: median(ratios().collect())?,
        ratio_range: (ratios().min_by(f64::total_cmp)?, ratios().max_by(f64::total_cmp)?),
        checked_of_raw: middle(|round| round.checked.iops / round.raw.iops)?,
        unchecked_of_raw: middle(|round| round.unchecked.iops / round.raw.iops)?,
        checked_cpu_us: middle(|round| round.checked.cpu_us)?,
        unchecked_cpu_us: middle(|round| round.unchecked.cpu_us)?,
        check_ns: middle(|round| round.checked.cpu_us - round.unchecked.cpu_us)? * 1e3 / f64::from(case.blocks),
        repeats: rounds.len(),
        core_share: median(shares),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::case::READS;

    #[test]
    fn ratios_are_those_within_a_round() {
        // The machine halves its speed from the first round to the second.
        let round = |speed: f64| {
            let window = |iops: f64| Window { iops: iops * speed, cpu_us: 1e6 / (iops * speed) };
            Round { raw: window(1000.0), checked: window(400.0), unchecked: window(500.0) }
        };
        let record = summarise(&READS[0], 32, 1, &[round(1.0), round(0.5)], vec![]).expect("two rounds");
        assert_eq!((record.ratio, record.ratio_range), (0.8, (0.8, 0.8)));
        assert_eq!((record.checked_of_raw, record.unchecked_of_raw, record.checked_iops), (0.4, 0.5, 300.0));
        // 2500 - 2000 and 5000 - 4000 us.
        assert!((record.check_ns - 750e3).abs() < 1.0, "{}", record.check_ns);
        assert!(summarise(&READS[0], 32, 1, &[], vec![]).is_none());
    }

    #[test]
    fn the_cost_is_that_of_a_block() {
        let window = |cpu_us| Window { iops: 1.0, cpu_us };
        let round = Round { raw: window(1.0), checked: window(42.0), unchecked: window(10.0) };
        let case = READS.iter().find(|case| case.blocks == 32).expect("the case exists");
        let record = summarise(case, 1, 1, &[round], vec![1.0]).expect("a round");
        assert_eq!((record.check_ns, record.core_share), (1000.0, Some(1.0)));
    }
}
