// SPDX-License-Identifier: BSD-3-Clause

//! The page cache against a model.

use mpool::testing::Random;

use super::bench::{data, Bench, Op};
use crate::block_map::{BlockMap, EraInput, MAX_ALLOCATIONS};
use crate::format::Mapping;
use crate::units::Lbn;

/// Blocks all over the logical size: some in one region, some with nothing in common but a root, or not even that.
fn places(rng: &mut Random) -> Vec<u64> {
    let region = rng.below(1 << 40);
    (0..400)
        .map(|number| match number % 4 {
            0 => (region + rng.below(504 * 60 * 4)) % (1 << 40),
            1 => rng.below(504) * 504 * 60 + rng.below(2),
            2 => rng.below(1 << 20) << 20,
            _ => (rng.below(1 << 30) << 10) % (1 << 40),
        })
        .collect()
}

fn random_op(rng: &mut Random, places: &[u64], bench: &Bench, discards: u64) -> Option<Op> {
    let lbn = Lbn(places[rng.below(places.len() as u64) as usize]);
    if bench.users.iter().flatten().any(|op| op.lbn() == lbn) {
        return None;
    }
    Some(match rng.below(4 + discards) {
        0 | 1 => Op::Read(lbn),
        4.. => Op::Discard(lbn),
        _ if rng.one_in(20) => Op::Write(lbn, Mapping::UNMAPPED),
        _ => Op::Write(lbn, data(rng.below(1 << 30))),
    })
}

/// Random operations on a cache of the smallest size, transfers ending in any order, and power cuts on the way.
fn campaign(seed: u64, users: usize, bufs: usize, volatile_cache: bool, resize: bool) {
    let mut rng = Random::new(seed);
    let minimum = BlockMap::<u32>::minimum_pages(users);
    let mut bench = Bench::new(minimum, users, bufs, volatile_cache);
    let places = places(&mut rng);
    for turn in 0..6000 {
        // Now and then most of it is discarded, and pages become holes.
        let discards = if turn / 1000 % 2 == 0 { 1 } else { 8 };
        if rng.one_in(2) && bench.users.iter().any(Option::is_none) {
            if let Some(op) = random_op(&mut rng, &places, &bench, discards) {
                bench.begin(op);
            }
        }
        bench.something(&mut rng);
        bench.era = EraInput { write_before: (bench.journal.len() as u64).saturating_sub(300) };
        if resize && rng.one_in(200) {
            bench.map.set_capacity(minimum + rng.below(40) as usize);
        }
        if turn % 400 == 0 {
            bench.check_cut(&mut rng);
        }
    }
    bench.settle();
    assert_eq!((bench.failures.len(), bench.read_only.len()), (0, 0));
    bench.check_cut(&mut rng);
    let statistics = bench.map.statistics();
    assert!(statistics.pages_loaded > 100, "the cache is smaller than what is used: {statistics:?}");
    assert_eq!(bench.map.mapped(), bench.model.len() as i64);
    assert_eq!(bench.map.map_pages() as u64, bench.allocations - bench.releases);
    assert!(bench.releases > 20, "{} pages have gone", bench.releases);
    bench.save();
    let statistics = bench.map.statistics();
    assert_eq!((statistics.dirty_pages, statistics.outgoing_pages, statistics.incoming_pages), (0, 0, 0));
    if !resize {
        assert_eq!(statistics.clean_pages + statistics.free_pages, minimum as u64);
    }
    let mut again = bench.restart(minimum, users, bufs);
    again.check_all();
    assert_eq!(again.map.statistics().write_count, 0);
}

/// vdo-99: a cache of the smallest size and random blocks: contents are right, nobody waits for ever, and what was
/// saved is what was there.
#[test]
fn random_blocks_in_the_smallest_cache() {
    for seed in 0..4 {
        campaign(seed, 1, 2, false, false);
        campaign(seed, 5, 3, true, false);
        campaign(seed, 40, 16, seed % 2 == 0, false);
    }
}

#[test]
fn the_cache_changes_its_size_in_use() {
    for seed in 10..14 {
        campaign(seed, 6, 4, seed % 2 == 0, true);
    }
}

#[test]
fn a_smaller_cache_keeps_the_pages_that_are_in_use() {
    let minimum = BlockMap::<u32>::minimum_pages(4);
    let mut bench = Bench::new(minimum + 1000, 4, 8, false);
    for page in 0..900 {
        bench.run(Op::Write(Lbn(page * 504), data(page + 1)));
    }
    for page in 0..3 {
        bench.begin(Op::Read(Lbn(page * 504)));
        bench.begin(Op::Read(Lbn((899 - page) * 504)));
        let pinned: Vec<_> = bench.holding.iter().map(|&(_, frame)| frame).collect();
        bench.map.set_capacity(minimum);
        let before = bench.map.statistics();
        assert!(before.clean_pages + before.dirty_pages > minimum as u64);
        while bench.advance() || bench.world.pending() > 0 {
            (0..bench.world.pending()).for_each(|_| bench.complete(0));
        }
        for frame in pinned {
            assert!(bench.map.mapped_in(frame) > 0, "a pinned page stays");
        }
        bench.settle();
        let after = bench.map.statistics();
        assert_eq!(after.clean_pages + after.dirty_pages + after.free_pages, minimum as u64, "it has shrunk");
        bench.map.set_capacity(minimum + 1000);
        assert_eq!(bench.map.statistics().free_pages, minimum as u64 + 1000 - after.clean_pages - after.dirty_pages);
        bench.check_all();
    }
}

/// vdo-99, partly: a page that is used again and again stays, though others pass through.
#[test]
fn pages_in_use_stay_when_others_pass() {
    let mut bench = Bench::new(200, 2, 8, false);
    for page in 0..2000 {
        bench.run(Op::Write(Lbn(page * 504), data(page + 1)));
    }
    bench.save();
    bench.run(Op::Read(Lbn(7)));
    let mut missed = 0;
    for page in 100..2000 {
        bench.run(Op::Read(Lbn(page * 504)));
        let before = bench.map.statistics().pages_loaded;
        bench.run(Op::Read(Lbn(7)));
        missed += bench.map.statistics().pages_loaded - before;
    }
    assert!(missed <= 1, "{missed} loads of a page that is used all the time");
}

#[test]
fn touch_reads_and_changes_nothing() {
    let mut bench = Bench::new(200, 2, 8, false);
    bench.run(Op::Write(Lbn(9), data(5)));
    let before = bench.map.statistics();
    assert_eq!(bench.map.touch(Lbn(9)), data(5).to_raw());
    assert_eq!(bench.map.touch(Lbn(504)), 0);
    assert_eq!(bench.map.statistics(), before);
}

#[test]
fn limits_are_what_the_documentation_says() {
    assert_eq!(BlockMap::<u32>::minimum_pages(1), 1 + 2 + 16);
    assert_eq!(BlockMap::<u32>::minimum_pages(2048), 2048 + 2 * MAX_ALLOCATIONS + 16);
}

#[test]
#[should_panic(expected = "need")]
fn too_small_a_cache_is_refused() {
    drop(Bench::new(BlockMap::<u32>::minimum_pages(8) - 1, 8, 4, false));
}
