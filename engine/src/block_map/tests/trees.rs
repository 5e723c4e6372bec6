// SPDX-License-Identifier: BSD-3-Clause

//! New pages.

use mpool::testing::Random;

use super::bench::{data, Bench, Op, Record};
use super::world::At;
use crate::block_map::{BlockMap, MAX_ALLOCATIONS};
use crate::error::RequestError;
use crate::format::PageId;
use crate::units::Lbn;

fn pages_made(bench: &Bench) -> Vec<PageId> {
    let page = |record: &Record| if let Record::Page(page, _) = record { Some(*page) } else { None };
    bench.journal.iter().filter_map(page).collect()
}

/// vdo-107: many first writes to a region at the same time make each page once, from the top down, and readers do not
/// wait for them.
#[test]
fn concurrent_first_writes_make_each_page_once() {
    for seed in 0..20 {
        let mut bench = Bench::new(BlockMap::<u32>::minimum_pages(100), 100, 8, seed % 2 == 0);
        let mut rng = Random::new(seed);
        // 30 leaves of tree 0 and 30 of tree 7, in two level-1 pages each.
        let leaf = |number: u64| number % 2 * 7 + (490 + number / 2) * 60;
        for number in 0..90 {
            bench.begin(Op::Write(Lbn(leaf(number % 60) * 504 + number), data(number + 1)));
            bench.begin(Op::Read(Lbn(leaf(number % 60) * 504 + 503)));
            bench.something(&mut rng);
        }
        for _ in 0..1000 {
            bench.something(&mut rng);
        }
        bench.settle();
        let mut made = pages_made(&bench);
        for (at, page) in made.iter().enumerate() {
            let (parent, _) = page.parent().unwrap();
            assert!(parent.is_root() || made[..at].contains(&parent), "{page:?} is made before its parent");
        }
        made.sort_unstable();
        let all = made.len();
        made.dedup();
        assert_eq!((made.len(), all), (60 + 4 + 2, 60 + 4 + 2));
        assert_eq!((bench.allocations, bench.map.map_pages()), (66, 66));
        assert_eq!((bench.model.len(), bench.map.mapped()), (90, 90));
        bench.save();
        bench.restart(200, 4, 4).check_all();
    }
}

/// vdo-107: without space those who write fail, others do not, nothing is left behind, and later writers try again.
#[test]
fn no_space_fails_writers_only() {
    let mut bench = Bench::new(200, 20, 4, false);
    bench.no_space = true;
    let writers: Vec<u32> = (0..10).map(|slot| bench.begin(Op::Write(Lbn(slot), data(slot + 1)))).collect();
    let readers = (10..15).map(|slot| bench.begin(Op::Read(Lbn(slot)))).count();
    bench.settle();
    assert_eq!(readers, 5);
    let failed: Vec<u32> = bench
        .failures
        .drain(..)
        .map(|(user, error)| {
            assert_eq!(error, RequestError::NoSpace);
            user
        })
        .collect();
    assert_eq!(failed, writers);
    assert!(bench.users.iter().all(Option::is_none) && bench.map.is_idle() && bench.map.is_clean());
    let statistics = bench.map.statistics();
    assert_eq!((statistics.clean_pages, statistics.free_pages), (1, 199), "only the root is in the cache");
    assert_eq!(bench.allocations, 1);
    bench.no_space = false;
    bench.run(Op::Write(Lbn(3), data(9)));
    assert_eq!((bench.allocations, bench.map.map_pages()), (4, 3));
    bench.check_all();
}

#[test]
fn a_journal_that_refuses_ends_an_allocation() {
    let mut bench = Bench::new(200, 4, 4, false);
    let user = bench.begin(Op::Write(Lbn(0), data(1)));
    while bench.wanted.is_empty() {
        bench.advance();
        (0..bench.world.pending()).for_each(|_| bench.complete(0));
    }
    let ticket = bench.wanted.pop().unwrap();
    bench.map.allocated(ticket, Some(crate::units::Pbn(300)));
    assert!(bench.map.pop_event().is_some());
    bench.map.refused(ticket, RequestError::ReadOnly);
    bench.events();
    assert_eq!(bench.failures, [(user, RequestError::ReadOnly)]);
    assert!(bench.map.is_idle() && bench.map.is_clean());
}

/// Allocations beyond the limit wait for others to end; in the smallest cache they have the frames that they need.
#[test]
fn allocations_are_limited() {
    let users = 3 * MAX_ALLOCATIONS;
    let mut bench = Bench::new(BlockMap::<u32>::minimum_pages(users), users, 8, false);
    for user in 0..users as u64 {
        bench.begin(Op::Write(Lbn(user * 504), data(user + 1)));
    }
    for _ in 0..20 {
        bench.advance();
        (0..bench.world.pending()).for_each(|_| bench.complete(0));
    }
    assert_eq!(bench.wanted.len(), MAX_ALLOCATIONS);
    bench.settle();
    assert_eq!(bench.model.len(), users);
    bench.check_all();
}

/// A reader of a page that is being created is told at once that it does not exist.
#[test]
fn readers_do_not_wait_for_allocations() {
    let mut bench = Bench::new(200, 4, 4, false);
    bench.begin(Op::Write(Lbn(0), data(1)));
    while bench.wanted.is_empty() {
        bench.advance();
        (0..bench.world.pending()).for_each(|_| bench.complete(0));
    }
    let reader = bench.begin(Op::Read(Lbn(1)));
    assert!(bench.users[reader as usize].is_none());
    let other_leaf = bench.begin(Op::Discard(Lbn(504 * 60)));
    assert!(bench.users[other_leaf as usize].is_none());
    bench.settle();
    bench.check_all();
}

/// Missing pages are known from the topmost missing page, as far as cached pages tell.
#[test]
fn absent_pages_are_known_from_the_top() {
    let mut bench = Bench::new(200, 4, 4, false);
    let leaf = |number: u64| PageId { level: 0, index: number * 60 };
    assert_eq!(bench.map.absent(leaf(0)), None, "not even the root is in the cache");
    bench.run(Op::Read(Lbn(0)));
    assert_eq!(bench.map.absent(leaf(1)), Some(PageId { level: 2, index: 0 }));
    assert_eq!(bench.map.absent(PageId { level: 0, index: 1 }), None, "another tree");
    bench.run(Op::Write(Lbn(0), data(1)));
    assert_eq!(bench.map.absent(leaf(0)), None);
    assert_eq!(bench.map.absent(leaf(1)), Some(leaf(1)));
    assert_eq!(bench.map.absent(leaf(504)), Some(PageId { level: 1, index: 60 }));
    assert_eq!(bench.map.absent(leaf(504 * 504)), Some(PageId { level: 2, index: 60 }));
    bench.begin(Op::Write(leaf(1).first_lbn(), data(2)));
    assert_eq!(bench.map.absent(leaf(1)), Some(leaf(1)), "it is being made");
    bench.settle();
    assert_eq!(bench.map.absent(leaf(1)), None);
}

/// An empty volume costs only its roots, however large; reading it costs nothing more.
#[test]
fn reading_makes_no_pages() {
    let mut bench = Bench::new(200, 4, 4, false);
    for number in 0..1000 {
        bench.run(Op::Read(Lbn(number << 30)));
        bench.run(Op::Discard(Lbn(number << 30)));
    }
    bench.save();
    assert_eq!((bench.journal.len(), bench.allocations, bench.world.written.len()), (0, 0, 0));
    assert!(bench.world.durable.keys().all(|at| matches!(at, At::Root(_))));
}
