// SPDX-License-Identifier: BSD-3-Clause

//! What programs and tests that run campaigns share: several kinds of seeds, each with a name and a purpose.
//!
//! A set of campaigns is one type. A program calls [`run_program`] with it, a test [`run_all`].

use std::fmt;
use std::ops::Range;
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::value_parser;

use super::arguments::{threads, Common};
use super::runner::{self, exit_code, run_seeds, Outcome, Program, Totals};
use crate::program;

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
pub trait Campaign: Copy + Send + Sync + 'static {
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

/// Runs campaigns over seeds; results are the same for the same seed.
#[derive(Debug, clap::Parser)]
struct Arguments<C: Campaign> {
    /// Which one; all of them in turn when it is not given
    #[arg(long, value_name = "NAME", value_parser = one_of::<C>())]
    campaign: Option<C>,

    #[command(flatten)]
    common: Common,

    /// Cut or fail scripts at one in N operations
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..))]
    stride: u64,

    /// Print every event of one life of a script's seed, as named by its failure
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    trace_life: Option<u64>,
}

fn one_of<C: Campaign>() -> impl TypedValueParser<Value = C> {
    let names = C::ALL.iter().map(|campaign| PossibleValue::new(campaign.name()).help(campaign.purpose()));
    let find = |name: String| C::ALL.iter().find(|campaign| campaign.name() == name).copied();
    PossibleValuesParser::new(names).try_map(move |name| find(name).ok_or("no campaign has this name"))
}

impl<C: Campaign> Arguments<C> {
    fn options(&self) -> Result<Options, String> {
        let options = Options { trace: self.common.trace, trace_life: self.trace_life, stride: self.stride };
        if (options.trace || options.trace_life.is_some()) && self.campaign.is_none() {
            return Err("--trace and --trace-life go with --campaign and --seed".to_owned());
        }
        Ok(options)
    }
}

/// The whole of a program that runs campaigns as its command line asks.
#[must_use]
pub fn run_program<C: Campaign + fmt::Debug>() -> ExitCode {
    program::run(|arguments: &Arguments<C>| {
        let options = arguments.options()?;
        let campaigns = arguments.campaign.as_ref().map_or(C::ALL, std::slice::from_ref);
        let mut good = true;
        for campaign in campaigns {
            let attempt = |seed| campaign.run_seed(seed, options);
            let outcome = campaign.program(options.stride).run(&arguments.common, attempt);
            println!("campaign {}: {}", campaign.name(), campaign.purpose());
            println!("  seeds        {} in {:.1} s", outcome.seeds, outcome.took.as_secs_f64());
            C::print(&outcome);
            outcome.print_failures("  ");
            good &= outcome.failed.is_empty();
        }
        Ok::<_, String>(exit_code(good))
    })
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
    use clap::Parser;

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

    fn parse_line(line: &str) -> Result<(Arguments<Two>, Options), String> {
        let words = ["two"].into_iter().chain(line.split_whitespace());
        let arguments = Arguments::try_parse_from(words).map_err(|error| error.to_string())?;
        let options = arguments.options()?;
        Ok((arguments, options))
    }

    #[test]
    fn campaigns_are_chosen_by_name() {
        let (all, options) = parse_line("--seeds 3..9").expect("valid");
        assert_eq!((all.campaign, options.stride, options.trace), (None, 1, false));
        let (one, options) = parse_line("--campaign second --seed 4 --trace --stride 3").expect("valid");
        assert_eq!((one.campaign, options.stride, options.trace), (Some(Two::Second), 3, true));
        assert_eq!(one.common.seeds(), 4..5);
    }

    #[test]
    fn events_are_printed_of_one_seed_of_one_campaign() {
        assert!(parse_line("--campaign first --seeds 1..3 --trace-life 2").is_err());
        for line in ["--seed 4 --trace", "--seed 4 --trace-life 2"] {
            assert!(parse_line(line).is_err_and(|what| what.contains("--campaign and --seed")), "{line}");
        }
        let (_, options) = parse_line("--campaign first --seed 4 --trace-life 2").expect("valid");
        assert_eq!(options.trace_life, Some(2));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let lines = ["", "--campaign", "--campaign third --seed 1", "--seed 1 --what", "--seed 1 --stride 0"];
        for line in lines {
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
