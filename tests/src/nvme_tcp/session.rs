// SPDX-License-Identifier: BSD-3-Clause

//! One command at a time on a connection, as the set-up needs it.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::address::Address;
use super::command::Entry;
use super::connection::{Answer, Connection, Limits};
use super::error::InitiatorError;
use super::wait::wait_for;

/// A target that lives answers a command of the set-up within this time, however loaded it is.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens a connection, ready for the fabrics connect command.
///
/// # Errors
/// Nobody listens, or the target does not speak NVMe/TCP.
pub(super) fn open(address: &Address, limits: Limits) -> Result<Connection, InitiatorError> {
    let failed = |source| InitiatorError::Connect { address: address.clone(), source };
    let socket = TcpStream::connect_timeout(&address.socket, PATIENCE).map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let mut connection = Connection::new(socket, limits);
    drive(&mut connection, "setting the connection up", |connection| connection.is_connected().then_some(()))?;
    Ok(connection)
}

/// Submits a command and waits for its answer, which must be a success. Nothing else is under way.
///
/// # Errors
/// The target refuses, dies, or does not answer.
pub(super) fn call(
    connection: &mut Connection,
    action: &'static str,
    entry: Entry,
    to_send: Vec<u8>,
    reads_bytes: usize,
) -> Result<Answer, InitiatorError> {
    // Without room the connection has ended, which the wait reports.
    let _ = connection.submit(entry, to_send, reads_bytes, 0);
    let answer = drive(connection, action, Connection::pop_answer)?;
    if answer.status.is_success() {
        Ok(answer)
    } else {
        Err(InitiatorError::Refused { action, status: answer.status })
    }
}

/// Works on a connection until `look` finds something.
fn drive<T>(
    connection: &mut Connection,
    action: &'static str,
    mut look: impl FnMut(&mut Connection) -> Option<T>,
) -> Result<T, InitiatorError> {
    let began = Instant::now();
    loop {
        connection.advance()?;
        if let Some(found) = look(connection) {
            return Ok(found);
        }
        if let Some(ending) = connection.ending() {
            return Err(InitiatorError::Ended { action, ending: ending.clone() });
        }
        let left = PATIENCE.checked_sub(began.elapsed()).ok_or(InitiatorError::Late { action, after: PATIENCE })?;
        wait_for([(connection.socket(), connection.wants_to_write())].into_iter(), left)?;
    }
}
