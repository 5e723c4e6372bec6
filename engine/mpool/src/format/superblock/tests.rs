// SPDX-License-Identifier: BSD-3-Clause

//! Superblocks byte for byte, and bytes that are no superblocks.

use SuperblockVersion::{V1, V3};

use super::*;
use crate::device::DeviceType;
use crate::format::device_record::tests::example as device;
use crate::format::drive_descriptor::tests::{example as drive, GOLDEN as DRIVE_GOLDEN};

/// The checksums of the superblock of [`golden_bytes_of_version_3`].
const HEAD_CRC: u32 = 0x6d1d_5751;
const DRIVE_CRC: u32 = 0x475b_b8bf;
const WHOLE_CRC: u32 = 0xc2d1_e7eb;

/// A superblock of the original version, with MDC0 on its drive: logs of one zone each, after the superblocks' zone.
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
        former: None,
        volume_mask: Uuid::nil(),
        device: None,
    }
}

/// The same with one zone less, which leaves room for the last copy.
fn example_3() -> Superblock {
    let drive = DriveDescriptor { zones: 319, ..drive() };
    let metadata = example().metadata.map(|metadata| Mdc0Location { drive, ..metadata });
    Superblock { drive, metadata, ..example() }
}

fn without_metadata() -> Superblock {
    Superblock { metadata: None, ..example_3() }
}

/// The bytes with all checksums corrected.
fn sealed(mut bytes: Box<[u8; SUPERBLOCK_BYTES]>) -> Box<[u8; SUPERBLOCK_BYTES]> {
    for (from, end) in [(0, 62), (72, 120)] {
        let crc = crc32c(&bytes[from..end]);
        bytes[end..end + 4].copy_from_slice(&crc.to_le_bytes());
    }
    if bytes[56] >= 3 {
        let crc = whole_crc(&bytes[..4092]);
        bytes[4092..].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

fn changed(version: SuperblockVersion, at: usize, with: &[u8]) -> Result<Superblock, SuperblockError> {
    let mut bytes = example_3().encode(version);
    bytes[at..at + with.len()].copy_from_slice(with);
    Superblock::decode(&sealed(bytes)[..]).map(|(superblock, _)| superblock)
}

/// The bytes that both versions have in common, except for version, checksums and zones of the drive.
fn golden_fields(bytes: &[u8; SUPERBLOCK_BYTES], zones: u16) {
    let mut drive = DRIVE_GOLDEN;
    drive[28..30].copy_from_slice(&zones.to_le_bytes());
    assert_eq!(bytes[..8], [0x6d, 0x70, 0x6f, 0x6f, 0x6c, 0x44, 0x65, 0x76]);
    assert_eq!((&bytes[8..12], &bytes[12..40]), (&b"mp1\0"[..], &[0; 28][..]));
    assert_eq!(bytes[40..56], core::array::from_fn::<u8, 16, _>(|at| at as u8));
    assert_eq!((&bytes[66..72], &bytes[72..120], &bytes[124..128]), (&[0; 6][..], &drive[..], &[0; 4][..]));
    for (at, number) in [(128, 1), (184, 2)] {
        let log = &bytes[at..at + 56];
        assert_eq!(log[..8], [number, 7, 6, 5, 4, 3, 2, 1], "generation");
        assert_eq!(log[8..24], [0xa0 + number; 16], "UUID");
        assert_eq!(log[24..40], DRIVE_GOLDEN[3..19], "drive");
        assert_eq!(log[40..56], [1, 0, 0, 0, number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "zones, first zone, padding");
    }
    assert_eq!(bytes[240..288], drive);
}

/// mpool-89: version 1, with the checksums of the original.
/// mpool-136, partly: what libblkid looks at is where it looks.
#[test]
fn golden_bytes_of_version_1() {
    let bytes = example().encode(V1);
    golden_fields(&bytes, 320);
    assert_eq!(bytes[56..66], [1, 0, 1, 0, 0, 0, 0x3d, 0xdb, 0x8c, 0x88], "version, generation, first checksum");
    assert_eq!(bytes[120..124], 0x1fbc_612d_u32.to_le_bytes());
    assert!(bytes[288..].iter().all(|byte| *byte == 0));
    let bytes = Superblock { generation: 9, flags: SuperblockFlags::LEGACY_LOGS, ..without_metadata() }.encode(V1);
    assert_eq!(bytes[58..62], [1, 0, 0, 0], "the generation of version 1");
    assert!(bytes[128..].iter().all(|byte| *byte == 0));
}

/// mpool-89, partly: version 3, whose checksums were computed with an independent program.
#[test]
fn golden_bytes_of_version_3() {
    let superblock = Superblock {
        generation: 0x0a0b,
        flags: SuperblockFlags::LEGACY_LOGS,
        former: Some(Former { drive: Uuid::from_bytes([0xf0; 16]), pool: Uuid::from_bytes([0xf1; 16]) }),
        volume_mask: Uuid::from_bytes([0x0f; 16]),
        device: Some(device()),
        ..example_3()
    };
    let bytes = superblock.encode(V3);
    golden_fields(&bytes, 319);
    assert_eq!(bytes[56..62], [3, 0, 0x0b, 0x0a, 0, 0], "version, generation");
    assert_eq!(bytes[62..66], HEAD_CRC.to_le_bytes());
    assert_eq!(bytes[120..124], DRIVE_CRC.to_le_bytes());
    assert_eq!(bytes[288..296], [1, 0, 0, 0, 0, 0, 0, 0], "flags");
    assert_eq!((&bytes[296..312], &bytes[312..328]), (&[0xf0; 16][..], &[0xf1; 16][..]), "former UUIDs");
    assert_eq!(bytes[328..344], [0x0f; 16], "mask");
    assert_eq!(bytes[344..440], device().encode(), "device");
    assert_eq!((&bytes[440..444], bytes[444..4092].iter().all(|byte| *byte == 0)), (&b"mp1\0"[..], true), "name");
    assert_eq!(bytes[4092..], WHOLE_CRC.to_le_bytes());
}

/// libblkid sees the start of a long name, and the pool all of it.
#[test]
fn long_names_are_kept() {
    let long = Superblock { name: PoolName::new(&"n".repeat(255)).expect("it fits"), ..example_3() };
    let bytes = long.encode(V3);
    assert_eq!((&bytes[8..39], bytes[39]), (&[b'n'; 31][..], 0));
    assert_eq!(Superblock::decode(&bytes[..]), Ok((long.clone(), V3)));
    let cut = Superblock::decode(&long.encode(V1)[..]).expect("version 1 has 31 bytes").0;
    assert_eq!(cut.name.as_str(), "n".repeat(31));
}

/// The last copy lies behind the zones. The original's drives may have zones there.
#[test]
fn zones_leave_room_for_the_last_copy() {
    let full = Superblock { device: None, ..example() };
    assert_eq!(Superblock::decode(&full.encode(V3)[..]), Err(SuperblockError::NoRoomAtEnd));
    assert_eq!(Superblock::decode(&full.encode(V1)[..]).map(|(read, _)| read.drive.zones), Ok(320));
    assert_eq!(example_3().end_copy_at(), 10_737_418_240 - 65_536);
    let odd = DriveDescriptor { bytes: 10_737_418_240 + 513, ..example_3().drive };
    assert_eq!(Superblock { drive: odd, ..example_3() }.end_copy_at() % 4096, 0);
}

#[test]
fn superblocks_are_decoded_as_they_were_encoded() {
    for superblock in [example_3(), without_metadata(), Superblock { generation: u32::MAX, ..example_3() }] {
        assert_eq!(Superblock::decode(&superblock.encode(V3)[..]), Ok((superblock.clone(), V3)));
        let converted = Superblock { generation: 1, flags: SuperblockFlags::LEGACY_LOGS, ..superblock };
        assert_eq!(Superblock::decode(&converted.encode(V3)[..]), Ok((converted, V3)));
    }
}

/// The checksums that a tool shows are those that the decoder requires.
#[test]
fn checksums_match_in_good_superblocks() {
    let matching =
        |version| checksums(&example_3().encode(version)).map(|checksum| checksum.stored == checksum.computed);
    assert_eq!(matching(V3), [true; 3]);
    assert_eq!(matching(V1), [true, true, false], "version 1 has no checksum of everything");
    assert_eq!(checksums(&example_3().encode(V3)).map(|checksum| checksum.covers), [(0, 62), (72, 120), (0, 4092)]);
}

/// mpool-91, partly: a superblock of version 1 is read as one of the newest version, which may have old log blocks.
#[test]
fn version_1_is_converted() {
    let converted = Superblock { flags: SuperblockFlags::LEGACY_LOGS, ..example() };
    let (read, version) = Superblock::decode(&example().encode(V1)[..]).expect("valid");
    assert_eq!((read, version), (converted, V1));
}

/// mpool-86: a change of any byte of the head or of the descriptor is detected; in version 3 of any byte of the copy.
#[test]
fn changed_bytes_are_noticed() {
    for version in [V1, V3] {
        let good = example_3().encode(version);
        for at in 0..SUPERBLOCK_BYTES {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            let noticed = Superblock::decode(&bytes[..]);
            let covered = at < 66 || (72..124).contains(&at) || version == V3;
            match (noticed, at) {
                (Err(SuperblockError::Magic), 0..8) => assert_eq!(SuperblockError::Magic.kind(), Kind::NoPool),
                (Err(error @ SuperblockError::Checksum(_)), 8..) if covered => assert_eq!(error.kind(), Kind::Invalid),
                // Version 1 does not cover MDC0's place; its content may or may not make sense.
                _ if !covered => {}
                (outcome, _) => panic!("byte {at} of {version:?}: {outcome:?}"),
            }
        }
    }
}

/// The first sector of one superblock with the rest of another is refused, though all that differs is in the first
/// sector.
#[test]
fn sectors_of_two_superblocks_are_no_superblock() {
    let one = example_3();
    let larger = one.drive.resized(one.drive.bytes + (64 << 20)).expect("two more zones");
    let others = [
        Superblock { name: PoolName::new("mp2").expect("a name"), ..one.clone() },
        Superblock { generation: 2, ..one.clone() },
        Superblock { drive: larger, ..one.clone() },
        Superblock { flags: SuperblockFlags::LEGACY_LOGS, ..one.clone() },
    ];
    for other in others {
        let mut bytes = one.encode(V3);
        bytes[..512].copy_from_slice(&other.encode(V3)[..512]);
        assert_eq!(Superblock::decode(&bytes[..]), Err(SuperblockError::Checksum("the superblock")), "{other:?}");
    }
}

/// mpool-88, partly: a superblock that newer software wrote is refused as such, whatever else it holds.
#[test]
fn newer_versions_are_refused() {
    for number in [4, 0xff] {
        let mut bytes = example_3().encode(V3);
        bytes[56] = number;
        bytes[300] = 1;
        let refused = Superblock::decode(&sealed(bytes)[..]).expect_err("unknown");
        assert_eq!((refused, refused.kind()), (SuperblockError::Version(number.into()), Kind::UnknownSuperblock));
    }
    let retired = changed(V1, 56, &[2]).expect_err("never released");
    assert_eq!((retired, retired.kind()), (SuperblockError::Retired(2), Kind::UnknownSuperblock));
    assert_eq!(changed(V1, 56, &[0]), Err(SuperblockError::Version(0)), "never on media");
    let flags = changed(V3, 288, &[3]).expect_err("an unknown flag");
    assert_eq!((flags, flags.kind()), (SuperblockError::Flags(3), Kind::UnknownSuperblock));
}

#[test]
fn nonsense_under_good_checksums_is_refused() {
    for (version, name_at) in [(V1, 8), (V3, 440)] {
        assert_eq!(changed(version, name_at, &[0]), Err(SuperblockError::NoName));
        assert_eq!(changed(version, name_at, b"a/b"), Err(SuperblockError::Name(TextError::Byte(b'/'))));
        assert_eq!(changed(version, 8, &[b'x'; 32]), Err(SuperblockError::Name(TextError::NotClosed)));
        assert_eq!(changed(version, 72, &[7]), Err(SuperblockError::Drive(DescriptorError::Class(7))));
        assert_eq!(changed(version, 240, &[7]), Err(SuperblockError::MetadataDrive(DescriptorError::Class(7))));
        assert_eq!(changed(version, 66, &[0xff; 6]), changed(version, 66, &[0; 6]), "padding is not looked at");
    }
}

/// Any bytes: short ones, and random ones behind a good head.
#[test]
fn any_bytes_are_decoded_without_panic() {
    let good = Superblock { device: Some(device()), ..example_3() }.encode(V3);
    for length in 0..SUPERBLOCK_BYTES {
        assert!(Superblock::decode(&good[..length]).is_err(), "{length} bytes");
    }
    let mut state = 1_u64;
    for _ in 0..4000 {
        let mut bytes = good.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes[8 + (state >> 33) as usize % 696] = (state >> 56) as u8;
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
        let mut superblock = example_3();
        change(superblock.metadata.as_mut().expect("there is one"));
        let (read, _) = Superblock::decode(&superblock.encode(V3)[..]).expect("decoding does not ask");
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

/// mpool-87, partly: the fields that "clear" depends on, and those that it does not.
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
