// SPDX-License-Identifier: BSD-3-Clause

//! Eras, batches and the need of pages for the journal.

use mpool::testing::Random;

use super::bench::{data, Bench, Op};
use super::world::At;
use crate::block_map::EraInput;
use crate::env::Direction;
use crate::units::Lbn;

/// vdo-98: pages that are changed all the time are each written at least once in an era, and not much more often; the
/// journal is never needed much further back than that.
#[test]
fn hot_pages_are_written_once_an_era() {
    const ERA: u64 = 1000;
    const HOT: u64 = 50;
    for volatile_cache in [false, true] {
        let mut bench = Bench::new(2000, 4, 64, volatile_cache);
        let mut rng = Random::new(1);
        for page in 0..HOT {
            bench.run(Op::Write(Lbn(page * 504), data(page + 1)));
        }
        bench.save();
        let start = bench.journal.len() as u64;
        let mut last_written = vec![start; HOT as usize];
        // The block of each leaf: pages of level 2 and 1 come before the leaf in each of the 50 trees.
        let leaf = |at: &At| if let At::Pbn(pbn) = at { (pbn - 256) / 3 } else { 0 };
        bench.world.written.clear();
        let mut writes = 0;
        while (bench.journal.len() as u64) < start + 10 * ERA {
            let now = bench.journal.len() as u64;
            bench.run(Op::Write(Lbn(rng.below(HOT) * 504 + rng.below(504)), data(now)));
            bench.era = EraInput { write_before: (now + 1).saturating_sub(ERA) };
            bench.settle();
            let need = bench.map.oldest_need().unwrap_or(now + 1);
            assert!(need + ERA > now, "entry {need} is needed at {now}");
            for at in std::mem::take(&mut bench.world.written) {
                last_written[leaf(&at) as usize] = now;
                writes += 1;
            }
            // A page is dirty some time after it was written, so this is an era plus the time to the next change.
            assert!(last_written.iter().all(|&last| last + ERA + 1000 > now), "at {now}: {last_written:?}");
        }
        assert!((HOT * 8..=HOT * 10).contains(&writes), "{writes} writes of {HOT} pages in 10 eras");
        bench.save();
        bench.restart(2000, 4, 8).check_all();
    }
}

#[test]
fn nothing_is_written_without_a_reason() {
    let mut bench = Bench::new(1000, 4, 64, true);
    for page in 0..100 {
        bench.run(Op::Write(Lbn(page * 504), data(page + 1)));
    }
    assert_eq!((bench.world.written.len(), bench.map.statistics().flush_count), (0, 0));
    assert_eq!(bench.map.oldest_need(), Some(0));
}

/// vdo-108, adapted: many dirty pages, one flush for each batch of them; a page's need ends with the flush, not before.
#[test]
fn a_batch_of_pages_has_one_flush() {
    let mut bench = Bench::new(1000, 4, 64, true);
    for page in 0..240 {
        bench.run(Op::Write(Lbn(page * 504), data(page + 1)));
    }
    let pages = bench.map.statistics().dirty_pages;
    assert_eq!(pages, 240 + 60 * 3, "leaves, and three levels above them in 60 trees");
    bench.map.begin_save();
    bench.advance();
    while bench.world.pending_in(Direction::Write).count() > 0 {
        let write = bench.world.pending_in(Direction::Write).next().expect("a write");
        bench.complete(write);
    }
    assert_eq!(bench.map.oldest_need(), Some(0), "written, but not flushed");
    assert_eq!(bench.map.statistics().pages_saved, 0);
    bench.settle();
    assert!(bench.map.is_clean());
    let statistics = bench.map.statistics();
    assert_eq!(statistics.pages_saved, pages);
    assert!(statistics.flush_count <= pages / 20, "{statistics:?}");
    assert_eq!(bench.io.counts().flush, statistics.flush_count);
}

/// A page that is changed while its image is written keeps the need of that change, and only that.
#[test]
fn a_page_can_change_while_it_is_written() {
    for volatile_cache in [false, true] {
        let mut bench = Bench::new(100, 4, 8, volatile_cache);
        bench.run(Op::Write(Lbn(0), data(1)));
        bench.save();
        bench.run(Op::Write(Lbn(1), data(2)));
        let first = bench.journal.len() as u64 - 1;
        bench.era = EraInput { write_before: first + 1 };
        bench.advance();
        assert_eq!(bench.world.pending_in(Direction::Write).count(), 1);
        bench.begin(Op::Write(Lbn(2), data(3)));
        assert!(bench.commit());
        assert_eq!(bench.map.statistics().dirty_pages, 0);
        assert_eq!(bench.map.statistics().outgoing_pages, 1);
        bench.era = EraInput { write_before: first + 2 };
        bench.advance();
        assert_eq!(bench.world.pending_in(Direction::Write).count(), 1, "one image of a page at a time");
        assert_eq!(bench.map.oldest_need(), Some(first));
        bench.era = EraInput { write_before: 0 };
        bench.settle();
        assert_eq!(bench.map.oldest_need(), Some(first + 1));
        bench.check_cut(&mut Random::new(3));
        bench.save();
        bench.restart(100, 4, 8).check_all();
    }
}

/// Pages are kept evictable, so that a load finds room without waiting for a write.
#[test]
fn loads_do_not_wait_for_writes() {
    let mut bench = Bench::new(400, 4, 16, true);
    for page in 0..3000 {
        bench.run(Op::Write(Lbn(page * 504), data(page + 1)));
    }
    let statistics = bench.map.statistics();
    assert_eq!(statistics.cache_pressure, 0);
    assert!(statistics.pages_saved > 2500, "{statistics:?}");
    assert!(statistics.dirty_pages > 250, "no more is written than need be: {statistics:?}");
    bench.check_all();
}

#[test]
fn entries_are_counted_anew_after_a_save() {
    let mut bench = Bench::new(100, 4, 8, false);
    bench.run(Op::Write(Lbn(0), data(1)));
    bench.save();
    bench.journal.clear();
    bench.run(Op::Write(Lbn(1), data(2)));
    assert_eq!(bench.map.oldest_need(), Some(0));
    bench.check_cut(&mut Random::new(4));
    bench.save();
    bench.restart(100, 4, 8).check_all();
}
