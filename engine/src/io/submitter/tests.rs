// SPDX-License-Identifier: BSD-3-Clause

use super::*;
use mpool::testing::Random;

use Direction::{Read, Write};

/// A transfer as the base got it. The buffer of a request is a number chosen by the test.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Started {
    direction: Direction,
    pbn: u64,
    bufs: Vec<u32>,
    token: RunToken,
}

/// A submitter whose owners are the numbers 0.., and the transfers that it has started.
struct Bench {
    submitter: Submitter<u32, u32>,
    /// The request of each owner.
    asked: Vec<(Direction, u64)>,
    /// The answer to each owner.
    answers: Vec<Option<Result<(), RequestError>>>,
}

impl Bench {
    fn new(capacity: usize, max_run: usize) -> Bench {
        // Only block 0 lies at a seam, unless a test asks for more.
        Bench::with_seams(capacity, max_run, Seams::new(Pbn(0), 1 << 40))
    }

    fn with_seams(capacity: usize, max_run: usize, seams: Seams) -> Bench {
        Bench { submitter: Submitter::new(capacity, max_run, seams), asked: Vec::new(), answers: Vec::new() }
    }

    /// The next owner makes a request; its buffer is the owner's number plus 1000.
    fn ask(&mut self, direction: Direction, pbn: u64) {
        let owner = self.asked.len() as u32;
        self.asked.push((direction, pbn));
        self.answers.push(None);
        self.submitter.enqueue(direction, Pbn(pbn), owner + 1000, owner);
    }

    fn ask_direct(&mut self, direction: Direction, pbn: u64) {
        let owner = self.asked.len() as u32;
        self.asked.push((direction, pbn));
        self.answers.push(None);
        self.submitter.enqueue_direct(direction, Pbn(pbn), owner + 1000, owner);
    }

    fn issue(&mut self) -> Vec<Started> {
        let mut started = Vec::new();
        self.submitter.issue(|run| {
            let Run { direction, place: Place::Data(pbn), bufs, token, .. } = run else { panic!("data only") };
            started.push(Started { direction, pbn: pbn.0, bufs: bufs.to_vec(), token });
        });
        for run in &started {
            for (buf, pbn) in run.bufs.iter().zip(run.pbn..) {
                assert_eq!(self.asked[*buf as usize - 1000], (run.direction, pbn), "a buffer is at its owner's block");
            }
        }
        started
    }

    /// Completes a transfer, and returns the answered owners.
    fn complete(&mut self, token: RunToken, result: Result<(), RequestError>) -> Vec<u32> {
        let mut out = Vec::new();
        self.submitter.complete(token, result, &mut out);
        assert!(out.windows(2).all(|pair| pair[0].1 < pair[1].1), "answers are in ascending order");
        for &(owner, pbn, direction, result) in &out {
            assert_eq!(self.asked[owner as usize], (direction, pbn.0));
            assert_eq!(self.answers[owner as usize].replace(result), None, "owner {owner} is answered once");
        }
        out.into_iter().map(|(owner, ..)| owner).collect()
    }

    /// Issues and completes until nothing is left; `good` tells which blocks the base can transfer.
    fn finish(&mut self, good: impl Fn(u64) -> bool) {
        while self.submitter.waiting() > 0 {
            for run in self.issue() {
                let ok = (run.pbn..).take(run.bufs.len()).all(&good);
                self.complete(run.token, if ok { Ok(()) } else { Err(RequestError::Io) });
            }
        }
        self.assert_at_rest();
    }

    /// vdo-82: the sums that hold when all is answered.
    fn assert_at_rest(&self) {
        assert!(self.submitter.is_empty());
        assert_eq!((self.submitter.in_flight(), self.submitter.waiting()), (0, 0));
        assert!(self.answers.iter().all(Option::is_some));
        let counted = self.submitter.statistics();
        assert_eq!(counted.bios_submitted, counted.bios_completed);
        assert_eq!(counted.data_requests + counted.direct_requests, self.asked.len() as u64);
        let merged = counted.bios_merged_back + counted.bios_merged_front;
        assert_eq!(counted.bios_submitted, self.asked.len() as u64 - merged + counted.requests_retried);
    }
}

/// First block and length of each transfer.
fn shapes(started: &[Started]) -> Vec<(u64, usize)> {
    started.iter().map(|run| (run.pbn, run.bufs.len())).collect()
}

/// vdo-71, adapted: a shard has one queue, so what is left of "the same PBN always goes to the same queue" is what that
/// is good for: requests for one block are started in the order they came, even when a later one could join an
/// earlier run.
#[test]
fn requests_for_one_block_are_started_in_order() {
    let mut bench = Bench::new(16, 64);
    bench.ask(Read, 8);
    bench.ask(Write, 10);
    // Joins the read of 8, because the write of 10 has the other direction.
    bench.ask(Read, 9);
    // In dm-vdo this would join the reads and so overtake the write of the same block.
    bench.ask(Read, 10);
    let started = bench.issue();
    assert_eq!(shapes(&started), [(8, 2), (10, 1), (10, 1)]);
    assert_eq!((started[1].direction, started[2].direction), (Write, Read));
}

/// vdo-72: back merge: k, k+1, k+2 make one ascending run.
#[test]
fn back_merge() {
    let mut bench = Bench::new(16, 64);
    for pbn in [100, 101, 102] {
        bench.ask(Write, pbn);
    }
    let started = bench.issue();
    assert_eq!(shapes(&started), [(100, 3)]);
    assert_eq!(started[0].bufs, [1000, 1001, 1002]);
    assert_eq!(bench.complete(started[0].token, Ok(())), [0, 1, 2]);
    let counted = bench.submitter.statistics();
    assert_eq!((counted.bios_merged_back, counted.bios_merged_front, counted.bios_submitted), (2, 0, 1));
}

/// vdo-73: front merge: k+2, k+1, k make one ascending run.
#[test]
fn front_merge() {
    let mut bench = Bench::new(16, 64);
    for pbn in [102, 101, 100] {
        bench.ask(Read, pbn);
    }
    let started = bench.issue();
    assert_eq!(shapes(&started), [(100, 3)]);
    assert_eq!(started[0].bufs, [1002, 1001, 1000]);
    assert_eq!(bench.complete(started[0].token, Ok(())), [2, 1, 0]);
    let counted = bench.submitter.statistics();
    assert_eq!((counted.bios_merged_back, counted.bios_merged_front, counted.bios_submitted), (0, 2, 1));
}

/// vdo-74: gap fill: k, k+2, k+1 make the runs {k} and {k+1, k+2}; both go on growing at their ends.
#[test]
fn gap_fill_joins_the_higher_neighbour() {
    let mut bench = Bench::new(16, 64);
    for pbn in [100, 102, 101] {
        bench.ask(Write, pbn);
    }
    bench.ask(Write, 103);
    bench.ask(Write, 99);
    let started = bench.issue();
    assert_eq!(shapes(&started), [(99, 2), (101, 3)]);
    bench.complete(started[1].token, Ok(()));
    bench.complete(started[0].token, Ok(()));
    bench.assert_at_rest();
}

/// vdo-75: requests merge only with a waiting run of the same direction.
#[test]
fn merge_conditions() {
    let mut bench = Bench::new(16, 64);
    bench.ask(Write, 100);
    bench.ask(Read, 101);
    bench.ask(Read, 99);
    let started = bench.issue();
    assert_eq!(shapes(&started), [(100, 1), (101, 1), (99, 1)]);
    // The write of 100 is in flight, so this is a run of its own.
    bench.ask(Write, 101);
    bench.ask(Write, 99);
    assert_eq!(shapes(&bench.issue()), [(101, 1), (99, 1)]);
    // A block inside a run, or one that was its end earlier, is no neighbour.
    for pbn in [200, 201, 202, 200, 201] {
        bench.ask(Write, pbn);
    }
    assert_eq!(shapes(&bench.issue()), [(200, 3), (200, 1), (201, 1)]);
}

/// vdo-76: each member of a run completes once, and one that fails does not fail the others.
#[test]
fn one_bad_block_fails_alone() {
    let mut bench = Bench::new(16, 64);
    for pbn in 100..105 {
        bench.ask(Write, pbn);
    }
    let started = bench.issue();
    assert_eq!(bench.complete(started[0].token, Err(RequestError::Io)), [], "nobody has failed yet");
    assert_eq!((bench.submitter.waiting(), bench.submitter.len()), (5, 5));
    // New requests do not join retried blocks, and come after them.
    bench.ask(Write, 105);
    let started = bench.issue();
    assert_eq!(shapes(&started), [(100, 1), (101, 1), (102, 1), (103, 1), (104, 1), (105, 1)]);
    for run in started {
        let result = if run.pbn == 102 { Err(RequestError::Io) } else { Ok(()) };
        assert_eq!(bench.complete(run.token, result), [run.pbn as u32 - 100]);
    }
    bench.assert_at_rest();
    let failed: Vec<_> = (0..6).filter(|&owner| bench.answers[owner] != Some(Ok(()))).collect();
    assert_eq!(failed, [2]);
    let counted = bench.submitter.statistics();
    assert_eq!((counted.bios_out_failed, counted.bios_split_retries, counted.requests_retried), (2, 1, 5));
}

/// vdo-77: several requests for one block, and for its neighbours, all complete.
#[test]
fn several_requests_for_one_block() {
    let mut bench = Bench::new(16, 64);
    for pbn in [101, 101, 100, 102, 101, 102] {
        bench.ask(Read, pbn);
    }
    let started = bench.issue();
    assert_eq!(started.iter().map(|run| run.bufs.len()).sum::<usize>(), 6);
    // More requests for the same blocks while those are in flight.
    for pbn in [101, 100, 101, 102] {
        bench.ask(Read, pbn);
    }
    for run in started {
        bench.complete(run.token, Ok(()));
    }
    bench.finish(|_| true);
}

/// vdo-78: direct requests bypass merging, and go before data.
#[test]
fn direct_requests_are_never_merged() {
    let mut bench = Bench::new(16, 64);
    bench.ask(Read, 100);
    bench.ask_direct(Read, 101);
    bench.ask_direct(Read, 102);
    // Neighbours of direct requests, which are not in the map: there is no run to join.
    bench.ask(Read, 103);
    assert_eq!((bench.submitter.map.get(Pbn(101)), bench.submitter.map.get(Pbn(102))), (None, None));
    let started = bench.issue();
    assert_eq!(shapes(&started), [(101, 1), (102, 1), (100, 1), (103, 1)]);
    for run in started {
        bench.complete(run.token, Ok(()));
    }
    bench.assert_at_rest();
    assert_eq!(bench.submitter.statistics().direct_requests, 2);
}

/// vdo-82: the counters add up at rest, and are what the shard reports.
#[test]
fn accounting() {
    let mut bench = Bench::new(64, 4);
    for pbn in [1, 2, 3, 20, 19, 40, 41, 42, 43, 44] {
        bench.ask(Write, pbn);
    }
    bench.ask_direct(Read, 41);
    bench.finish(|pbn| pbn != 20);
    let mut stats = Statistics { dedupe_hits: 7, ..Statistics::default() };
    bench.submitter.count(&mut stats);
    let expected = Statistics {
        dedupe_hits: 7,
        bios_submitted: 7,
        bios_completed: 7,
        bios_out_failed: 2,
        bios_merged_back: 5,
        bios_merged_front: 1,
        bios_split_retries: 1,
        ..Statistics::default()
    };
    assert_eq!(stats, expected);
}

#[test]
fn runs_do_not_exceed_the_limit() {
    let mut bench = Bench::new(64, 4);
    (0..10).for_each(|pbn| bench.ask(Write, pbn));
    (30..40).rev().for_each(|pbn| bench.ask(Write, pbn));
    assert_eq!(shapes(&bench.issue()), [(0, 4), (4, 4), (8, 2), (36, 4), (32, 4), (30, 2)]);
    // The higher neighbour is full, so the gap is filled from below.
    for pbn in [101, 102, 103, 104, 99, 100] {
        bench.ask(Write, pbn);
    }
    assert_eq!(shapes(&bench.issue()), [(101, 4), (99, 2)]);
    let mut single = Bench::new(8, 1);
    (0..3).for_each(|pbn| single.ask(Read, pbn));
    assert_eq!(shapes(&single.issue()), [(0, 1), (1, 1), (2, 1)]);
}

/// The first and the last block have one neighbour each.
#[test]
fn first_and_last_block() {
    let mut bench = Bench::new(8, 4);
    bench.ask(Read, 0);
    bench.ask(Read, u64::MAX - 1);
    bench.ask(Read, 1);
    assert_eq!(shapes(&bench.issue()), [(0, 2), (u64::MAX - 1, 1)]);
}

#[test]
#[should_panic(expected = "holds 2 requests already")]
fn more_requests_than_agreed_are_refused() {
    let mut bench = Bench::new(2, 4);
    (0..3).for_each(|pbn| bench.ask(Read, pbn));
}

#[test]
#[should_panic(expected = "transfer 0 was completed, but is not in flight")]
fn a_transfer_cannot_be_completed_twice() {
    let mut bench = Bench::new(2, 4);
    bench.ask(Read, 1);
    let started = bench.issue();
    bench.complete(started[0].token, Ok(()));
    bench.complete(started[0].token, Ok(()));
}

#[test]
#[should_panic(expected = "is not in flight")]
fn a_transfer_is_not_named_by_its_second_member() {
    let mut bench = Bench::new(2, 4);
    bench.ask(Read, 1);
    bench.ask(Read, 2);
    bench.issue();
    bench.complete(RunToken(1), Ok(()));
}

/// Random requests, completions in random order and bad blocks: every owner is answered once, for its own block, and
/// only requests for bad blocks fail. Requests for one block reach the base in the order of their arrival.
#[test]
fn random_use_answers_everyone_once() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let (capacity, max_run) = (1 + random.below(100) as usize, 1 + random.below(9) as usize);
        let span = 1 + random.below(200);
        let bad = |pbn: u64| pbn % 17 == 3;
        let mut bench = Bench::new(capacity, max_run);
        let mut flying: Vec<Started> = Vec::new();
        for _ in 0..3000 {
            match random.below(10) {
                0..7 if bench.submitter.len() < capacity => {
                    let direction = if random.below(3) == 0 { Read } else { Write };
                    if random.below(8) == 0 {
                        bench.ask_direct(direction, random.below(span));
                    } else {
                        bench.ask(direction, random.below(span));
                    }
                }
                7 => {
                    let retried = bench.submitter.statistics().requests_retried;
                    let direct = bench.submitter.direct.len();
                    let started = bench.issue();
                    assert!(started.iter().all(|run| run.bufs.len() <= max_run));
                    let mut order: Vec<(u64, u32)> = Vec::new();
                    for run in &started[direct..] {
                        order.extend((run.pbn..).zip(run.bufs.iter().copied()));
                    }
                    // Stable, so requests for one block stay in the order in which they were started.
                    order.sort_by_key(|&(pbn, _)| pbn);
                    if retried == 0 {
                        assert!(order.windows(2).all(|pair| pair[0].0 < pair[1].0 || pair[0].1 < pair[1].1));
                    }
                    flying.extend(started);
                }
                _ if !flying.is_empty() => {
                    let run = flying.swap_remove(random.below(flying.len() as u64) as usize);
                    let ok = !(run.pbn..).take(run.bufs.len()).any(bad);
                    bench.complete(run.token, if ok { Ok(()) } else { Err(RequestError::Io) });
                }
                _ => {}
            }
            assert_eq!(bench.submitter.in_flight(), flying.len());
        }
        for run in flying {
            let ok = !(run.pbn..).take(run.bufs.len()).any(bad);
            bench.complete(run.token, if ok { Ok(()) } else { Err(RequestError::Io) });
        }
        bench.finish(|pbn| !bad(pbn));
        for (owner, &(_, pbn)) in bench.asked.iter().enumerate() {
            assert_eq!(bench.answers[owner], Some(if bad(pbn) { Err(RequestError::Io) } else { Ok(()) }));
        }
    }
}

#[test]
fn no_transfer_crosses_a_seam() {
    let mut bench = Bench::with_seams(16, 16, Seams::new(Pbn(3), 8));
    for pbn in [9, 10, 11, 12, 2, 3, 1] {
        bench.ask(Write, pbn);
    }
    let mut runs: Vec<_> = bench.issue().iter().map(|run| (run.pbn, run.bufs.len())).collect();
    runs.sort_unstable();
    assert_eq!(runs, [(1, 2), (3, 1), (9, 2), (11, 2)]);
}
