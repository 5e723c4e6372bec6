// SPDX-License-Identifier: BSD-3-Clause

//! Runs seeds on several threads and adds up what happened. A panic in a seed is a failure like others.

use std::cell::Cell;
use std::ops::Range;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::arguments::{threads, Common};
use crate::program::Progress;

/// Failing seeds after which the rest is not run.
const ENOUGH: usize = 10;

/// What happened in seeds.
pub trait Totals: Default + Send {
    /// Adds what happened in others.
    fn add(&mut self, other: &Self);
}

/// What came of some seeds.
#[derive(Debug)]
pub struct Outcome<T> {
    /// What happened in those that passed.
    pub totals: T,
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds that failed, and why.
    pub failed: Vec<(u64, String)>,
    /// How long it took.
    pub took: Duration,
}

/// A program that runs seeds, by one name or, with campaigns, several.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// The campaign.
    pub campaign: Option<&'static str>,
    /// One in how many operations of a script is cut or fails.
    pub stride: u64,
}

thread_local! {
    /// What the thread runs, for the panic hook.
    static PRESENT: Cell<Option<(Program, u64)>> = const { Cell::new(None) };
}

impl Program {
    /// The arguments that run a seed again.
    #[must_use]
    pub fn again(&self, seed: u64) -> String {
        let campaign = self.campaign.map_or(String::new(), |name| format!("--campaign {name} "));
        let stride = if self.stride == 1 { String::new() } else { format!("--stride {} ", self.stride) };
        format!("{} -- {campaign}{stride}--seed {seed}", self.name)
    }

    fn tell_failure(&self, seed: u64, what: &str) {
        let campaign = self.campaign.map_or(String::new(), |name| format!("campaign {name}, "));
        log::error!("{campaign}seed {seed} FAILS: {what}");
        log::error!(
            "  to see all its events: cargo run --profile campaign -p tests --bin {} --trace",
            self.again(seed)
        );
    }

    /// Runs seeds, tells of progress and failures.
    pub fn run<T: Totals>(self, common: &Common, attempt: impl Fn(u64) -> Result<T, String> + Sync) -> Outcome<T> {
        // Where panics abort, the hook is the last to speak, so it names the seed.
        std::panic::set_hook(Box::new(|info| {
            if let Some((program, seed)) = PRESENT.get() {
                program.tell_failure(seed, &format!("panic: {info}"));
            } else {
                log::error!("{info}");
            }
        }));
        let told = |seed: u64| {
            PRESENT.set(Some((self, seed)));
            attempt(seed).inspect_err(|what| self.tell_failure(seed, what))
        };
        run_seeds(common.seeds(), common.threads as usize, Some(self), told)
    }
}

impl<T> Outcome<T> {
    /// Prints how many seeds failed, and which.
    pub fn print_failures(&self, indent: &str) {
        let seeds: Vec<_> = self.failed.iter().map(|(seed, _)| *seed).collect();
        let which = if seeds.is_empty() { String::new() } else { format!(": seeds {seeds:?}") };
        println!("{indent}failures     {}{which}", seeds.len());
    }

    /// For tests: the totals.
    ///
    /// # Panics
    /// If a seed failed; says how the first is run again.
    #[must_use]
    pub fn expect(self, program: Program) -> T {
        if let Some((seed, what)) = self.failed.first() {
            let (count, again) = (self.failed.len(), program.again(*seed));
            panic!("{count} seeds fail; see: cargo run -p tests --bin {again} --trace\nseed {seed}: {what}");
        }
        self.totals
    }
}

/// The end of a program.
#[must_use]
pub const fn exit_code(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs seeds on so many threads; tells of progress if there is a name to tell it by.
pub fn run_seeds<T: Totals>(
    seeds: Range<u64>,
    threads: usize,
    told: Option<Program>,
    attempt: impl Fn(u64) -> Result<T, String> + Sync,
) -> Outcome<T> {
    let next = AtomicU64::new(seeds.start);
    let done = AtomicU64::new(0);
    let running = AtomicU64::new(threads as u64);
    let state = Mutex::new((T::default(), Vec::new()));
    let began = Instant::now();
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            running.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| attempt(seed)));
        done.fetch_add(1, Ordering::Relaxed);
        let mut state = state.lock().expect("no thread panics while it holds the lock");
        match outcome {
            Ok(Ok(totals)) => state.0.add(&totals),
            Ok(Err(what)) => state.1.push((seed, what)),
            Err(_) => state.1.push((seed, "panic, see above".to_owned())),
        }
        if state.1.len() >= ENOUGH {
            next.store(seeds.end, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
        if let Some(program) = told {
            let (seeds, running, done) = (&seeds, &running, &done);
            scope.spawn(move || show_progress(program, seeds, running, done));
        }
    });
    let (totals, mut failed) = state.into_inner().expect("no thread panics while it holds the lock");
    failed.sort_unstable();
    Outcome { totals, seeds: done.into_inner(), failed, took: began.elapsed() }
}

/// Runs the listed seeds on all cores, without words.
pub fn run_listed<T: Totals>(seeds: &[u64], attempt: impl Fn(u64) -> Result<T, String> + Sync) -> Outcome<T> {
    let listed = |place: u64| seeds[place as usize];
    let mut outcome = run_seeds(0..seeds.len() as u64, threads(), None, |place| attempt(listed(place)));
    for (seed, _) in &mut outcome.failed {
        *seed = listed(*seed);
    }
    outcome
}

fn show_progress(program: Program, seeds: &Range<u64>, running: &AtomicU64, done: &AtomicU64) {
    let (name, all) = (program.campaign.unwrap_or(program.name), seeds.end - seeds.start);
    let progress = Progress::begin();
    while running.load(Ordering::Relaxed) > 0 {
        std::thread::sleep(Duration::from_millis(20));
        progress.show(format_args!("{name}: {} of {all} seeds", done.load(Ordering::Relaxed)));
    }
}
