// SPDX-License-Identifier: BSD-3-Clause

//! What can go wrong while setting up.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use thiserror::Error;

/// An error of setting up.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A file operation.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("starting {program}: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program failed.
    #[error("{program} ended with {status}: {output}")]
    Failed {
        /// The program.
        program: String,
        /// How.
        status: ExitStatus,
        /// What it printed on stderr, if that was kept.
        output: String,
    },
    /// There is no SPDK tree to use.
    #[error(transparent)]
    Spdk(#[from] spdk_sys_build::Error),
    /// The archive has no two versions of any of the packages known to be useful.
    #[error("Debian's archive has no two versions of {0}")]
    NoTwoVersions(String),
}

/// For `map_err`: names what was being done to which file.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SetupError + use<> {
    let path = path.to_owned();
    move |source| SetupError::Io { action, path, source }
}

/// Runs a program to its successful end, keeping what it prints.
pub(crate) fn run(command: &mut Command) -> Result<Output, SetupError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|source| SetupError::Spawn { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    Err(SetupError::Failed {
        program,
        status: output.status,
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
