// SPDX-License-Identifier: BSD-3-Clause

//! What the programs and tests share that run campaigns: several kinds of seeds, each with a name and a purpose.
//!
//! A set of campaigns is one type. A program calls [`run_program`] with it, a test [`run_all`].

use std::fmt;
use std::ops::Range;
use std::process::ExitCode;

use super::arguments::{number, threads, Common, HELP};
use super::runner::{self, exit_code, run_seeds, Outcome, Program, Totals};

/// How a campaign is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Print every event.
    pub trace: bool,
    /// Of scripts, print every event of the life with this number.
    pub trace_life: Option<u64>,
    /// Of scripts, cut or fail one in so many operations.
    pub stride: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { trace: false, trace_life: None, stride: 1 }
    }
}

/// A set of campaigns.
pub trait Campaign: Copy + Sync + 'static {
    /// What happened in seeds.
    type Totals: Totals + fmt::Debug;

    /// The name of the program that runs them.
    const PROGRAM: &'static str;

    /// All of them.
    const ALL: &'static [Self];

    /// Its name on the command line.
    fn name(self) -> &'static str;

    /// What it is about.
    fn purpose(self) -> &'static str;

    /// Runs one seed of it.
    ///
    /// # Errors
    /// What is wrong.
    fn run_seed(self, seed: u64, options: Options) -> Result<Self::Totals, String>;

    /// Prints what came of seeds: lines that begin with two blanks and a word of at most ten letters.
    fn print(outcome: &Outcome<Self::Totals>);

    /// The campaign, for words about it.
    #[must_use]
    fn program(self, stride: u64) -> Program {
        Program { name: Self::PROGRAM, campaign: Some(self.name()), stride }
    }
}

const OWN_HELP: &str = "  --stride N           cut or fail scripts at one in N operations
  --trace-life N       print every event of one life of a script's seed, as named by its failure";

/// What the command line asks for.
#[derive(Debug)]
struct Arguments<C> {
    campaigns: Vec<C>,
    common: Common,
    options: Options,
}

fn parse<C: Campaign>(mut words: impl Iterator<Item = String>) -> Result<Arguments<C>, String> {
    let mut arguments =
        Arguments { campaigns: C::ALL.to_vec(), common: Common::default(), options: Options::default() };
    while let Some(word) = words.next() {
        if arguments.common.take(&word, &mut words)? {
            continue;
        }
        match word.as_str() {
            "--campaign" => {
                let name = words.next().ok_or("--campaign needs a name")?;
                let known = C::ALL.iter().find(|campaign| campaign.name() == name);
                arguments.campaigns = vec![*known.ok_or(format!("no campaign is called '{name}'"))?];
            }
            "--trace-life" => arguments.options.trace_life = Some(number(&mut words, &word)?),
            "--stride" => arguments.options.stride = number(&mut words, &word)?.max(1),
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    let Arguments { campaigns, common, options } = &mut arguments;
    common.check()?;
    options.trace = common.trace;
    let traces = options.trace || options.trace_life.is_some();
    if traces && (common.seeds.end - common.seeds.start > 1 || campaigns.len() > 1) {
        return Err("--trace and --trace-life go with --campaign and --seed".into());
    }
    Ok(arguments)
}

fn explain<C: Campaign>(what: &str) {
    let program = C::PROGRAM;
    eprintln!("{what}");
    eprintln!("usage: {program} --campaign NAME --seeds FIRST..END [--threads N]");
    eprintln!("       {program} --campaign NAME --seed N [--trace]\n");
    eprintln!("  --campaign NAME      which one, see below; all of them in turn when it is not given");
    eprintln!("{HELP}\n{OWN_HELP}\n\ncampaigns:");
    for campaign in C::ALL {
        eprintln!("  {:<20} {}", campaign.name(), campaign.purpose());
    }
}

/// The whole of a program that runs campaigns as its command line asks.
#[must_use]
pub fn run_program<C: Campaign>() -> ExitCode {
    let arguments = match parse::<C>(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(what) => {
            explain::<C>(&what);
            return ExitCode::from(2);
        }
    };
    let mut good = true;
    for campaign in arguments.campaigns {
        let attempt = |seed| campaign.run_seed(seed, arguments.options);
        let outcome = campaign.program(arguments.options.stride).run(&arguments.common, attempt);
        println!("campaign {}: {}", campaign.name(), campaign.purpose());
        println!("  seeds        {} in {:.1} s", outcome.seeds, outcome.took.as_secs_f64());
        C::print(&outcome);
        outcome.print_failures("  ");
        good &= outcome.failed.is_empty();
    }
    exit_code(good)
}

/// For tests: runs seeds on all cores, and adds up what happened.
///
/// # Panics
/// If a seed fails; says how the first is run again.
pub fn run_all<C: Campaign>(campaign: C, seeds: Range<u64>, stride: u64) -> C::Totals {
    let attempt = |seed| campaign.run_seed(seed, Options { stride, ..Options::default() });
    let totals = run_seeds(seeds, threads(), None, attempt).expect(campaign.program(stride));
    println!("{totals:?}");
    totals
}

/// For tests: runs the listed seeds of a campaign on all cores.
///
/// # Panics
/// If a seed fails; says how the first is run again.
pub fn run_listed<C: Campaign>(campaign: C, seeds: &[u64], stride: u64) {
    let attempt = |seed| campaign.run_seed(seed, Options { stride, ..Options::default() });
    let _totals = runner::run_listed(seeds, attempt).expect(campaign.program(stride));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Two {
        First,
        Second,
    }

    #[derive(Debug, Default)]
    struct Seeds(u64);

    impl Totals for Seeds {
        fn add(&mut self, other: &Seeds) {
            self.0 += other.0;
        }
    }

    impl Campaign for Two {
        type Totals = Seeds;
        const PROGRAM: &'static str = "two";
        const ALL: &'static [Two] = &[Two::First, Two::Second];

        fn name(self) -> &'static str {
            match self {
                Two::First => "first",
                Two::Second => "second",
            }
        }

        fn purpose(self) -> &'static str {
            "nothing"
        }

        fn run_seed(self, seed: u64, options: Options) -> Result<Seeds, String> {
            if seed == 7 {
                return Err(format!("stride {}", options.stride));
            }
            Ok(Seeds(1))
        }

        fn print(_outcome: &Outcome<Seeds>) {}
    }

    fn parse_line(line: &str) -> Result<Arguments<Two>, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn campaigns_are_chosen_by_name() {
        let all = parse_line("--seeds 3..9").expect("valid");
        assert_eq!((all.campaigns, all.options.stride, all.options.trace), (vec![Two::First, Two::Second], 1, false));
        let one = parse_line("--campaign second --seed 4 --trace --stride 0").expect("valid");
        assert_eq!((one.campaigns, one.options.stride, one.options.trace), (vec![Two::Second], 1, true));
        assert_eq!(one.common.seeds, 4..5);
    }

    #[test]
    fn events_are_printed_of_one_seed_of_one_campaign() {
        for line in ["--seed 4 --trace", "--seed 4 --trace-life 2", "--campaign first --seeds 1..3 --trace-life 2"] {
            assert!(parse_line(line).is_err_and(|what| what.contains("--campaign and --seed")), "{line}");
        }
        let one = parse_line("--campaign first --seed 4 --trace-life 2").expect("valid");
        assert_eq!(one.options.trace_life, Some(2));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["", "--campaign", "--campaign third --seed 1", "--seed 1 --what", "--seed 1 --stride x"] {
            assert!(parse_line(line).is_err(), "{line}");
        }
    }

    #[test]
    fn tests_add_up_seeds() {
        assert_eq!(run_all(Two::First, 0..5, 1).0, 5);
    }

    #[test]
    #[should_panic(expected = "--bin two -- --campaign first --seed 7 --trace")]
    fn a_listed_seed_that_fails_is_named() {
        run_listed(Two::First, &[3, 7, 1], 1);
    }

    #[test]
    #[should_panic(expected = "--bin two -- --campaign second --stride 3 --seed 7 --trace")]
    fn a_test_fails_with_the_command_that_repeats_it() {
        run_all(Two::Second, 5..9, 3);
    }
}
