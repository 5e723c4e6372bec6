// SPDX-License-Identifier: BSD-3-Clause

use super::*;
use crate::format::slab_journal_block::SlabChange;
use crate::format::testing::Numbers;
use crate::format::{Mapped, Mapping, MappingState, PageId, MAX_LOGICAL_BLOCKS, MAX_PHYSICAL_BLOCKS};
use crate::units::{Lbn, Pbn, ShardId};

const HEADER: RecordHeader = RecordHeader {
    shard: ShardId(2),
    shards: 5,
    generation: 0x0102,
    first: 0x0304,
    count: 4,
    committed: 0x0301,
    map_head: 0x0302,
    logical_blocks_used: -2,
    map_pages: 7,
};

fn mapping(pbn: u64) -> Mapping {
    Mapping::new(Mapped { pbn: Pbn(pbn), state: MappingState::Compressed(1) }, 0xab_cdef)
}

const RUNS: [PbnRun; 2] = [PbnRun { first: Pbn(0x0a0b), count: 3 }, PbnRun { first: Pbn(0x0c), count: 1 }];

fn entries() -> [Entry<'static>; 4] {
    [
        Entry::Remap { lbn: Lbn(0x0708), old: Pbn(0x090a), new: mapping(0x0b0c) },
        Entry::Range { first: Lbn(504), count: 504, runs: &RUNS },
        Entry::Page { page: PageId { level: 2, index: 0x0d0e }, pbn: Pbn(0x0f10), life: 0x1a_1b1c },
        Entry::PageGone { page: PageId { level: 1, index: 0x1112 }, pbn: Pbn(0x1314) },
    ]
}

fn record(header: RecordHeader, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = RecordBuilder::new(64);
    for entry in entries {
        let before = builder.len();
        builder.push(entry);
        assert_eq!(builder.len() - before, encoded_len(entry));
    }
    builder.finish(header).to_vec()
}

fn owned(entries: &[Entry<'_>]) -> Vec<OwnedEntry> {
    entries.iter().map(|entry| OwnedEntry::from(*entry)).collect()
}

/// A record whose entries are these words.
fn words(count: u32, words: &[u64]) -> Vec<u8> {
    let mut bytes = record(HEADER, &[]);
    bytes[24..28].copy_from_slice(&count.to_le_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

#[test]
fn golden_bytes() {
    let mut expected = b"DRJ\x02\x02\x00\x05\x00".to_vec();
    expected.extend([2, 1, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([1, 3, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 0, 0]);
    expected.extend([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(expected.len(), HEADER_BYTES);
    expected.extend([1, 8, 7, 0, 0, 0, 0, 0, 10, 9, 0, 0, 0, 0, 0, 0, 0x0c, 0x0b, 0, 0, 0x30, 0xef, 0xcd, 0xab]);
    expected.extend([2, 0xf8, 1, 0, 0, 0, 0, 0, 0xf8, 1, 2, 0, 0, 0, 0, 0]);
    expected.extend([0x0b, 0x0a, 0, 0, 0, 0, 3, 0, 0x0c, 0, 0, 0, 0, 0, 1, 0]);
    expected.extend([3, 0x0e, 0x0d, 0, 0, 0, 0, 0, 0x10, 0x0f, 0, 0, 0x20, 0x1c, 0x1b, 0x1a]);
    expected.extend([4, 0x12, 0x11, 0, 0, 0, 0, 0, 0x14, 0x13, 0, 0, 0x10, 0, 0, 0]);
    assert_eq!(record(HEADER, &entries()), expected);
    assert_eq!(decode(&expected), Ok((HEADER, owned(&entries()))));
    assert_eq!(HEADER.end(), 0x0308);
}

#[test]
fn a_builder_makes_one_record_after_the_other() {
    let mut builder = RecordBuilder::new(HEADER_BYTES + 24);
    let memory = builder.finish(HEADER).as_ptr();
    for entry in &entries()[..1] {
        builder.begin();
        assert!(builder.is_empty());
        builder.push(entry);
        assert_eq!((builder.entries(), builder.len()), (1, HEADER_BYTES + 24));
        let bytes = builder.finish(HEADER);
        assert_eq!(bytes.as_ptr(), memory, "nothing is allocated");
        assert_eq!(decode(bytes), Ok((RecordHeader { count: 1, ..HEADER }, owned(&[*entry]))));
    }
}

#[test]
fn the_extremes_are_written_and_read() {
    let runs: Vec<_> = (1..=504).map(|at| PbnRun { first: Pbn(MAX_PHYSICAL_BLOCKS - at), count: 1 }).collect();
    let last = PageId::leaf_of(Lbn(MAX_LOGICAL_BLOCKS - 1));
    let first = Lbn(MAX_LOGICAL_BLOCKS / 504 * 504 - 504);
    let pbn = Pbn(MAX_PHYSICAL_BLOCKS - 1);
    let mut list = vec![
        Entry::Remap { lbn: Lbn(MAX_LOGICAL_BLOCKS - 1), old: pbn, new: mapping(pbn.0) },
        Entry::Remap { lbn: Lbn(0), old: Pbn::ZERO, new: Mapping::UNMAPPED },
        Entry::Range { first, count: 504, runs: &runs },
        Entry::Page { page: last, pbn, life: 0xff_ffff },
        Entry::PageGone { page: last, pbn },
    ];
    let mut page = last;
    while let Some((parent, _)) = page.parent().filter(|(parent, _)| !parent.is_root()) {
        list.push(Entry::Page { page: parent, pbn, life: 0 });
        page = parent;
    }
    assert_eq!(encoded_len(&list[2]), MAX_ENTRY_BYTES);
    let (header, read) = decode(&record(HEADER, &list)).expect("all of these are possible");
    assert_eq!((header.count, read), (list.len() as u32, owned(&list)));
}

/// Changes come in the order of their points, on which recovery and the shards must agree.
#[test]
fn changes_are_numbered() {
    let changes = |entry: &Entry<'_>| {
        entry.changes(9).map(|c| (c.point.0 - (9 << 10), c.first.0, c.count, c.change)).collect::<Vec<_>>()
    };
    let [remap, range, page, gone] = entries();
    use SlabChange::{BlockMapDecrement, BlockMapIncrement, Decrement, Increment};
    assert_eq!(changes(&remap), [(0, 0x0b0c, 1, Increment), (1, 0x090a, 1, Decrement)]);
    assert_eq!(changes(&range), [(0, 0x0a0b, 3, Decrement), (1, 0x0c, 1, Decrement)]);
    assert_eq!(changes(&page), [(0, 0x0f10, 1, BlockMapIncrement)]);
    assert_eq!(changes(&gone), [(0, 0x1314, 1, BlockMapDecrement)]);
    let to_zero = Entry::Remap { lbn: Lbn(1), old: Pbn(5), new: Mapping::UNMAPPED };
    assert_eq!(changes(&to_zero), [(1, 5, 1, Decrement)], "a decrement is part 1, whatever comes before it");
    let first = Entry::Remap { lbn: Lbn(1), old: Pbn::ZERO, new: mapping(6) };
    assert_eq!(changes(&first), [(0, 6, 1, Increment)]);
    assert_eq!((Point::new(9, 503).next(), Point::new(9, 503).entry()), (Point(9 << 10 | 504), 9));
    assert!(Point::new(8, 503) < Point::start_of(9));
}

#[test]
fn headers_that_cannot_be_are_refused() {
    let judge = |header: RecordHeader| {
        let mut bytes = record(header, &[]);
        bytes[24..28].copy_from_slice(&header.count.to_le_bytes());
        RecordHeader::decode(&bytes)
    };
    assert_eq!(judge(HEADER), Ok(HEADER));
    let shard = |shard, shards| RecordHeader { shard: ShardId(shard), shards, ..HEADER };
    for (header, good) in [(shard(4, 5), true), (shard(5, 5), false), (shard(31, 32), true), (shard(0, 33), false)] {
        let refusal = RecordDamage::Shard { shard: header.shard, shards: header.shards };
        assert_eq!(judge(header), if good { Ok(header) } else { Err(refusal) });
    }
    let bad = [
        RecordHeader { committed: 0x0305, ..HEADER },
        RecordHeader { map_head: 0x0309, ..HEADER },
        RecordHeader { first: u64::MAX, ..HEADER },
        RecordHeader { first: MAX_ENTRY_NUMBER - 4, ..HEADER },
    ];
    for header in bad {
        let refusal = RecordDamage::Numbers { first: header.first, count: 4 };
        assert_eq!(judge(header), Err(refusal), "{header:?}");
    }
    let most = RecordHeader { first: MAX_ENTRY_NUMBER - 5, ..HEADER };
    assert_eq!(judge(most), Ok(most));
}

#[test]
fn entries_that_are_never_written_are_refused() {
    let (range, page, remap) = (2 | 504 << 8, 3, 1);
    let one_run = |blocks: u64, run: u64| [range, blocks | 1 << 16, run];
    let run = |count: u64, pbn: u64| count << 48 | pbn;
    let bad: [&[u64]; 17] = [
        &[0, 0],
        &[5, 0],
        &[remap | MAX_LOGICAL_BLOCKS << 8, 1, 1 << 36],
        &[remap, MAX_PHYSICAL_BLOCKS, 1 << 36],
        &[remap, 1, 1],
        &[range, 0],
        &[range, 505],
        &[range | 1 << 8, 504],
        &[range, 5 | 2 << 48],
        &[range, 5 | 1 << 56],
        &one_run(5, run(0, 7)),
        &one_run(5, run(6, 7)),
        &one_run(5, run(2, MAX_PHYSICAL_BLOCKS - 1)),
        &[page | 1 << 8, 3 << 36 | 7],
        &[(page + 1) | 1 << 8, 1 << 40 | 7],
        &[page | 1 << 8, 0],
        &[page | 1 << 63, 7],
    ];
    for (case, bad) in bad.iter().enumerate() {
        assert_eq!(decode(&words(1, bad)), Err(RecordDamage::Entry(0)), "case {case}");
    }
    let run = one_run(5, run(5, 7));
    assert!(decode(&words(1, &run)).is_ok(), "the bad ones are bad for what they are to show");
    assert_eq!(decode(&words(1, &[range, 1 | 2 << 16, run[2]])), Err(RecordDamage::Entry(0)), "more runs than blocks");
}

#[test]
fn any_bytes_are_judged() {
    let good = record(HEADER, &entries());
    for length in 0..good.len() {
        assert_eq!(decode(&good[..length]), Err(RecordDamage::Truncated), "{length} bytes");
    }
    let mut long = good.clone();
    long.extend([0; 3]);
    assert_eq!(decode(&long), Err(RecordDamage::Excess(3)));
    assert_eq!(decode(&words(u32::MAX, &[])), Err(RecordDamage::Truncated), "a count costs no memory");
    let mut foreign = good.clone();
    foreign[3] = 1;
    assert_eq!(decode(&foreign), Err(RecordDamage::Foreign));

    let mut numbers = Numbers::new(6);
    for _ in 0..100_000 {
        let mut bytes = good.clone();
        for _ in 0..=numbers.below(5) {
            let at = numbers.below(bytes.len() as u64) as usize;
            bytes[at] = numbers.below(256) as u8;
        }
        bytes.truncate(bytes.len() - (numbers.below(200).saturating_sub(150)) as usize);
        // A record that decodes can be encoded again as it was read, padding aside.
        if let Ok((header, entries)) = decode(&bytes) {
            let again = record(header, &entries.iter().map(OwnedEntry::as_entry).collect::<Vec<_>>());
            assert_eq!(decode(&again), Ok((header, entries)));
        }
    }
}
