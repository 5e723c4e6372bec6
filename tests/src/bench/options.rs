// SPDX-License-Identifier: BSD-3-Clause

//! The benchmark's command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use super::case::{Case, CASES, READS};

/// Smallest bdev that has room for the pool's logs and mblocks.
const LEAST_POOL_MIB: u64 = 1024;

/// Drives raw malloc, SPDK's passthru and the dedupe bdev in turn inside one process, and compares them.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench")]
pub struct Options {
    /// Cases to run, separated by commas; all when none is named (--list shows them)
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub cases: Vec<String>,

    /// Requests in flight on each core
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 128], value_name = "N")]
    pub qd: Vec<u32>,

    /// Core counts, one process each: cores 0 to N-1, N shards
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2], value_name = "N")]
    pub cores: Vec<u32>,

    /// Seconds that each run is measured, after a warm-up of a fifth of that
    #[arg(long, default_value_t = 0.5)]
    pub seconds: f64,

    /// Runs of each case on each target; medians are shown
    #[arg(long, default_value_t = 5)]
    pub repeats: u32,

    /// Targets to run
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Target::Raw, Target::Passthru, Target::Dedupe])]
    pub targets: Vec<Target>,

    /// Size of each malloc bdev
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    pub base_mib: u64,

    /// A first impression: queue depth 32, 3 runs of 0.2 seconds
    #[arg(long)]
    pub quick: bool,

    /// Ordinary memory instead of huge pages (SPDK 24.01 or later); slower, and not comparable
    #[arg(long)]
    pub no_huge: bool,

    /// Measure the media pool instead, on a malloc bdev and on a file
    #[arg(long)]
    pub pool: bool,

    /// With --pool: numbers of concurrent appenders
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64], value_name = "N")]
    pub appenders: Vec<u32>,

    /// With --pool: directory for the file, which is as large as a malloc bdev and is removed at the end
    #[arg(long, default_value = "target/bench", value_name = "PATH")]
    pub file_dir: PathBuf,

    /// Measure what the check of reads costs instead; needs a program built with feature `checks`
    #[arg(long, conflicts_with = "pool")]
    pub checks: bool,

    /// Where to write the results as JSON [default: in target/bench: summary.json, pool.json or checks.json]
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,

    /// Name the cases and stop
    #[arg(long)]
    pub list: bool,

    /// Measure on so many cores in this process, as the benchmark has itself do
    #[arg(long, hide = true, requires = "worker_output")]
    pub worker_cores: Option<u32>,

    /// Where the measuring process leaves its results
    #[arg(long, hide = true)]
    pub worker_output: Option<PathBuf>,
}

/// A bdev that is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Target {
    /// A malloc bdev.
    Raw,
    /// SPDK's passthru over one.
    Passthru,
    /// Ours over one.
    Dedupe,
    /// The same bdev, which does not check what it reads; only with `--checks`.
    #[value(skip)]
    Unchecked,
}

impl Target {
    /// Its name in messages.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Target::Raw => "raw",
            Target::Passthru => "passthru",
            Target::Dedupe => "dedupe",
            Target::Unchecked => "unchecked",
        }
    }
}

impl Options {
    /// The options with `--quick` and `--checks` worked into them.
    #[must_use]
    pub fn resolved(mut self) -> Options {
        if self.quick {
            self.qd = vec![32];
            self.repeats = self.repeats.min(3);
            self.seconds = self.seconds.min(0.2);
        }
        if self.checks {
            self.targets = vec![Target::Raw, Target::Dedupe, Target::Unchecked];
        }
        self
    }

    /// All cases there are.
    #[must_use]
    pub fn known_cases(&self) -> &'static [Case] {
        if self.checks {
            READS
        } else {
            CASES
        }
    }

    /// The cases that were asked for.
    ///
    /// # Errors
    /// The name that is no case's.
    pub fn selected_cases(&self) -> Result<Vec<&'static Case>, String> {
        if self.cases.is_empty() {
            return Ok(self.known_cases().iter().collect());
        }
        let find = |name: &String| self.known_cases().iter().find(|case| case.name == name).ok_or_else(|| name.clone());
        self.cases.iter().map(find).collect()
    }

    /// Looks for values that make no sense.
    ///
    /// # Errors
    /// What is wrong, for the user.
    pub fn check(&self) -> Result<(), String> {
        self.selected_cases().map_err(|name| format!("there is no case '{name}' (see --list)"))?;
        if self.qd.is_empty() || self.qd.contains(&0) {
            return Err("--qd needs numbers from 1".to_owned());
        }
        if self.cores.is_empty() || self.cores.iter().any(|&count| !(1..=32).contains(&count)) {
            return Err("--cores needs numbers from 1 to 32".to_owned());
        }
        if self.repeats == 0 || !(0.01..=3600.0).contains(&self.seconds) {
            return Err("--repeats needs a number from 1, and --seconds one from 0.01 to 3600".to_owned());
        }
        if self.base_mib < 64 || self.targets.is_empty() {
            return Err("--base-mib needs a number from 64, and --targets at least one".to_owned());
        }
        if self.appenders.is_empty() || self.appenders.contains(&0) {
            return Err("--appenders needs numbers from 1".to_owned());
        }
        if self.pool && self.base_mib < LEAST_POOL_MIB {
            return Err(format!("--base-mib needs a number from {LEAST_POOL_MIB} with --pool"));
        }
        Ok(())
    }

    /// Where the results go.
    #[must_use]
    pub fn json_path(&self) -> PathBuf {
        let usual = match (self.pool, self.checks) {
            (true, _) => "target/bench/pool.json",
            (_, true) => "target/bench/checks.json",
            _ => "target/bench/summary.json",
        };
        self.json.clone().unwrap_or_else(|| usual.into())
    }

    /// How long a timed run is measured.
    #[must_use]
    pub fn measure(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// The command line for the process that measures on `cores` cores.
    #[must_use]
    pub fn worker_arguments(&self, cores: u32, output: &std::path::Path) -> Vec<String> {
        let list = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let named = self.targets.iter().filter(|&&target| target != Target::Unchecked);
        let targets: Vec<_> = named.map(|target| target.label()).collect();
        let mut arguments = vec![
            format!("--qd={}", list(&self.qd)),
            format!("--seconds={}", self.seconds),
            format!("--repeats={}", self.repeats),
            format!("--targets={}", targets.join(",")),
            format!("--base-mib={}", self.base_mib),
            format!("--worker-cores={cores}"),
            format!("--worker-output={}", output.display()),
        ];
        if !self.cases.is_empty() {
            arguments.push(format!("--cases={}", self.cases.join(",")));
        }
        if self.pool {
            arguments.push("--pool".to_owned());
            arguments.push(format!("--appenders={}", list(&self.appenders)));
            arguments.push(format!("--file-dir={}", self.file_dir.display()));
        }
        if self.checks {
            arguments.push("--checks".to_owned());
        }
        if self.no_huge {
            arguments.push("--no-huge".to_owned());
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_sees_the_same_options() {
        let given = ["bench", "--cases=randread,seqread", "--qd=1,8", "--seconds=0.25", "--targets=raw,dedupe"];
        let options = Options::parse_from(given).resolved();
        let arguments = options.worker_arguments(2, std::path::Path::new("/tmp/out"));
        let worker = Options::parse_from(std::iter::once("bench".to_owned()).chain(arguments)).resolved();
        assert_eq!((worker.worker_cores, worker.worker_output), (Some(2), Some("/tmp/out".into())));
        assert_eq!((worker.cases, worker.qd), (options.cases, options.qd));
        assert_eq!((worker.targets, worker.seconds, worker.repeats), (options.targets, 0.25, 5));
    }

    #[test]
    fn a_worker_for_the_pool_sees_the_same_options() {
        let options = Options::parse_from(["bench", "--pool", "--appenders=1,4", "--file-dir=/mnt"]).resolved();
        let arguments = options.worker_arguments(1, std::path::Path::new("/tmp/out"));
        let worker = Options::parse_from(std::iter::once("bench".to_owned()).chain(arguments)).resolved();
        assert_eq!((worker.pool, worker.appenders, worker.file_dir), (true, vec![1, 4], "/mnt".into()));
        assert_eq!(options.json_path(), PathBuf::from("target/bench/pool.json"));
    }

    #[test]
    fn the_checks_have_cases_of_their_own() {
        let options = Options::parse_from(["bench", "--checks", "--cases=seqread-128k"]).resolved();
        let arguments = options.worker_arguments(1, std::path::Path::new("/tmp/out"));
        let worker = Options::parse_from(std::iter::once("bench".to_owned()).chain(arguments)).resolved();
        assert_eq!((worker.checks, worker.selected_cases().map(|cases| cases[0].blocks)), (true, Ok(32)));
        assert_eq!(worker.targets, [Target::Raw, Target::Dedupe, Target::Unchecked]);
        assert_eq!(options.json_path(), PathBuf::from("target/bench/checks.json"));
        assert!(Options::parse_from(["bench", "--checks", "--cases=unmap-4k"]).check().is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for given in ["--cases=nothing", "--qd=0", "--cores=0", "--repeats=0", "--seconds=0", "--base-mib=1"] {
            assert!(Options::parse_from(["bench", given]).check().is_err(), "{given}");
        }
        for given in ["--appenders=0", "--base-mib=512"] {
            assert!(Options::parse_from(["bench", "--pool", given]).check().is_err(), "{given}");
        }
        assert_eq!(Options::parse_from(["bench"]).check(), Ok(()));
    }
}
