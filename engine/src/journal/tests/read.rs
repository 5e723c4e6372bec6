// SPDX-License-Identifier: BSD-3-Clause

//! Reads segments after a power cut.

use std::ops::Range;

use mpool::mlog::check::check_image;
use mpool::mlog::{Geometry, ScanConfig};

use super::model::{is_page, with_entry, GENERATION};
use crate::format::journal_record::{decode, OwnedEntry, RecordHeader};
use crate::format::JournalSegment;
use crate::units::ShardId;

/// The records of all segments, in the order of their entries.
pub(super) fn records(images: &[Vec<u8>], segments: &[JournalSegment]) -> Vec<(RecordHeader, Vec<OwnedEntry>)> {
    let mut records = Vec::new();
    for (image, segment) in images.iter().zip(segments) {
        let config = ScanConfig {
            geometry: Geometry::new(segment.sector_bytes, segment.capacity_bytes).expect("a size of sectors"),
            stamp: segment.stamp,
            compact_sem: false,
            accept_v1: false,
            one_in_flight: false,
        };
        let content = check_image(image, config).expect("no cut makes a log corrupt");
        records.extend(content.records.iter().map(|record| decode(record).expect("records are whole")));
    }
    records.sort_by_key(|(header, _)| header.first);
    records
}

/// The entries up to the first gap, each as it was appended.
pub(super) fn entries(images: &[Vec<u8>], segments: &[JournalSegment], shards: u16) -> Range<u64> {
    let records = records(images, segments);
    let Some((oldest, _)) = records.first() else { return 0..0 };
    let mut found = oldest.first..oldest.first;
    for (header, entries) in &records {
        if header.first != found.end {
            assert!(header.first > found.end, "no entry is there twice");
            assert!(header.committed <= found.end, "what was committed is there");
            continue;
        }
        for (entry, number) in entries.iter().zip(found.end..) {
            with_entry(number, is_page(number), |appended| assert_eq!(entry.as_entry(), *appended, "entry {number}"));
        }
        check_header(header, shards);
        found.end += entries.len() as u64;
    }
    found
}

fn check_header(header: &RecordHeader, shards: u16) {
    assert_eq!((header.shard, header.shards, header.generation), (ShardId(shards - 1), shards, GENERATION));
    let behind = header.end() as i64;
    assert_eq!((header.logical_blocks_used, header.map_pages), (behind, -behind), "counters behind the last entry");
    assert!(header.committed <= header.first && header.map_head <= header.committed);
}
