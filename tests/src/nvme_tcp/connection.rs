// SPDX-License-Identifier: BSD-3-Clause

//! One connection: a queue with up to `depth` commands under way. Nothing here waits.
//!
//! Invariants: a command is under way from [`Connection::submit`] until its [`Answer`] is there to be popped. When the
//! connection has ended, all that came before is read first; what is under way then will never be answered.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use super::command::Entry;
use super::pdu::{self, DataPart, Incoming, PduError, Status};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;
/// Sent bytes stay in front of unsent ones until there are so many.
const COMPACT_BYTES: usize = 1 << 20;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The target closed it.
    Closed,
    /// The target closed it and left bytes of ours unread, as one does that is killed.
    Reset,
    /// The target gave it up and said why (NVMe/TCP, section 3.6.2.5).
    Terminated {
        /// The reason.
        reason: u16,
    },
    /// The socket failed otherwise.
    Failed(ErrorKind),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Closed => write!(formatter, "the target closed it"),
            Ending::Reset => write!(formatter, "the target reset it"),
            Ending::Terminated { reason } => write!(formatter, "the target terminated it for reason {reason:#x}"),
            Ending::Failed(kind) => write!(formatter, "{kind}"),
        }
    }
}

/// The end of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the caller named it.
    pub tag: u64,
    /// How it ended.
    pub status: Status,
    /// What a command of the set-up returns.
    pub(super) result: u64,
    /// What it read.
    pub data: Vec<u8>,
}

/// A command under way.
#[derive(Debug)]
struct Slot {
    tag: u64,
    /// What is sent when the target is ready for it.
    to_send: Vec<u8>,
    /// Where to put what comes.
    received: Vec<u8>,
}

/// What a connection is allowed to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Commands under way at a time.
    pub depth: u16,
    /// Data that goes with a command.
    pub in_capsule_bytes: usize,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    limits: Limits,
    /// Set by the connection response.
    connected: bool,
    alignment: usize,
    most_data: usize,
    out: Vec<u8>,
    sent: usize,
    /// Where the socket is read to.
    chunk: Vec<u8>,
    input: Vec<u8>,
    slots: Vec<Option<Slot>>,
    free: Vec<u16>,
    answers: VecDeque<Answer>,
    ending: Option<Ending>,
}

impl Connection {
    /// Takes a connected socket over, which must not block, and asks for the connection.
    pub(super) fn new(socket: TcpStream, limits: Limits) -> Connection {
        let mut out = Vec::new();
        pdu::encode_connection(&mut out);
        Connection {
            socket,
            limits,
            connected: false,
            alignment: 4,
            most_data: 0,
            out,
            sent: 0,
            chunk: vec![0; READ_BYTES],
            input: Vec::new(),
            slots: (0..limits.depth).map(|_| None).collect(),
            free: (0..limits.depth).rev().collect(),
            answers: VecDeque::new(),
            ending: None,
        }
    }

    pub(super) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether commands can be given to it.
    pub(super) const fn is_connected(&self) -> bool {
        self.connected
    }

    pub(super) const fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Whether another command can be submitted.
    pub(super) fn has_room(&self) -> bool {
        self.connected && self.ending.is_none() && !self.free.is_empty()
    }

    /// Whether bytes wait to be sent.
    pub(super) const fn wants_to_write(&self) -> bool {
        self.ending.is_none() && self.sent < self.out.len()
    }

    /// Changes how much data goes with a command, once the target has told.
    pub(super) const fn set_in_capsule_bytes(&mut self, bytes: usize) {
        self.limits.in_capsule_bytes = bytes;
    }

    /// Submits a command that writes `to_send` or reads `reads_bytes`. Gives it back if there is no room.
    pub(super) fn submit(
        &mut self,
        entry: Entry,
        to_send: Vec<u8>,
        reads_bytes: usize,
        tag: u64,
    ) -> Result<(), (Entry, Vec<u8>)> {
        if !self.has_room() {
            return Err((entry, to_send));
        }
        let Some(command) = self.free.pop() else {
            return Err((entry, to_send));
        };
        let in_capsule = !to_send.is_empty() && to_send.len() <= self.limits.in_capsule_bytes;
        let entry = entry.identified(command).describe(to_send.len().max(reads_bytes), in_capsule);
        let data = if in_capsule { &to_send[..] } else { &[] };
        pdu::encode_command(&mut self.out, entry.bytes(), data, self.alignment);
        self.slots[usize::from(command)] = Some(Slot { tag, to_send, received: vec![0; reads_bytes] });
        Ok(())
    }

    /// The next command that has ended.
    pub(super) fn pop_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// Whether a command has ended that was not popped.
    pub(super) fn has_answer(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Tags of the commands under way; once the connection has ended, of those that were not answered.
    pub(super) fn under_way(&self) -> impl Iterator<Item = u64> + '_ {
        self.slots.iter().flatten().map(|slot| slot.tag)
    }

    /// Sends what can be sent and takes what has come.
    ///
    /// # Errors
    /// The target broke the protocol.
    pub(super) fn advance(&mut self) -> Result<(), PduError> {
        if self.ending.is_some() {
            return Ok(());
        }
        // What a dead target has sent before can be read even when no byte can be sent to it any more.
        let failed_to_send = self.send();
        let failed_to_read = self.receive()?;
        // Data units that the received ones ask for.
        let failed_to_send = failed_to_send.or_else(|| self.send());
        if self.ending.is_none() {
            self.ending = failed_to_read.or(failed_to_send);
        }
        Ok(())
    }

    fn send(&mut self) -> Option<Ending> {
        while self.sent < self.out.len() {
            match self.socket.write(&self.out[self.sent..]) {
                Ok(0) => return Some(Ending::Closed),
                Ok(length) => self.sent += length,
                Err(error) => match ending(error.kind()) {
                    None if error.kind() == ErrorKind::Interrupted => {}
                    none_or_ending => return none_or_ending,
                },
            }
            if self.sent >= COMPACT_BYTES {
                self.out.drain(..self.sent);
                self.sent = 0;
            }
        }
        self.out.clear();
        self.sent = 0;
        None
    }

    fn receive(&mut self) -> Result<Option<Ending>, PduError> {
        loop {
            match self.socket.read(&mut self.chunk) {
                Ok(0) => return Ok(Some(Ending::Closed)),
                Ok(length) => self.input.extend_from_slice(&self.chunk[..length]),
                Err(error) => match ending(error.kind()) {
                    None if error.kind() == ErrorKind::Interrupted => {}
                    none_or_ending => return Ok(none_or_ending),
                },
            }
            self.take_units()?;
        }
    }

    /// Takes all complete units out of what was read.
    fn take_units(&mut self) -> Result<(), PduError> {
        let input = std::mem::take(&mut self.input);
        let mut at = 0;
        while let Some((unit, length)) = pdu::decode(&input[at..])? {
            self.take(unit, &input[at..at + length])?;
            at += length;
        }
        self.input = input;
        self.input.drain(..at);
        Ok(())
    }

    fn take(&mut self, unit: Incoming, bytes: &[u8]) -> Result<(), PduError> {
        match unit {
            Incoming::Connected { alignment, most_data } if !self.connected => {
                (self.alignment, self.most_data, self.connected) = (alignment, most_data, true);
            }
            Incoming::Termination { reason } => self.ending = Some(Ending::Terminated { reason }),
            _ if !self.connected => return Err(PduError::Turn),
            Incoming::Connected { .. } => return Err(PduError::Turn),
            Incoming::Response { command, status, result } => self.finish(command, status, result)?,
            Incoming::Data { command, offset, data, succeeded } => {
                let slot = slot(&mut self.slots, command)?;
                let length = data.len();
                let all = slot.received.len();
                let place = part(offset, length as u32, all)?;
                slot.received[place].copy_from_slice(&bytes[data]);
                if succeeded {
                    self.finish(command, Status::SUCCESS, 0)?;
                }
            }
            Incoming::Ready { command, tag, offset, length } => self.send_data(command, tag, offset, length)?,
        }
        Ok(())
    }

    fn finish(&mut self, command: u16, status: Status, result: u64) -> Result<(), PduError> {
        let slot = self.slots.get_mut(usize::from(command)).and_then(Option::take).ok_or(PduError::Command(command))?;
        self.free.push(command);
        self.answers.push_back(Answer { tag: slot.tag, status, result, data: slot.received });
        Ok(())
    }

    fn send_data(&mut self, command: u16, tag: u16, offset: u32, length: u32) -> Result<(), PduError> {
        let slot = slot(&mut self.slots, command)?;
        let place = part(offset, length, slot.to_send.len())?;
        let end = place.end;
        let mut at = place.start;
        while at < end {
            let next = end.min(at + self.most_data);
            let data = &slot.to_send[at..next];
            let part = DataPart { command, tag, offset: at as u32, data, last: next == end };
            pdu::encode_data(&mut self.out, &part, self.alignment);
            at = next;
        }
        Ok(())
    }
}

fn slot(slots: &mut [Option<Slot>], command: u16) -> Result<&mut Slot, PduError> {
    slots.get_mut(usize::from(command)).and_then(Option::as_mut).ok_or(PduError::Command(command))
}

/// A part of a transfer of `all` bytes.
fn part(offset: u32, length: u32, all: usize) -> Result<std::ops::Range<usize>, PduError> {
    let start = offset as usize;
    match start.checked_add(length as usize) {
        Some(end) if end <= all => Ok(start..end),
        _ => Err(PduError::Range { offset, length, all }),
    }
}

/// Whether an error of a socket ends the connection.
const fn ending(kind: ErrorKind) -> Option<Ending> {
    match kind {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => None,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Some(Ending::Reset),
        other => Some(Ending::Failed(other)),
    }
}

#[cfg(test)]
mod tests;
