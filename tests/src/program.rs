// SPDX-License-Identifier: BSD-3-Clause

//! The frame of this crate's programs: options, log, progress, exit status. Results go to standard output, everything else
//! through `log` to standard error.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{stderr, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use env_logger::{Builder, Env};
use log::Level;

/// Time between lines of progress on a terminal, where they are rewritten, and elsewhere.
const INTERVALS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// Takes a line of progress away.
const CLEAR: &str = "\r\x1b[K";

/// Runs a program with the options of its command line.
pub fn run<O: clap::Parser, E: Display>(body: impl FnOnce(&O) -> Result<ExitCode, E>) -> ExitCode {
    let options = O::parse();
    start_log();
    body(&options).unwrap_or_else(|error| {
        log::error!("{error}");
        ExitCode::FAILURE
    })
}

/// Lines with the seconds since the start, from level `info` on; with `RUST_LOG`, what that says.
fn start_log() {
    let mut builder = Builder::from_env(Env::default().default_filter_or("info"));
    if std::env::var_os(env_logger::DEFAULT_FILTER_ENV).is_none() {
        let (began, clear) = (Instant::now(), if stderr().is_terminal() { CLEAR } else { "" });
        builder.format(move |out, record| {
            let level = match record.level() {
                Level::Error => "error: ",
                Level::Warn => "warning: ",
                _ => "",
            };
            writeln!(out, "{clear}[{:4} s] {level}{}", began.elapsed().as_secs(), record.args())
        });
    }
    builder.init();
}

/// Says how far the work is: in a line that is rewritten on a terminal, in a line of the log now and then elsewhere.
#[derive(Debug)]
pub struct Progress {
    shown: Cell<Instant>,
    terminal: bool,
}

impl Progress {
    /// Work begins now.
    #[must_use]
    pub fn begin() -> Progress {
        Progress { shown: Cell::new(Instant::now()), terminal: stderr().is_terminal() }
    }

    /// Whether a line would be shown now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.shown.get().elapsed() >= INTERVALS[usize::from(!self.terminal)]
    }

    /// Shows a line if it is due.
    pub fn show(&self, line: impl Display) {
        if !self.is_due() {
            return;
        }
        self.shown.set(Instant::now());
        if self.terminal {
            // A line that cannot be written is no reason to stop.
            let _ = write!(stderr(), "{CLEAR}{line}");
        } else {
            log::info!("{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(stderr(), "{CLEAR}");
        }
    }
}
