// SPDX-License-Identifier: BSD-3-Clause

//! What holds for a copy of a superblock, whatever the bytes.

use mpool::format::superblock::checksums;
use mpool::format::{Superblock, SuperblockVersion, SUPERBLOCK_BYTES};

/// Judges the input as it is, and once more with checksums that match: no change of the rest gets past wrong ones.
pub fn check(input: &[u8]) {
    judge(input);
    let mut sealed = [0; SUPERBLOCK_BYTES];
    let bytes = input.len().min(SUPERBLOCK_BYTES);
    sealed[..bytes].copy_from_slice(&input[..bytes]);
    for number in 0..3 {
        let checksum = checksums(&sealed)[number];
        let at = checksum.covers.1;
        sealed[at..at + 4].copy_from_slice(&checksum.computed.to_le_bytes());
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
