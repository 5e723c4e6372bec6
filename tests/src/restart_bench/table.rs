// SPDX-License-Identifier: BSD-3-Clause

//! The row of a size, and the slope over the sizes.

use std::time::Duration;

use ::tests::measure::{column, median, Column, Record};

use super::case::Restart;

/// The table.
pub const TABLE: &[Column] = &[
    column("base_gib", "base GiB", 0),
    column("writes", "writes before the kill", 0),
    column("started_ms", "SPDK starts ms", 0),
    column("loaded_ms", "volume loads ms", 0),
    column("first_read_ms", "first read ms", 0),
];

/// The row of a size: medians of its restarts.
pub fn record(gib: u64, restarts: &[Restart]) -> Record {
    let millis = |of: fn(&Restart) -> Duration| median(restarts.iter().map(|restart| of(restart).as_secs_f64() * 1e3));
    Record::new("base_gib", gib)
        .with("writes", median(restarts.iter().map(|restart| restart.writes as f64)))
        .with("started_ms", millis(|restart| restart.started))
        .with("loaded_ms", millis(|restart| restart.loaded))
        .with("first_read_ms", millis(|restart| restart.first_read))
        .with("repeats", restarts.len())
}

/// By how much the time grows with the size.
pub fn growth(rows: &[Record]) -> String {
    let of = |key: &str| slope(rows.iter().filter_map(|row| row.figure("base_gib").zip(row.figure(key))));
    let (load, read) = (of("loaded_ms"), of("first_read_ms"));
    format!("slope over the size: {load:.2} ms a GiB of loading, {read:.2} ms a GiB to the first read")
}

/// Least squares.
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = points.clone().count().max(1) as f64;
    let mean = |of: fn((f64, f64)) -> f64| points.clone().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|(x, _)| x), mean(|(_, y)| y));
    let covariance: f64 = points.clone().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.map(|(x, _)| (x - mean_x).powi(2)).sum();
    if variance == 0.0 {
        0.0
    } else {
        covariance / variance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_lines() {
        assert_eq!(slope([(1.0, 5.0), (2.0, 7.0), (4.0, 11.0)].into_iter()), 2.0);
        assert_eq!(slope([(3.0, 5.0)].into_iter()), 0.0);
    }
}
