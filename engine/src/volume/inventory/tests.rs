// SPDX-License-Identifier: BSD-3-Clause

use mpool::{MediaClass, ObjectType, Slot};

use super::config::FIRST_PBN;
use super::*;
use crate::fingerprint::SECRET_BYTES;
use crate::units::Blocks;

fn object(uniquifier: u64) -> ObjectId {
    ObjectId::new(uniquifier, ObjectType::Slab, Slot(2))
}

fn config() -> VolumeConfig {
    VolumeConfig {
        nonce: 0x0102_0304_0506_0708,
        slab_blocks: 1 << 11,
        slab_zones: 8,
        logical_blocks: Blocks(10_000),
        areas_per_object: 7,
        block_size: 4096,
        index_mib: 3,
        map_cache_mib: 128,
        journal_mib: 32,
        history_mib: 12,
        compression: false,
        deduplication: true,
        reserve_percent: 5,
        metadata_class: MediaClass::Capacity,
        secret: [0xa5; SECRET_BYTES],
        core_mask: "0x3".to_owned(),
    }
}

fn state() -> VolumeState {
    VolumeState {
        kind: StateKind::Dirty,
        generation: 5,
        shards: 2,
        logical_blocks_used: 77,
        map_pages: 9,
        complete_recoveries: 3,
        read_only_recoveries: 1,
        reason: "why".to_owned(),
        counters: vec![(1, 2), (3, u64::MAX)],
    }
}

fn every_kind() -> [InventoryRecord; 11] {
    [
        InventoryRecord::Config(Box::new(config())),
        InventoryRecord::Slab { number: 3, object: object(0x100) },
        InventoryRecord::Areas { number: 4, object: object(0x101) },
        InventoryRecord::Roots { object: object(0x102) },
        InventoryRecord::Segment { number: 5, object: object(0x103) },
        InventoryRecord::State(Box::new(state())),
        InventoryRecord::Counts(Counts { slabs: 6, segments: 7 }),
        InventoryRecord::Deleted,
        InventoryRecord::Chapter(ChapterEntry { number: 9, object: object(0x104), sections: 13 }),
        InventoryRecord::ChapterGone(8),
        InventoryRecord::HistoryLog { object: object(0x105) },
    ]
}

/// CRC32C bit by bit.
fn slow_crc32c(bytes: &[u8]) -> [u8; 4] {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    let crc = !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step));
    crc.to_le_bytes()
}

/// The bytes of a record: head, content, check code.
fn framed(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = b"DINV\x06".to_vec();
    bytes.extend([kind, 0, 0]);
    bytes.extend(content);
    let code = slow_crc32c(&bytes);
    bytes.extend(code);
    bytes
}

#[test]
fn records_have_golden_bytes() {
    let mut config =
        b"\x08\x07\x06\x05\x04\x03\x02\x01\0\x08\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x10\x27\0\0\0\0\0\0".to_vec();
    config.extend(b"\x07\0\0\0\0\x10\0\0\x03\0\0\0\x80\0\0\0\x20\0\0\0\x0c\0\0\0\x01\x02\x03\0\x05\0\0\0");
    config.extend([0xa5; SECRET_BYTES]);
    config.extend(b"0x3");
    let mut state = b"\x02\x03\x02\0\x02\0\0\0\x05\0\0\0\0\0\0\0\x4d\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0".to_vec();
    state.extend(b"\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0why");
    state.extend(b"\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
    let golden = [
        framed(1, &config),
        framed(2, b"\x03\0\0\0\0\0\0\0\x02\x03\x10\0\0\0\0\0"),
        framed(3, b"\x04\0\0\0\0\0\0\0\x02\x13\x10\0\0\0\0\0"),
        framed(4, b"\0\0\0\0\0\0\0\0\x02\x23\x10\0\0\0\0\0"),
        framed(5, b"\x05\0\0\0\0\0\0\0\x02\x33\x10\0\0\0\0\0"),
        framed(6, &state),
        framed(7, b"\x06\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0"),
        framed(8, b""),
        framed(9, b"\x09\0\0\0\0\0\0\0\x02\x43\x10\0\0\0\0\0\x0d\0\0\0\0\0\0\0"),
        framed(10, b"\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        framed(11, b"\0\0\0\0\0\0\0\0\x02\x53\x10\0\0\0\0\0"),
    ];
    for (record, bytes) in every_kind().into_iter().zip(golden) {
        assert_eq!(record.encode(), bytes, "{record:?}");
        assert_eq!(InventoryRecord::decode(&bytes), Ok(record));
    }
    assert_eq!(framed(8, b"")[8..], [0x56, 0xbf, 0xd7, 0x38], "the check code itself");
}

/// vdo-111, adapted: the volume's records have a version and a check code; any damage is refused.
#[test]
fn damage_is_refused() {
    for record in every_kind() {
        let good = record.encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = InventoryRecord::decode(&bad).expect_err("damaged");
            match bit / 8 {
                0..4 => assert_eq!(error, InventoryError::Foreign(bad.len())),
                4 => assert_eq!(error, InventoryError::Version(bad[4])),
                _ => assert_eq!(error, InventoryError::CheckCode, "bit {bit} of {record:?}"),
            }
        }
        for length in 0..good.len() {
            assert!(InventoryRecord::decode(&good[..length]).is_err(), "{length} bytes");
        }
    }
    let old = b"DINV\x01\x02\0\0\x03\0\0\0\0\0\0\0\x02\x03\x10\0\0\0\0\0";
    assert_eq!(InventoryRecord::decode(old), Err(InventoryError::Version(1)));
}

#[test]
fn lengths_and_kinds_under_a_good_check_code_are_judged() {
    assert_eq!(InventoryRecord::decode(&framed(14, &[])), Err(InventoryError::Kind(14)));
    assert_eq!(InventoryRecord::decode(&framed(0, &[])), Err(InventoryError::Kind(0)));
    for record in every_kind() {
        let good = record.encode();
        let content = &good[HEAD_BYTES..good.len() - CRC_BYTES];
        for length in (0..content.len()).step_by(3) {
            let cut = framed(record.kind(), &content[..length]);
            assert_eq!(InventoryRecord::decode(&cut), Err(InventoryError::Length(cut.len())), "{length} of {record:?}");
        }
        let long = framed(record.kind(), &[content, &[0]].concat());
        assert_eq!(InventoryRecord::decode(&long), Err(InventoryError::Length(long.len())), "{record:?}");
    }
}

/// vdo-111, adapted: each size of the configuration is within its bounds, or the record is refused and says which.
#[test]
fn impossible_fields_are_named() {
    let refused = |change: &dyn Fn(&mut VolumeConfig)| {
        let mut bad = config();
        change(&mut bad);
        match InventoryRecord::decode(&InventoryRecord::Config(Box::new(bad)).encode()) {
            Err(InventoryError::Field { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&|config| config.slab_blocks = 9), "slab size in blocks");
    assert_eq!(refused(&|config| config.slab_blocks = 1 << 24), "slab size in blocks");
    assert_eq!(refused(&|config| config.slab_zones = 0), "slab size in zones");
    assert_eq!(refused(&|config| config.logical_blocks = Blocks(0)), "logical size");
    assert_eq!(refused(&|config| config.logical_blocks = Blocks((1 << 40) + 1)), "logical size");
    assert_eq!(refused(&|config| config.areas_per_object = 0), "number of areas in an object");
    assert_eq!(refused(&|config| config.block_size = 1024), "block size");
    assert_eq!(refused(&|config| config.journal_mib = 0), "journal size in MiB");
    assert_eq!(refused(&|config| config.core_mask = "x".repeat(1025)), "length of the core mask");
    assert_eq!(refused(&|config| config.reserve_percent = 51), "operator's reserve");
    let mut class = InventoryRecord::Config(Box::new(config())).encode();
    class.truncate(class.len() - CRC_BYTES);
    class[64] = 2;
    let bad = framed(1, &class[HEAD_BYTES..]);
    assert_eq!(InventoryRecord::decode(&bad), Err(InventoryError::Field { field: "media class", value: 2 }));
    class[64] = 1;
    class[65] = 4;
    let bad = framed(1, &class[HEAD_BYTES..]);
    assert_eq!(InventoryRecord::decode(&bad), Err(InventoryError::Field { field: "byte of switches", value: 4 }));
    class[65] = 0;
    class[70] = 9;
    let bad = framed(1, &class[HEAD_BYTES..]);
    assert_eq!(
        InventoryRecord::decode(&bad),
        Err(InventoryError::Field { field: "byte behind the reserve", value: 9 })
    );
    let many = VolumeState { shards: 33, ..state() };
    let bad = InventoryRecord::State(Box::new(many)).encode();
    assert_eq!(InventoryRecord::decode(&bad), Err(InventoryError::Field { field: "number of shards", value: 33 }));
    let mut mask = config();
    mask.core_mask = "ab".to_owned();
    let mut bytes = InventoryRecord::Config(Box::new(mask)).encode();
    bytes.truncate(bytes.len() - CRC_BYTES);
    bytes[265] = 0xff;
    assert_eq!(InventoryRecord::decode(&framed(1, &bytes[HEAD_BYTES..])), Err(InventoryError::Text("core mask")));
}

/// Whatever the content under a good check code, decoding ends, and so does combining the records.
#[test]
fn any_content_ends_in_a_result() {
    let mut state = 7_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (kinds, mut taken, mut refused) = (every_kind(), 0, 0);
    for _ in 0..3000 {
        let mut contents = contents(&whole()).expect("in order");
        for _ in 0..4 {
            let record = &kinds[random(kinds.len())];
            let mut content = record.encode();
            content.truncate(content.len() - CRC_BYTES);
            content.drain(..HEAD_BYTES);
            for _ in 0..random(3) {
                if !content.is_empty() {
                    let at = random(content.len());
                    content[at] = [0, 1, 2, 8, 9, 0x7f, 0xff][random(7)];
                }
            }
            content.truncate(content.len() - random(2) * random(content.len() + 1));
            let Ok(record) = InventoryRecord::decode(&framed(record.kind(), &content)) else {
                refused += 1;
                continue;
            };
            assert_eq!(InventoryRecord::decode(&record.encode()), Ok(record.clone()));
            let applied = contents.apply(record);
            taken += u32::from(applied.is_ok());
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
}

#[test]
fn the_longest_records_fit() {
    let mut longest = config();
    longest.core_mask = "x".repeat(config::MAX_CORE_MASK_BYTES);
    let (reason, counters) = ("x".repeat(state::MAX_REASON_BYTES), vec![(1, 1); state::MAX_COUNTERS]);
    let state = VolumeState { reason, counters, ..state() };
    for record in [InventoryRecord::Config(Box::new(longest)), InventoryRecord::State(Box::new(state))] {
        let bytes = record.encode();
        assert!(bytes.len() <= MAX_RECORD_BYTES);
        assert_eq!(InventoryRecord::decode(&bytes), Ok(record));
    }
    assert_eq!(VolumeState::reason_of(&"\u{e9}".repeat(200)).len(), 254, "cut between letters");
}

#[test]
fn a_secret_is_not_printed() {
    let text = format!("{:?}", config());
    assert!(text.contains("nonce") && !text.contains("165") && !text.contains("a5"), "{text}");
}

fn contents(records: &[InventoryRecord]) -> Result<Contents, ContentsError> {
    let mut contents = Contents::default();
    for record in records {
        contents.apply(record.clone())?;
    }
    Ok(contents)
}

/// A volume with 8 slabs in 2 metadata objects, and 4 segments.
fn whole() -> Vec<InventoryRecord> {
    let mut records = vec![InventoryRecord::Roots { object: object(1) }];
    records.extend((0..2).map(|number| InventoryRecord::Areas { number, object: object(10 + number) }));
    records.extend((0..8).map(|number| InventoryRecord::Slab { number, object: object(20 + number) }));
    records.extend((0..4).map(|number| InventoryRecord::Segment { number, object: object(40 + number) }));
    records.push(InventoryRecord::Config(Box::new(config())));
    records.push(InventoryRecord::State(Box::default()));
    records.push(InventoryRecord::Counts(Counts { slabs: 8, segments: 4 }));
    records
}

/// A volume exists with its counts, and not one record before.
#[test]
fn a_volume_is_whole_once_its_objects_count() {
    let records = whole();
    for length in 0..records.len() {
        assert!(!contents(&records[..length]).expect("in order").is_whole(), "{length} records");
    }
    let all = contents(&records).expect("in order");
    assert!(all.is_whole() && all.strays().is_empty());
    assert_eq!((all.counted_areas(), all.objects().len()), (2, 15));
    assert_eq!(all.objects()[0], object(27), "from the last to the first");
    assert_eq!(contents(&all.records()).as_ref(), Ok(&all), "a compaction keeps everything");
    let deleted = contents(&[records, vec![InventoryRecord::Deleted, InventoryRecord::Deleted]].concat());
    let mut deleted = deleted.expect("in order");
    assert!(!deleted.is_whole());
    assert_eq!(deleted.apply(InventoryRecord::State(Box::default())), Err(ContentsError::Deleted));
}

#[test]
fn what_does_not_count_is_replaced() {
    let slab = |number, unique| InventoryRecord::Slab { number, object: object(unique) };
    let mut all = contents(&whole()).expect("in order");
    for record in [slab(8, 90), slab(9, 91), InventoryRecord::Areas { number: 2, object: object(92) }] {
        all.apply(record).expect("in order");
    }
    assert_eq!(all.strays(), [object(91), object(90), object(92)]);
    assert_eq!(contents(&all.records()).as_ref(), Ok(&all), "a compaction keeps them too");
    all.apply(slab(8, 93)).expect("another try");
    assert_eq!(all.strays(), [object(93), object(92)]);
    all.apply(InventoryRecord::Counts(Counts { slabs: 9, segments: 4 })).expect("there");
    assert_eq!(all.strays(), [object(92)], "nine slabs have room in two objects");
}

#[test]
fn records_that_do_not_follow_are_refused() {
    let whole = contents(&whole()).expect("in order");
    let refused = |record: InventoryRecord| {
        let mut after = whole.clone();
        let error = after.apply(record).expect_err("does not follow");
        assert_eq!(after, whole, "nothing has changed");
        error
    };
    let gap = InventoryRecord::Slab { number: 9, object: object(90) };
    assert!(matches!(refused(gap), ContentsError::Number { number: 9, known: 8, counted: 8, .. }));
    let again = InventoryRecord::Segment { number: 3, object: object(90) };
    assert!(matches!(refused(again), ContentsError::Number { what: "segment", number: 3, .. }));
    let counted = InventoryRecord::Areas { number: 1, object: object(90) };
    assert!(matches!(refused(counted), ContentsError::Number { number: 1, counted: 2, .. }));
    assert_eq!(refused(InventoryRecord::Roots { object: object(90) }), ContentsError::Roots);
    for (slabs, segments) in [(7, 4), (9, 4), (8, 3), (8, 5), (u64::MAX, 4)] {
        let counts = Counts { slabs, segments };
        assert!(matches!(refused(InventoryRecord::Counts(counts)), ContentsError::Counts { .. }), "{counts:?}");
    }
    for change in [
        |config: &mut VolumeConfig| config.nonce += 1,
        |config: &mut VolumeConfig| config.secret[191] ^= 1,
        |config: &mut VolumeConfig| config.slab_blocks *= 2,
        |config: &mut VolumeConfig| config.slab_zones += 1,
        |config: &mut VolumeConfig| config.areas_per_object += 1,
        |config: &mut VolumeConfig| config.metadata_class = MediaClass::Staging,
    ] {
        let mut other = config();
        change(&mut other);
        assert_eq!(refused(InventoryRecord::Config(Box::new(other))), ContentsError::OtherVolume);
    }
    let early = contents(&[InventoryRecord::Counts(Counts::default())]);
    assert_eq!(early, Err(ContentsError::TooEarly));
}

/// The volume's chapters are recorded, and deleted with the volume.
#[test]
fn chapters_come_and_go() {
    let chapter = |number| ChapterEntry { number, object: object(60 + number), sections: 3 };
    let mut all = contents(&whole()).expect("in order");
    let before = all.clone();
    for number in [4, 5, 9] {
        all.apply(InventoryRecord::Chapter(chapter(number))).expect("in order");
    }
    for number in [0, 5, 9] {
        let error = all.apply(InventoryRecord::Chapter(chapter(number))).expect_err("numbers grow");
        assert!(matches!(error, ContentsError::Number { what: "chapter", counted: 9, .. }), "{error}");
    }
    all.apply(InventoryRecord::HistoryLog { object: object(70) }).expect("in order");
    assert_eq!(contents(&all.records()).as_ref(), Ok(&all), "a compaction keeps everything");
    assert!(all.strays().is_empty());
    let objects = all.objects();
    assert_eq!(objects.len(), 15 + 3 + 1);
    assert!([64, 65, 69, 70].into_iter().all(|number| objects.contains(&object(number))));
    all.apply(InventoryRecord::ChapterGone(5)).expect("there");
    all.apply(InventoryRecord::ChapterGone(5)).expect("again");
    assert_eq!(all.chapters.iter().map(|chapter| chapter.number).collect::<Vec<_>>(), [4, 9]);
    for number in [4, 9] {
        all.apply(InventoryRecord::ChapterGone(number)).expect("there");
    }
    assert_eq!(Contents { history_log: None, ..all }, before);
}

#[test]
fn a_configuration_gives_the_layout() {
    let geometry = config().geometry(8, 2).expect("possible");
    assert_eq!((geometry.slabs(), geometry.slab_start(0)), (8, FIRST_PBN));
    assert!(config().geometry(1, 2).is_err());
    assert!(config().geometry(u64::MAX, 2).is_err());
    assert_eq!(config().geometry(config().max_slabs(), 1).expect("the largest").slabs(), config().max_slabs());
}
