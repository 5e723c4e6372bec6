// SPDX-License-Identifier: BSD-3-Clause

//! Records byte for byte, and bytes that are no records.

use uuid::Uuid;

use super::*;
use crate::format::drive_descriptor::tests::{example as drive, GOLDEN as DRIVE_GOLDEN};
use crate::format::text::Label;
use crate::ids::{Extent, ObjectType, Slot};

fn object(kind: ObjectType) -> ObjectCreate {
    let is_mlog = kind == ObjectType::Mlog;
    ObjectCreate {
        id: ObjectId::new(0x0102, kind, Slot(3)),
        class: MediaClass::Capacity,
        extent: Extent { first: 0x0506_0708, zones: 0x0304 },
        generation: if is_mlog { 0x0a0b } else { 0 },
        written_bytes: if kind == ObjectType::Mblock { 0x0c0d_0000 } else { 0 },
        uuid: is_mlog.then(|| Uuid::from_bytes(core::array::from_fn(|at| 0x40 + at as u8))),
    }
}

fn config() -> MpConfig {
    MpConfig {
        root_logs: ObjectId::ROOT_LOGS,
        uid: 0x0101_0102,
        gid: 0x0201_0203,
        mode: 0o660,
        mdc_capacity_bytes: 8 << 20,
        readahead_pages: 32,
        map_bytes_shift: 30,
        user_type: Uuid::from_bytes([0x77; 16]),
        label: Label::new("raw").expect("a label"),
    }
}

/// Every kind of record, its bytes without trailing zeros, and its length.
fn golden() -> Vec<(Record, Vec<u8>, usize)> {
    let mblock: &[u8] = &[1, 1, 0, 0, 4, 3, 0, 0, 8, 7, 6, 5, 0, 0, 0, 0, 3, 0x21, 0x10, 0, 0, 0, 0, 0];
    let written = [mblock, &[0; 8], &[0, 0, 0x0d, 0x0c]].concat();
    let mut slab = mblock.to_vec();
    slab[17] = 0x23;
    let mut mlog = mblock.to_vec();
    mlog[17] = 0x22;
    mlog.extend([0x0b, 0x0a, 0, 0, 0, 0, 0, 0]);
    mlog.extend([0; 8]);
    mlog.extend(0x40..0x50);
    let mut update = mlog.clone();
    update[0] = 2;
    let with_id = |kind: u8, id: [u8; 4]| [&[kind, 0, 0, 0, 0, 0, 0, 0], &id[..]].concat();
    let mut mp_config =
        [&[9, 0, 0, 0, 0, 0, 0, 0][..], &[1, 2, 0, 0, 0, 0, 0, 0], &[1, 0x12, 0, 0, 0, 0, 0, 0]].concat();
    mp_config.extend([2, 1, 1, 1, 3, 2, 1, 2, 0xb0, 1, 0, 0, 0, 0, 0, 0]);
    mp_config.extend([0, 0, 0x80, 0, 0, 0, 0, 0, 32, 0, 0, 0, 30, 0, 0, 0]);
    mp_config.extend([0; 24]);
    mp_config.extend([0x77; 16]);
    mp_config.extend(b"raw");
    let mlog_id = object(ObjectType::Mlog).id;
    vec![
        (Record::ObjectCreate(object(ObjectType::Mblock)), written, 40),
        (Record::ObjectCreate(object(ObjectType::Slab)), slab, 40),
        (Record::ObjectCreate(object(ObjectType::Mlog)), mlog, 56),
        (Record::ObjectUpdate(object(ObjectType::Mlog)), update, 56),
        (Record::ObjectDelete(object(ObjectType::Mblock).id), with_id(3, [3, 0x21, 0x10, 0]), 16),
        (Record::IdCheckpoint(ObjectId(0)), with_id(4, [0; 4]), 16),
        (Record::IdCheckpoint(ObjectId(0x0010_0102)), with_id(4, [2, 1, 0x10, 0]), 16),
        (
            Record::ObjectErase { id: mlog_id, generation: 0x0908 },
            [with_id(5, [3, 0x22, 0x10, 0]), vec![0, 0, 0, 0, 8, 9]].concat(),
            24,
        ),
        (Record::McConfig(drive()), [&[6, 0, 0, 0, 0, 0, 0, 0], &DRIVE_GOLDEN[..]].concat(), 56),
        (Record::McSpare { class: MediaClass::Capacity, percent: 5 }, vec![7, 1, 5], 3),
        (
            Record::Version(ContentVersion { major: 0x0102, minor: 3, patch: 4, dev: 5 }),
            vec![8, 0, 2, 1, 3, 0, 4, 0, 5],
            10,
        ),
        (Record::MpConfig(config()), mp_config, 160),
        (
            Record::Tunable { tunable: KeptTunable::named("reap_ttl_us").expect("one of them"), value: 0x0102_0304 },
            vec![10, 16, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1],
            16,
        ),
    ]
}

/// mpool-89: mpool's records, and slab objects in the form of mblocks.
#[test]
fn golden_bytes() {
    for (record, mut bytes, length) in golden() {
        bytes.resize(length, 0);
        assert_eq!(record.encode().as_ref(), bytes, "{record:?}");
        assert_eq!(Record::decode(&bytes), Ok(record));
    }
}

#[test]
fn dirty_padding_is_not_looked_at() {
    let padding = [
        (0, 2..4),
        (4, 1..8),
        (7, 1..8),
        (8, 1..8),
        (8, 27..32),
        (10, 1..2),
        (11, 1..8),
        (11, 36..40),
        (11, 56..80),
        (11, 100..160),
        (12, 2..8),
    ];
    for (number, range) in padding {
        let (record, mut bytes, length) = golden().swap_remove(number);
        bytes.resize(length, 0);
        bytes[range].fill(0xee);
        assert_eq!(Record::decode(&bytes), Ok(record));
    }
}

/// mpool-93, partly: an unknown type of record is EINVAL.
#[test]
fn unknown_types_are_refused() {
    for number in [0, 11, 12, 0xff] {
        for length in [1, 16, 40] {
            let mut bytes = vec![0; length];
            bytes[0] = number;
            let refused = Record::decode(&bytes).expect_err("unknown");
            assert_eq!(refused, RecordError::Type(number));
            assert_eq!(refused.on("MDC1").kind(), crate::error::Kind::Invalid);
        }
    }
    assert_eq!(Record::decode(&[]), Err(RecordError::Truncated(Truncated)));
}

#[test]
fn other_lengths_are_refused() {
    for (record, mut bytes, length) in golden() {
        bytes.resize(length, 0);
        for wrong in (1..length).chain([length + 1, length + 16, 200]) {
            let mut bytes = bytes.clone();
            bytes.resize(wrong, 0);
            let outcome = Record::decode(&bytes);
            assert!(matches!(outcome, Err(RecordError::Length { .. })), "{record:?} in {wrong} bytes: {outcome:?}");
        }
    }
}

#[test]
fn nonsense_is_refused() {
    let with = |number: usize, at: usize, patch: &[u8]| {
        let (_, mut bytes, length) = golden().swap_remove(number);
        bytes.resize(length, 0);
        bytes[at..at + patch.len()].copy_from_slice(patch);
        Record::decode(&bytes)
    };
    assert_eq!(with(0, 1, &[2]), Err(RecordError::Class(2)));
    assert_eq!(with(2, 1, &[255]), Err(RecordError::Class(255)));
    assert_eq!(with(0, 17, &[0x24]), Err(RecordError::Id(ObjectId(0x0010_2403), 1)));
    assert_eq!(with(4, 9, &[0x20]), Err(RecordError::Id(ObjectId(0x0010_2003), 3)));
    assert_eq!(with(7, 9, &[0x2f]), Err(RecordError::Id(ObjectId(0x0010_2f03), 5)));
    assert!(matches!(with(0, 4, &[0; 4]), Err(RecordError::Extent { zones: 0, .. })));
    assert!(matches!(with(0, 8, &[0xff; 8]), Err(RecordError::Extent { first: u64::MAX, .. })), "the end overflows");
    assert_eq!(with(8, 9, &[0]), Err(RecordError::Drive(DescriptorError::Kind(0))));
    assert_eq!(with(9, 1, &[9]), Err(RecordError::Class(9)));
    assert_eq!(with(9, 2, &[101]), Err(RecordError::Percent(101)));
    assert_eq!(with(9, 2, &[100]), Ok(Record::McSpare { class: MediaClass::Capacity, percent: 100 }));
    assert_eq!(with(11, 96, b"/"), Err(RecordError::Label(TextError::Byte(b'/'))));
    assert_eq!(with(11, 96, &[b'x'; 64]), Err(RecordError::Label(TextError::NotClosed)));
    assert_eq!(with(12, 1, &[18]), Err(RecordError::Tunable(18)));
    let load_jobs = KeptTunable::named("load_jobs").expect("one of them");
    let refused = with(12, 1, &[load_jobs.number()]);
    assert_eq!(refused, Err(RecordError::TunableValue { tunable: load_jobs, value: 0x0102_0304 }));
    // The id makes it the record of a log, which is longer.
    assert!(matches!(with(0, 17, &[0x22]), Err(RecordError::Length { kind: 1, expected: 56, found: 40 })));
}

/// mpool-91, partly: content of the original version is read as the current, and has no slab objects.
#[test]
fn old_content_is_read_as_the_current() {
    for (record, mut bytes, length) in golden() {
        bytes.resize(length, 0);
        let old = Record::decode_as(ContentVersion::ORIGINAL, &bytes);
        match &record {
            Record::ObjectCreate(object) if object.id.kind() == Some(ObjectType::Slab) => {
                assert_eq!(old, Err(RecordError::Id(object.id, 1)));
            }
            Record::Tunable { .. } => {
                assert_eq!(old, Err(RecordError::Type(10)));
                assert_eq!(Record::decode_as(ContentVersion::SLABS, &bytes), Err(RecordError::Type(10)));
            }
            _ => assert_eq!(old, Ok(record)),
        }
    }
}

/// Any bytes are decoded without panic, and decoded records are encoded to the same meaning.
#[test]
fn any_bytes_are_decoded_without_panic() {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as usize
    };
    let golden = golden();
    let mut decoded = 0;
    for _ in 0..40_000 {
        let (_, bytes, length) = &golden[random() % golden.len()];
        let mut bytes = bytes.clone();
        bytes.resize(*length, 0);
        for _ in 0..random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        if let Ok(record) = Record::decode(&bytes) {
            assert_eq!(Record::decode(record.encode().as_ref()), Ok(record));
            decoded += 1;
        }
    }
    assert!(decoded > 10_000, "the test reaches valid records: {decoded}");
}
