// SPDX-License-Identifier: BSD-3-Clause

//! What holds for a copy of a superblock, whatever the bytes.

use crc_fast::CrcAlgorithm;
use engine::pool::format::{Superblock, SuperblockVersion, SUPERBLOCK_BYTES};

/// Judges the input as it is, and once more with checksums that match: no change of the rest gets past wrong ones.
pub fn check(input: &[u8]) {
    judge(input);
    let mut sealed = input.to_vec();
    sealed.resize(SUPERBLOCK_BYTES, 0);
    for (covered, at) in [(0..62, 62), (72..120, 120), (0..4092, 4092)] {
        let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &sealed[covered]) as u32;
        sealed[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    judge(&sealed);
}

/// What decodes encodes to bytes that decode to the same. MDC0's logs, when found possible, lie on the drive.
fn judge(bytes: &[u8]) {
    let Ok((superblock, version)) = Superblock::decode(bytes) else { return };
    if superblock.check_metadata().is_ok() {
        for log in superblock.metadata.iter().flat_map(|metadata| metadata.logs) {
            assert!(log.extent.first > 0 && log.extent.end().is_some_and(|end| end <= superblock.drive.zones.into()));
        }
    }
    let again = Superblock::decode(&superblock.encode(version)[..]);
    // Version 1 does not count its rewrites.
    let generation = if version == SuperblockVersion::V1 { 1 } else { superblock.generation };
    assert_eq!(again, Ok((Superblock { generation, ..superblock }, version)));
}
