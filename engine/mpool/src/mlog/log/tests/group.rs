// SPDX-License-Identifier: BSD-3-Clause

use std::cell::RefCell;
use std::future::Future;

use futures::executor::LocalPool;
use futures::future::join_all;
use futures::task::LocalSpawnExt;

use super::*;
use crate::mlog::testing::{record, run_slowly};

/// 64 callers that append and wait, again and again.
fn appenders(log: &Rc<Mlog>, rounds: u64, bytes: usize) -> impl Future<Output = Vec<Result<()>>> {
    let one = |appender: u64, log: Rc<Mlog>| async move {
        for round in 0..rounds {
            log.append(&record(appender * rounds + round, bytes), true).await?;
        }
        Ok(())
    };
    join_all((0..64).map(|appender| one(appender, Rc::clone(log))))
}

/// Many concurrent appends become durable with few flushes: all that arrive while one is in flight share the next.
#[test]
fn appends_that_wait_together_are_flushed_together() {
    for media in all_media(8 << 20) {
        let log = open(&media);
        let outcomes = run_slowly(&media, appenders(&log, 8, 500));
        assert!(outcomes.iter().all(Result::is_ok));
        assert!(log.flushes() <= 10, "{} flushes for 8 rounds of 64", log.flushes());
        let mut found = read_all(&open(&media.cut()));
        found.sort();
        let mut expected: Vec<_> = (0..64 * 8).map(|number| record(number, 500)).collect();
        expected.sort();
        assert!(found == expected);
    }
}

#[test]
fn one_flush_is_in_flight_and_the_others_collect() {
    let media = MemoryMedia::new(4096, 1 << 20, true);
    let log = open(&media);
    let mut pool = LocalPool::new();
    let done = Rc::new(RefCell::new(Vec::new()));
    media.held.set(true);
    for number in 0..10 {
        let (log, done) = (Rc::clone(&log), Rc::clone(&done));
        let appender = async move {
            log.append(&record(number, 100), true).await.expect("the medium works");
            done.borrow_mut().push(number);
        };
        pool.spawner().spawn_local(appender).expect("the pool runs");
        pool.run_until_stalled();
    }
    assert!(done.borrow().is_empty());
    media.release();
    pool.run();
    done.borrow_mut().sort_unstable();
    assert_eq!(*done.borrow(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(log.flushes(), 2);
}

/// All of a set fail together, with everything appended behind them; then nothing is taken before the log is reopened.
#[test]
fn a_group_fails_together() {
    for media in all_media(8 << 20) {
        let log = open(&media);
        media.fail(1);
        let outcomes = run_slowly(&media, appenders(&log, 1, 100));
        assert!(outcomes.iter().all(Result::is_err));
        let outcomes = run_slowly(&media, appenders(&log, 1, 100));
        assert!(outcomes.iter().all(Result::is_err));
        let outcomes = run_slowly(&media, appenders(&open(&media), 1, 100));
        assert!(outcomes.iter().all(Result::is_ok));
        assert_eq!(read_all(&open(&media.cut())).len(), 64);
    }
}

/// Long and short records of many callers, some with failures: every acknowledged record is found, and none in pieces.
#[test]
fn long_and_short_records_of_many_appenders_do_not_mix() {
    for media in all_media(16 << 20) {
        let log = open(&media);
        media.fail(1);
        media.before_failure.set(3);
        let bytes = |number: u64| [30, 70_000, 5000, 300_000][number as usize % 4];
        let one = |number: u64| {
            let log = Rc::clone(&log);
            async move { (number, log.append(&record(number, bytes(number)), true).await.is_ok()) }
        };
        let outcomes = run_slowly(&media, join_all((0..60).map(one)));
        let lost = outcomes.iter().filter(|(_, ok)| !ok).count();
        assert!(lost > 0 && lost < 60, "{lost} lost");
        let found = read_all(&open(&media.cut()));
        let expected: Vec<_> =
            outcomes.iter().filter(|(_, ok)| *ok).map(|&(number, _)| record(number, bytes(number))).collect();
        assert_eq!(found.len(), expected.len());
        assert!(expected.iter().all(|record| found.contains(record)));
    }
}

/// A waiter that is cancelled does not stop the others.
#[test]
fn a_waiter_that_goes_away_stops_nothing() {
    let media = MemoryMedia::new(4096, 8 << 20, true);
    let log = open(&media);
    let mut pool = LocalPool::new();
    media.held.set(true);
    let long = record(1, 3 << 20);
    let mut first = Box::pin(log.append(b"first", true));
    let mut second = Box::pin(log.append(&long, true));
    let third = Box::pin(log.append(b"third", true));
    pool.run_until(async {
        assert!(futures::poll!(&mut first).is_pending());
        assert!(futures::poll!(&mut second).is_pending());
    });
    drop(first);
    drop(second);
    media.release();
    pool.run_until(third).expect("the medium works");
    assert_eq!(read_all(&log), [b"first", b"third"]);
    assert_eq!(read_all(&open(&media.cut())), [b"first", b"third"]);
}

/// A flush set in flight when a log is erased ends before anything of the new generation is written.
#[test]
fn an_erasure_waits_for_what_is_in_flight() {
    let media = MemoryMedia::new(512, 1 << 16, true);
    let log = open(&media);
    let mut pool = LocalPool::new();
    media.held.set(true);
    let mut old = Box::pin(log.append(b"old", true));
    pool.run_until(async { assert!(futures::poll!(&mut old).is_pending()) });
    log.reset(9);
    let mut new = Box::pin(log.append(b"new", true));
    pool.run_until(async { assert!(futures::poll!(&mut new).is_pending()) });
    assert!(media.writes.borrow().is_empty());
    media.release();
    assert_eq!(pool.run_until(old).map_err(|error| error.kind()), Err(Kind::Invalid));
    pool.run_until(new).expect("the medium works");
    assert_eq!(media.writes.borrow().len(), 2);
    assert_eq!(read_all(&log), [b"new"]);
}

/// A reader that comes to blocks in flight waits for them.
#[test]
fn a_reader_waits_for_blocks_in_flight() {
    let media = MemoryMedia::new(512, 1 << 16, false);
    let log = open(&media);
    let mut pool = LocalPool::new();
    media.held.set(true);
    let mut flushed = Box::pin(log.append(b"in flight", true));
    pool.run_until(async { assert!(futures::poll!(&mut flushed).is_pending()) });
    let mut reading = Box::pin(log.next_vec(100));
    pool.run_until(async { assert!(futures::poll!(&mut reading).is_pending()) });
    media.release();
    assert_eq!(pool.run_until(reading), Ok(Some(b"in flight".to_vec())));
    pool.run_until(flushed).expect("the medium works");
}
