// SPDX-License-Identifier: BSD-3-Clause

//! Reports progress on stderr: on a terminal one line that is rewritten, else a line every ten seconds.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Where progress is reported.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Silent,
    Lines,
    Terminal,
}

impl Progress {
    /// Reports on stderr.
    #[must_use]
    pub fn stderr() -> Self {
        let output = if std::io::stderr().is_terminal() { Output::Terminal } else { Output::Lines };
        Self { output }
    }

    /// Reports nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self { output: Output::Silent }
    }

    /// Prints a line that stays.
    pub fn note(&self, text: &str) {
        if self.output != Output::Silent {
            write_stderr(&format!("{text}\n"));
        }
    }

    /// Starts a task whose progress [`Task::update`] reports.
    pub(crate) fn task(&self, label: &str) -> Task {
        let now = Instant::now();
        let task = Task { output: self.output, label: label.to_owned(), started: now, told: now };
        if self.output == Output::Lines {
            write_stderr(&format!("{label} ...\n"));
        }
        task
    }
}

/// A task that takes a while.
pub(crate) struct Task {
    output: Output,
    label: String,
    started: Instant,
    told: Instant,
}

impl Task {
    /// Reports the state of the task, if it is time to; cheap to call often.
    pub(crate) fn update(&mut self, state: impl FnOnce() -> String) {
        let interval = match self.output {
            Output::Silent => return,
            Output::Terminal => Duration::from_millis(250),
            Output::Lines => Duration::from_secs(10),
        };
        if self.told.elapsed() < interval {
            return;
        }
        self.told = Instant::now();
        self.tell(&state(), false);
    }

    /// Ends the task with a line that stays.
    pub(crate) fn done(self, result: &str) {
        self.tell(result, true);
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn tell(&self, state: &str, last: bool) {
        let line = format!("{}: {} {}", self.label, clock(self.elapsed()), state);
        let end = if last { "\n" } else { "" };
        match self.output {
            Output::Silent => {}
            Output::Terminal => write_stderr(&format!("\r\x1b[K{line}{end}")),
            Output::Lines => write_stderr(&format!("{line}\n")),
        }
    }
}

impl Drop for Task {
    /// The next output must not continue a rewritten line.
    fn drop(&mut self) {
        if self.output == Output::Terminal {
            write_stderr("\r\x1b[K");
        }
    }
}

/// Ignores errors: a closed stderr is no reason to stop working.
fn write_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// `75 s` as `1:15`.
pub(crate) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_shows_minutes_and_seconds() {
        assert_eq!(clock(Duration::from_secs(5)), "0:05");
        assert_eq!(clock(Duration::from_secs(3675)), "61:15");
    }
}
