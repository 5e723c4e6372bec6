// SPDX-License-Identifier: BSD-3-Clause

//! What is measured.

use std::path::PathBuf;
use std::time::Duration;

const USAGE: &str = "usage: restart_bench [--sizes GIB,GIB,...] [--place DIR] [--load-ms N] [--repeats N]

  --sizes GIB,...   sizes of the base file (default 4,16,64)
  --place DIR       where the files go; half of the largest size need not be free there (default /var/tmp)
  --load-ms N       random writes before each kill (default 3000)
  --window-mib N    where they go: the first so many MiB of the volume (default 1024)
  --repeats N       kills and restarts for each size (default 3)";

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sizes of the base, in GiB.
    pub sizes_gib: Vec<u64>,
    /// Where the base's file goes.
    pub place: PathBuf,
    /// How long random writes run before a kill.
    pub load: Duration,
    /// Where they go, in MiB from the volume's start: the same work is to be recovered whatever the size.
    pub window_mib: u64,
    /// Kills for each size.
    pub repeats: u64,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// An argument is not known or has no good value.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            sizes_gib: vec![4, 16, 64],
            place: PathBuf::from("/var/tmp"),
            load: Duration::from_secs(3),
            window_mib: 1024,
            repeats: 3,
        };
        while let Some(word) = words.next() {
            let value = words.next().ok_or(USAGE)?;
            let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{word} {text}: {error}\n{USAGE}"));
            match word.as_str() {
                "--sizes" => options.sizes_gib = value.split(',').map(number).collect::<Result<_, _>>()?,
                "--place" => options.place = PathBuf::from(value),
                "--load-ms" => options.load = Duration::from_millis(number(&value)?),
                "--window-mib" => options.window_mib = number(&value)?.max(1),
                "--repeats" => options.repeats = number(&value)?,
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }
}
