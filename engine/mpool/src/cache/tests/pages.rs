// SPDX-License-Identifier: BSD-3-Clause

//! Pages are read, shared, pinned and evicted within the budget.

use futures::future::{join, join_all};
use futures::FutureExt;

use super::*;
use crate::cache::frames::BufferPool;
use crate::cache::page_cache::MEMORY_WAIT;
use crate::device::PlainMemory;

/// mpool-121, adapted: bytes up to the written length can be read, but not one beyond, nor behind the last mblock.
#[test]
fn access_beyond_the_data_fails() {
    let bench = Bench::new(64);
    let ids = [bench.mblock(1, 3), bench.mblock(2, 4)];
    let info = bench.table.create(&ids, Temperature::Warm).unwrap();
    let map = bench.table.attach(info.offset, info.bytes).unwrap();
    for (offset, bytes, expected) in [
        (3 * PAGE - 7, 7, true),
        (3 * PAGE - 7, 8, false),
        (3 * PAGE, 1, false),
        (4 * PAGE - 1, 2, false),
        (8 * PAGE - 1, 1, true),
        (8 * PAGE - 1, 2, false),
        (8 * PAGE, 1, false),
        (0, 0, false),
        (0, usize::MAX, false),
        (info.bytes - 1, 1, false),
    ] {
        let outcome = bench.world.run(map.get(info.offset + offset, bytes));
        assert_eq!(outcome.as_ref().err().map(PoolError::kind), (!expected).then_some(Kind::Invalid), "{offset}");
    }
    bench.finish(vec![map]);
}

/// mpool-123, adapted: mapped bytes are those of direct reads, also at the same time; direct reads neither use nor fill the
/// cache.
#[test]
fn direct_reads_do_not_touch_the_cache() {
    let bench = Bench::without_reaper(16);
    let (info, map) = bench.attached(1, 60, Temperature::Warm);
    bench.load(info, &map, 0..8);
    let direct = |page: u64, memory: IoBuf| bench.source.read(id(1), page * PAGE, memory, 0..PAGE_BYTES);
    let memory = || -> IoBuf { Box::new(PlainMemory(vec![0; PAGE_BYTES])) };
    let before = bench.table.statistics();
    for page in 0..16 {
        bench.world.run(direct(page, memory())).1.unwrap();
    }
    assert_eq!((bench.table.statistics(), bench.reads().len()), (before, 8 + 16));
    let both = (0..60).map(|page| {
        let (map, direct) = (&map, direct(page * 7 % 60, memory()));
        async move {
            let (direct, guard) = join(direct, map.get(info.offset + page * 7 % 60 * PAGE, PAGE_BYTES)).await;
            direct.1.unwrap();
            assert_eq!(guard.unwrap().contiguous().unwrap(), (*direct.0).as_ref());
        }
    });
    bench.world.run(join_all(both));
    bench.finish(vec![map]);
}

/// mpool-121, partly: a range across pages is assembled from the right parts of each.
#[test]
fn a_range_across_pages() {
    let bench = Bench::new(64);
    let (info, map) = bench.attached(1, 5, Temperature::Warm);
    let guard = bench.world.run(map.get(info.offset + PAGE - 3, 2 * PAGE_BYTES)).unwrap();
    assert_eq!(guard.slices().map(<[u8]>::len).collect::<Vec<_>>(), [3, PAGE_BYTES, PAGE_BYTES - 3]);
    assert_eq!(guard.to_vec(), content(id(1), PAGE - 3..3 * PAGE - 3));
    assert!(guard.contiguous().is_none());
    drop(guard);
    bench.finish(vec![map]);
}

#[test]
fn concurrent_misses_share_one_read() {
    let bench = Bench::new(64);
    let (info, map) = bench.attached(1, 4, Temperature::Warm);
    let gets = (0..5).map(|_| map.get(info.offset + 100, 5000));
    for guard in bench.world.run(join_all(gets)) {
        assert_eq!(guard.unwrap().to_vec(), content(id(1), 100..5100));
    }
    assert_eq!(bench.reads(), [(id(1), 0, 1), (id(1), 1, 1)]);
    assert_eq!((bench.table.statistics().misses, bench.table.statistics().hits), (10, 0));
    bench.load(info, &map, 0..2);
    assert_eq!(bench.reads(), []);
    assert_eq!((bench.table.statistics().misses, bench.table.statistics().hits), (10, 2));
    bench.finish(vec![map]);
}

#[test]
fn a_failed_read_fails_those_that_wait_and_is_tried_again() {
    let bench = Bench::new(64);
    let (info, map) = bench.attached(1, 4, Temperature::Warm);
    bench.source.unreadable.borrow_mut().insert((id(1), 2));
    let gets = [1, 2, 2].map(|page| map.get(info.offset + page * PAGE, 1));
    let outcomes = bench.world.run(join_all(gets));
    assert_eq!(
        outcomes.iter().map(|outcome| outcome.as_ref().err().map(PoolError::kind)).collect::<Vec<_>>(),
        [None, Some(Kind::Io), Some(Kind::Io)]
    );
    drop(outcomes);
    assert_eq!((bench.resident(info), bench.table.statistics().pages_in_use), (1, 1));
    bench.source.unreadable.borrow_mut().clear();
    bench.reads();
    bench.load(info, &map, 2..3);
    assert_eq!(bench.reads(), [(id(1), 2, 1)]);
    bench.finish(vec![map]);
}

/// The budget is hard (the source asserts it) and memory is recycled: no more allocations than pages.
#[test]
fn the_budget_is_never_exceeded() {
    let bench = Bench::without_reaper(128);
    let (info, map) = bench.attached(1, 1000, Temperature::Warm);
    for round in 0..3 {
        for start in (0..1000).step_by(50) {
            let pages = start..start + 50;
            let gets = pages.map(|page| map.get(info.offset + page * PAGE + round, 1));
            for (page, guard) in (start..).zip(bench.world.run(join_all(gets))) {
                assert_eq!(guard.unwrap().to_vec(), [byte(id(1), page * PAGE + round)]);
            }
            map.advise(info.offset + start * PAGE + 50 * PAGE, 32 * PAGE, super::super::Advice::WillNeed).unwrap();
        }
    }
    bench.world.run_for(Nanos(100 * MS));
    let statistics = bench.table.statistics();
    assert_eq!((statistics.page_limit, statistics.pages_in_use), (112, 112));
    assert!(statistics.readahead_pages > 0 && statistics.evicted_pages > 2000);
    assert_eq!(bench.source.allocations.get(), 112 + 2, "112 pages, two passages");
    bench.finish(vec![map]);
}

/// With all pages pinned, a read waits for a second and then fails; a page that is unpinned meanwhile serves it.
#[test]
fn a_read_waits_for_memory() {
    let bench = Bench::without_reaper(16);
    let (info, map) = bench.attached(1, 40, Temperature::Warm);
    let page = |page: u64| map.get(info.offset + page * PAGE, 1);
    let mut guards: Vec<_> = (0..16).map(|number| bench.world.run(page(number)).unwrap()).collect();
    let before = bench.world.host.now();
    assert_eq!(bench.world.run(page(20)).unwrap_err().kind(), Kind::NoMemory);
    assert_eq!(bench.world.host.now().0 - before.0, MEMORY_WAIT.0);

    let (mut first, mut second) = (Box::pin(page(20)), Box::pin(page(21)));
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    drop(guards.remove(5));
    assert!(!bench.table.cache().is_known(&bench.table.cache().maps.borrow()[&1], 0, 5), "evicted for the first");
    let got = bench.world.run(first).unwrap();
    assert_eq!(got.to_vec(), [byte(id(1), 20 * PAGE)]);
    assert_eq!(bench.world.run(second).unwrap_err().kind(), Kind::NoMemory);
    assert_eq!(bench.world.run(map.get(info.offset, 17 * PAGE_BYTES)).unwrap_err().kind(), Kind::NoMemory);
    drop((got, guards));
    bench.load(info, &map, 30..40);
    bench.finish(vec![map]);
}

/// Reads whose readers were cancelled release memory for others when they end.
#[test]
fn memory_of_abandoned_reads_is_used() {
    let bench = Bench::without_reaper(16);
    let (info, map) = bench.attached(1, 40, Temperature::Warm);
    let page = |page: u64| map.get(info.offset + page * PAGE, 1);
    assert!((0..16).all(|number| page(number).now_or_never().is_none()));
    let before = bench.world.host.now();
    bench.world.run(page(20)).unwrap();
    assert_eq!(bench.world.host.now().0 - before.0, 2 * READ_TIME.0, "no longer than for two reads");
    bench.finish(vec![map]);
}

/// Two readers that wait for memory for the same page share its read all the same.
#[test]
fn misses_that_waited_for_memory_share_one_read() {
    let bench = Bench::without_reaper(16);
    let (info, map) = bench.attached(1, 40, Temperature::Warm);
    let page = |page: u64| map.get(info.offset + page * PAGE, 1);
    let guards: Vec<_> = (0..16).map(|number| bench.world.run(page(number)).unwrap()).collect();
    bench.reads();
    let (mut first, mut second) = (Box::pin(page(20)), Box::pin(page(20)));
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    drop(guards);
    let both = bench.world.run(join(first, second));
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(bench.reads(), [(id(1), 20, 1)]);
    drop(both);
    bench.finish(vec![map]);
}

/// Many more readers than pages are all served, in a few rounds of reads.
#[test]
fn readers_beyond_the_budget_take_turns() {
    let bench = Bench::without_reaper(16);
    let (info, map) = bench.attached(1, 200, Temperature::Warm);
    let gets = (0..200).map(|page| {
        let (map, host) = (&map, &bench.world.host);
        async move {
            let guard = map.get(info.offset + page * PAGE, 1).await.unwrap();
            host.sleep(Nanos(1000)).await;
            assert_eq!(guard.to_vec(), [byte(id(1), page * PAGE)]);
        }
    });
    bench.world.run(join_all(gets));
    assert_eq!(bench.reads().len(), 200);
    bench.finish(vec![map]);
}

/// A reader that is cancelled while it waits for memory, or has just got it, loses none.
#[test]
fn a_reader_that_gives_up_loses_no_memory() {
    let bench = Bench::without_reaper(16);
    let (info, map) = bench.attached(1, 40, Temperature::Warm);
    let page = |page: u64| map.get(info.offset + page * PAGE, 1);
    let guards: Vec<_> = (0..16).map(|number| bench.world.run(page(number)).unwrap()).collect();
    let mut waiting: Vec<_> = (20..24).map(|number| Box::pin(page(number))).collect();
    assert!(waiting.iter_mut().all(|get| get.as_mut().now_or_never().is_none()));
    drop(waiting.remove(0));
    drop(guards);
    drop(waiting);
    bench.world.settle();
    bench.load(info, &map, 0..40);
    assert_eq!(bench.table.statistics().pages_in_use, 16);
    bench.finish(vec![map]);
}

/// When memory runs out before the budget, the cache works with what it has.
#[test]
fn less_memory_than_the_budget() {
    let bench = Bench::without_reaper(64);
    let (info, map) = bench.attached(1, 40, Temperature::Warm);
    bench.source.no_memory.set(true);
    assert_eq!(bench.world.run(map.get(info.offset, 1)).unwrap_err().kind(), Kind::NoMemory);
    bench.source.no_memory.set(false);
    bench.load(info, &map, 0..10);
    bench.source.no_memory.set(true);
    bench.load(info, &map, 0..40);
    assert_eq!(bench.table.statistics().pages_in_use, 10);
    bench.finish(vec![map]);
}

/// mpool-125: a miss evicts cold pages first, then warm, then hot, and pinned ones never.
#[test]
fn misses_evict_by_temperature() {
    let bench = Bench::without_reaper(40);
    let temperatures = [Temperature::Pinned, Temperature::Hot, Temperature::Warm, Temperature::Cold];
    // The hotter maps are older: by time alone they would be evicted first.
    let mut maps = Vec::new();
    for (number, temperature) in (1..).zip(temperatures) {
        let (info, map) = bench.attached(number, 10, temperature);
        bench.load(info, &map, 0..10);
        bench.world.run_for(Nanos(20 * MS));
        maps.push((info, map));
    }
    let (info, map) = bench.attached(9, 60, Temperature::Pinned);
    let mut seen = vec![[10; 4]];
    for page in 0..30 {
        bench.load(info, &map, page..page + 1);
        seen.push([0, 1, 2, 3].map(|index: usize| bench.resident(maps[index].0)));
    }
    for (pages, resident) in seen.into_iter().enumerate() {
        let gone = |before: usize| 10 - pages.saturating_sub(before).min(10) as u64;
        assert_eq!(resident, [10, gone(20), gone(10), gone(0)], "after {pages}");
    }
    assert_eq!(bench.world.run(map.get(info.offset + 40 * PAGE, 1)).unwrap_err().kind(), Kind::NoMemory);
    bench.finish(maps.into_iter().map(|(_, map)| map).chain([map]).collect());
}

/// Memory that is lost with a task that the host dropped is allocated again, for the first waiter.
#[test]
fn lost_memory_is_replaced() {
    let bench = Bench::new(16);
    let source: Rc<dyn MblockSource> = bench.source.clone();
    let pool = BufferPool::new(source, PAGE_BYTES, 2);
    let (mut first, second) = (pool.take().unwrap(), pool.take().unwrap());
    assert!(pool.take().is_none());
    let mut waiting = pool.wait();
    drop(first.lend());
    drop(first);
    let third = waiting.try_recv().unwrap().unwrap();
    assert_eq!((pool.in_use(), pool.waiting(), third.bytes().len()), (2, 0, PAGE_BYTES));
    drop((second, third));
    assert_eq!((pool.in_use(), bench.source.allocations.get()), (0, 3));
    drop(pool);
    bench.finish(Vec::new());
}
