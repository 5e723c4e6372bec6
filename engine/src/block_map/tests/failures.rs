// SPDX-License-Identifier: BSD-3-Clause

//! Failing transfers and damaged pages.

use mpool::testing::Random;

use super::bench::{data, geometry, Bench, Op, FIRST_PBN};
use super::world::{image, At};
use crate::block_map::BlockMap;
use crate::env::{Direction, ReadOnlyReason};
use crate::error::RequestError;
use crate::format::{Mapped, Mapping, MappingState, PageId};
use crate::units::{Lbn, Pbn};

const PAGES: u64 = 300;

/// A map with some leaves on a device, and another map that has not loaded them yet.
fn reloaded(users: usize) -> Bench {
    let mut bench = Bench::new(600, users, 8, false);
    for page in 0..PAGES {
        bench.run(Op::Write(Lbn(page * 504), data(page + 1)));
    }
    bench.save();
    bench.restart(BlockMap::<u32>::minimum_pages(users), users, 8)
}

/// The first page in a slab is that of level 2 of tree 0, then level 1, then the leaf, which entry 2 creates.
const LEAF_0: At = At::Pbn(FIRST_PBN + 2);
const LIFE_0: u32 = 2;

#[test]
fn a_failed_read_fails_those_who_wait_for_it() {
    let mut bench = reloaded(4);
    bench.world.bad.push((Direction::Read, LEAF_0));
    bench.begin(Op::Read(Lbn(0)));
    bench.begin(Op::Write(Lbn(1), data(1)));
    bench.settle();
    assert_eq!(bench.failures, [(0, RequestError::Io), (1, RequestError::Io)]);
    assert_eq!(bench.read_only, [ReadOnlyReason::ReadFailed("block map page")]);
    assert_eq!(bench.map.statistics().failed_reads, 1);
    // Other pages can still be read, and so can this one when the device has recovered: the cache has no wrong content.
    bench.world.bad.clear();
    bench.failures.clear();
    bench.check_all();
}

#[test]
fn damage_is_never_read() {
    for bit in [3, 511 * 8, 4095 * 8] {
        let mut bench = reloaded(4);
        bench.world.durable.get_mut(&LEAF_0).unwrap()[bit / 8] ^= 1;
        bench.run(Op::Read(Lbn(0)));
        assert_eq!(bench.failures, [(0, RequestError::Corrupt)]);
        bench.run(Op::Read(Lbn(504)));
        bench.run(Op::Read(Lbn(0)));
        assert_eq!(bench.failures.len(), 2, "the damaged page is not in the cache, others can be read");
        assert_eq!(bench.read_only, [ReadOnlyReason::Damaged("block map page")], "told once");
    }
}

/// Entries with valid check codes that are impossible: blocks outside the slabs, and above the leaves blocks that
/// cannot be pages.
#[test]
fn impossible_entries_are_damage() {
    let end = geometry().slab_start(geometry().slabs()).0;
    let compressed = Mapped { pbn: Pbn(FIRST_PBN), state: MappingState::Compressed(0) };
    let outside = |pbn| Mapping::new(Mapped::uncompressed(Pbn(pbn)), 0);
    let in_root = [outside(end), outside(FIRST_PBN - 1), Mapping::new(compressed, 0)];
    for entry in in_root {
        let mut entries = [0; 504];
        entries[503] = entry.to_raw();
        let mut bench = reloaded(4);
        bench.world.durable.insert(At::Root(0), image(PageId::root(0), 0, &entries));
        bench.run(Op::Read(Lbn(0)));
        assert_eq!(bench.failures, [(0, RequestError::Corrupt)], "{entry:?}");
    }
    for raw in [outside(end).to_raw(), outside(FIRST_PBN - 1).to_raw(), 5, 1 << 40] {
        let mut entries = [0; 504];
        entries[503] = raw;
        let mut bench = reloaded(4);
        bench.world.durable.insert(LEAF_0, image(PageId::leaf_of(Lbn(0)), LIFE_0, &entries));
        bench.run(Op::Read(Lbn(0)));
        assert_eq!(bench.failures, [(0, RequestError::Corrupt)], "{raw:x}");
    }
}

/// vdo-103, partly: a failed write of a page ends writing; nothing that it had is forgotten, and reads go on, though
/// dirty pages can no longer make room.
#[test]
fn a_failed_write_ends_writing_but_not_reading() {
    let users = 4;
    let mut bench = reloaded(users);
    bench.world.bad.push((Direction::Write, LEAF_0));
    for page in 0..PAGES {
        if bench.read_only.is_empty() {
            bench.run(Op::Write(Lbn(page * 504), data(page + 1000)));
        }
    }
    bench.map.begin_save();
    bench.settle();
    assert_eq!(bench.read_only, [ReadOnlyReason::WriteFailed("block map page")]);
    assert_eq!(bench.map.oldest_need(), Some(0), "what failed is needed on");
    assert!(!bench.map.is_clean() && bench.map.is_idle());
    bench.check_all();
    let written = bench.world.written.len();
    bench.run(Op::Write(Lbn(0), data(77)));
    bench.check_all();
    assert_eq!(bench.world.written.len(), written, "no write is started any more");
    bench.run(Op::Write(Lbn(1 << 39), data(78)));
    assert_eq!(bench.failures, [(0, RequestError::ReadOnly)], "no page is made any more");
    bench.check_cut(&mut Random::new(1));
}

/// vdo-103, partly: no write ends until every frame has a dirty page, then all fail: reads of other pages go on.
#[test]
fn reads_go_on_when_every_page_is_dirty() {
    let users = 8;
    let minimum = BlockMap::<u32>::minimum_pages(users) as u64;
    let mut bench = reloaded(users);
    for page in 0..PAGES {
        let Some(_) = bench.users.iter().position(Option::is_none) else { break };
        bench.begin(Op::Write(Lbn(page * 504), data(page + 1000)));
        while bench.advance()
            | bench.commit()
            | (bench.world.pending() > bench.world.pending_in(Direction::Write).count())
        {
            while bench.world.pending() > bench.world.pending_in(Direction::Write).count() {
                let read = bench.world.pending_in(Direction::Read).next().expect("a read");
                bench.complete(read);
            }
        }
    }
    let statistics = bench.map.statistics();
    assert!(bench.users.iter().all(Option::is_some) && statistics.cache_pressure > 0, "all wait for a frame");
    assert_eq!(statistics.dirty_pages + statistics.outgoing_pages, minimum, "{statistics:?}");
    bench.world.bad_writes = true;
    bench.settle();
    assert_eq!(bench.read_only, [ReadOnlyReason::WriteFailed("block map page")]);
    assert!(bench.map.statistics().dirty_pages >= minimum);
    bench.check_all();
    bench.check_cut(&mut Random::new(7));
}

#[test]
fn a_failed_flush_keeps_what_it_was_to_make_durable() {
    let mut bench = Bench::new(100, 4, 8, true);
    bench.world.bad_flush = true;
    bench.run(Op::Write(Lbn(0), data(1)));
    bench.map.begin_save();
    bench.settle();
    assert_eq!(bench.read_only, [ReadOnlyReason::WriteFailed("block map page")]);
    assert_eq!(bench.map.oldest_need(), Some(0));
    assert!(!bench.map.is_clean());
    bench.check_cut(&mut Random::new(2));
}

/// Transfers fail at random: every user gets an answer, nothing panics, and nothing in the journal is lost.
#[test]
fn random_failures_lose_nothing() {
    for seed in 0..12 {
        let mut rng = Random::new(seed);
        let mut bench = reloaded(6);
        bench.journal.clear();
        for turn in 0..1500 {
            let lbn = Lbn(rng.below(PAGES + 50) * 504 + rng.below(2));
            let busy = bench.users.iter().flatten().any(|op| op.lbn() == lbn);
            if !busy && bench.users.iter().any(Option::is_none) {
                let op = if rng.one_in(2) { Op::Read(lbn) } else { Op::Write(lbn, data(rng.below(1 << 20))) };
                bench.begin(op);
            }
            bench.something(&mut rng);
            if turn > 700 {
                bench.world.bad.clear();
                let at = At::Pbn(FIRST_PBN + rng.below(PAGES));
                bench.world.bad.push((if rng.one_in(2) { Direction::Read } else { Direction::Write }, at));
            }
        }
        bench.settle();
        assert!(bench.users.iter().all(Option::is_none) && bench.map.is_idle());
        assert!(bench.read_only.len() <= 1);
        bench.check_cut(&mut rng);
        bench.world.bad.clear();
        bench.failures.clear();
        bench.check_all();
    }
}
