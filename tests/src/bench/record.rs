// SPDX-License-Identifier: BSD-3-Clause

//! What is measured, as it is written to JSON. Times are in microseconds.

use serde::{Deserialize, Serialize};

use super::floor::Steps;

/// One case at one queue depth on one number of shards. A figure is missing (`null`) when its target was not run or failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Name of the case.
    pub case: String,
    /// Bytes in a request.
    pub block_size: u64,
    /// Requests in flight on each core.
    pub qd: u32,
    /// Cores, jobs, and shards of our bdev.
    pub shards: u32,
    /// Requests per second of our bdev; median of the runs, as all that follows.
    pub iops: Option<f64>,
    /// The same of the malloc bdev alone.
    pub raw_iops: Option<f64>,
    /// `iops / raw_iops`.
    pub ratio: Option<f64>,
    /// Working time of all SPDK threads per request, on our bdev.
    pub cpu_us: Option<f64>,
    /// The arithmetic that the request cannot do without.
    pub floor_us: f64,
    /// Latency that half of the requests on our bdev do not exceed.
    pub p50_us: Option<f64>,
    /// The same for 99 of 100.
    pub p99_us: Option<f64>,
    /// The same for 999 of 1000.
    pub p999_us: Option<f64>,
    /// Requests per second through SPDK's passthru.
    pub passthru_iops: Option<f64>,
    /// `cpu_us` of the malloc bdev alone.
    pub raw_cpu_us: Option<f64>,
    /// `cpu_us` of passthru.
    pub passthru_cpu_us: Option<f64>,
    /// `cpu_us` of a null bdev at queue depth 32: load generator and SPDK's bdev layer.
    pub generator_us: f64,
    /// Core time per request, working or not, on our bdev.
    pub core_us: Option<f64>,
    /// Latency of the malloc bdev alone that half of the requests do not exceed.
    pub raw_p50_us: Option<f64>,
    /// The same for 99 of 100.
    pub raw_p99_us: Option<f64>,
    /// Smallest and largest requests per second among the runs of our bdev.
    pub iops_range: Option<(f64, f64)>,
    /// Runs that the medians are of.
    pub repeats: u32,
    /// Part of the time that the busiest-shared reactor wanted its core and had it, median of all runs; well below 1,
    /// the machine was busy with something else.
    pub core_share: Option<f64>,
}

/// What one measuring process leaves.
#[derive(Debug, Serialize, Deserialize)]
pub struct WorkerOutput {
    /// Which SPDK.
    pub spdk: String,
    /// Results in the order of the cases.
    pub records: Vec<Record>,
    /// Single steps of the floor.
    pub steps: Steps,
    /// Runs that failed, for the user.
    pub failures: Vec<String>,
}

/// The median, or `None` of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}
