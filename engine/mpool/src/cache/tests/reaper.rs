// SPDX-License-Identifier: BSD-3-Clause

//! The reaper under pressure, in virtual time.

use super::*;
use crate::cache::pressure::Pressure;

const SECOND: u64 = 1_000_000_000;

/// A budget whose reaper starts at 40 % and has a TTL of 1 s.
fn bench(budget_pages: usize) -> Bench {
    let mut tunables = Tunables::default();
    tunables.reaper.set_mempct(40).unwrap();
    tunables.reaper.set_ttl_us(1_000_000).unwrap();
    Bench::with(budget_pages, &tunables)
}

/// mpool-126: nothing is reaped above the low watermark, however old; below it expired mblocks are, up to the high one.
#[test]
fn the_reaper_works_below_the_watermark() {
    let bench = bench(63);
    let (info, map) = bench.attached(1, 60, Temperature::Cold);
    bench.load(info, &map, 0..37);
    let (_other, third) = bench.attached(2, 60, Temperature::Cold);
    // 37 of 63 are used: more than 40 %. They are young.
    bench.world.run_for(Nanos(400 * MS));
    let urgency = bench.table.statistics().urgency;
    assert_eq!(urgency, 10_000 - (10_000 - 37 * 10_000 / 63) * 10_000 / 6180);
    assert_eq!(bench.resident(info), 0, "a high urgency shortens the time to live");
    bench.world.run_for(Nanos(SECOND));
    assert_eq!(bench.table.statistics().urgency, 0);
    bench.load(info, &map, 0..25);
    bench.world.run_for(Nanos(100 * SECOND));
    assert_eq!((bench.resident(info), bench.table.statistics().urgency), (25, 0), "25 of 63 are less than 40 %");
    bench.finish(vec![map, third]);
}

/// mpool-125: under lasting pressure cold maps are reaped first, then warm, then hot ones; pinned maps never.
#[test]
fn temperatures_are_reaped_in_order() {
    let bench = bench(63);
    // Pinned pages do not count: 39 others of 24 + 39.
    let (pinned_info, pinned) = bench.attached(9, 20, Temperature::Pinned);
    let mut budget_gone = Vec::new();
    for (number, temperature) in [(1, Temperature::Cold), (2, Temperature::Warm), (3, Temperature::Hot)] {
        bench.load(pinned_info, &pinned, 0..10);
        let (info, map) = bench.attached(number, 60, temperature);
        bench.load(info, &map, 0..45);
        bench.table.cache().tick();
        let ttl_us = bench.table.cache().pressure.get().ttl_us;
        assert!(ttl_us < 10_000);
        let start = bench.world.host.now();
        while bench.resident(info) == 45 {
            bench.world.run_for(Nanos(MS));
        }
        assert_eq!(bench.resident(info), 0);
        budget_gone.push((bench.world.host.now().0 - start.0) / (ttl_us * 1000));
        bench.world.run(map.detach());
        bench.world.run_for(Nanos(SECOND));
        assert_eq!(bench.resident(pinned_info), 10);
    }
    assert!(budget_gone[0] <= 3 && (9..=12).contains(&budget_gone[1]) && (95..=105).contains(&budget_gone[2]));
    bench.finish(vec![pinned]);
}

/// mpool-127: touching one page saves all pages of its mblock; the mblock beside it goes as a whole.
#[test]
fn mblocks_are_reaped_as_a_whole() {
    let bench = bench(256);
    assert_eq!(bench.table.statistics().page_limit, 224);
    let ids = [bench.mblock(1, 64), bench.mblock(2, 64)];
    let info = bench.table.create(&ids, Temperature::Cold).unwrap();
    let map = bench.table.attach(info.offset, info.bytes).unwrap();
    // 90 of 224 are little more than 40 %: an urgency that does not shorten the TTL of 1 s.
    bench.load(info, &map, 0..45);
    bench.load(info, &map, 64..109);
    let mut seen = Vec::new();
    for _ in 0..40 {
        bench.load(info, &map, 3..4);
        bench.world.run_for(Nanos(50 * MS));
        seen.push((bench.pages_of(0), bench.pages_of(1)));
    }
    assert_eq!((seen[18], seen[20]), ((45, 45), (45, 0)), "at 950 ms and at 1050 ms");
    assert!(seen.iter().all(|pages| *pages == (45, 45) || *pages == (45, 0)));
    bench.finish(vec![map]);
}

/// mpool-127, partly: the access time is updated at most every 10 ms.
#[test]
fn access_times_are_coarse() {
    let bench = Bench::new(64);
    let (info, map) = bench.attached(1, 4, Temperature::Warm);
    let accessed = || bench.table.cache().maps.borrow()[&1].mblocks[0].accessed.get();
    let start = accessed();
    bench.load(info, &map, 0..1);
    bench.world.run_for(Nanos(10 * MS - READ_TIME.0 - 1));
    bench.load(info, &map, 0..1);
    assert_eq!(accessed(), start);
    bench.world.run_for(Nanos(1));
    bench.load(info, &map, 0..1);
    assert_eq!(accessed().0, start.0 + 10 * MS);
    bench.finish(vec![map]);
}

/// mpool-127: pinned pages stay while their mblock is reaped.
#[test]
fn pinned_pages_are_skipped() {
    let bench = bench(63);
    let (info, map) = bench.attached(1, 60, Temperature::Cold);
    bench.load(info, &map, 0..50);
    let guard = bench.world.run(map.get(info.offset + 17 * PAGE, PAGE_BYTES)).unwrap();
    bench.world.run_for(Nanos(SECOND));
    assert_eq!(bench.resident(info), 1);
    assert_eq!(guard.to_vec(), content(id(1), 17 * PAGE..18 * PAGE));
    drop(guard);
    bench.finish(vec![map]);
}

/// mpool-127, partly: maps with fewer than 32 resident pages are left alone.
#[test]
fn small_maps_are_left_alone() {
    let bench = bench(63);
    let (small_info, small) = bench.attached(1, 31, Temperature::Cold);
    let (info, map) = bench.attached(2, 32, Temperature::Cold);
    bench.load(small_info, &small, 0..31);
    bench.load(info, &map, 0..32);
    bench.world.run_for(Nanos(10 * SECOND));
    assert_eq!((bench.resident(small_info), bench.resident(info)), (31, 0));
    bench.finish(vec![map, small]);
}

/// mpool-125, partly: a map that is attached to twice is on one list, once; a pinned one on none (defect 22).
#[test]
fn a_map_is_listed_once() {
    let bench = Bench::new(64);
    let (info, first) = bench.attached(1, 4, Temperature::Warm);
    bench.world.run_for(Nanos(7 * MS));
    let second = bench.table.attach(info.offset, info.bytes).unwrap();
    let listed = || bench.table.cache().lists.lengths().iter().sum::<usize>();
    assert_eq!(listed(), 1);
    let (_, pinned) = bench.attached(2, 4, Temperature::Pinned);
    assert_eq!(listed(), 1);
    drop(first);
    assert_eq!(listed(), 1);
    drop(second);
    assert_eq!(listed(), 0);
    // The clock spreads maps over the lists.
    let maps: Vec<_> = (10..40)
        .map(|number| {
            bench.world.run_for(Nanos(MS + number));
            bench.attached(number, 1, Temperature::Warm).1
        })
        .collect();
    assert!(bench.table.cache().lists.lengths().iter().all(|length| *length >= 3));
    bench.finish(maps.into_iter().chain([pinned]).collect());
}

/// mpool-128, adapted: at urgency 5000 a miss is delayed by 50 to 100 us, a hit is not.
#[test]
fn misses_are_delayed_under_pressure() {
    let bench = Bench::without_reaper(64);
    let (info, map) = bench.attached(1, 40, Temperature::Warm);
    let timed = |page: u64| {
        let before = bench.world.host.now();
        bench.load(info, &map, page..page + 1);
        bench.world.host.now().0 - before.0
    };
    assert_eq!(timed(0), READ_TIME.0);
    bench.table.cache().pressure.set(Pressure { urgency: 5000, ttl_us: 1000 });
    let delays: Vec<u64> = (1..30).map(|page| timed(page) - READ_TIME.0).collect();
    assert!(delays.iter().all(|delay| (50_000..=100_000).contains(delay)), "{delays:?}");
    assert!(delays.iter().any(|delay| *delay < 70_000) && delays.iter().any(|delay| *delay > 80_000), "{delays:?}");
    assert_eq!(timed(5), 0);
    let before = bench.world.host.now();
    bench.world.run(map.get(info.offset + 30 * PAGE, 8 * PAGE_BYTES)).unwrap();
    assert!(bench.world.host.now().0 - before.0 <= 100_000 + READ_TIME.0, "once for all pages of a call");
    bench.finish(vec![map]);
}

/// mpool-129, partly: the reaper's tunables work on a running pool: with 100 % it stops, with 5 % it begins at once.
#[test]
fn tunables_change_a_running_reaper() {
    let mut tunables = Tunables::default();
    tunables.reaper.set_mempct(100).unwrap();
    let bench = Bench::with(63, &tunables);
    let (info, map) = bench.attached(1, 63, Temperature::Cold);
    bench.load(info, &map, 0..63);
    bench.world.run_for(Nanos(100 * SECOND));
    assert_eq!(bench.resident(info), 63);
    let mut reaper = tunables.reaper;
    reaper.set_mempct(5).unwrap();
    reaper.set_ttl_us(100).unwrap();
    reaper.set_debug(3).unwrap();
    bench.table.set_reaper(reaper);
    bench.world.run_for(Nanos(2 * SECOND));
    assert_eq!(bench.resident(info), 0);
    let lines = bench.world.lines();
    assert_eq!(lines[0], "reaper: 0 of 10000 free, urgency 10000, time to live 0 us");
    assert_eq!(lines[1], "reaper: cache map at 0x40000000: 63 pages of mblock 0x1101 evicted");
    assert!(lines.last().unwrap().contains("urgency 0"));
    bench.finish(vec![map]);
}

/// A table that is dropped under pressure leaves no task behind.
#[test]
fn a_dropped_table_ends_its_workers() {
    let bench = bench(63);
    let (info, map) = bench.attached(1, 60, Temperature::Cold);
    bench.load(info, &map, 0..60);
    let guard = bench.world.run(map.get(info.offset, 60 * PAGE_BYTES)).unwrap();
    bench.table.cache().tick();
    let tasks = bench.table.cache().reaper_tasks.clone();
    bench.world.run_for(Nanos(MS));
    assert_eq!(tasks.running(), 4);
    drop((guard, map, bench.table));
    bench.world.run_for(Nanos(0));
    assert_eq!(tasks.running(), 0);
    assert_eq!(bench.source.live_bytes.get(), 0);
}
