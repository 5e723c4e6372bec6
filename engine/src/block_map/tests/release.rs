// SPDX-License-Identifier: BSD-3-Clause

//! Pages that have become holes.

use mpool::testing::Random;

use super::bench::{data, Bench, Op};
use crate::block_map::EraInput;
use crate::env::Direction;
use crate::format::Mapping;
use crate::units::Lbn;

/// A page without entries is released, and so are the pages above that lead to nothing else; all others stay.
#[test]
fn pages_that_lead_to_nothing_go() {
    let mut bench = Bench::new(200, 4, 8, false);
    let far = 504 * 504 * 60 * 504;
    for lbn in [0, 503, 504 * 60, far] {
        bench.run(Op::Write(Lbn(lbn), data(lbn + 1)));
    }
    assert_eq!(bench.map.map_pages(), 4 + 3);
    bench.run(Op::Discard(Lbn(0)));
    assert_eq!(bench.map.map_pages(), 4 + 3, "one block of the leaf is left");
    bench.run(Op::Write(Lbn(503), Mapping::UNMAPPED));
    assert_eq!(bench.map.map_pages(), 3 + 3, "its neighbour keeps the pages above");
    bench.run(Op::Discard(Lbn(504 * 60)));
    assert_eq!((bench.map.map_pages(), bench.map.mapped()), (3, 1));
    bench.check_cut(&mut Random::new(1));
    bench.save();
    let mut bench = bench.restart(200, 4, 8);
    bench.check_all();
    bench.run(Op::Discard(Lbn(far)));
    bench.save();
    assert!(bench.restart(200, 4, 8).model.is_empty());
}

/// A page with an image in flight is released after the write has ended, not before: its block may be reused at once.
#[test]
fn a_page_waits_for_its_image() {
    for volatile_cache in [false, true] {
        let mut bench = Bench::new(200, 4, 8, volatile_cache);
        bench.run(Op::Write(Lbn(0), data(1)));
        bench.map.begin_save();
        bench.advance();
        assert!(bench.world.pending_in(Direction::Write).count() > 0 && !bench.map.is_idle());
        bench.begin(Op::Discard(Lbn(0)));
        while !bench.holding.is_empty() {
            bench.release(0);
        }
        while bench.commit() | (bench.world.pending() == 0 && bench.advance()) {}
        assert_eq!((bench.releases, bench.map.map_pages()), (0, 3));
        assert!(bench.map.is_releasing(), "a page is to go");
        bench.settle();
        assert_eq!((bench.releases, bench.map.map_pages()), (3, 0));
        assert!(bench.map.is_idle());
        bench.check_cut(&mut Random::new(2));
    }
}

/// A writer of a page that is being released waits, and gets a new page; a reader does not wait.
#[test]
fn writers_wait_for_a_page_to_be_gone() {
    let mut bench = Bench::new(200, 4, 8, false);
    bench.run(Op::Write(Lbn(7), data(1)));
    bench.begin(Op::Discard(Lbn(7)));
    bench.release(0);
    assert!(bench.commit());
    bench.advance();
    let writer = bench.begin(Op::Write(Lbn(9), data(2)));
    let reader = bench.begin(Op::Read(Lbn(7)));
    let other = bench.begin(Op::Discard(Lbn(8)));
    assert!(bench.users[reader as usize].is_none() && bench.users[other as usize].is_none());
    assert!(bench.users[writer as usize].is_some());
    bench.settle();
    assert_eq!((bench.map.map_pages(), bench.map.mapped(), bench.releases), (3, 1, 1));
    bench.check_cut(&mut Random::new(3));
    bench.save();
    bench.restart(200, 4, 8).check_all();
}

/// A page whose release cannot be recorded stays as it was.
#[test]
fn a_journal_that_refuses_keeps_the_page() {
    let mut bench = Bench::new(200, 4, 8, false);
    bench.run(Op::Write(Lbn(7), data(1)));
    bench.begin(Op::Discard(Lbn(7)));
    bench.release(0);
    bench.commit();
    let leaving = bench.map.begin_release().expect("the leaf has become a hole");
    let writer = bench.begin(Op::Write(Lbn(9), data(2)));
    bench.map.release_refused(leaving.ticket);
    bench.events();
    assert!(bench.users[writer as usize].is_some() && bench.commit(), "the writer has the page");
    assert_eq!((bench.map.map_pages(), bench.map.mapped()), (3, 1));
    bench.map.read_only();
    bench.settle();
    assert!(bench.map.is_idle());
    bench.check_all();
}

/// A page that was loaded without entries is released too; so is one whose parent was evicted.
#[test]
fn pages_that_were_empty_go_when_they_are_touched() {
    let minimum = crate::block_map::BlockMap::<u32>::minimum_pages(2);
    let mut bench = Bench::new(minimum, 2, 8, false);
    bench.run(Op::Write(Lbn(0), data(1)));
    bench.begin(Op::Discard(Lbn(0)));
    bench.release(0);
    bench.commit();
    // As if the power had been cut before the page was released.
    bench.map.forget_holes();
    bench.save();
    assert_eq!(bench.releases, 0);
    let mut bench = bench.restart(minimum, 2, 8);
    bench.run(Op::Read(Lbn(5)));
    assert_eq!(bench.releases, 3);
    bench.check_all();
}

/// Whole regions come and go in the smallest cache; blocks of pages are reused at once, and the power may be cut at any
/// time.
#[test]
fn regions_come_and_go() {
    for seed in 0..6 {
        let mut rng = Random::new(seed);
        let users = 1 + rng.below(6) as usize;
        let minimum = crate::block_map::BlockMap::<u32>::minimum_pages(users);
        let mut bench = Bench::new(minimum, users, 4, seed % 2 == 0);
        for round in 0..30 {
            let region = rng.below(8) << 28;
            for _ in 0..100 {
                let lbn = Lbn(region + rng.below(40) * 504 * (1 + 59 * (seed % 3)) + rng.below(2));
                let busy = bench.users.iter().flatten().any(|op| op.lbn() == lbn);
                if !busy && bench.users.iter().any(Option::is_none) {
                    let writes = round % 2 == 0;
                    bench.begin(if writes { Op::Write(lbn, data(rng.below(1 << 20))) } else { Op::Discard(lbn) });
                }
                bench.something(&mut rng);
                bench.era = EraInput { write_before: (bench.journal.len() as u64).saturating_sub(40) };
            }
            bench.check_cut(&mut rng);
            if round % 5 == 4 {
                bench.settle();
                bench.check_cut(&mut rng);
            }
        }
        let left: Vec<u64> = bench.model.keys().copied().collect();
        for lbn in left {
            bench.run(Op::Discard(Lbn(lbn)));
        }
        assert_eq!((bench.map.map_pages(), bench.map.mapped()), (0, 0), "seed {seed}");
        bench.check_cut(&mut rng);
        bench.save();
        bench.restart(minimum, users, 4).check_all();
    }
}
