// SPDX-License-Identifier: BSD-3-Clause

//! The header of a log block.
//!
//! A log is a sequence of blocks, each exactly one sector (512 or 4096 bytes). All numbers are little-endian.
//! ```text
//!  off size
//!    0    2  header version: 2, or 1 for a block as mpool has it
//!    2   16  UUID of the log
//!   18    2  zero
//!   20    4  version 2: CRC32C of the whole block, computed with this field zero; version 1: zero
//!   24    4  pfsetid: flush-set id of the previous block, 0 in block 0
//!   28    4  cfsetid: flush-set id of this block
//!   32    8  generation of the log
//!   40       records, then zeros
//! ```
//! Differs from mpool, whose blocks have no check code: version 2 puts one into four of the pad bytes. A block with a
//! wrong code does not count at all.

use crc_fast::{CrcAlgorithm, Digest};
use uuid::Uuid;

/// Bytes of a block's header.
pub const HEADER_BYTES: usize = 40;

/// The offset of the check code.
const CRC_AT: usize = 20;

/// The version of the blocks that a log writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Version 1: mpool's, without a check code.
    V1,
    /// Version 2: with a check code.
    V2,
}

impl LogFormat {
    const fn version(self) -> u16 {
        match self {
            LogFormat::V1 => 1,
            LogFormat::V2 => 2,
        }
    }
}

/// Identifies the blocks that count: the rest of a log's space may hold anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The UUID of the log.
    pub uuid: Uuid,
    /// The present generation of the log.
    pub generation: u64,
}

/// The flush sets of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetIds {
    /// The flush set of the previous block; 0 in block 0.
    pub previous: u32,
    /// The block's own flush set.
    pub current: u32,
}

/// The unchecked header of a block, for inspection; [`classify`] checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The version of the header.
    pub version: u16,
    /// The log and generation that the block claims.
    pub stamp: Stamp,
    /// The flush sets of the block.
    pub ids: SetIds,
    /// The check code; meaningful only in version 2.
    pub crc: u32,
}

impl Header {
    /// Decodes the header at the start of any bytes; none when they are too short.
    #[must_use]
    pub fn decode(block: &[u8]) -> Option<Header> {
        let header = block.first_chunk::<HEADER_BYTES>()?;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&header[2..18]);
        Some(Header {
            version: u16::from_le_bytes([header[0], header[1]]),
            stamp: Stamp { uuid: Uuid::from_bytes(uuid), generation: field_u64(header, 32) },
            ids: SetIds { previous: field_u32(header, 24), current: field_u32(header, 28) },
            crc: field_u32(header, CRC_AT),
        })
    }

    /// True if the check code is that of `block`, from which the header was read.
    #[must_use]
    pub fn matches(&self, block: &[u8]) -> bool {
        block.len() >= HEADER_BYTES && self.crc == crc_of(block)
    }
}

/// Bytes that every medium writes as a whole; a header lies in the first of them.
pub const TORN_BYTES: usize = 512;

const _: () = assert!(HEADER_BYTES <= TORN_BYTES, "no header is torn");

/// What bytes at the place of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// A block of another log or generation, or none: garbage, zeros, a write of which the beginning did not come.
    Foreign,
    /// The beginning of a block of this log whose rest is another's: a torn write, or damage.
    Torn(SetIds),
    /// A block of this log with a header of a version that is not read. Whether it is whole is not known.
    UnknownVersion {
        /// The version in the header.
        version: u16,
        /// The flush sets in the header.
        ids: SetIds,
    },
    /// A whole block of this log.
    Ours(SetIds),
}

/// Writes the header of a full block image; with version 2 the check code covers the present bytes.
///
/// # Panics
/// If `block` is shorter than a header.
pub fn seal(block: &mut [u8], format: LogFormat, stamp: Stamp, ids: SetIds) {
    block[0..2].copy_from_slice(&format.version().to_le_bytes());
    block[2..18].copy_from_slice(stamp.uuid.as_bytes());
    block[18..24].fill(0);
    block[24..28].copy_from_slice(&ids.previous.to_le_bytes());
    block[28..32].copy_from_slice(&ids.current.to_le_bytes());
    block[32..40].copy_from_slice(&stamp.generation.to_le_bytes());
    if format == LogFormat::V2 {
        let crc = crc_of(block);
        block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Classifies `block` for the log of `stamp`. Version 1 counts as unknown unless `accept_v1`: without a check code a
/// damaged block of version 2 could pass for one of version 1. Takes any bytes, of any length.
#[must_use]
pub fn classify(block: &[u8], stamp: Stamp, accept_v1: bool) -> BlockKind {
    let Some(header) = Header::decode(block).filter(|header| header.stamp == stamp) else { return BlockKind::Foreign };
    match header.version {
        1 if accept_v1 => BlockKind::Ours(header.ids),
        2 if header.matches(block) => BlockKind::Ours(header.ids),
        2 => BlockKind::Torn(header.ids),
        version => BlockKind::UnknownVersion { version, ids: header.ids },
    }
}

fn field_u32(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[at..at + 4]);
    u32::from_le_bytes(bytes)
}

fn field_u64(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// CRC32C of a block, with its check code taken as zero.
fn crc_of(block: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&block[..CRC_AT]);
    digest.update(&[0; 4]);
    digest.update(&block[CRC_AT + 4..]);
    digest.finalize() as u32
}

// The fields are contiguous and end where the records begin.
const _: () = assert!(2 + 16 + 2 + 4 + 4 + 4 + 8 == HEADER_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { uuid: Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f), generation: 0x0102 };
    const IDS: SetIds = SetIds { previous: 6, current: 7 };

    fn sealed(format: LogFormat) -> Vec<u8> {
        let mut block = vec![0; 512];
        block[40] = 0xee;
        seal(&mut block, format, STAMP, IDS);
        block
    }

    #[test]
    fn a_header_has_the_bytes_of_the_specification() {
        let block = sealed(LogFormat::V1);
        let mut expected = vec![1, 0];
        expected.extend(0..16);
        expected.extend([0; 6]);
        expected.extend([6, 0, 0, 0, 7, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0xee]);
        assert_eq!(block[..41], expected);
    }

    #[test]
    fn version_2_differs_by_its_version_and_the_check_code_alone() {
        let (first, second) = (sealed(LogFormat::V1), sealed(LogFormat::V2));
        let differing: Vec<_> = (0..512).filter(|&at| first[at] != second[at]).collect();
        assert_eq!(differing, [0, 20, 21, 22, 23]);
        // Computed by a bit-by-bit CRC32C, independent of this code.
        assert_eq!(
            second[20..24],
            slow_crc32c(&{
                let mut zeroed = second.clone();
                zeroed[20..24].fill(0);
                zeroed
            })
            .to_le_bytes()
        );
    }

    fn slow_crc32c(bytes: &[u8]) -> u32 {
        let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
    }

    #[test]
    fn any_flipped_bit_of_version_2_is_noticed() {
        let block = sealed(LogFormat::V2);
        assert_eq!(classify(&block, STAMP, false), BlockKind::Ours(IDS));
        for bit in 0..block.len() * 8 {
            let mut damaged = block.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(classify(&damaged, STAMP, false), BlockKind::Ours(_)), "bit {bit}");
        }
    }

    /// mpool-74, partly: blocks of another log or generation do not count.
    #[test]
    fn blocks_of_others_are_foreign() {
        for format in [LogFormat::V1, LogFormat::V2] {
            let block = sealed(format);
            let other = Stamp { uuid: Uuid::from_u128(1), ..STAMP };
            assert_eq!(classify(&block, other, true), BlockKind::Foreign);
            assert_eq!(classify(&block, Stamp { generation: 0x0103, ..STAMP }, true), BlockKind::Foreign);
            assert_eq!(classify(&block, STAMP, true), BlockKind::Ours(IDS));
        }
        assert_eq!(classify(&sealed(LogFormat::V2)[..39], STAMP, true), BlockKind::Foreign);
        assert_eq!(classify(&[], STAMP, true), BlockKind::Foreign);
    }

    #[test]
    fn unknown_versions_and_unwanted_ones_are_told_apart() {
        let mut block = sealed(LogFormat::V1);
        assert_eq!(classify(&block, STAMP, false), BlockKind::UnknownVersion { version: 1, ids: IDS });
        block[0] = 3;
        assert_eq!(classify(&block, STAMP, true), BlockKind::UnknownVersion { version: 3, ids: IDS });
    }
}
