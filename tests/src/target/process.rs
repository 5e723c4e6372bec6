// SPDX-License-Identifier: BSD-3-Clause

//! One SPDK program as a child process.
//!
//! Invariant: when a [`Process`] is gone, so are the child (killed by its id) and the hugepage files it had. Should
//! we be killed ourselves, the kernel kills the child (setpriv(1) asks for that; it replaces itself by the program,
//! so that the id stays).

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};

use super::error::{io, TargetError};
use super::leftovers;

const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How much of a log an error shows.
const TAIL_LINES: usize = 40;

/// What to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Value of `LD_LIBRARY_PATH`.
    pub library_path: String,
    /// Shared objects to load first.
    pub preload: Vec<PathBuf>,
    /// Where its output goes, stdout and stderr alike.
    pub log: PathBuf,
}

impl Launch {
    /// Starts it.
    ///
    /// # Errors
    /// The log cannot be written or the program cannot be started.
    pub fn start(&self) -> Result<Process, TargetError> {
        let output = File::create(&self.log).map_err(io("creating", &self.log))?;
        let errors = output.try_clone().map_err(io("creating", &self.log))?;
        let child = self
            .command()
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|source| TargetError::Spawn { program: self.program.display().to_string(), source })?;
        Ok(Process {
            name: self.program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            child,
            log: self.log.clone(),
            status: None,
        })
    }

    /// The module must be preloaded into the program alone: whatever runs before it (setpriv, env) lacks SPDK's
    /// symbols and would not start.
    fn command(&self) -> Command {
        let mut command = Command::new("env");
        let setpriv = Path::new("/usr/bin/setpriv");
        if setpriv.exists() {
            command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--", "env"]);
        }
        command.arg(format!("LD_LIBRARY_PATH={}", self.library_path));
        if !self.preload.is_empty() {
            let mut preload = OsString::from("LD_PRELOAD=");
            for (index, path) in self.preload.iter().enumerate() {
                if index > 0 {
                    preload.push(" ");
                }
                preload.push(path);
            }
            command.arg(preload);
        }
        command.arg(&self.program).args(&self.arguments);
        command
    }
}

/// A running (or ended) program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Process {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The program's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All that it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn status(&mut self) -> Result<Option<ExitStatus>, TargetError> {
        if self.status.is_none() {
            self.status = self.child.try_wait().map_err(io("waiting for", Path::new(&self.name)))?;
            if self.status.is_some() {
                leftovers::remove_of(self.pid());
            }
        }
        Ok(self.status)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`TargetError::Late`] if it does not end in time; it runs on then.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, TargetError> {
        self.wait_for(patience, "end", |process| process.status())
    }

    /// Waits for its end, which must be an exit with status 0.
    ///
    /// # Errors
    /// It ends otherwise, or not in time.
    pub fn succeed(&mut self, patience: Duration) -> Result<(), TargetError> {
        let status = self.wait(patience)?;
        if status.success() {
            return Ok(());
        }
        Err(self.ended(status))
    }

    /// Waits until `look` finds something.
    ///
    /// # Errors
    /// `look` fails, or finds nothing in time.
    pub fn wait_for<T>(
        &mut self,
        patience: Duration,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>, TargetError>,
    ) -> Result<T, TargetError> {
        let began = Instant::now();
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if began.elapsed() > patience {
                return Err(TargetError::Late {
                    program: self.name.clone(),
                    what: what.to_owned(),
                    after: patience,
                    tail: self.tail(),
                });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// The error that says how it ended.
    #[must_use]
    pub fn ended(&self, status: ExitStatus) -> TargetError {
        TargetError::Ended { program: self.name.clone(), status, tail: self.tail() }
    }

    /// Asks it to end, as Ctrl-C does.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn interrupt(&mut self) -> Result<(), TargetError> {
        if self.status()?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else { return Ok(()) };
        kill_process(pid, Signal::INT).map_err(|error| io("interrupting", Path::new(&self.name))(error.into()))
    }

    /// Kills it (SIGKILL), unless it has ended, and removes what it leaves.
    pub fn kill(&mut self) {
        if self.status.is_some() {
            return;
        }
        // Both fail only if it has been waited for, which `status` would know.
        let _ = self.child.kill();
        self.status = self.child.wait().ok();
        leftovers::remove_of(self.pid());
    }

    /// The last lines that it printed.
    #[must_use]
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
