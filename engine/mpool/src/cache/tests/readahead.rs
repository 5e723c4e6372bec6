// SPDX-License-Identifier: BSD-3-Clause

//! Readahead.

use super::*;
use crate::cache::pressure::Pressure;
use crate::cache::Advice;

/// mpool-124: at most 32 pages, by reads of at most 8 that end at 8-page boundaries; then all are hits.
#[test]
fn readahead_reads_batches() {
    let bench = Bench::new(1024);
    let (info, map) = bench.attached(1, 100, Temperature::Warm);
    map.advise(info.offset + 5 * PAGE + 9, 95 * PAGE, Advice::WillNeed).unwrap();
    bench.world.run_for(READ_TIME);
    assert_eq!(
        bench.reads(),
        [(id(1), 5, 3), (id(1), 8, 8), (id(1), 16, 8), (id(1), 24, 8), (id(1), 32, 5)],
        "all at once"
    );
    assert_eq!(bench.resident(info), 32);
    let guard = bench.world.run(map.get(info.offset + 5 * PAGE, 32 * PAGE_BYTES)).unwrap();
    assert_eq!(guard.to_vec(), content(id(1), 5 * PAGE..37 * PAGE));
    assert_eq!((bench.reads(), bench.table.statistics().hits), (vec![], 32));
    drop(guard);
    bench.finish(vec![map]);
}

/// mpool-124: never beyond the mblock's end, nor into the next mblock.
#[test]
fn readahead_ends_with_the_mblock() {
    let bench = Bench::new(1024);
    let ids = [bench.mblock(1, 19), bench.mblock(2, 32)];
    let info = bench.table.create(&ids, Temperature::Warm).unwrap();
    let map = bench.table.attach(info.offset, info.bytes).unwrap();
    map.advise(info.offset + 10 * PAGE, 60 * PAGE, Advice::WillNeed).unwrap();
    bench.world.run_for(READ_TIME);
    assert_eq!(bench.reads(), [(id(1), 10, 6), (id(1), 16, 3)]);
    // Behind the written bytes of the first mblock, and behind the last mblock.
    map.advise(info.offset + 19 * PAGE, PAGE, Advice::WillNeed).unwrap();
    map.advise(info.offset + 64 * PAGE, PAGE, Advice::WillNeed).unwrap();
    map.advise(info.offset + 32 * PAGE, 0, Advice::WillNeed).unwrap();
    assert_eq!(map.advise(info.offset - 1, PAGE, Advice::WillNeed).unwrap_err().kind(), Kind::Invalid);
    assert_eq!(map.advise(info.offset, info.bytes + 1, Advice::WillNeed).unwrap_err().kind(), Kind::Invalid);
    bench.world.run_for(READ_TIME);
    assert_eq!(bench.reads(), []);
    bench.finish(vec![map]);
}

/// mpool-124: 0 pages disable readahead, more than 32 are 32, other advice is not supported.
#[test]
fn readahead_can_be_limited_and_disabled() {
    let bench = Bench::new(1024);
    let (info, map) = bench.attached(1, 100, Temperature::Warm);
    bench.table.set_readahead_pages(0);
    map.advise(info.offset, 64 * PAGE, Advice::WillNeed).unwrap();
    bench.world.run_for(READ_TIME);
    assert_eq!(bench.reads(), []);
    bench.table.set_readahead_pages(3);
    map.advise(info.offset, 64 * PAGE, Advice::WillNeed).unwrap();
    bench.world.run_for(READ_TIME);
    assert_eq!(bench.reads(), [(id(1), 0, 3)]);
    bench.table.set_readahead_pages(1000);
    map.advise(info.offset + 8 * PAGE, 64 * PAGE, Advice::WillNeed).unwrap();
    bench.world.run_for(READ_TIME);
    assert_eq!(bench.reads().iter().map(|read| read.2).sum::<u64>(), 32);
    for advice in [Advice::Normal, Advice::Random, Advice::Sequential, Advice::DontNeed] {
        assert_eq!(map.advise(info.offset, PAGE, advice).unwrap_err().kind(), Kind::NotSupported);
    }
    bench.finish(vec![map]);
}

/// mpool-124: pages that are resident, being read or asked for twice are read once; reads are of contiguous pages.
#[test]
fn readahead_reads_what_is_missing() {
    let bench = Bench::new(1024);
    let (info, map) = bench.attached(1, 16, Temperature::Warm);
    bench.load(info, &map, 3..4);
    bench.reads();
    map.advise(info.offset, 16 * PAGE, Advice::WillNeed).unwrap();
    map.advise(info.offset + 2 * PAGE, 14 * PAGE, Advice::WillNeed).unwrap();
    // A miss of a page that is being read ahead waits for that read.
    let guard = bench.world.run(map.get(info.offset + 10 * PAGE, 5)).unwrap();
    assert_eq!(guard.to_vec(), content(id(1), 10 * PAGE..10 * PAGE + 5));
    let mut reads = bench.reads();
    reads.sort_unstable();
    assert_eq!(reads, [(id(1), 0, 3), (id(1), 4, 4), (id(1), 8, 8)]);
    drop(guard);
    bench.finish(vec![map]);
}

/// mpool-128, adapted: under duress at most 8 pages, by temperature.
#[test]
fn duress_limits_readahead() {
    let bench = Bench::without_reaper(1024);
    for (number, temperature, urgency, pages) in [
        (1, Temperature::Cold, 1500, 8),
        (2, Temperature::Cold, 1499, 32),
        (3, Temperature::Warm, 3001, 8),
        (4, Temperature::Hot, 10_000, 32),
    ] {
        let (info, map) = bench.attached(number, 64, temperature);
        bench.table.cache().pressure.set(Pressure { urgency, ttl_us: 1000 });
        map.advise(info.offset, 64 * PAGE, Advice::WillNeed).unwrap();
        bench.world.run_for(READ_TIME);
        assert_eq!(bench.resident(info), pages, "{temperature:?} {urgency}");
        bench.world.run(map.detach());
    }
    bench.finish(Vec::new());
}

/// A batch that cannot be read leaves the readable pages to the readers that want them.
#[test]
fn a_bad_page_does_not_fail_its_neighbours() {
    let bench = Bench::new(1024);
    let (info, map) = bench.attached(1, 8, Temperature::Warm);
    bench.source.unreadable.borrow_mut().insert((id(1), 6));
    map.advise(info.offset, 8 * PAGE, Advice::WillNeed).unwrap();
    let guard = bench.world.run(map.get(info.offset + 2 * PAGE, 5)).unwrap();
    assert_eq!(guard.to_vec(), content(id(1), 2 * PAGE..2 * PAGE + 5));
    assert_eq!(bench.reads(), [(id(1), 0, 8), (id(1), 2, 1)]);
    assert_eq!(bench.world.run(map.get(info.offset + 6 * PAGE, 5)).unwrap_err().kind(), Kind::Io);
    assert_eq!((bench.resident(info), bench.table.statistics().pages_in_use), (1, 1));
    drop(guard);
    bench.finish(vec![map]);
}

/// A small budget has few bounce buffers, or none and single pages; requests queue and are served.
#[test]
fn batches_wait_for_their_turn() {
    for (budget, reads) in [(64, 4), (63, 32)] {
        let bench = Bench::without_reaper(budget);
        let (info, map) = bench.attached(1, 100, Temperature::Warm);
        map.advise(info.offset, 32 * PAGE, Advice::WillNeed).unwrap();
        bench.world.settle();
        assert_eq!(bench.source.reads_under_way.get(), 1);
        bench.world.run_for(Nanos(READ_TIME.0 * 32));
        assert_eq!((bench.reads().len(), bench.resident(info)), (reads, 32));
        bench.finish(vec![map]);
    }
}

/// Pages that were read ahead are evicted for a read that waits for memory.
#[test]
fn pages_read_ahead_give_way() {
    let bench = Bench::without_reaper(64);
    let (info, map) = bench.attached(1, 80, Temperature::Warm);
    let guard = bench.world.run(map.get(info.offset, 48 * PAGE_BYTES)).unwrap();
    map.advise(info.offset + 48 * PAGE, 8 * PAGE, Advice::WillNeed).unwrap();
    let before = bench.world.host.now();
    bench.world.run(map.get(info.offset + 70 * PAGE, 1)).unwrap();
    assert_eq!(bench.world.host.now().0 - before.0, 2 * READ_TIME.0, "no longer than for two reads");
    drop(guard);
    bench.finish(vec![map]);
}

/// Readahead takes no memory from pinned pages.
#[test]
fn readahead_without_memory_is_dropped() {
    let bench = Bench::without_reaper(16);
    let (info, map) = bench.attached(1, 40, Temperature::Warm);
    let guards: Vec<_> = (0..16).map(|page| bench.world.run(map.get(info.offset + page * PAGE, 1)).unwrap()).collect();
    map.advise(info.offset + 16 * PAGE, 16 * PAGE, Advice::WillNeed).unwrap();
    bench.world.settle();
    assert_eq!((bench.table.statistics().readahead_dropped, bench.table.statistics().readahead_pages), (2, 0));
    drop(guards);
    bench.load(info, &map, 16..40);
    bench.finish(vec![map]);
}
