// SPDX-License-Identifier: BSD-3-Clause

//! A line that says how far the benchmark is: rewritten in place on a terminal, a line now and then elsewhere.

use std::io::{stderr, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time between lines where they cannot be rewritten.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Shows steps of a known total on standard error.
#[derive(Debug)]
pub struct Progress {
    total: usize,
    done: usize,
    started: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// Nothing done yet of `total` steps.
    #[must_use]
    pub fn new(total: usize) -> Progress {
        Progress { total, done: 0, started: Instant::now(), shown: None, terminal: stderr().is_terminal() }
    }

    /// Begins the next step.
    pub fn step(&mut self, what: &str) {
        self.done += 1;
        let now = Instant::now();
        let due = self.shown.is_none_or(|shown| now - shown >= PLAIN_INTERVAL);
        if !self.terminal && !due {
            return;
        }
        self.shown = Some(now);
        let seconds = self.started.elapsed().as_secs();
        let line = format!("[{}/{} {}:{:02}] {what}", self.done, self.total, seconds / 60, seconds % 60);
        // A progress line that cannot be written is no reason to stop.
        let _ = if self.terminal { write!(stderr(), "\r\x1b[K{line}") } else { writeln!(stderr(), "{line}") };
    }

    /// Leaves a clean line.
    pub fn finish(&self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
