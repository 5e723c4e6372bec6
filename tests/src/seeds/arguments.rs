// SPDX-License-Identifier: BSD-3-Clause

//! The arguments that all programs which run seeds understand.

use std::ops::Range;

/// What they mean, for the text of usage.
pub const HELP: &str = "  --seeds FIRST..END   run all seeds from FIRST to before END
  --seed N             run one seed
  --threads N          threads (default: one for each core)
  --trace              print every event of the seed";

/// The words of the command line that have not been looked at.
pub type Words<'a> = &'a mut dyn Iterator<Item = String>;

/// Which seeds are run, and how.
#[derive(Debug, Clone)]
pub struct Common {
    /// The seeds.
    pub seeds: Range<u64>,
    /// Threads.
    pub threads: usize,
    /// Print every event.
    pub trace: bool,
}

impl Default for Common {
    fn default() -> Common {
        Common { seeds: 0..0, threads: threads(), trace: false }
    }
}

/// One thread for each core.
#[must_use]
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// The number that follows an option.
///
/// # Errors
/// There is none.
pub fn number(words: Words<'_>, option: &str) -> Result<u64, String> {
    let word = words.next().ok_or(format!("{option} needs a value"))?;
    parse(&word, option)
}

fn parse(word: &str, option: &str) -> Result<u64, String> {
    word.parse().map_err(|error| format!("{option} {word}: {error}"))
}

impl Common {
    /// Takes an option if it is one of these; false if it is another's.
    ///
    /// # Errors
    /// Its value is missing or makes no sense.
    pub fn take(&mut self, option: &str, words: Words<'_>) -> Result<bool, String> {
        match option {
            "--seeds" => {
                let range = words.next().ok_or("--seeds needs a range")?;
                let (first, end) = range.split_once("..").ok_or("--seeds needs a range such as 0..1000")?;
                self.seeds = parse(first, option)?..parse(end, option)?;
            }
            "--seed" => {
                let seed = number(words, option)?;
                self.seeds = seed..seed + 1;
            }
            "--threads" | "--jobs" => self.threads = number(words, option)?.max(1) as usize,
            "--trace" => self.trace = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Checks that everything needed was given.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self) -> Result<(), String> {
        if self.seeds.is_empty() {
            return Err("no seeds given".into());
        }
        if self.trace && self.seeds.end - self.seeds.start > 1 {
            return Err("--trace goes with --seed".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_all(line: &str) -> Result<Common, String> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut common = Common::default();
        while let Some(word) = words.next() {
            if !common.take(&word, &mut words)? {
                return Err(format!("unknown argument {word}"));
            }
        }
        common.check().map(|()| common)
    }

    #[test]
    fn ranges_and_single_seeds() {
        let many = parse_all("--seeds 3..9 --threads 2").expect("valid");
        assert_eq!((many.seeds, many.threads, many.trace), (3..9, 2, false));
        let one = parse_all("--seed 7 --trace").expect("valid");
        assert_eq!((one.seeds, one.trace), (7..8, true));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["", "--seeds", "--seeds 5", "--seeds 1..x", "--seeds 2..2", "--seeds 1..3 --trace", "--what"] {
            assert!(parse_all(line).is_err(), "{line}");
        }
    }
}
