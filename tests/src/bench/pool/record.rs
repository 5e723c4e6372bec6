// SPDX-License-Identifier: BSD-3-Clause

//! The rows of the pool: appends and mblocks, each with what the raw bdev does. Figures are medians of the rounds.

use ::tests::measure::{column, median, over, range, Column, Record};

use super::appenders::AppendReport;
use super::rounds::{Plan, Round};

/// The tables.
pub const TABLES: &[&[Column]] = &[
    &[
        column("sync_append", "sync append", 0),
        column("appenders", "appenders", 0),
        column("appends", "kappends/s", 2).in_units_of(1e3),
        column("raw_writes", "raw k/s", 2).in_units_of(1e3),
        column("ratio", "ratio", 3),
        column("durable_writes", "durable k/s", 2).in_units_of(1e3),
        column("group", "group", 1),
        column("cpu_us", "cpu us", 2),
        column("p50_us", "p50 us", 1),
        column("p99_us", "p99 us", 1),
        column("erases", "erases", 0),
        column("stalls", "stalls", 0),
        column("core_share", "share", 2),
    ],
    &[
        column("mblock", "mblock", 0),
        column("workers", "workers", 0),
        column("transfer_bytes", "KiB", 0).in_units_of(1024.0),
        column("write_mib", "write MiB/s", 0),
        column("raw_write_mib", "raw MiB/s", 0),
        column("write_ratio", "ratio", 2),
        column("flushed_write_mib", "raw flushed", 0),
        column("read_mib", "read MiB/s", 0),
        column("raw_read_mib", "raw MiB/s", 0),
        column("read_ratio", "ratio", 2),
    ],
    &[
        column("framer", "framer, 4 KiB records in", 0),
        column("ns", "ns", 0),
        column("media_bytes", "bytes on media", 0),
        column("copy_ns", "copy 4 KiB", 0),
        column("crc_ns", "check code", 0),
        column("floor_ns", "floor ns", 0),
        column("times_floor", "x floor", 2),
    ],
];

/// Sync appends of 4 KiB on one bdev, for each number of appenders; nothing without rounds.
pub fn appends<'a>(bdev: &'a str, plan: &'a Plan, rounds: &'a [Round]) -> impl Iterator<Item = Record> + 'a {
    let append = move |(index, &appenders): (usize, &u32)| {
        let each = |value: fn(&AppendReport) -> f64| rounds.iter().map(move |round| value(&round.appends[index]));
        let of = |value| median(each(value));
        let appends = of(|report| report.per_second);
        let raw_writes = median(rounds.iter().map(|round| round.raw_writes[index]));
        Record::new("sync_append", bdev)
            .with("appenders", appenders)
            .with("appends", appends)
            .with("appends_range", range(each(|report| report.per_second)))
            .with("raw_writes", raw_writes)
            .with("ratio", over(appends, raw_writes))
            .with("durable_writes", median(rounds.iter().map(|round| round.durable_writes)))
            .with("group", of(|report| report.group))
            .with("cpu_us", of(|report| report.busy_per_append.as_secs_f64() * 1e6))
            .with("p50_us", of(|report| report.latency.quantile(0.5) as f64 / 1e3))
            .with("p99_us", of(|report| report.latency.quantile(0.99) as f64 / 1e3))
            .with("erases", of(|report| report.erases as f64))
            .with("stalls", of(|report| report.stalls as f64))
    };
    let counts = plan.appenders.iter().enumerate().filter(|_| !rounds.is_empty());
    counts.map(append)
}

/// Mblocks on one bdev, for each number of workers; nothing without rounds.
pub fn mblocks<'a>(bdev: &'a str, plan: &'a Plan, rounds: &'a [Round]) -> impl Iterator<Item = Record> + 'a {
    let mblock = move |(index, &workers): (usize, &u32)| {
        let mib = |value: fn(&Round, usize) -> f64| {
            median(rounds.iter().map(|round| value(round, index) / f64::from(1 << 20)))
        };
        let (write, raw_write) =
            (mib(|round, at| round.mblocks[at].write), mib(|round, at| round.raw_bandwidth[at].write));
        let (read, raw_read) = (mib(|round, at| round.mblocks[at].read), mib(|round, at| round.raw_bandwidth[at].read));
        Record::new("mblock", bdev)
            .with("workers", workers)
            .with("transfer_bytes", plan.transfer_bytes)
            .with("write_mib", write)
            .with("raw_write_mib", raw_write)
            .with("flushed_write_mib", mib(|round, at| round.flushed_bandwidth[at]))
            .with("write_ratio", over(write, raw_write))
            .with("read_mib", read)
            .with("raw_read_mib", raw_read)
            .with("read_ratio", over(read, raw_read))
    };
    let counts = plan.workers.iter().enumerate().filter(|_| !rounds.is_empty());
    counts.map(mblock)
}
