// SPDX-License-Identifier: BSD-3-Clause

//! The media pool's crash campaigns: `pool_campaign --campaign logs --seeds 0..20000`, or one seed with all its events:
//! `pool_campaign --campaign logs --seed 7 --trace`.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::ops::Range;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tests::pool_sim::campaign::{run_seed, Campaign, Options, Totals};

const USAGE: &str = "usage: pool_campaign --campaign NAME --seeds FIRST..END [--jobs N]
       pool_campaign --campaign NAME --seed N [--trace]

  --campaign NAME      which one, see below; all of them in turn when it is not given
  --seeds FIRST..END   run all seeds from FIRST to before END
  --seed N             run one seed
  --jobs N             threads (default: one for each core)
  --stride N           cut or fail scripts at one in N operations
  --trace              print every event of the seed
  --trace-life N       print every event of one life of a script's seed, as named by its failure";

/// Failing seeds after which the rest is not run.
const ENOUGH: usize = 10;

thread_local! {
    /// What the thread runs, for the panic hook.
    static PRESENT: Cell<(Option<Campaign>, u64)> = const { Cell::new((None, 0)) };
}

struct Arguments {
    campaigns: Vec<Campaign>,
    seeds: Range<u64>,
    jobs: usize,
    options: Options,
}

fn parse() -> Result<Arguments, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options { trace: false, trace_life: None, stride: 1 };
    let mut arguments = Arguments { campaigns: Campaign::ALL.to_vec(), seeds: 0..0, jobs: cores, options };
    let mut words = std::env::args().skip(1);
    let number = |word: Option<String>, name: &str| {
        let word = word.ok_or(format!("{name} needs a value"))?;
        word.parse::<u64>().map_err(|error| format!("{name} {word}: {error}"))
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--campaign" => {
                let name = words.next().ok_or("--campaign needs a name")?;
                let known = Campaign::ALL.into_iter().find(|campaign| campaign.name() == name);
                arguments.campaigns = vec![known.ok_or(format!("no campaign is called '{name}'"))?];
            }
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
            "--trace-life" => arguments.options.trace_life = Some(number(words.next(), "--trace-life")?),
            "--stride" => arguments.options.stride = number(words.next(), "--stride")?.max(1),
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    if arguments.seeds.is_empty() {
        return Err("no seeds given".into());
    }
    let traces = arguments.options.trace || arguments.options.trace_life.is_some();
    if traces && (arguments.seeds.end - arguments.seeds.start > 1 || arguments.campaigns.len() > 1) {
        return Err("--trace goes with --campaign and --seed".into());
    }
    Ok(arguments)
}

fn print_failure(campaign: Campaign, seed: u64, what: &str) {
    let name = campaign.name();
    eprintln!("campaign {name}, seed {seed} FAILS: {what}");
    eprintln!(
        "  to see all its events: cargo run --release -p tests --bin pool_campaign -- --campaign {name} --seed {seed} --trace"
    );
}

/// Runs one seed; a panic in the engine is a failure like others.
fn attempt(campaign: Campaign, seed: u64, options: Options) -> Option<Totals> {
    PRESENT.set((Some(campaign), seed));
    match catch_unwind(AssertUnwindSafe(|| run_seed(campaign, seed, options))) {
        Ok(Ok(totals)) => Some(totals),
        Ok(Err(what)) => {
            print_failure(campaign, seed, &what);
            None
        }
        // The hook has printed it.
        Err(_) => None,
    }
}

/// Runs the seeds of one campaign. False when one fails.
fn run(campaign: Campaign, arguments: &Arguments) -> bool {
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
                let outcome = attempt(campaign, seed, arguments.options);
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
        scope.spawn(|| show_progress(campaign, &arguments.seeds, &running, &done));
    });
    let (totals, mut failed) = totals.into_inner().expect("no thread panics while it holds the lock");
    failed.sort_unstable();
    println!("campaign {}: {}", campaign.name(), campaign.purpose());
    print_totals(&totals, done.into_inner(), &failed, began.elapsed());
    failed.is_empty()
}

fn show_progress(campaign: Campaign, seeds: &Range<u64>, running: &AtomicU64, done: &AtomicU64) {
    let (name, all) = (campaign.name(), seeds.end - seeds.start);
    let mut shown = Instant::now();
    while running.load(Ordering::Relaxed) > 0 {
        std::thread::sleep(Duration::from_millis(20));
        if shown.elapsed() > Duration::from_secs(5) {
            shown = Instant::now();
            eprintln!("{name}: {} of {all} seeds", done.load(Ordering::Relaxed));
        }
    }
}

fn print_totals(totals: &Totals, seeds: u64, failed: &[u64], took: Duration) {
    let Totals { cut_points, lives, cuts, calls, operations, faults, time } = totals;
    println!("  seeds       {seeds} in {:.1} s", took.as_secs_f64());
    println!("  cut points  {cut_points} distinct");
    println!("  lives       {lives}, {cuts} of them ended by a power cut");
    println!("  calls       {calls}, with {operations} operations of disks, {faults} of which were made to fail");
    println!("  time        {:.1} s simulated", *time as f64 / 1e9);
    let which = if failed.is_empty() { String::new() } else { format!(": seeds {failed:?}") };
    println!("  failures    {}{which}", failed.len());
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!("{what}\n{USAGE}\n\ncampaigns:");
            for campaign in Campaign::ALL {
                eprintln!("  {:<20} {}", campaign.name(), campaign.purpose());
            }
            return ExitCode::from(2);
        }
    };
    // Where panics abort, the hook is the last to speak, so it names the seed.
    std::panic::set_hook(Box::new(|info| {
        if let (Some(campaign), seed) = PRESENT.get() {
            print_failure(campaign, seed, &format!("panic: {info}"));
        }
    }));
    let mut good = true;
    for campaign in &arguments.campaigns {
        good &= run(*campaign, &arguments);
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
