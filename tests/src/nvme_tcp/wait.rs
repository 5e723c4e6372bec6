// SPDX-License-Identifier: BSD-3-Clause

//! Waiting until one of several sockets has something to do.

use std::net::TcpStream;
use std::time::Duration;

use rustix::event::{poll, PollFd, PollFlags, Timespec};

use super::error::InitiatorError;

/// Waits until a socket can be read, one that `wants` to write can be written, or the time is over.
///
/// # Errors
/// The kernel refuses; a signal is no error.
pub(super) fn wait_for<'a>(
    sockets: impl Iterator<Item = (&'a TcpStream, bool)>,
    patience: Duration,
) -> Result<(), InitiatorError> {
    let interest = |wants| if wants { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let mut watched: Vec<_> = sockets.map(|(socket, wants)| PollFd::new(socket, interest(wants))).collect();
    let patience = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    match poll(&mut watched, Some(&patience)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(InitiatorError::Wait(error.into())),
    }
}
