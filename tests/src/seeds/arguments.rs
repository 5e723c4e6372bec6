// SPDX-License-Identifier: BSD-3-Clause

//! The options of all programs that run seeds.

use std::ops::Range;

use clap::value_parser;

/// Which seeds are run, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Run all seeds from FIRST to before END
    #[arg(long, value_name = "FIRST..END", value_parser = range, required_unless_present = "seed", conflicts_with = "seed")]
    seeds: Option<Range<u64>>,

    /// Run one seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Threads; at first one for each core
    #[arg(long, visible_alias = "jobs", value_name = "N", default_value_t = threads() as u32, value_parser = value_parser!(u32).range(1..))]
    pub threads: u32,

    /// Print every event of the seed
    #[arg(long, conflicts_with = "seeds")]
    pub trace: bool,
}

/// One thread for each core.
#[must_use]
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

impl Common {
    /// The seeds.
    #[must_use]
    pub fn seeds(&self) -> Range<u64> {
        self.seed.map_or_else(|| self.seeds.clone().unwrap_or_default(), |seed| seed..seed + 1)
    }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("a range such as 0..1000 is needed")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    let range = number(first)?..number(end)?;
    if range.is_empty() {
        return Err("there is no seed in this range".to_owned());
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Options {
        #[command(flatten)]
        common: Common,
    }

    fn parse(line: &str) -> Result<Common, clap::Error> {
        Ok(Options::try_parse_from(["program"].into_iter().chain(line.split_whitespace()))?.common)
    }

    #[test]
    fn ranges_and_single_seeds() {
        let many = parse("--seeds 3..9 --threads 2").expect("valid");
        assert_eq!((many.seeds(), many.threads, many.trace), (3..9, 2, false));
        let one = parse("--seed 7 --trace").expect("valid");
        assert_eq!((one.seeds(), one.trace), (7..8, true));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["", "--seeds", "--seeds 5", "--seeds 1..x", "--seeds 2..2", "--seeds 1..3 --trace", "--what"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
