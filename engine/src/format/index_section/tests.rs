// SPDX-License-Identifier: BSD-3-Clause

use super::*;
use crate::format::testing::Numbers;

const NONCE: u64 = 0x1122_3344_5566_7788;

fn record(fingerprint: u128, pbn: u64, state: u8) -> SectionRecord {
    let location = Mapped { pbn: Pbn(pbn), state: MappingState::from_bits(state) };
    SectionRecord::new(ShortFingerprint::from_bits(fingerprint), location)
}

fn random_records(count: usize, seed: u64) -> Vec<SectionRecord> {
    let mut numbers = Numbers::new(seed);
    let mut next = |end| numbers.below(end);
    (0..count)
        .map(|_| {
            let fingerprint = u128::from(next(u64::MAX)) << 40 | u128::from(next(1 << 40));
            record(fingerprint, 1 + next(PBN_MASK), 1 + next(15) as u8)
        })
        .collect()
}

/// Seals a page that was changed.
fn seal(page: &mut [u8]) {
    let code = check_code(NONCE, &page[4..PAGE_BYTES]);
    page[..4].copy_from_slice(&code.to_le_bytes());
}

/// Computed by another implementation of the layout.
#[test]
fn golden_bytes() {
    let mut records = vec![record(0xff01, 0x102, 15), record(0x01_0203_0405_0607_0809_0a00, 0x9_8765_4321, 1)];
    let image = encode(NONCE, 0x0a0b_0c0d, &mut records);
    let head = [0xa7, 0xb0, 0xd9, 0x09, 0, 0, 1, 0, 2, 0, 0, 1, 0x0d, 0x0c, 0x0b, 0x0a];
    let first = [0x00, 0x0a, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0x21, 0x43, 0x65, 0x87, 0x19];
    let second = [0x01, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x01, 0, 0, 0xf0];
    assert_eq!(image[..48], [head, first, second].concat());
    assert_eq!((image.len(), image[48..].iter().all(|&byte| byte == 0)), (PAGE_BYTES, true));
    let section = Section::decode(NONCE, &image).unwrap();
    assert_eq!((section.sequence(), section.partitions()), (0x0a0b_0c0d, 0..=1));
}

#[test]
fn records_come_back_by_partition() {
    for count in [1, 254, 255, 256, 510, 2000, SECTION_RECORDS] {
        let mut records = random_records(count, count as u64);
        let mut sorted = records.clone();
        sorted.sort_by_key(|record| (record.fingerprint().first_byte(), record.fingerprint().to_bits()));
        let image = encode(NONCE, 7, &mut records);
        assert_eq!(image.len(), count.div_ceil(RECORDS_PER_PAGE) * PAGE_BYTES);
        let section = Section::decode(NONCE, &image).unwrap();
        assert_eq!(section.records(0..=255).collect::<Vec<_>>(), sorted);
        let (first, last) = section.partitions().into_inner();
        assert_eq!(Some(first), sorted.first().map(|record| record.fingerprint().first_byte()));
        assert_eq!(Some(last), sorted.last().map(|record| record.fingerprint().first_byte()));
        for range in [0..=0, 0..=127, 128..=255, 100..=101, 255..=255] {
            let own = sorted.iter().copied().filter(|record| range.contains(&record.fingerprint().first_byte()));
            assert_eq!(section.records(range.clone()).collect::<Vec<_>>(), own.collect::<Vec<_>>(), "{range:?}");
        }
    }
    assert_eq!((SECTION_RECORDS, SECTION_BYTES), (4080, 64 << 10));
}

#[test]
fn the_last_record_of_a_fingerprint_counts() {
    let mut records: Vec<_> = (0..1000).map(|n| record(u128::from(n % 10_u64) << 30, n + 1, 1)).collect();
    let image = encode(NONCE, 7, &mut records);
    let section = Section::decode(NONCE, &image).unwrap();
    let pbns: Vec<_> = section.records(0..=255).map(|record| record.location().pbn.0).collect();
    assert_eq!(pbns, (991..=1000).collect::<Vec<_>>());
}

/// Bytes that follow are ignored: a host may read more than the section has.
#[test]
fn a_section_says_how_long_it_is() {
    let mut image = encode(NONCE, 7, &mut random_records(600, 1));
    image.extend([0xff; 5000]);
    assert_eq!(Section::decode(NONCE, &image).unwrap().records(0..=255).count(), 600);
    for bytes in [4096, 8192, 12287] {
        assert_eq!(Section::decode(NONCE, &image[..bytes]).unwrap_err(), SectionError::Size { pages: 3, bytes });
    }
    for bytes in [0, 1, 4095] {
        assert_eq!(Section::decode(NONCE, &image[..bytes]).unwrap_err(), SectionError::Size { pages: 1, bytes });
    }
}

#[test]
fn damage_is_found() {
    let image = encode(NONCE, 7, &mut random_records(600, 1));
    assert_eq!(Section::decode(NONCE ^ 1, &image).unwrap_err(), SectionError::Damaged(0));
    assert_eq!(Section::decode(NONCE, &[0; PAGE_BYTES]).unwrap_err(), SectionError::Damaged(0));
    let mut numbers = Numbers::new(1);
    for _ in 0..500 {
        let mut bad = image.clone();
        let at = numbers.below(image.len() as u64) as usize;
        bad[at] ^= 1 << numbers.below(8);
        assert_eq!(Section::decode(NONCE, &bad).unwrap_err(), SectionError::Damaged((at / PAGE_BYTES) as u16));
    }
}

/// Pages of other sections, in other places or with other counts, each of them sealed.
#[test]
fn a_page_fits_only_its_place() {
    let image = encode(NONCE, 7, &mut random_records(600, 1));
    let other = encode(NONCE, 8, &mut random_records(600, 2));
    let mut bad = image.clone();
    bad[4096..8192].copy_from_slice(&image[8192..]);
    assert_eq!(Section::decode(NONCE, &bad).unwrap_err(), SectionError::Head(1));
    let mut bad = image.clone();
    bad[8192..].copy_from_slice(&other[8192..]);
    assert_eq!(Section::decode(NONCE, &bad).unwrap_err(), SectionError::Head(2));
    // Number, pages 0, 2, and 17, records 0 and 256, partitions.
    for (at, bytes) in
        [(4, [1, 0]), (6, [0, 0]), (6, [2, 0]), (6, [17, 0]), (8, [0, 0]), (8, [0, 1]), (10, [9, 9]), (10, [0, 255])]
    {
        let mut bad = image.clone();
        bad[at..at + 2].copy_from_slice(&bytes);
        seal(&mut bad);
        let error = Section::decode(NONCE, &bad).unwrap_err();
        assert!(matches!(error, SectionError::Head(0 | 1)), "{at} {bytes:?}: {error}");
    }
}

/// A sealed page can still contain what no writer writes.
#[test]
fn records_that_cannot_be_are_refused() {
    let image = encode(NONCE, 7, &mut random_records(600, 1));
    let refused = SectionError::Record { page: 0, record: 3 };
    let place = 16 + 3 * 16;
    let mut bad = image.clone();
    bad[place + 15] &= 0x0f;
    seal(&mut bad);
    assert_eq!(Section::decode(NONCE, &bad).unwrap_err(), refused, "unmapped");
    let mut bad = image.clone();
    bad[place + 11..place + 15].fill(0);
    bad[place + 15] &= 0xf0;
    seal(&mut bad);
    assert_eq!(Section::decode(NONCE, &bad).unwrap_err(), refused, "PBN 0");
    let mut bad = image;
    bad.copy_within(place - 16..place, place);
    seal(&mut bad);
    assert_eq!(Section::decode(NONCE, &bad).unwrap_err(), refused, "not ascending");
}

/// Whatever a sealed page contains, decoding gives an error or valid records.
#[test]
fn any_bytes_survive() {
    let image = encode(NONCE, 7, &mut random_records(300, 1));
    let mut numbers = Numbers::new(2);
    for round in 0..2000 {
        let mut bad = image.clone();
        for _ in 0..1 + round % 3 {
            let reach = if round % 2 == 0 { 64 } else { bad.len() as u64 };
            bad[numbers.below(reach) as usize] = numbers.below(256) as u8;
        }
        bad.chunks_mut(PAGE_BYTES).for_each(seal);
        if let Ok(section) = Section::decode(NONCE, &bad) {
            for record in section.records(0..=255) {
                assert_eq!(SectionRecord::new(record.fingerprint(), record.location()), record);
            }
        }
    }
}

#[test]
#[should_panic(expected = "cannot be recorded")]
fn the_zero_block_is_refused() {
    let _ = record(1, 0, 1);
}

#[test]
#[should_panic(expected = "cannot be recorded")]
fn a_block_beyond_36_bits_is_refused() {
    let _ = record(1, 1 << 36, 1);
}
