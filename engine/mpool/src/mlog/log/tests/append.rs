// SPDX-License-Identifier: BSD-3-Clause

use super::*;
use crate::mlog::testing::record;

/// mpool-52, mpool-59: a record is on media when its append has ended.
#[test]
fn a_synchronous_append_survives_a_power_cut() {
    for media in all_media(1 << 20) {
        let log = open(&media);
        let mut expected = Vec::new();
        for number in 0..40 {
            let record = record(number, (number as usize * 331) % 6000);
            append(&log, &record, true);
            expected.push(record);
            assert!(read_all(&open(&media.cut())) == expected);
        }
    }
}

/// mpool-53: readers see other records at once; those reach the medium later, in order.
#[test]
fn an_asynchronous_append_is_seen_at_once_and_durable_later() {
    for media in all_media(1 << 20) {
        let log = open(&media);
        append(&log, b"first", true);
        append(&log, b"second", false);
        append(&log, b"third", false);
        assert_eq!(read_all(&log), [&b"first"[..], b"second", b"third"]);
        assert_eq!(read_all(&open(&media.cut())), [b"first"]);
        block_on(log.sync()).expect("the medium works");
        assert_eq!(read_all(&open(&media.cut())).len(), 3);
    }
}

/// mpool-54: a full buffer is written, 1 MiB at once, without a request.
#[test]
fn a_full_buffer_is_written_unasked() {
    for media in all_media(8 << 20) {
        let log = open(&media);
        let mut expected = Vec::new();
        for number in 0..700 {
            expected.push(record(number, 3000));
            append(&log, &expected[number as usize], false);
        }
        let sizes: Vec<_> = media.writes.borrow().iter().map(|write| (write.at, write.bytes.len())).collect();
        assert_eq!(sizes, [(0, 1 << 20), (1 << 20, 1 << 20)]);
        let durable = read_all(&open(&media.cut()));
        assert!(durable.len() > 600 && expected.starts_with(&durable));
        assert!(read_all(&log) == expected);
    }
}

/// mpool-55, mpool-59: a record longer than all buffers together.
#[test]
fn a_record_of_mebibytes_comes_back() {
    for media in all_media(16 << 20) {
        let log = open(&media);
        let expected = [record(1, 10), record(2, (5 << 20) + 3), record(3, 10)];
        for record in &expected {
            append(&log, record, true);
        }
        assert!(read_all(&log) == expected);
        assert!(read_all(&open(&media.cut())) == expected);
    }
}

/// mpool-57: a full log refuses, keeps what it has, and has flushed it.
#[test]
fn a_full_log_keeps_what_it_has() {
    for media in all_media(1 << 16) {
        let log = open(&media);
        let mut expected = Vec::new();
        let full = loop {
            let record = record(expected.len() as u64, 1000);
            match block_on(log.append(&record, false)) {
                Ok(()) => expected.push(record),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), Kind::LogFull);
        assert!(expected.len() > 55);
        assert!(read_all(&open(&media.cut())) == expected);
    }
}

/// mpool-58: the longest record that fits is taken, one byte more is not.
#[test]
fn the_room_that_is_told_is_exact() {
    for media in all_media(1 << 16) {
        let log = open(&media);
        append(&log, &record(1, 777), true);
        let room = log.room().expect("there is some") as usize;
        let refused = block_on(log.append(&record(2, room + 1), true));
        assert_eq!(refused.map_err(|error| error.kind()), Err(Kind::LogFull));
        append(&log, &record(2, room), true);
        assert!(read_all(&open(&media.cut())) == [record(1, 777), record(2, room)]);
    }
}

/// mpool-66, adapted: a failed flush moves the end back; the log is consistent after a reopen, and takes appends only
/// then.
#[test]
fn a_failed_append_is_as_if_never_made() {
    for media in all_media(1 << 16) {
        let log = open(&media);
        append(&log, b"first", true);
        media.fail(1);
        let failed = block_on(log.append(&record(2, 2000), true));
        assert_eq!(failed.map_err(|error| error.kind()), Err(Kind::Io));
        assert_eq!(read_all(&log), [b"first"]);
        let log = open(&media);
        append(&log, b"third", true);
        assert_eq!(read_all(&log), [b"first", b"third"]);
        assert_eq!(read_all(&open(&media.cut())), [b"first", b"third"]);
    }
}

/// A record that was accepted without being durable is lost in a flush set with a durable append of another caller,
/// which gets the error. Later appends and flushes fail too: nothing becomes durable behind what is missing.
#[test]
fn nothing_is_durable_behind_what_was_lost() {
    for media in all_media(1 << 16) {
        let log = open(&media);
        append(&log, b"first", true);
        append(&log, b"nobody waits", false);
        media.fail(1);
        assert!(block_on(log.append(b"fails", true)).is_err());
        for sync in [true, false] {
            let told = block_on(log.append(b"behind", sync));
            assert_eq!(told.map_err(|error| error.kind()), Err(Kind::Io));
        }
        assert!(block_on(log.sync()).is_err() && log.has_failed());
        assert_eq!(read_all(&log), [b"first"]);
        assert!(block_on(log.close()).is_err(), "who closes it relies on it as who flushes it");
        assert_eq!(read_all(&open(&media.cut())), [b"first"]);
        let log = open(&media);
        append(&log, b"goes on", true);
        media.fail(1);
        assert!(block_on(log.append(b"fails", true)).is_err());
        log.reset(STAMP.generation + 1);
        append(&log, b"erased", true);
        assert_eq!(read_all(&log), [b"erased"]);
    }
}

/// The content found at an open may be in a volatile cache only, if it was written by an earlier opening that failed.
/// It is flushed before the first set, so that no power cut loses it and keeps the set.
#[test]
fn what_was_found_is_durable_before_anything_follows() {
    for media in all_media(1 << 16) {
        let log = open(&media);
        append(&log, b"first", true);
        append(&log, b"second", true);
        assert_eq!(media.flushes.get(), 0, "nothing was found");
        let log = open(&media);
        append(&log, b"third", true);
        append(&log, b"fourth", true);
        assert_eq!(media.flushes.get(), 1);
    }
}

/// Defect 16: a caller that appends without waiting learns of a loss at its next call.
#[test]
fn lost_asynchronous_appends_are_reported() {
    for media in all_media(4 << 20) {
        let log = open(&media);
        media.fail(1);
        // The first full buffer fails.
        let refused = (0..1000).find(|&number| block_on(log.append(&record(number, 3000), false)).is_err());
        assert!(refused.is_some_and(|number| number < 800), "{refused:?}");
        assert_eq!(media.failing.get(), 0);
        let told = block_on(log.append(b"waits", true));
        assert_eq!(told.map_err(|error| error.kind()), Err(Kind::Io));
        assert!(open(&media.cut()).is_empty());
    }
}

#[test]
fn a_failed_sync_ends_the_use_of_a_log() {
    let media = MemoryMedia::new(512, 1 << 16, true);
    let log = open(&media);
    append(&log, b"lost", false);
    media.fail(1);
    assert!(block_on(log.sync()).is_err());
    assert!(block_on(log.sync()).is_err(), "what was acknowledged is missing still");
    assert!(log.is_empty());
    assert!(block_on(log.close()).is_err());
    assert!(!log.is_open());
    let log = open(&media);
    append(&log, b"lost", false);
    media.fail(1);
    assert!(block_on(log.close()).is_err());
    assert!(!log.is_open());
}

/// A record that fails in its middle is lost whole.
#[test]
fn a_long_record_that_fails_midway_leaves_no_trace() {
    for media in all_media(8 << 20) {
        let log = open(&media);
        append(&log, b"first", true);
        media.fail(1);
        media.before_failure.set(1);
        let failed = block_on(log.append(&record(2, 3 << 20), true));
        assert_eq!(failed.map_err(|error| error.kind()), Err(Kind::Io));
        let log = open(&media);
        append(&log, b"third", true);
        assert_eq!(read_all(&log), [b"first", b"third"]);
        assert_eq!(read_all(&open(&media.cut())), [b"first", b"third"]);
    }
}

/// mpool-60: on media that write sectors atomically a block is filled by several flushes; on others it is not.
#[test]
fn the_medium_decides_whether_blocks_are_written_again() {
    for media in all_media(1 << 16) {
        let log = open(&media);
        append(&log, b"1", true);
        append(&log, b"2", true);
        let places: Vec<_> = media.writes.borrow().iter().map(|write| write.at).collect();
        let second = if media.continue_allowed { 0 } else { media.sector_bytes as u64 };
        assert_eq!(places, [0, second]);
    }
}

#[test]
fn markers_need_a_log_for_compaction() {
    let media = MemoryMedia::new(512, 1 << 16, true);
    let invalid = |outcome: Result<()>| assert_eq!(outcome.map_err(|error| error.kind()), Err(Kind::Invalid));
    let log = open(&media);
    invalid(block_on(log.append_cstart()));
    invalid(block_on(log.append_cend()));
    let log = try_open(&media, CSEM).expect("empty");
    invalid(block_on(log.append(b"before the start", true)));
    invalid(block_on(log.append_cend()));
    block_on(log.append_cstart()).expect("the first of all");
    invalid(block_on(log.append_cstart()));
    append(&log, b"content", false);
    block_on(log.append_cend()).expect("a compaction was started");
    invalid(block_on(log.append_cend()));
    append(&log, b"more", true);
    assert_eq!(read_all(&try_open(&media.cut(), CSEM).expect("whole")), [&b"content"[..], b"more"]);
}

/// A lost marker can be appended again, once the log is reopened.
#[test]
fn a_failed_marker_is_not_there() {
    let media = MemoryMedia::new(512, 1 << 16, true);
    let log = try_open(&media, CSEM).expect("empty");
    media.fail(1);
    assert!(block_on(log.append_cstart()).is_err());
    let log = try_open(&media, CSEM).expect("empty");
    block_on(log.append_cstart()).expect("the first of all");
    append(&log, b"content", true);
    media.fail(1);
    assert!(block_on(log.append_cend()).is_err());
    let unfinished = try_open(&media.cut(), CSEM).map(drop);
    assert_eq!(unfinished.map_err(|error| error.kind()), Err(Kind::Unfinished));
}

#[test]
fn a_log_at_rest_holds_little_memory() {
    let media = MemoryMedia::new(4096, 8 << 20, true);
    let log = open(&media);
    let opened = media.allocated.get();
    append(&log, b"small", true);
    assert_eq!(media.allocated.get() - opened, 32 << 10);
    for number in 0..300 {
        append(&log, &record(number, 4000), false);
    }
    block_on(log.sync()).expect("the medium works");
    let busy = media.allocated.get();
    for number in 0..40 {
        append(&log, &record(number, 40), true);
    }
    assert_eq!(media.allocated.get() - busy, 32 << 10, "the large buffers were given back");
    assert_eq!(read_all(&log).len(), 341);
}

/// Closing writes buffered records, and reports losses.
#[test]
fn closing_writes_what_is_left_or_reports_what_was_lost() {
    for failing in [0, 1] {
        let media = MemoryMedia::new(512, 4 << 20, true);
        let log = open(&media);
        media.fail(failing);
        append(&log, b"last", false);
        let told = block_on(log.close()).map_err(|error| error.kind());
        assert_eq!(told, if failing == 0 { Ok(()) } else { Err(Kind::Io) });
        assert_eq!(read_all(&open(&media.cut())).len(), 1 - failing);
    }
}
