// SPDX-License-Identifier: BSD-3-Clause

//! Superblocks byte for byte, and bytes that are none.

use super::*;
use crate::pool::device::DeviceType;
use crate::pool::format::drive_descriptor::tests::{example as drive, GOLDEN as DRIVE_GOLDEN};
use SuperblockVersion::{V1, V2};

/// The superblock of mpool.md 15.1, with MDC0 on it: logs of one zone each, after the superblocks' zone.
pub(crate) fn example() -> Superblock {
    let log = |number: u8| Mdc0Log {
        generation: 0x0102_0304_0506_0700 + u64::from(number),
        uuid: Uuid::from_bytes([0xa0 + number; 16]),
        drive: drive().uuid,
        extent: Extent { first: u64::from(number), zones: 1 },
    };
    Superblock {
        generation: 1,
        name: PoolName::new("mp1").expect("a name"),
        pool: Uuid::from_bytes(core::array::from_fn(|at| at as u8)),
        drive: drive(),
        metadata: Some(Mdc0Location { logs: [log(1), log(2)], drive: drive() }),
        flags: SuperblockFlags::NONE,
    }
}

fn without_metadata() -> Superblock {
    Superblock { metadata: None, ..example() }
}

/// Bytes with all checksums made right again.
fn sealed(mut bytes: Box<[u8; SUPERBLOCK_BYTES]>) -> Box<[u8; SUPERBLOCK_BYTES]> {
    for (from, end) in [(0, 62), (72, 120)] {
        let crc = crc32c(&bytes[from..end]);
        bytes[end..end + 4].copy_from_slice(&crc.to_le_bytes());
    }
    if bytes[56] >= 2 {
        let crc = whole_crc(&bytes[..4092]);
        bytes[4092..].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

fn changed(version: SuperblockVersion, at: usize, with: &[u8]) -> Result<Superblock, SuperblockError> {
    let mut bytes = example().encode(version);
    bytes[at..at + with.len()].copy_from_slice(with);
    Superblock::decode(&sealed(bytes)[..]).map(|(superblock, _)| superblock)
}

/// The bytes that both versions have in common, but for version and checksums.
fn golden_fields(bytes: &[u8; SUPERBLOCK_BYTES]) {
    assert_eq!(bytes[..8], [0x6d, 0x70, 0x6f, 0x6f, 0x6c, 0x44, 0x65, 0x76]);
    assert_eq!((&bytes[8..12], &bytes[12..40]), (&b"mp1\0"[..], &[0; 28][..]));
    assert_eq!(bytes[40..56], core::array::from_fn::<u8, 16, _>(|at| at as u8));
    assert_eq!((&bytes[66..72], &bytes[72..120], &bytes[124..128]), (&[0; 6][..], &DRIVE_GOLDEN[..], &[0; 4][..]));
    for (at, number) in [(128, 1), (184, 2)] {
        let log = &bytes[at..at + 56];
        assert_eq!(log[..8], [number, 7, 6, 5, 4, 3, 2, 1], "generation");
        assert_eq!(log[8..24], [0xa0 + number; 16], "UUID");
        assert_eq!(log[24..40], DRIVE_GOLDEN[3..19], "drive");
        assert_eq!(log[40..56], [1, 0, 0, 0, number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "zones, first zone, padding");
    }
    assert_eq!(bytes[240..288], DRIVE_GOLDEN);
}

/// mpool-89: version 1, with the checksums of mpool.md 15.1.
/// mpool-136, partly: what libblkid looks at is where it looks.
#[test]
fn golden_bytes_of_version_1() {
    let bytes = example().encode(V1);
    golden_fields(&bytes);
    assert_eq!(bytes[56..66], [1, 0, 1, 0, 0, 0, 0x3d, 0xdb, 0x8c, 0x88], "version, generation, first checksum");
    assert_eq!(bytes[120..124], 0x1fbc_612d_u32.to_le_bytes());
    assert!(bytes[288..].iter().all(|byte| *byte == 0));
    let bytes = Superblock { generation: 9, flags: SuperblockFlags::LEGACY_LOGS, ..without_metadata() }.encode(V1);
    assert_eq!(bytes[58..62], [1, 0, 0, 0], "the generation of version 1");
    assert!(bytes[128..].iter().all(|byte| *byte == 0));
}

/// mpool-89, partly: version 2, whose checksums were computed with an independent program.
#[test]
fn golden_bytes_of_version_2() {
    let bytes = Superblock { generation: 0x0a0b, flags: SuperblockFlags::LEGACY_LOGS, ..example() }.encode(V2);
    golden_fields(&bytes);
    assert_eq!(bytes[56..62], [2, 0, 0x0b, 0x0a, 0, 0], "version, generation");
    assert_eq!(bytes[62..66], 0x822d_3c48_u32.to_le_bytes());
    assert_eq!(bytes[120..124], 0x1fbc_612d_u32.to_le_bytes());
    assert_eq!(bytes[288..296], [1, 0, 0, 0, 0, 0, 0, 0], "flags");
    assert!(bytes[296..4092].iter().all(|byte| *byte == 0));
    assert_eq!(bytes[4092..], 0x6f16_6c82_u32.to_le_bytes());
}

#[test]
fn superblocks_are_decoded_as_they_were_encoded() {
    for superblock in [example(), without_metadata(), Superblock { generation: u32::MAX, ..example() }] {
        assert_eq!(Superblock::decode(&superblock.encode(V2)[..]), Ok((superblock.clone(), V2)));
        let converted = Superblock { generation: 1, flags: SuperblockFlags::LEGACY_LOGS, ..superblock };
        assert_eq!(Superblock::decode(&converted.encode(V2)[..]), Ok((converted, V2)));
    }
}

/// The checksums as a tool shows them are those that the decoder asks for.
#[test]
fn checksums_match_in_good_superblocks() {
    let matching = |version| checksums(&example().encode(version)).map(|checksum| checksum.stored == checksum.computed);
    assert_eq!(matching(V2), [true; 3]);
    assert_eq!(matching(V1), [true, true, false], "version 1 has no checksum of everything");
    assert_eq!(checksums(&example().encode(V2)).map(|checksum| checksum.covers), [(0, 62), (72, 120), (0, 4092)]);
}

/// mpool-91, partly: a superblock of version 1 is read as one of the newest version, which may have old log blocks.
#[test]
fn version_1_is_converted() {
    let converted = Superblock { flags: SuperblockFlags::LEGACY_LOGS, ..example() };
    let (read, version) = Superblock::decode(&example().encode(V1)[..]).expect("valid");
    assert_eq!((read, version), (converted, V1));
}

/// mpool-86: any byte of the head or of the descriptor that changes is noticed; in version 2 (architecture.md 6) any byte
/// of the copy.
#[test]
fn changed_bytes_are_noticed() {
    for version in [V1, V2] {
        let good = example().encode(version);
        for at in 0..SUPERBLOCK_BYTES {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            let noticed = Superblock::decode(&bytes[..]);
            let covered = at < 66 || (72..124).contains(&at) || version == V2;
            match (noticed, at) {
                (Err(SuperblockError::Magic), 0..8) => assert_eq!(SuperblockError::Magic.kind(), Kind::NoPool),
                (Err(error @ SuperblockError::Checksum(_)), 8..) if covered => assert_eq!(error.kind(), Kind::Invalid),
                // Version 1 does not cover MDC0's place; what it finds there may or may not make sense.
                _ if !covered => {}
                (outcome, _) => panic!("byte {at} of {version:?}: {outcome:?}"),
            }
        }
    }
}

/// The first sector of one superblock and the rest of another are none, though all that differs is in the first sector.
#[test]
fn sectors_of_two_superblocks_are_no_superblock() {
    let one = example();
    let larger = one.drive.resized(one.drive.bytes + (64 << 20)).expect("two more zones");
    let others = [
        Superblock { name: PoolName::new("mp2").expect("a name"), ..one.clone() },
        Superblock { generation: 2, ..one.clone() },
        Superblock { drive: larger, ..one.clone() },
        Superblock { flags: SuperblockFlags::LEGACY_LOGS, ..one.clone() },
    ];
    for other in others {
        let mut bytes = one.encode(V2);
        bytes[..512].copy_from_slice(&other.encode(V2)[..512]);
        assert_eq!(Superblock::decode(&bytes[..]), Err(SuperblockError::Checksum("the superblock")), "{other:?}");
    }
}

/// mpool-88, partly: a superblock that newer software wrote is refused as such, whatever else it holds.
#[test]
fn newer_versions_are_refused() {
    for number in [3, 0xff] {
        let mut bytes = example().encode(V2);
        bytes[56] = number;
        bytes[300] = 1;
        let refused = Superblock::decode(&sealed(bytes)[..]).expect_err("unknown");
        assert_eq!((refused, refused.kind()), (SuperblockError::Version(number.into()), Kind::UnknownSuperblock));
    }
    assert_eq!(changed(V1, 56, &[0]), Err(SuperblockError::Version(0)), "never on media");
    let flags = changed(V2, 288, &[3]).expect_err("an unknown flag");
    assert_eq!((flags, flags.kind()), (SuperblockError::Flags(3), Kind::UnknownSuperblock));
}

#[test]
fn nonsense_under_good_checksums_is_refused() {
    for version in [V1, V2] {
        assert_eq!(changed(version, 8, &[0]), Err(SuperblockError::NoName));
        assert_eq!(changed(version, 8, b"a/b"), Err(SuperblockError::Name(TextError::Byte(b'/'))));
        assert_eq!(changed(version, 8, &[b'x'; 32]), Err(SuperblockError::Name(TextError::NotClosed)));
        assert_eq!(changed(version, 72, &[7]), Err(SuperblockError::Drive(DescriptorError::Class(7))));
        assert_eq!(changed(version, 240, &[7]), Err(SuperblockError::MetadataDrive(DescriptorError::Class(7))));
        assert_eq!(changed(version, 66, &[0xff; 6]), changed(version, 66, &[0; 6]), "padding is not looked at");
    }
}

/// Any bytes: short ones, and random ones behind a good head.
#[test]
fn any_bytes_are_decoded_without_panic() {
    let good = example().encode(V2);
    for length in 0..SUPERBLOCK_BYTES {
        assert!(Superblock::decode(&good[..length]).is_err(), "{length} bytes");
    }
    let mut state = 1_u64;
    for _ in 0..4000 {
        let mut bytes = good.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes[8 + (state >> 33) as usize % 290] = (state >> 56) as u8;
        }
        if let Ok((superblock, version)) = Superblock::decode(&sealed(bytes)[..]) {
            let _ = superblock.check_metadata();
            let (again, _) = Superblock::decode(&superblock.encode(version)[..]).expect("what was decoded");
            assert!(version == V1 || again == superblock);
        }
    }
}

/// mpool-87: the rules of "clear" and "valid" for MDC0's place; zones out of the drive are refused too.
#[test]
fn metadata_must_be_on_this_drive() {
    assert_eq!(example().check_metadata(), Ok(()));
    assert_eq!(without_metadata().check_metadata(), Ok(()));
    let fault = |change: &dyn Fn(&mut Mdc0Location)| {
        let mut superblock = example();
        change(superblock.metadata.as_mut().expect("there is one"));
        let (read, _) = Superblock::decode(&superblock.encode(V2)[..]).expect("decoding does not ask");
        let error = read.check_metadata().expect_err("inconsistent");
        assert_eq!(error.kind(), Kind::Invalid);
        error.to_string()
    };
    let foreign = Uuid::from_u128(5);
    let elsewhere = "MDC0's place is impossible: its logs are not on the drive that says so";
    assert_eq!(fault(&|metadata| metadata.logs[0].drive = foreign), elsewhere);
    assert_eq!(fault(&|metadata| metadata.logs[1].drive = Uuid::nil()), elsewhere);
    assert_eq!(fault(&|metadata| metadata.drive.uuid = foreign), elsewhere);
    let differ = "MDC0's place is impossible: the drive's two descriptors differ";
    assert_eq!(fault(&|metadata| metadata.drive.zone_pages = 4096), differ);
    assert_eq!(fault(&|metadata| metadata.drive.kind = DeviceType::File), differ);
    assert_eq!(fault(&|metadata| metadata.drive.features = Features(2)), differ);
    assert!(fault(&|metadata| metadata.logs[1].extent.zones = 2).contains("differ in size"));
    assert!(fault(&|metadata| metadata.logs[1].extent.first = 1).contains("overlap"));
    for first in [0, 320, u64::MAX] {
        assert!(fault(&|metadata| metadata.logs[0].extent.first = first).contains("outside the drive"), "{first}");
    }
    let mut nobody = example();
    nobody.drive.uuid = Uuid::nil();
    assert!(nobody.check_metadata().is_err(), "a drive without identity");
}

/// mpool-87, partly: what "clear" looks at, and what not.
#[test]
fn metadata_is_clear_when_it_says_nothing() {
    for (at, length) in [(136, 16), (192, 16), (243, 16), (272, 8)] {
        let mut bytes = without_metadata().encode(V1);
        bytes[at..at + length].fill(0xff);
        let (superblock, _) = Superblock::decode(&bytes[..]).expect("valid");
        assert_eq!(superblock.metadata, None, "UUIDs of logs, UUID and size of the drive do not count");
    }
    for at in [128, 152, 168, 172, 184, 208, 224, 228, 240, 241, 242, 264, 268, 280] {
        let mut bytes = without_metadata().encode(V1);
        bytes[at] = 1;
        let read = Superblock::decode(&bytes[..]);
        assert!(read.is_err() || read.is_ok_and(|(read, _)| read.metadata.is_some()), "byte {at} counts");
    }
}

#[test]
fn superblocks_take_16_kib() {
    let table = [(4096, 4), (8192, 2), (12288, 2), (16384, 1), (1 << 20, 1)];
    assert!(table.iter().all(|(zone_bytes, zones)| superblock_zones(*zone_bytes) == *zones));
}
