// SPDX-License-Identifier: BSD-3-Clause

//! What is printed.

use super::oracle::{Figures, BLOCK_BYTES};
use super::stand::Usage;

/// `12.5 MiB` of blocks.
fn mib(blocks: u64) -> String {
    format!("{:.1}", (blocks * BLOCK_BYTES as u64) as f64 / 1_048_576.0)
}

/// The oracle's figures alone.
pub fn print_figures(figures: &Figures) {
    let lines = [
        ("blocks of 4 KiB", figures.blocks, mib(figures.blocks)),
        ("zeros", figures.zero_blocks, mib(figures.zero_blocks)),
        ("different ones", figures.unique_blocks, mib(figures.unique_blocks)),
        ("packed by first-fit decreasing", figures.packed_blocks, mib(figures.packed_blocks)),
        ("the same in the engine's format", figures.packed_blocks_of_engine, mib(figures.packed_blocks_of_engine)),
    ];
    for (name, blocks, mib) in lines {
        println!("{name:<34} {blocks:>10} {mib:>10} MiB");
    }
    let sum = figures.lz4_bytes as f64 / 1_048_576.0;
    println!("{:<34} {:>10} {sum:>10.1} MiB", "sum of LZ4 sizes", "");
}

/// The head of a case's table.
pub fn print_head(what: &str) {
    println!("\n{what}\n");
    println!("| depth | compression | moment | data MiB | oracle MiB | LZ4 sum MiB | engine's format MiB | used MiB | of the oracle's savings | map included |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
}

/// One moment of a case.
pub fn print_row(depth: usize, compression: bool, moment: &str, figures: &Figures, usage: &Usage) {
    let percent = |blocks| figures.percent_of_savings(blocks, compression);
    println!(
        "| {depth} | {} | {moment} | {} | {} | {:.1} | {} | {} | {:.2}% | {:.2}% |",
        if compression { "on" } else { "off" },
        mib(figures.data_blocks()),
        mib(figures.needed_blocks(compression)),
        figures.lz4_bytes as f64 / 1_048_576.0,
        mib(if compression { figures.packed_blocks_of_engine } else { figures.unique_blocks }),
        mib(usage.data_blocks),
        percent(usage.data_blocks),
        percent(usage.data_blocks + usage.map_pages),
    );
}
