// SPDX-License-Identifier: BSD-3-Clause

//! The checksums of a superblock: of its head, of the drive's descriptor and, since version 3, of everything.

use crc_fast::{CrcAlgorithm, Digest};

use super::{SuperblockError, DRIVE_AT, HEAD_BYTES, SUPERBLOCK_BYTES, WHOLE_CRC_AT};
use crate::format::drive_descriptor::DRIVE_DESCRIPTOR_BYTES;

/// The end of the drive's descriptor, where its checksum begins.
const DRIVE_END: usize = DRIVE_AT + DRIVE_DESCRIPTOR_BYTES;

/// A checksum of a copy, for inspection; [`Superblock::decode`](super::Superblock::decode) checks them itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// The range of bytes that the checksum covers.
    pub covers: (usize, usize),
    /// The checksum in the copy.
    pub stored: u32,
    /// The right checksum.
    pub computed: u32,
}

/// The checksums of a copy in the order of their places: of the head, of the drive's descriptor, of everything. The
/// last is meaningless in version 1.
#[must_use]
pub fn checksums(copy: &[u8; SUPERBLOCK_BYTES]) -> [Checksum; 3] {
    let of = |first: usize, end: usize, crc: fn(&[u8]) -> u32| {
        let stored = copy[end..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        Checksum { covers: (first, end), stored, computed: crc(&copy[first..end]) }
    };
    [of(0, HEAD_BYTES, crc32c), of(DRIVE_AT, DRIVE_END, crc32c), of(0, WHOLE_CRC_AT, whole_crc)]
}

pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The checksum of everything: of the bytes before it, with the two other checksums as zeros.
pub(super) fn whole_crc(bytes: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    let mut from = 0;
    for checksum_at in [HEAD_BYTES, DRIVE_END] {
        digest.update(bytes.get(from..checksum_at).unwrap_or_default());
        digest.update(&[0; 4]);
        from = checksum_at + 4;
    }
    digest.update(bytes.get(from..).unwrap_or_default());
    digest.finalize() as u32
}

/// Compares the checksum of `bytes` with the stored one.
pub(super) fn check(bytes: &[u8], stored: u32, of: &'static str) -> Result<(), SuperblockError> {
    if crc32c(bytes) == stored {
        Ok(())
    } else {
        Err(SuperblockError::Checksum(of))
    }
}
