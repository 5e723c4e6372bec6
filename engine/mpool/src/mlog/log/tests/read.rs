// SPDX-License-Identifier: BSD-3-Clause

use super::*;
use crate::mlog::testing::record;

fn kind(outcome: core::result::Result<Option<usize>, NextError>) -> Option<Kind> {
    outcome.err().map(|error| PoolError::from(error).kind())
}

/// mpool-68: reading again brings the same.
#[test]
fn a_log_is_read_again() {
    for media in all_media(4 << 20) {
        let log = open(&media);
        for number in 0..600 {
            append(&log, &record(number, (number as usize * 97) % 3000), number % 50 == 0);
        }
        let once = read_all(&log);
        assert_eq!(once.len(), 600);
        assert!(once == read_all(&log));
        assert!(once.iter().enumerate().all(|(number, found)| *found == record(number as u64, number * 97 % 3000)));
    }
}

/// mpool-69: with too small a buffer the error has the size; the record stays the next one.
#[test]
fn a_small_buffer_is_told_the_size() {
    for media in all_media(1 << 20) {
        let log = open(&media);
        append(&log, &record(1, 9000), true);
        append(&log, b"next", true);
        let mut buffer = vec![0; 9000];
        for small in [1, 8999] {
            match block_on(log.next(&mut buffer[..small])) {
                Err(NextError::TooSmall { needed: 9000, .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(block_on(log.next_vec(10)).map_err(|error| error.kind()), Err(Kind::Overflow));
        assert_eq!(block_on(log.next(&mut buffer)), Ok(Some(9000)));
        assert!(buffer == record(1, 9000));
        assert_eq!(block_on(log.next(&mut buffer)), Ok(Some(4)));
        assert_eq!(block_on(log.next(&mut buffer)), Ok(None));
    }
}

/// Defect 17: a record without bytes is not the end.
#[test]
fn a_record_without_bytes_is_not_the_end() {
    let media = MemoryMedia::new(512, 1 << 16, true);
    let log = open(&media);
    append(&log, b"", true);
    assert_eq!(block_on(log.next(&mut [])), Ok(Some(0)));
    assert_eq!(block_on(log.next(&mut [])), Ok(None));
}

/// mpool-70: an erasure during reading fails it, until the reader rewinds.
#[test]
fn reading_ends_with_an_erasure() {
    let media = MemoryMedia::new(512, 1 << 16, true);
    let log = open(&media);
    append(&log, b"1", true);
    append(&log, b"2", true);
    let mut buffer = [0; 8];
    assert_eq!(block_on(log.next(&mut buffer)), Ok(Some(1)));
    log.reset(4);
    assert_eq!(kind(block_on(log.next(&mut buffer))), Some(Kind::Invalid));
    block_on(log.rewind()).expect("the log is open");
    assert_eq!(block_on(log.next(&mut buffer)), Ok(None));
}

/// mpool-70: after an error nothing is read until the reader rewinds. Blocks are checked while they are read.
#[test]
fn reading_ends_with_a_damaged_block() {
    for media in all_media(1 << 16) {
        let log = open(&media);
        append(&log, &record(1, 6000), true);
        append(&log, b"2", true);
        let log = open(&media);
        media.image.borrow_mut()[450] ^= 1;
        let mut buffer = vec![0; 6000];
        assert_eq!(kind(block_on(log.next(&mut buffer))), Some(Kind::CorruptLog));
        media.image.borrow_mut()[450] ^= 1;
        assert_eq!(kind(block_on(log.next(&mut buffer))), Some(Kind::Invalid));
        assert_eq!(read_all(&log).len(), 2);
    }
}

#[test]
fn what_is_appended_after_the_end_is_read_on() {
    for media in all_media(1 << 18) {
        let log = open(&media);
        let mut expected = Vec::new();
        let mut found = Vec::new();
        for number in 0..60 {
            assert_eq!(block_on(log.next_vec(1 << 20)), Ok(None));
            expected.push(record(number, (number as usize * 211) % 3000));
            append(&log, &expected[number as usize], number % 3 == 0);
            found.extend(block_on(rest(&log)));
        }
        assert!(found == expected);
    }
}

/// A container's log is read once when it is opened: what was scanned is kept until it has been read through.
#[test]
fn a_container_is_read_once() {
    for media in all_media(4 << 20) {
        let log = try_open(&media, CSEM).expect("empty");
        block_on(log.append_cstart()).expect("the first of all");
        let expected: Vec<_> = (0..1000).map(|number| record(number, 300)).collect();
        for record in &expected {
            append(&log, record, false);
        }
        block_on(log.append_cend()).expect("a compaction was started");
        let log = try_open(&media, CSEM).expect("whole");
        let reads = media.reads.get();
        assert!(read_all(&log) == expected);
        assert_eq!(media.reads.get(), reads);
        assert!(read_all(&log) == expected);
        assert!(media.reads.get() > reads, "it is not kept for ever");
    }
}

/// A reader that has read records which a failed flush then lost must rewind; one that has not is at the end.
#[test]
fn a_reader_of_lost_records_begins_anew() {
    for media in all_media(1 << 16) {
        for seen in [false, true] {
            let log = open(&media.cut());
            let media = MemoryMedia::new(media.sector_bytes, 1 << 16, media.continue_allowed);
            drop(log);
            let log = open(&media);
            append(&log, b"kept", true);
            append(&log, b"lost", false);
            let mut buffer = [0; 16];
            assert_eq!(block_on(log.next(&mut buffer)), Ok(Some(4)));
            if seen {
                assert_eq!(block_on(log.next(&mut buffer)), Ok(Some(4)));
            }
            media.fail(1);
            assert!(block_on(log.sync()).is_err());
            let next = block_on(log.next(&mut buffer));
            if seen {
                assert_eq!(kind(next), Some(Kind::Invalid));
            } else {
                assert_eq!(next, Ok(None));
            }
            assert_eq!(read_all(&log), [b"kept"]);
        }
    }
}
