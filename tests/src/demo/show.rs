// SPDX-License-Identifier: BSD-3-Clause

//! What the demo prints.

use serde_json::Value;

const BLOCK_BYTES: u64 = 4096;

/// `12.5 MiB`.
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

fn counter(statistics: &Value, name: &str) -> u64 {
    statistics["total"][name].as_u64().unwrap_or(0)
}

fn blocks(statistics: &Value, name: &str) -> String {
    mib(counter(statistics, name) * BLOCK_BYTES)
}

/// One line on how much is stored.
pub fn brief(statistics: &Value) -> String {
    format!(
        "{} in use, {} stored, saving {}%",
        blocks(statistics, "logical_blocks_used"),
        blocks(statistics, "data_blocks_used"),
        statistics["saving_percent"]
    )
}

/// What was saved, and how.
pub fn savings(statistics: &Value) {
    let count = |name: &str| counter(statistics, name).to_string();
    let lines = [
        ("written by the client", blocks(statistics, "bios_in_write")),
        ("of it zeros", blocks(statistics, "zero_blocks")),
        ("of it duplicates", blocks(statistics, "dedupe_hits")),
        ("of it new", blocks(statistics, "unique_blocks")),
        ("logical space in use", blocks(statistics, "logical_blocks_used")),
        ("physical space in use", blocks(statistics, "data_blocks_used")),
        ("saving", format!("{}%", statistics["saving_percent"])),
        ("duplicates compared and right", count("dedupe_advice_valid")),
        ("compared and different", count("dedupe_advice_stale")),
        ("equal blocks in flight at once", count("concurrent_data_matches")),
        ("check-code errors", count("check_error_count")),
    ];
    println!("\n  {VOLUME_STATISTICS}");
    for (name, value) in lines {
        println!("    {name:<32} {value:>14}");
    }
    println!();
}

const VOLUME_STATISTICS: &str = "bdev_dedupe_get_stats";
