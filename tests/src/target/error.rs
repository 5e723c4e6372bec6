// SPDX-License-Identifier: BSD-3-Clause

//! What can go wrong around a target. Every message names the object it is about; a program's failure carries the end
//! of its log.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

/// An error of running SPDK programs or talking to them.
#[derive(Debug, Error)]
pub enum TargetError {
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
    /// A program ended, or ended otherwise than it should.
    #[error("{program} ended with {status}; the end of its log:\n{tail}")]
    Ended {
        /// The program.
        program: String,
        /// How.
        status: ExitStatus,
        /// The last lines it printed.
        tail: String,
    },
    /// A program did not do something in time.
    #[error("{program} did not {what} within {after:?}; the end of its log:\n{tail}")]
    Late {
        /// The program.
        program: String,
        /// What it should have done.
        what: String,
        /// The time given.
        after: Duration,
        /// The last lines it printed.
        tail: String,
    },
    /// The target answered a request with an error.
    #[error("{method}: error {code}: {message}")]
    Refused {
        /// The JSON-RPC method.
        method: String,
        /// The JSON-RPC error code.
        code: i64,
        /// The message.
        message: String,
    },
    /// The target's answer makes no sense.
    #[error("{method}: unusable answer: {answer}")]
    Answer {
        /// The JSON-RPC method.
        method: String,
        /// What came.
        answer: String,
    },
    /// The SPDK tree has no such program.
    #[error("SPDK in {} has no {program}", root.display())]
    NoProgram {
        /// The tree.
        root: PathBuf,
        /// The program.
        program: &'static str,
    },
}

impl TargetError {
    /// The message, if the target refused a request.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused { message, .. } => Some(message),
            _ => None,
        }
    }
}

/// For `map_err`: names what was being done to which file.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TargetError + use<> {
    let path = path.to_owned();
    move |source| TargetError::Io { action, path, source }
}
