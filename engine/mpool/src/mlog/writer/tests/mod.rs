// SPDX-License-Identifier: BSD-3-Clause

mod sets;

use super::*;
use crate::mlog::block::{LogFormat, SetIds};
use crate::mlog::geometry::Geometry;
use crate::mlog::testing::{record, PureLog, STAMP};

const BOTH_POLICIES: [Policy; 2] = [Policy::Continue, Policy::Fresh];
const BOTH_SECTORS: [usize; 2] = [512, 4096];
const BOTH_FORMATS: [LogFormat; 2] = [LogFormat::V1, LogFormat::V2];

fn ids(previous: u32, current: u32) -> SetIds {
    SetIds { previous, current }
}

/// mpool-60: a trace of what mpool writes, set by set.
#[test]
fn a_continued_block_is_written_as_in_the_worked_example() {
    use ChunkType::{First, Full, Last};
    for format in BOTH_FORMATS {
        let mut log = PureLog::small(4096, 8, Policy::Continue, format);
        assert_eq!(log.state(), (0, 1, 0, 40));

        log.append_flushed(&record(1, 100));
        assert_eq!(log.block(0), (ids(0, 1), vec![(Full, 100)]));
        assert_eq!(log.state(), (0, 2, 0, 148));

        log.append_flushed(&record(2, 100));
        assert_eq!(log.block(0), (ids(0, 2), vec![(Full, 100); 2]));
        assert_eq!(log.state(), (0, 3, 0, 256));

        log.append_flushed(&record(3, 100));
        assert_eq!(log.block(0), (ids(0, 3), vec![(Full, 100); 3]));
        assert_eq!(log.state(), (0, 4, 0, 364));

        log.append_flushed(&record(4, 5000));
        let first = vec![(Full, 100), (Full, 100), (Full, 100), (First, 3724)];
        assert_eq!(log.block(0), (ids(0, 4), first));
        assert_eq!(log.block(1), (ids(4, 4), vec![(Last, 1276)]));
        assert_eq!(log.state(), (4, 5, 1, 1324));

        log.append_flushed(&record(5, 100));
        assert_eq!(log.block(1), (ids(4, 5), vec![(Last, 1276), (Full, 100)]));
        assert_eq!(log.state(), (4, 6, 1, 1432));

        log.append_flushed(&record(6, 2656));
        assert_eq!(log.block(1), (ids(4, 6), vec![(Last, 1276), (Full, 100), (Full, 2656)]));
        assert_eq!(log.state(), (6, 7, 2, 40));

        log.writer.append(&record(7, 10)).expect("there is room");
        let settled = log.fail_flush(|_, _| ());
        assert_eq!(settled, Settled { durable: Position(6), lost: Some(Position(7)) });
        assert_eq!(log.state(), (6, 8, 2, 40));

        let log = log.reopen();
        assert_eq!(log.state(), (6, 7, 2, 40));
        let lengths: Vec<_> = log.records().iter().map(Vec::len).collect();
        assert_eq!(lengths, [100, 100, 100, 5000, 100, 2656]);
    }
}

/// mpool-66, partly: the part of a failed flush that reached media exists after a reopen.
#[test]
fn a_failed_flush_that_reached_the_medium_is_accepted() {
    let mut log = PureLog::small(4096, 8, Policy::Continue, LogFormat::V2);
    log.append_flushed(&record(1, 4048));
    log.writer.append(&record(2, 10)).expect("there is room");
    log.fail_flush(PureLog::write);
    assert_eq!(log.reopen().records(), [record(1, 4048), record(2, 10)]);
}

/// mpool-55, mpool-59: sizes around those of one, two and nine blocks, in both sector sizes, formats and policies.
#[test]
fn records_of_all_sizes_around_a_blocks_come_back() {
    for sector in BOTH_SECTORS {
        for policy in BOTH_POLICIES {
            for format in BOTH_FORMATS {
                let payload = sector - 48;
                let near = |size: usize| size - 8..=size + 8;
                let sizes: Vec<_> = near(8)
                    .chain(near(payload))
                    .chain(near(2 * payload))
                    .chain(near(9 * payload))
                    .chain(near(2 * sector))
                    .collect();
                let mut log = PureLog::small(sector, 700, policy, format);
                let records: Vec<_> = sizes.iter().enumerate().map(|(at, &size)| record(at as u64, size)).collect();
                for record in &records {
                    log.append_flushed(record);
                }
                assert!(log.records() == records, "{sector} {policy:?} {format:?}");
            }
        }
    }
}

/// mpool-55: the types of the chunks at the borders.
#[test]
fn a_record_is_cut_into_the_chunks_of_the_specification() {
    use ChunkType::{First, Full, Last, Middle};
    for sector in BOTH_SECTORS {
        let payload = sector - 48;
        let blocks = |size: usize| {
            let mut log = PureLog::small(sector, 8, Policy::Fresh, LogFormat::V2);
            log.append_flushed(&record(1, size));
            (0..log.writer.end().block as usize).map(|block| log.block(block).1).collect::<Vec<_>>()
        };
        let full = payload as u16;
        assert_eq!(blocks(payload), [vec![(Full, full)]]);
        assert_eq!(blocks(payload + 1), [vec![(First, full)], vec![(Last, 1)]]);
        assert_eq!(blocks(2 * payload + 1), [vec![(First, full)], vec![(Middle, full)], vec![(Last, 1)]]);
    }
}

/// mpool-56: with exactly 8 bytes left a chunk without bytes is written; records without bytes are records.
#[test]
fn chunks_and_records_without_bytes_are_written() {
    use ChunkType::{First, Full, Last};
    for sector in BOTH_SECTORS {
        let mut log = PureLog::small(sector, 8, Policy::Continue, LogFormat::V2);
        let filler = sector - 48 - 8;
        for record in [record(1, filler), record(2, 5), Vec::new(), record(3, 7)] {
            log.append_flushed(&record);
        }
        assert_eq!(log.block(0).1, [(Full, filler as u16), (First, 0)]);
        assert_eq!(log.block(1).1, [(Last, 5), (Full, 0), (Full, 7)]);
        assert_eq!(log.records(), [record(1, filler), record(2, 5), Vec::new(), record(3, 7)]);
    }
}

#[test]
fn with_fewer_than_8_bytes_left_nothing_more_is_put_into_a_block() {
    for left in 1..8 {
        let mut log = PureLog::small(512, 8, Policy::Continue, LogFormat::V2);
        log.append_flushed(&record(1, 464 - left));
        assert_eq!(log.state(), (1, 2, 1, 40));
        log.append_flushed(&record(2, 1));
        assert_eq!(log.block(1).1, [(ChunkType::Full, 1)]);
        assert!(log.image[512 - left..512].iter().all(|&byte| byte == 0));
    }
}

/// mpool-58: the longest record that fits, and one byte more, at every fill of a block.
#[test]
fn room_is_exact() {
    for policy in BOTH_POLICIES {
        for used in 0..=464 {
            let start = || {
                let mut log = PureLog::small(512, 4, policy, LogFormat::V2);
                log.append_flushed(&record(1, used));
                log
            };
            let mut log = start();
            let room = log.writer.room().expect("blocks are left") as usize;
            let expected = match policy {
                Policy::Continue if 464 - used >= 8 => 464 - used - 8 + 3 * 464,
                _ => 3 * 464,
            };
            assert_eq!(room, expected, "{policy:?} {used}");
            assert_eq!(log.writer.append(&record(2, room + 1)), Err(AppendError::LogFull));
            log.append_flushed(&record(2, room));
            assert_eq!(log.writer.room(), None);
            assert_eq!(log.writer.append(&[]), Err(AppendError::LogFull));
            assert_eq!(log.records(), [record(1, used), record(2, room)]);
        }
    }
}

#[test]
fn a_record_without_bytes_fits_into_the_last_8() {
    let mut log = PureLog::small(512, 1, Policy::Continue, LogFormat::V2);
    log.append_flushed(&record(1, 464 - 8));
    assert_eq!(log.writer.room(), Some(0));
    assert_eq!(log.writer.append(&[1]), Err(AppendError::LogFull));
    log.append_flushed(&[]);
    assert_eq!(log.writer.room(), None);
    assert_eq!(log.records(), [record(1, 456), Vec::new()]);
}

/// mpool-67: after a reopen the next record starts a block, whatever the policy.
#[test]
fn a_block_is_not_continued_after_a_reopen() {
    for sector in BOTH_SECTORS {
        let mut log = PureLog::small(sector, 8, Policy::Continue, LogFormat::V2);
        log.append_flushed(&record(1, 10));
        let before = log.image[..sector].to_vec();
        let mut log = log.reopen();
        assert_eq!(log.state(), (1, 2, 1, 40));
        log.append_flushed(&record(2, 10));
        assert_eq!(log.block(1), (ids(1, 2), vec![(ChunkType::Full, 10)]));
        assert_eq!(log.image[..sector], before);
    }
}

/// mpool-61, adapted: blocks before the first of a flush set are not written at all, so none are read first.
#[test]
fn a_reopen_inside_a_page_leaves_earlier_blocks_alone() {
    for policy in BOTH_POLICIES {
        let mut log = PureLog::small(512, 16, policy, LogFormat::V2);
        for number in 0..3 {
            log.append_flushed(&record(number, 464));
        }
        let mut log = log.reopen();
        assert_eq!(log.writer.end().block, 3);
        let before = log.image[..3 * 512].to_vec();
        log.writer.append(&record(9, 10)).expect("there is room");
        let set = log.writer.next_flush(true).expect("dirty");
        assert_eq!((set.at, set.range.clone()), (3 * 512, 0..512));
        log.write(&set);
        log.writer.flushed(set.id, set.buffer, true);
        assert_eq!(log.image[..3 * 512], before);
        assert_eq!(log.records().len(), 4);
    }
}

#[test]
fn markers_are_where_they_may_be() {
    let geometry = Geometry { sector_bytes: 512, blocks: 8 };
    let config = WriterConfig {
        format: LogFormat::V2,
        stamp: STAMP,
        geometry,
        policy: Policy::Continue,
        buffers: 2,
        max_in_flight: 1,
    };
    let mut log = PureLog::new(config, 2048);
    log.writer.append_compaction_start().expect("the log is empty");
    assert_eq!(log.writer.append_compaction_start(), Err(AppendError::Misplaced));
    log.writer.append(&record(1, 3)).expect("there is room");
    log.writer.append_compaction_end().expect("a record has ended");
    log.flush();
    use ChunkType::{CompactionEnd, CompactionStart, Full};
    assert_eq!(log.block(0).1, [(CompactionStart, 0), (Full, 3), (CompactionEnd, 0)]);
}
