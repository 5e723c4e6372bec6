// SPDX-License-Identifier: BSD-3-Clause

//! What is measured of the pool, as it is written to JSON. Figures are medians of the rounds.

use serde::{Deserialize, Serialize};

use super::appenders::AppendReport;
use super::bandwidth::BandwidthReport;
use super::framer::Framing;
use super::rounds::{Plan, Round};
use crate::bench::record::median;

/// Everything.
#[derive(Debug, Serialize, Deserialize)]
pub struct PoolOutput {
    /// Which SPDK.
    pub spdk: String,
    /// Type and device of the filesystem of the file under the aio bdev, where that is known.
    pub filesystem: Option<String>,
    /// The aio bdev goes past the page cache.
    pub direct: Option<bool>,
    /// Rounds that the medians are of.
    pub repeats: u32,
    /// Part of the time that the reactor wanted its core and had it.
    pub core_share: Option<f64>,
    /// Sync appends.
    pub appends: Vec<AppendRecord>,
    /// Writing and reading mblocks.
    pub mblocks: Vec<MblockRecord>,
    /// The framer alone.
    pub framing: Framing,
    /// Rounds that failed, for the user.
    pub failures: Vec<String>,
}

/// Sync appends of 4 KiB on one bdev from one number of appenders.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppendRecord {
    /// Kind of the bdev.
    pub bdev: String,
    /// Appenders.
    pub appenders: u32,
    /// Appends per second.
    pub appends: f64,
    /// Smallest and largest of the rounds.
    pub appends_range: (f64, f64),
    /// Raw sequential writes of 4 KiB per second, as many in flight.
    pub raw_writes: f64,
    /// `appends / raw_writes`.
    pub ratio: f64,
    /// Writes of 4 KiB with a flush after each, one at a time, per second.
    pub durable_writes: f64,
    /// Appends for each flush set.
    pub group: f64,
    /// Time that the pool's thread worked for each append, in microseconds.
    pub cpu_us: f64,
    /// Latency that half of the appends do not exceed, in microseconds.
    pub p50_us: f64,
    /// The same for 99 of 100.
    pub p99_us: f64,
    /// Logs erased and used again within the measured time.
    pub erases: f64,
    /// Appends that found both logs full.
    pub stalls: f64,
}

/// Mblocks on one bdev with one number of workers. Bandwidths in MiB/s.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MblockRecord {
    /// Kind of the bdev.
    pub bdev: String,
    /// Writers or readers, each with one transfer at a time.
    pub workers: u32,
    /// Bytes in a transfer.
    pub transfer_bytes: usize,
    /// Filling and committing.
    pub write_mib: f64,
    /// Raw sequential writes, as many in flight.
    pub raw_write_mib: f64,
    /// The same when the time of one flush behind all of them counts.
    pub flushed_write_mib: f64,
    /// `write_mib / raw_write_mib`.
    pub write_ratio: f64,
    /// Reading.
    pub read_mib: f64,
    /// Raw sequential reads.
    pub raw_read_mib: f64,
    /// `read_mib / raw_read_mib`.
    pub read_ratio: f64,
}

/// The records of all rounds on one bdev; none without rounds.
#[must_use]
pub fn summarise(bdev: &str, plan: &Plan, rounds: &[Round]) -> (Vec<AppendRecord>, Vec<MblockRecord>) {
    if rounds.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let appends = plan.appenders.iter().enumerate().map(|(index, &appenders)| append(bdev, appenders, index, rounds));
    let mblocks = plan.workers.iter().enumerate().map(|(index, &workers)| {
        let transfer_bytes = plan.transfer_bytes;
        mblock(bdev, workers, transfer_bytes, index, rounds)
    });
    (appends.collect(), mblocks.collect())
}

fn middle(rounds: &[Round], value: impl Fn(&Round) -> f64) -> f64 {
    median(rounds.iter().map(value).collect()).unwrap_or_default()
}

fn append(bdev: &str, appenders: u32, index: usize, rounds: &[Round]) -> AppendRecord {
    let of = |value: fn(&AppendReport) -> f64| middle(rounds, |round| value(&round.appends[index]));
    let appends = of(|report| report.per_second);
    let raw_writes = middle(rounds, |round| round.raw_writes[index]);
    let each = || rounds.iter().map(|round| round.appends[index].per_second);
    AppendRecord {
        bdev: bdev.to_owned(),
        appenders,
        appends,
        appends_range: (each().fold(f64::INFINITY, f64::min), each().fold(0.0, f64::max)),
        raw_writes,
        ratio: appends / raw_writes,
        durable_writes: middle(rounds, |round| round.durable_writes),
        group: of(|report| report.group),
        cpu_us: of(|report| report.busy_per_append.as_secs_f64() * 1e6),
        p50_us: of(|report| report.latency.quantile(0.5) as f64 / 1e3),
        p99_us: of(|report| report.latency.quantile(0.99) as f64 / 1e3),
        erases: of(|report| report.erases as f64),
        stalls: of(|report| report.stalls as f64),
    }
}

fn mblock(bdev: &str, workers: u32, transfer_bytes: usize, index: usize, rounds: &[Round]) -> MblockRecord {
    let mib = |value: fn(&BandwidthReport) -> f64, of: fn(&Round) -> &[BandwidthReport]| {
        middle(rounds, |round| value(&of(round)[index])) / f64::from(1 << 20)
    };
    let write_mib = mib(|report| report.write, |round| &round.mblocks);
    let raw_write_mib = mib(|report| report.write, |round| &round.raw_bandwidth);
    let read_mib = mib(|report| report.read, |round| &round.mblocks);
    let raw_read_mib = mib(|report| report.read, |round| &round.raw_bandwidth);
    MblockRecord {
        bdev: bdev.to_owned(),
        workers,
        transfer_bytes,
        write_mib,
        raw_write_mib,
        flushed_write_mib: middle(rounds, |round| round.flushed_bandwidth[index]) / f64::from(1 << 20),
        write_ratio: write_mib / raw_write_mib,
        read_mib,
        raw_read_mib,
        read_ratio: read_mib / raw_read_mib,
    }
}
