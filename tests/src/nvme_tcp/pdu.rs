// SPDX-License-Identifier: BSD-3-Clause

//! The units that go over an NVMe/TCP connection (NVMe/TCP transport specification 1.0, section 3.6), without digests.
//!
//! All begin with a common header; all numbers are little-endian.
//! ```text
//!  off size
//!    0    1  type
//!    1    1  flags: 4 last data unit of the command, 8 the command has succeeded (no response follows)
//!    2    1  length of the header
//!    3    1  offset of the data, 0 without data
//!    4    4  length of all
//! ```
//! followed by
//! ```text
//!  connection request     8 version 0 | 10 alignment | 11 digests | 12 (4) transfers at a time - 1 | up to 128: zero
//!  connection response    8 version 0 | 10 alignment, as dwords - 1 | 11 digests | 12 (4) most data in a unit
//!  command                8 (64) submission queue entry | data
//!  response               8 (16) completion queue entry: (8) result | (4) queue | 12 (2) command | 14 (2) status
//!  data, both ways        8 (2) command | 10 (2) transfer tag, if sent | 12 (4) offset | 16 (4) length | 24 data
//!  ready to transfer      8 (2) command | 10 (2) transfer tag | 12 (4) offset | 16 (4) length
//!  termination            8 (2) reason
//! ```
//! [`decode`] takes any bytes and returns a typed error for those that make no sense.

use std::ops::Range;

use thiserror::Error;

const IC_REQUEST: u8 = 0x00;
const IC_RESPONSE: u8 = 0x01;
const TERMINATION: u8 = 0x03;
const COMMAND: u8 = 0x04;
const RESPONSE: u8 = 0x05;
const DATA_TO_CONTROLLER: u8 = 0x06;
const DATA_TO_HOST: u8 = 0x07;
const READY: u8 = 0x09;

const LAST: u8 = 1 << 2;
const SUCCESS: u8 = 1 << 3;

const COMMON_BYTES: usize = 8;
const IC_BYTES: usize = 128;
const COMMAND_BYTES: usize = 72;
const DATA_BYTES: usize = 24;
/// Bytes of a submission queue entry.
pub(super) const ENTRY_BYTES: usize = 64;
/// Longer units than these come from nobody who speaks NVMe/TCP: a transfer has at most some MiB.
const MAX_BYTES: usize = 32 << 20;

/// A unit that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PduError {
    /// A type that a controller does not send.
    #[error("a unit of type {0:#04x}")]
    Type(u8),
    /// A length that does not go with the type.
    #[error("a unit of type {kind:#04x} with {header} bytes of header, {all} bytes in all and data at {data_at}")]
    Length {
        /// Type of the unit.
        kind: u8,
        /// Length of its header.
        header: u8,
        /// Length of all.
        all: u32,
        /// Where its data begins.
        data_at: u8,
    },
    /// Another version of the protocol, or digests that were not asked for.
    #[error("a connection response of version {version} with digests {digests:#04x}")]
    Version {
        /// Version of the format.
        version: u16,
        /// Digests that are on.
        digests: u8,
    },
    /// A unit for a command that is not under way.
    #[error("a unit for command {0}, which is not under way")]
    Command(u16),
    /// A part of a transfer that the command does not have.
    #[error("{length} bytes at {offset} of a transfer of {all} bytes")]
    Range {
        /// Where the part begins.
        offset: u32,
        /// Its length.
        length: u32,
        /// Length of the transfer.
        all: usize,
    },
    /// A response to the connection request where none is due, or something else where it is.
    #[error("a unit out of turn")]
    Turn,
    /// An identify structure that is too short.
    #[error("an identify structure of {0} bytes")]
    Identify(usize),
}

/// How a command ended: type and code of the status (NVMe base specification, section 3.3.3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(u16);

impl Status {
    /// Success.
    pub const SUCCESS: Status = Status(0);

    /// From the last word of a completion queue entry, whose lowest bit is none of the status.
    const fn from_word(word: u16) -> Status {
        Status((word >> 1) & 0x7ff)
    }

    /// Whether the command has done what it was to do.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 == 0
    }

    /// Type of the status: 0 generic, 1 of the command, 2 of the media.
    #[must_use]
    pub const fn kind(self) -> u16 {
        self.0 >> 8
    }

    /// Code within the type.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0 & 0xff
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "status type {}, code {:#04x}", self.kind(), self.code())
    }
}

/// What comes from a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The connection is set up.
    Connected {
        /// Data in units to the controller begins at multiples of this.
        alignment: usize,
        /// Most data in one unit to the controller.
        most_data: usize,
    },
    /// A command has ended.
    Response { command: u16, status: Status, result: u64 },
    /// A part of what a command reads; `data` is where it lies in the unit.
    Data { command: u16, offset: u32, data: Range<usize>, succeeded: bool },
    /// The controller has room for a part of what a command writes.
    Ready { command: u16, tag: u16, offset: u32, length: u32 },
    /// The controller gives the connection up.
    Termination { reason: u16 },
}

/// Appends the request that opens a connection.
pub(super) fn encode_connection(out: &mut Vec<u8>) {
    let start = out.len();
    header(out, IC_REQUEST, 0, IC_BYTES, 0, IC_BYTES);
    // Version 0, no alignment, no digests, one transfer at a time.
    out.resize(start + IC_BYTES, 0);
}

/// Appends a command with its data, if any.
pub(super) fn encode_command(out: &mut Vec<u8>, entry: &[u8; ENTRY_BYTES], data: &[u8], alignment: usize) {
    let at = if data.is_empty() { COMMAND_BYTES } else { COMMAND_BYTES.next_multiple_of(alignment) };
    let data_at = if data.is_empty() { 0 } else { at };
    header(out, COMMAND, 0, COMMAND_BYTES, data_at, at + data.len());
    out.extend_from_slice(entry);
    out.resize(out.len() + at - COMMAND_BYTES, 0);
    out.extend_from_slice(data);
}

/// A part of what a command writes.
pub(super) struct DataPart<'a> {
    pub command: u16,
    pub tag: u16,
    pub offset: u32,
    pub data: &'a [u8],
    /// Whether it is the last of what the controller was ready for.
    pub last: bool,
}

/// Appends a part of what a command writes.
pub(super) fn encode_data(out: &mut Vec<u8>, part: &DataPart<'_>, alignment: usize) {
    let at = DATA_BYTES.next_multiple_of(alignment);
    let flags = if part.last { LAST } else { 0 };
    header(out, DATA_TO_CONTROLLER, flags, DATA_BYTES, at, at + part.data.len());
    out.extend_from_slice(&part.command.to_le_bytes());
    out.extend_from_slice(&part.tag.to_le_bytes());
    out.extend_from_slice(&part.offset.to_le_bytes());
    out.extend_from_slice(&(part.data.len() as u32).to_le_bytes());
    out.resize(out.len() + at - DATA_BYTES + 4, 0);
    out.extend_from_slice(part.data);
}

fn header(out: &mut Vec<u8>, kind: u8, flags: u8, header: usize, data_at: usize, all: usize) {
    out.extend_from_slice(&[kind, flags, header as u8, data_at as u8]);
    out.extend_from_slice(&(all as u32).to_le_bytes());
}

/// The first unit of `bytes` and its length; none while it is not complete.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Incoming, usize)>, PduError> {
    let Some(common) = bytes.first_chunk::<COMMON_BYTES>() else {
        return Ok(None);
    };
    let [kind, flags, header, data_at, ..] = *common;
    let all = word(bytes, 4);
    let shape = PduError::Length { kind, header, all, data_at };
    let expected = match kind {
        IC_RESPONSE => IC_BYTES,
        TERMINATION | RESPONSE | DATA_TO_HOST | READY => DATA_BYTES,
        other => return Err(PduError::Type(other)),
    };
    let length = all as usize;
    if usize::from(header) != expected || length < expected || length > MAX_BYTES {
        return Err(shape);
    }
    let Some(unit) = bytes.get(..length) else {
        return Ok(None);
    };
    let incoming = match kind {
        IC_RESPONSE => connected(unit)?,
        TERMINATION => Incoming::Termination { reason: half(unit, 8) },
        RESPONSE => Incoming::Response {
            command: half(unit, 20),
            status: Status::from_word(half(unit, 22)),
            result: u64::from(word(unit, 8)) | u64::from(word(unit, 12)) << 32,
        },
        READY => Incoming::Ready {
            command: half(unit, 8),
            tag: half(unit, 10),
            offset: word(unit, 12),
            length: word(unit, 16),
        },
        _ => {
            let data = usize::from(data_at)..length;
            if data.start < DATA_BYTES || data.len() != word(unit, 16) as usize || data.end < data.start {
                return Err(shape);
            }
            Incoming::Data { command: half(unit, 8), offset: word(unit, 12), data, succeeded: flags & SUCCESS != 0 }
        }
    };
    Ok(Some((incoming, length)))
}

fn connected(unit: &[u8]) -> Result<Incoming, PduError> {
    let (version, digests) = (half(unit, 8), unit[11]);
    if version != 0 || digests != 0 {
        return Err(PduError::Version { version, digests });
    }
    // At least 4096 by the specification; with 0 no transfer would end.
    let most_data = (word(unit, 12) as usize).max(4096);
    Ok(Incoming::Connected { alignment: (usize::from(unit[10]) + 1) * 4, most_data })
}

/// Bytes of `from` at `at`, which lie inside of it.
fn half(from: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([from[at], from[at + 1]])
}

fn word(from: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([from[at], from[at + 1], from[at + 2], from[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpool::testing::Random;

    #[test]
    fn what_is_sent_has_golden_bytes() {
        let mut out = Vec::new();
        encode_connection(&mut out);
        assert_eq!(out.len(), 128);
        assert_eq!(out[..8], [0, 0, 128, 0, 128, 0, 0, 0]);
        assert!(out[8..].iter().all(|&byte| byte == 0));

        out.clear();
        encode_command(&mut out, &[0x11; 64], &[], 4);
        assert_eq!((out.len(), &out[..9]), (72, &[4, 0, 72, 0, 72, 0, 0, 0, 0x11][..]));
        out.clear();
        encode_command(&mut out, &[0x11; 64], &[7; 512], 16);
        assert_eq!((out.len(), &out[..8]), (80 + 512, &[4, 0, 72, 80, 0x50, 2, 0, 0][..]));
        assert_eq!((out[79], out[80]), (0, 7));

        out.clear();
        let part = DataPart { command: 3, tag: 0x0504, offset: 0x1000, data: &[9; 2], last: true };
        encode_data(&mut out, &part, 4);
        let golden = [6, 4, 24, 24, 26, 0, 0, 0, 3, 0, 4, 5, 0, 16, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 9];
        assert_eq!(out, golden);
    }

    #[test]
    fn what_comes_is_read() {
        let mut connected = vec![1, 0, 128, 0, 128, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0];
        connected.resize(128, 0);
        let found = Incoming::Connected { alignment: 8, most_data: 131_072 };
        assert_eq!(decode(&connected), Ok(Some((found, 128))));
        connected[11] = 1;
        assert_eq!(decode(&connected), Err(PduError::Version { version: 0, digests: 1 }));

        let response = [5, 0, 24, 0, 24, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 33, 0, 3, 5];
        let found = Incoming::Response { command: 33, status: Status(0x281), result: 1 | 2 << 32 };
        assert_eq!(decode(&response), Ok(Some((found, 24))));
        assert_eq!(Status(0x281).to_string(), "status type 2, code 0x81");

        let ready = [9, 0, 24, 0, 24, 0, 0, 0, 33, 0, 7, 0, 0, 16, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0];
        let found = Incoming::Ready { command: 33, tag: 7, offset: 4096, length: 8192 };
        assert_eq!(decode(&ready), Ok(Some((found, 24))));

        let data = [7, 12, 24, 24, 26, 0, 0, 0, 33, 0, 0, 0, 0, 16, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5, 6];
        let found = Incoming::Data { command: 33, offset: 4096, data: 24..26, succeeded: true };
        assert_eq!(decode(&data), Ok(Some((found, 26))));
        assert_eq!(decode(&data[..25]), Ok(None));
        assert_eq!(decode(&[4, 0, 72, 0, 72, 0, 0, 0]), Err(PduError::Type(4)));
    }

    #[test]
    fn any_bytes_are_answered() {
        let mut random = Random::stream(1, 0);
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> = (0..random.below(64)).map(|_| random.below(256) as u8).collect();
            if let [kind, _, header, data_at, low, high, top, _, ..] = &mut bytes[..] {
                *kind = random.pick(&[1, 3, 5, 7, 9]);
                *header = random.pick(&[24, 24, 24, 128]);
                *data_at = random.below(64) as u8;
                (*low, *high, *top) = (random.below(64) as u8, 0, 0);
            }
            if let Ok(Some((Incoming::Data { data, .. }, length))) = decode(&bytes) {
                assert!(data.end == length && bytes.get(data).is_some());
            }
        }
    }
}
