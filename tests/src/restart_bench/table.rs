// SPDX-License-Identifier: BSD-3-Clause

//! The result as a table, and its slope over the size.

use std::time::Duration;

use super::case::Restart;
use super::options::Options;

/// Prints medians for each size, and by how much the time grows with it.
pub fn print(rows: &[(u64, Restart)], options: &Options) {
    println!(
        "{} restarts for each size, {:?} of random 4 KiB writes to the first {} MiB before each kill; medians",
        options.repeats, options.load, options.window_mib
    );
    println!("| base | writes before the kill | SPDK starts | volume loads | first read |");
    println!("|---|---|---|---|---|");
    let mut points = Vec::new();
    for &gib in &options.sizes_gib {
        let of_size: Vec<_> = rows.iter().filter(|(size, _)| *size == gib).map(|(_, restart)| restart).collect();
        let median = |of: fn(&Restart) -> Duration| {
            let mut times: Vec<_> = of_size.iter().map(|restart| of(restart)).collect();
            times.sort_unstable();
            times.get(times.len() / 2).copied().unwrap_or_default()
        };
        let writes = of_size.iter().map(|restart| restart.writes).sum::<u64>() / of_size.len().max(1) as u64;
        let loaded = median(|restart| restart.loaded);
        let first_read = median(|restart| restart.first_read);
        println!(
            "| {gib} GiB | {writes} | {} ms | {} ms | {} ms |",
            median(|restart| restart.started).as_millis(),
            loaded.as_millis(),
            first_read.as_millis()
        );
        points.push((gib as f64, loaded.as_secs_f64() * 1e3, first_read.as_secs_f64() * 1e3));
    }
    let slope_of_load = slope(points.iter().map(|&(gib, loaded, _)| (gib, loaded)));
    let slope_of_read = slope(points.iter().map(|&(gib, _, read)| (gib, read)));
    println!(
        "slope over the size: {slope_of_load:.2} ms a GiB of loading, {slope_of_read:.2} ms a GiB to the first read"
    );
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
