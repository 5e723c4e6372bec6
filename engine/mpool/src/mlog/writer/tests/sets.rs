// SPDX-License-Identifier: BSD-3-Clause

//! Flush sets that fail, or end in another order than they began.

use super::*;

#[test]
fn a_fresh_set_never_writes_a_block_again() {
    let mut log = PureLog::small(512, 16, Policy::Fresh, LogFormat::V2);
    for number in 0..5 {
        log.writer.append(&record(number, 10)).expect("there is room");
        let set = log.writer.next_flush(true).expect("dirty");
        assert_eq!(set.at, number * 512);
        log.write(&set);
        log.writer.flushed(set.id, set.buffer, true);
    }
    assert_eq!(log.records().len(), 5);
}

/// mpool-66, adapted: the end returns to the start of the failed set; nothing more is taken, and after a reopen the
/// next flush is consistent, whatever part of the set reached the medium.
#[test]
fn a_failed_flush_takes_the_end_back() {
    for policy in BOTH_POLICIES {
        for format in BOTH_FORMATS {
            for written in 0..=3 {
                let mut log = PureLog::small(512, 32, policy, format);
                log.append_flushed(&record(1, 100));
                let (_, _, block, byte) = log.state();
                log.writer.append(&record(2, 1200)).expect("there is room");
                let settled = log.fail_flush(|log, set| {
                    let at = set.at as usize;
                    log.image[at..at + written * 512].copy_from_slice(&set.buffer[..written * 512]);
                });
                assert_eq!(settled.lost, Some(Position(2)));
                let end = log.writer.end();
                assert_eq!((end.block, end.byte), (block, byte));
                assert_eq!(log.writer.append(&record(3, 100)), Err(AppendError::Failed));
                assert!(log.writer.next_flush(true).is_none() && log.writer.is_idle());
                let mut log = log.reopen();
                let mut expected = log.records();
                assert!([vec![record(1, 100)], vec![record(1, 100), record(2, 1200)]].contains(&expected));
                for added in [record(3, 100), record(4, 2000)] {
                    log.append_flushed(&added);
                    expected.push(added);
                }
                assert_eq!(log.reopen().records(), expected);
            }
        }
    }
}

/// Three sets in flight end in any order; records are durable in the order of the sets.
#[test]
fn sets_settle_in_order() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut log = PureLog::small(4096, 16, Policy::Fresh, LogFormat::V2);
        let mut sets = Vec::new();
        for number in 0..3 {
            log.writer.append(&record(number, 100)).expect("there is room");
            sets.push(log.writer.next_flush(true));
        }
        log.writer.append(&record(3, 100)).expect("there is a fourth buffer");
        assert!(log.writer.next_flush(true).is_none(), "three are in flight");
        let mut ended = [false; 3];
        for at in order {
            let set = sets[at].take().expect("each ends once");
            log.write(&set);
            ended[at] = true;
            let settled = log.writer.flushed(set.id, set.buffer, true);
            let in_order = ended.iter().take_while(|&&ended| ended).count() as u64;
            assert_eq!(settled, Settled { durable: Position(in_order), lost: None });
        }
        log.flush();
        assert_eq!(log.records().len(), 4);
    }
}

/// A set that has ended behind one in flight still counts: at most three sets lie beyond the first unsettled one.
#[test]
fn ended_sets_count_until_they_settle() {
    let mut log = PureLog::small(4096, 16, Policy::Fresh, LogFormat::V2);
    let mut sets = Vec::new();
    for number in 0..3 {
        log.writer.append(&record(number, 100)).expect("there is room");
        sets.extend(log.writer.next_flush(true));
    }
    log.writer.append(&record(3, 100)).expect("there is a fourth buffer");
    for set in sets.drain(1..) {
        log.write(&set);
        log.writer.flushed(set.id, set.buffer, true);
        assert!(log.writer.next_flush(true).is_none());
    }
    let first = sets.remove(0);
    log.write(&first);
    assert_eq!(log.writer.flushed(first.id, first.buffer, true).durable, Position(3));
    assert!(log.writer.next_flush(true).is_some());
}

/// The second of three sets fails: the first is durable, the others are lost whatever their outcome, and nothing is
/// appended behind them.
#[test]
fn a_failed_set_fails_the_later_ones() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut log = PureLog::small(4096, 16, Policy::Fresh, LogFormat::V2);
        let mut sets = Vec::new();
        for number in 0..3 {
            log.writer.append(&record(number, 100)).expect("there is room");
            sets.push(log.writer.next_flush(true));
        }
        log.writer.append(&record(3, 100)).expect("there is a fourth buffer");
        let mut lost = None;
        for (count, at) in order.into_iter().enumerate() {
            let set = sets[at].take().expect("each ends once");
            if at != 1 {
                log.write(&set);
            }
            let settled = log.writer.flushed(set.id, set.buffer, at != 1);
            lost = settled.lost;
            assert_eq!(lost.is_some(), count == 2, "{order:?}");
            if count < 2 && log.writer.failing() {
                assert_eq!(log.writer.append(&[1]), Err(AppendError::Busy));
                assert!(log.writer.next_flush(true).is_none());
            }
        }
        assert_eq!((log.writer.durable(), lost), (Position(1), Some(Position(4))));
        assert_eq!((log.writer.end().block, log.writer.end().byte), (1, 40));
        assert_eq!(log.records(), [record(0, 100)], "the third set hangs in the air");
        assert_eq!(log.writer.append(&record(5, 100)), Err(AppendError::Failed));
        let mut log = log.reopen();
        log.append_flushed(&record(5, 100));
        assert_eq!(log.block(1).0, ids(1, 4), "above all ids that were seen");
        assert_eq!(log.reopen().records(), [record(0, 100), record(5, 100)]);
    }
}

#[test]
fn a_record_that_does_not_fit_the_buffers_waits_or_goes_in_parts() {
    let mut log = PureLog::small(512, 64, Policy::Fresh, LogFormat::V2);
    let long = record(1, 20 * 464);
    assert_eq!(log.writer.append(&long), Err(AppendError::Busy));
    assert!(log.writer.is_idle(), "nothing was taken");
    assert_eq!(log.writer.begin(&long), Ok(Progress::Taken(16 * 464)));
    assert_eq!(log.writer.append(&[1]), Err(AppendError::Busy), "a record is under way");
    assert_eq!(log.writer.feed(&long[16 * 464..]), Err(AppendError::Busy));
    let set = log.writer.next_flush(false).expect("a buffer is full");
    log.write(&set);
    log.writer.flushed(set.id, set.buffer, true);
    assert_eq!(log.writer.feed(&long[16 * 464..]), Ok(Progress::Complete(Position(1))));
    log.flush();
    assert_eq!(log.records(), [long]);
}

/// mpool-64: a record of which only the first part reached the medium is skipped, whether it was abandoned, lost or cut
/// by a power cut; what follows is intact.
#[test]
fn the_first_part_of_a_record_is_skipped() {
    for fate in ["given up", "lost", "cut"] {
        let mut log = PureLog::small(512, 64, Policy::Fresh, LogFormat::V2);
        let long = record(1, 20 * 464);
        assert_eq!(log.writer.begin(&long), Ok(Progress::Taken(16 * 464)));
        let set = log.writer.next_flush(false).expect("a buffer is full");
        log.write(&set);
        log.writer.flushed(set.id, set.buffer, true);
        match fate {
            "given up" => {
                log.writer.abandon();
                assert_eq!(log.writer.append_compaction_end(), Err(AppendError::Misplaced), "no CEND mid-record");
            }
            "lost" => {
                let settled = log.fail_flush(|_, _| ());
                assert_eq!(settled.lost, Some(Position(0)));
                assert_eq!(log.writer.feed(&long[16 * 464..]), Err(AppendError::Failed));
                log = log.reopen();
            }
            _ => log = log.reopen(),
        }
        assert_eq!(log.content().expect("the log is whole").records, Vec::<Vec<u8>>::new());
        log.append_flushed(&record(2, 30));
        assert_eq!(log.records(), [record(2, 30)], "{fate}");
        assert_eq!(log.reopen().records(), [record(2, 30)], "{fate}");
    }
}

#[test]
fn a_log_of_many_sets_is_full_before_its_ids_run_out() {
    let mut log = PureLog::small(512, 8, Policy::Fresh, LogFormat::V2);
    let recovered = Recovered { next_set: 1 << 32, ..Recovered::EMPTY };
    log = log.reopen_as(&recovered);
    assert_eq!(log.writer.append(&[1]), Err(AppendError::LogFull));
}

#[test]
fn buffers_are_given_back_and_taken_anew_in_the_middle_of_a_block() {
    let mut log = PureLog::small(4096, 8, Policy::Continue, LogFormat::V2);
    log.append_flushed(&record(1, 100));
    log.writer.release_buffers();
    assert_eq!(log.writer.missing_buffers(), 4);
    assert_eq!(log.writer.append(&record(2, 100)), Err(AppendError::Busy));
    for _ in 0..4 {
        assert!(log.writer.supply(vec![0x5a; 4096]).is_none());
    }
    log.writer.append(&record(2, 100)).expect("there is room");
    let small = log.writer.supply(vec![0x77; 16384]).expect("a smaller one is given back");
    assert_eq!(small.len(), 4096);
    log.writer.append(&record(3, 5000)).expect("the larger one has room");
    log.flush();
    assert_eq!(log.records(), [record(1, 100), record(2, 100), record(3, 5000)]);
}
