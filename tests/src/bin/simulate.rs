// SPDX-License-Identifier: BSD-3-Clause

//! Runs seeds of the simulator: `simulate --seeds 0..20000`, or one with all its events: `simulate --seed 7 --trace`.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::ops::Range;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tests::sim::plan::Plan;
use tests::sim::runner::{run_seed, Options, Totals};

const USAGE: &str = "usage: simulate --seeds FIRST..END [--jobs N]
       simulate --seed N [--trace] [--no-faults] [--most-requests N]

  --seeds FIRST..END   run all seeds from FIRST to before END
  --seed N             run one seed
  --jobs N             threads (default: one for each core)
  --trace              print every event of the seed
  --no-faults          run the same load without faults
  --most-requests N    stop each round of load after N requests";

/// Failing seeds after which the rest is not run.
const ENOUGH: usize = 10;

thread_local! {
    /// The seed that the thread runs, for the panic hook.
    static SEED: Cell<u64> = const { Cell::new(0) };
}

struct Arguments {
    seeds: Range<u64>,
    jobs: usize,
    options: Options,
}

fn parse() -> Result<Arguments, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut arguments = Arguments { seeds: 0..0, jobs: cores, options: Options::default() };
    let mut words = std::env::args().skip(1);
    let number = |word: Option<String>, name: &str| {
        let word = word.ok_or(format!("{name} needs a value"))?;
        word.parse::<u64>().map_err(|error| format!("{name} {word}: {error}"))
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seeds" => {
                let range = words.next().ok_or("--seeds needs a range")?;
                let (first, end) = range.split_once("..").ok_or("--seeds needs a range such as 0..1000")?;
                arguments.seeds = number(Some(first.into()), "--seeds")?..number(Some(end.into()), "--seeds")?;
            }
            "--seed" => {
                let seed = number(words.next(), "--seed")?;
                arguments.seeds = seed..seed + 1;
            }
            "--jobs" => arguments.jobs = number(words.next(), "--jobs")?.max(1) as usize,
            "--trace" => arguments.options.trace = true,
            "--no-faults" => arguments.options.no_faults = true,
            "--most-requests" => {
                arguments.options.most_requests = Some(number(words.next(), "--most-requests")? as u32);
            }
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    if arguments.seeds.is_empty() {
        return Err("no seeds given".into());
    }
    if arguments.options.trace && arguments.seeds.end - arguments.seeds.start > 1 {
        return Err("--trace goes with --seed".into());
    }
    Ok(arguments)
}

fn print_failure(seed: u64, what: &str) {
    let plan = Plan::draw(seed);
    let (shards, depth) = (plan.geometry.shards(), plan.depth);
    eprintln!("seed {seed} ({:?}, {shards} shards, depth {depth}) FAILS: {what}", plan.flavour);
    eprintln!("  to see all its events: cargo run --release -p tests --bin simulate -- --seed {seed} --trace");
}

/// Runs one seed; a panic in the engine is a failure like others.
fn attempt(seed: u64, options: &Options) -> Option<Totals> {
    SEED.set(seed);
    match catch_unwind(AssertUnwindSafe(|| run_seed(seed, options))) {
        Ok(Ok(totals)) => Some(totals),
        Ok(Err(what)) => {
            print_failure(seed, &what);
            None
        }
        // The hook has printed it.
        Err(_) => None,
    }
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!("{what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // Where panics abort, the hook is the last to speak, so it names the seed.
    std::panic::set_hook(Box::new(|info| print_failure(SEED.get(), &format!("panic: {info}"))));
    let next = AtomicU64::new(arguments.seeds.start);
    let done = AtomicU64::new(0);
    let running = AtomicU64::new(arguments.jobs as u64);
    let totals = Mutex::new((Totals::default(), Vec::new()));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= arguments.seeds.end {
                    running.fetch_sub(1, Ordering::Relaxed);
                    return;
                }
                let outcome = attempt(seed, &arguments.options);
                done.fetch_add(1, Ordering::Relaxed);
                let mut totals = totals.lock().expect("no thread panics while it holds the lock");
                match outcome {
                    Some(outcome) => totals.0.add(&outcome),
                    None => totals.1.push(seed),
                }
                if totals.1.len() >= ENOUGH {
                    next.store(arguments.seeds.end, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| show_progress(&arguments.seeds, &running, &done));
    });
    let (totals, mut failed) = totals.into_inner().expect("no thread panics while it holds the lock");
    failed.sort_unstable();
    print_totals(&totals, &failed, began.elapsed());
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn show_progress(seeds: &Range<u64>, running: &AtomicU64, done: &AtomicU64) {
    let all = seeds.end - seeds.start;
    let mut shown = Instant::now();
    while running.load(Ordering::Relaxed) > 0 {
        std::thread::sleep(Duration::from_millis(20));
        if shown.elapsed() > Duration::from_secs(5) {
            shown = Instant::now();
            eprintln!("{} of {all} seeds", done.load(Ordering::Relaxed));
        }
    }
}

fn print_totals(totals: &Totals, failed: &[u64], took: Duration) {
    let Totals { world, disk, faults, engine, .. } = totals;
    let per_second = totals.seeds as f64 / took.as_secs_f64();
    println!(
        "seeds        {} in {:.1} s ({per_second:.0} a second), {} events",
        totals.seeds,
        took.as_secs_f64(),
        totals.events
    );
    println!("requests     {} in {} pieces of {} blocks", world.requests, world.pieces, world.blocks);
    println!("messages     {}", world.messages);
    println!(
        "transfers    {} (blocks: {} read, {} verified, {} written; {} at most in flight)",
        disk.transfers, disk.read, disk.verified, disk.written, disk.most_in_flight
    );
    println!(
        "faults       {} read errors, {} write errors, {} spoilt reads, {} blocks spoilt for good, {} slow",
        faults.read_errors, faults.write_errors, faults.rotten_reads, faults.decayed, faults.slow
    );
    println!("errors seen  {} no space, {} I/O, {} corrupt", world.no_space, world.io_errors, world.corrupt);
    println!(
        "dedupe       {} hits, {} unique, {} zero, {} valid and {} stale advice, {} concurrent matches, {} collisions, {} forks",
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
        "engine       {} merged, {} split retries, {} write retries, {} slabs opened, {} reopened, {} reports",
        engine.bios_merged_back + engine.bios_merged_front,
        engine.bios_split_retries,
        engine.data_write_retries,
        engine.slabs_opened,
        engine.slabs_reopened,
        world.reports
    );
    println!("digest       {:016x}", totals.digest);
    println!(
        "failures     {}{}",
        failed.len(),
        if failed.is_empty() { String::new() } else { format!(": seeds {failed:?}") }
    );
}
