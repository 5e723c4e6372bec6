// SPDX-License-Identifier: BSD-3-Clause

//! What holds for a drive's descriptor, whatever the bytes.

use mpool::format::DriveDescriptor;

/// Decodes the input. What decodes can be used without care, and encodes to bytes that decode to the same.
pub fn check(input: &[u8]) {
    let Ok(drive) = DriveDescriptor::decode(input) else { return };
    let zone_bytes = drive.zone_bytes();
    let used = u64::from(drive.zones).checked_mul(zone_bytes).expect("zones lie within the bytes");
    assert!(zone_bytes > 0 && used <= drive.bytes && matches!(drive.sector_bytes(), 512 | 4096));
    // The zones of the original's drives may lie where the last copy of a superblock is now.
    let whole = drive.resized(drive.bytes).filter(|_| drive.leaves_room_at_end());
    assert!(whole.is_some() || !drive.leaves_room_at_end());
    assert!(whole.is_none_or(|whole| whole.zones >= drive.zones && whole.class_tuple() == drive.class_tuple()));
    assert_eq!(DriveDescriptor::decode(&drive.encode()), Ok(drive));
}
