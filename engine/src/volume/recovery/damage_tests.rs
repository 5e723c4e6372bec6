// SPDX-License-Identifier: BSD-3-Clause

//! What recovery refuses. It refuses before it writes, except for damaged pages that the journals lead to.

use futures::executor::block_on;

use super::testing::{Model, Shape};
use super::*;
use crate::format::journal_record::{self, Entry, PbnRun, RecordBuilder, RecordDamage, RecordHeader};
use crate::format::map_page::PageDamage;
use crate::format::sector::DamagedSector;
use crate::format::slab_summary::SummaryDamage;
use crate::format::{Mapped, Mapping, PageId};
use crate::units::{Lbn, Pbn, ShardId};

const SMALL: Shape = Shape { slab_blocks: 64, slabs: 8 };

fn model() -> Model {
    let mut model = Model::new(5, SMALL, 1);
    model.holes = false;
    model.run(120, u64::MAX >> 1);
    model
}

fn refusal(model: &Model) -> RecoveryError {
    block_on(recover(&model.media, &model.config())).expect_err("it is damaged")
}

/// The records of the only journal: segment and position in it, in order.
fn records(model: &Model) -> Vec<(usize, usize, RecordHeader)> {
    let segments = model.media.segments.borrow();
    let numbered = segments.iter().enumerate().flat_map(|(s, records)| records.iter().enumerate().map(move |r| (s, r)));
    let headers =
        numbered.map(|(segment, (record, bytes))| (segment, record, RecordHeader::decode(bytes).expect("good")));
    let mut headers: Vec<_> = headers.filter(|(.., header)| header.generation == model.config().generation).collect();
    headers.sort_by_key(|(.., header)| header.first);
    headers
}

#[test]
fn damaged_metadata_is_refused() {
    let model = model();
    model.media.change((1, 3, 0), |block| block[40] ^= 1);
    let damage = SummaryDamage::Sector(DamagedSector(0));
    assert_eq!(refusal(&model), RecoveryError::Summary { slab: 3, damage });

    let mut model = self::model();
    model.stop();
    let (&page, link) = model.pages.iter().next().expect("there are leaf pages");
    let pbn = link.pbn();
    model.media.change((0, 0, pbn.0), |block| block[7 * 512] ^= 1);
    let header = records(&model).last().expect("there are records").2;
    // A record that changes the damaged page, and needs no other.
    let entry = Entry::Remap { lbn: page.first_lbn(), old: Pbn::ZERO, new: Mapping::UNMAPPED };
    append(&model, RecordHeader { first: header.end(), map_head: header.end(), ..header }, &entry);
    let damage = PageDamage::Sector(DamagedSector(7));
    assert_eq!(refusal(&model), RecoveryError::Page { page, pbn, damage });
}

fn append(model: &Model, header: RecordHeader, entry: &Entry<'_>) {
    let mut builder = RecordBuilder::new(0);
    builder.push(entry);
    let last = records(model).last().expect("there are records").0;
    model.media.segments.borrow_mut()[last].push(builder.finish(header).to_vec());
}

/// A missing record whose commitment later records confirm is not the end of the journal.
#[test]
fn missing_records_are_told_from_the_end() {
    let model = model();
    let all = records(&model);
    assert!(all.len() > 6, "{} records", all.len());
    let (segment, record, missing) = all[all.len() / 2];
    let bytes = model.media.segments.borrow_mut()[segment].remove(record);
    let gap = RecoveryError::Gap { shard: ShardId(0), expected: missing.first, found: missing.end() };
    assert_eq!(refusal(&model), gap);
    // The same record twice is wrong too.
    let mut segments = model.media.segments.borrow_mut();
    segments[segment].insert(record, bytes.clone());
    segments[segment].insert(record, bytes);
    drop(segments);
    let twice = RecoveryError::Gap { shard: ShardId(0), expected: missing.end(), found: missing.first };
    assert_eq!(refusal(&model), twice);
}

/// A journal that ends before what slabs contain has lost acknowledged entries.
#[test]
fn a_journal_that_is_too_short_is_refused() {
    let mut model = model();
    model.stop();
    let all = records(&model);
    for &(segment, record, _) in all[all.len() - 3..].iter().rev() {
        model.media.segments.borrow_mut()[segment].remove(record);
    }
    let end = all[all.len() - 3].2.first;
    match refusal(&model) {
        RecoveryError::Short { shard: ShardId(0), end: told, contained, .. } => {
            assert!(told == end && contained >= end && contained < all[all.len() - 1].2.end());
        }
        other => panic!("{other}"),
    }
}

#[test]
fn damaged_records_are_refused() {
    let model = model();
    let (segment, record, header) = records(&model)[2];
    let good = model.media.segments.borrow()[segment][record].clone();
    let judge = |bytes: Vec<u8>| {
        model.media.segments.borrow_mut()[segment][record] = bytes;
        refusal(&model)
    };
    let cut = good[..good.len() - 8].to_vec();
    let segment = segment as u32;
    assert_eq!(judge(cut), RecoveryError::Record { segment, record, damage: RecordDamage::Truncated });
    let mut shards = good.clone();
    shards[6] = 2;
    assert_eq!(judge(shards), RecoveryError::Shards { segment, record, found: 2, expected: 1 });
    let mut foreign = good.clone();
    foreign[0] = 0;
    assert_eq!(judge(foreign), RecoveryError::Record { segment, record, damage: RecordDamage::Foreign });
    assert_eq!(journal_record::decode(&good).map(|(header, _)| header), Ok(header));
}

#[test]
fn entries_of_another_volume_are_refused() {
    let end = Pbn(1 + 8 * 64);
    let leaf = PageId::leaf_of(Lbn(0));
    let mapping = |pbn| Mapping::new(Mapped::uncompressed(pbn), 0);
    let (lbn, zero) = (Lbn(0), Pbn::ZERO);
    let run = |first, count| [PbnRun { first: Pbn(first), count }];
    let (beyond, across) = (run(end.0 - 2, 3), run(63, 3));
    let range = |runs| Entry::Range { first: lbn, count: 5, runs };
    let blocks = |first, count| EntryFault::Blocks { first, count };
    let cases = [
        (Entry::Remap { lbn, old: end, new: Mapping::UNMAPPED }, blocks(end, 1)),
        (Entry::Remap { lbn, old: zero, new: mapping(end) }, blocks(end, 1)),
        (range(&beyond), blocks(Pbn(end.0 - 2), 3)),
        (range(&across), blocks(Pbn(63), 3)),
        (Entry::Page { page: leaf, pbn: end, life: 0 }, blocks(end, 1)),
    ];
    for (entry, fault) in cases {
        let model = model();
        let header = records(&model).last().expect("there are records").2;
        append(&model, RecordHeader { first: header.end(), ..header }, &entry);
        let expected = RecoveryError::Entry { shard: ShardId(0), entry: header.end(), fault };
        let operations = model.media.operations();
        assert_eq!(refusal(&model), expected);
        assert_eq!(model.media.operations(), operations + 1, "one flush, and nothing was written");
    }
    let config = RecoveryConfig { shards: 7, ..model().config() };
    let other = Entry::Remap { lbn: Lbn(504 * 61), old: zero, new: Mapping::UNMAPPED };
    let page = PageId::leaf_of(Lbn(504 * 61));
    assert_eq!(check_entry(&config, ShardId(0), &other), Err(EntryFault::Shard(page)), "tree 1 is of shard 1");
    assert_eq!(check_entry(&config, ShardId(1), &other), Ok(()));
}

/// A page that no tree has, and references that no block can have.
#[test]
fn entries_that_contradict_the_rest_are_refused() {
    let model = model();
    let header = records(&model).last().expect("there are records").2;
    let lbn = Lbn(504 * 30);
    let nowhere = Entry::Remap { lbn, old: Pbn::ZERO, new: Mapping::UNMAPPED };
    append(&model, RecordHeader { first: header.end(), ..header }, &nowhere);
    // The first page that is missing on the way down.
    let page = PageId { level: 2, index: 30 };
    assert_eq!(refusal(&model), RecoveryError::PageMissing { page });

    let model = self::model();
    let mut next = header;
    for _ in 0..600 {
        next = RecordHeader { first: next.end(), count: 1, ..next };
        append(&model, next, &Entry::Remap { lbn: Lbn(0), old: Pbn(1), new: Mapping::UNMAPPED });
    }
    assert!(matches!(refusal(&model), RecoveryError::Balance { pbn: Pbn(1), change } if change < -254));
}
