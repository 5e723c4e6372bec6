// SPDX-License-Identifier: BSD-3-Clause

//! What can go wrong with a target that lives; that it dies is an [`Ending`].

use std::time::Duration;

use thiserror::Error;

use super::address::Address;
use super::connection::Ending;
use super::pdu::{PduError, Status};

/// An error of the initiator.
#[derive(Debug, Error)]
pub enum InitiatorError {
    /// Nobody listens, or the socket cannot be set up.
    #[error("connecting to {address}: {source}")]
    Connect {
        /// To what.
        address: Address,
        /// Why not.
        source: std::io::Error,
    },
    /// The connection ended where the caller cannot go on without it.
    #[error("{action}: the connection ended: {ending}")]
    Ended {
        /// What was being done.
        action: &'static str,
        /// How it ended.
        ending: Ending,
    },
    /// An answer did not come in time.
    #[error("{action}: no answer within {after:?}")]
    Late {
        /// What was being done.
        action: &'static str,
        /// The time given.
        after: Duration,
    },
    /// The target sent what the specification does not allow.
    #[error("the target broke the protocol: {0}")]
    Pdu(#[from] PduError),
    /// The target refused a command of the set-up.
    #[error("{action}: {status}")]
    Refused {
        /// What was being done.
        action: &'static str,
        /// The status it gave.
        status: Status,
    },
    /// The target is of a kind that this initiator does not know.
    #[error("the namespace cannot be used: {0}")]
    Unsuitable(&'static str),
    /// Waiting on sockets failed.
    #[error("waiting for the target: {0}")]
    Wait(std::io::Error),
}
