// SPDX-License-Identifier: BSD-3-Clause

//! Runs seeds of the simulator: `simulate --seeds 0..20000`, or one with all its events: `simulate --seed 7 --trace`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use engine::statistics::Statistics;
use tests::seeds::arguments::Common;
use tests::seeds::runner::{exit_code, Outcome, Program};
use tests::sim::runner::{run_seed, Options, Totals};

/// Runs seeds of the simulator.
#[derive(Debug, clap::Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,

    /// Run the same load without faults
    #[arg(long)]
    no_faults: bool,

    /// Stop each round of load after N requests
    #[arg(long, value_name = "N")]
    most_requests: Option<u32>,
}

fn simulate(arguments: &Arguments) -> Result<ExitCode, String> {
    let &Arguments { ref common, no_faults, most_requests } = arguments;
    let options = Options { trace: common.trace, no_faults, most_requests, ..Options::default() };
    let program = Program { name: "simulate", campaign: None, stride: 1 };
    let outcome = program.run(common, |seed| run_seed(seed, &options));
    print_totals(&outcome);
    Ok(exit_code(outcome.failed.is_empty()))
}

fn main() -> ExitCode {
    tests::program::run(simulate)
}

fn print_totals(outcome: &Outcome<Totals>) {
    let Totals { world, disk, faults, engine, .. } = &outcome.totals;
    let took = outcome.took.as_secs_f64();
    let per_second = outcome.totals.seeds as f64 / took;
    println!(
        "seeds        {} in {took:.1} s ({per_second:.0} a second), {} events",
        outcome.totals.seeds, outcome.totals.events
    );
    println!("requests     {} in {} pieces of {} blocks", world.requests, world.pieces, world.blocks);
    println!("messages     {}", world.messages);
    println!(
        "transfers    {} (blocks: {} read, {} verified, {} written; {} at most in flight)",
        disk.transfers, disk.read, disk.verified, disk.written, disk.most_in_flight
    );
    println!(
        "faults       {} read errors, {} write errors, {} slow",
        faults.read_errors, faults.write_errors, faults.slow
    );
    let (stored, read) = (&faults.stored_wrong, &faults.read_wrong);
    println!(
        "wrong        {} blocks stored ({}), {} only read ({})",
        stored.total(),
        stored.words(),
        read.total(),
        read.words()
    );
    println!(
        "noticed      {} by their check codes, of {} wrong blocks that were read for clients and {} right ones that a \
         comparison had been shown wrong; the model found no fault with the others",
        engine.check_error_count, faults.wrong_reads, faults.misled_reads
    );
    println!("compared     {} wrong blocks, to verify advice or to move a fragment", faults.wrong_verifies);
    println!("errors seen  {} no space, {} I/O, {} corrupt", world.no_space, world.io_errors, world.corrupt);
    print_savings(engine);
    println!(
        "engine       {} merged, {} split retries, {} write retries, {} slabs opened, {} reopened, {} reports",
        engine.bios_merged_back + engine.bios_merged_front,
        engine.bios_split_retries,
        engine.data_write_retries,
        engine.slabs_opened,
        engine.slabs_reopened,
        world.reports
    );
    println!("digest       {:016x}", outcome.totals.digest);
    outcome.print_failures("");
}

/// How blocks were shared, packed and found again.
fn print_savings(engine: &Statistics) {
    println!(
        "dedupe       {} hits, {} unique, {} zero, {} valid and {} stale advice, {} concurrent matches, {} collisions, \
         {} forks",
        engine.dedupe_hits,
        engine.unique_blocks,
        engine.zero_blocks,
        engine.dedupe_advice_valid,
        engine.dedupe_advice_stale,
        engine.concurrent_data_matches,
        engine.concurrent_hash_collisions,
        engine.hash_lock_forks
    );
    println!(
        "compression  {} fragments in {} blocks, {} incompressible, {} without company ({} called back), {} moved, {} read",
        engine.compressed_fragments_written,
        engine.compressed_blocks_written,
        engine.incompressible_blocks,
        engine.fragments_written_plain,
        engine.blocks_called_back,
        engine.fragments_relocated,
        engine.compressed_fragments_read
    );
    println!(
        "index        {} sections, {} not taken or lost, {} read, {} could not be, {} given again, {} timeouts",
        engine.index_sections_sealed,
        engine.index_sections_dropped,
        engine.index_sections_loaded,
        engine.index_sections_failed,
        engine.index_sections_refilled,
        engine.dedupe_advice_timeouts
    );
}
