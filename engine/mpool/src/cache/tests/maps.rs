// SPDX-License-Identifier: BSD-3-Clause

//! Creation and destruction of maps.

use futures::FutureExt;

use super::*;
use crate::cache::Residency;

/// mpool-118, adapted: regions count from 1, offset, bucket and length are as 9.1 says, and mblock i is at i buckets.
#[test]
fn a_map_shows_each_mblock_in_its_bucket() {
    let bench = Bench::new(64);
    let ids = [bench.mblock(1, 3), bench.mblock(2, 5), bench.mblock(3, 1)];
    let info = bench.table.create(&ids, Temperature::Warm).unwrap();
    assert_eq!(info, MapInfo { offset: 1 << 30, bucket_bytes: 8 * PAGE, bytes: 1 << 30 });
    let map = bench.table.attach(info.offset, info.bytes).unwrap();
    for (index, (id, pages)) in ids.into_iter().zip([3, 5, 1]).enumerate() {
        let start = info.offset + index as u64 * info.bucket_bytes;
        let guard = bench.world.run(map.get(start, (pages * PAGE) as usize)).unwrap();
        assert_eq!(guard.to_vec(), content(id, 0..pages * PAGE));
        assert_eq!((guard.bytes() as u64, guard.slices().count() as u64), (pages * PAGE, pages));
    }
    let second = bench.table.create(&ids[..1], Temperature::Warm).unwrap();
    assert_eq!((second.offset, second.bucket_bytes), (2 << 30, 4 * PAGE));
    bench.finish(vec![map]);
}

/// mpool-118, adapted: the lowest free region is reused.
#[test]
fn regions_are_used_again() {
    let bench = Bench::new(64);
    let one = [bench.mblock(1, 1)];
    let offsets: Vec<u64> = (0..3).map(|_| bench.table.create(&one, Temperature::Cold).unwrap().offset).collect();
    assert_eq!(offsets, [1 << 30, 2 << 30, 3 << 30]);
    bench.table.destroy(offsets[0]);
    bench.table.destroy(offsets[1]);
    let again: Vec<u64> = (0..3).map(|_| bench.table.create(&one, Temperature::Cold).unwrap().offset).collect();
    assert_eq!(again, [1 << 30, 2 << 30, 4 << 30]);
    bench.finish(Vec::new());
}

/// mpool-119: no ids, unknown ids and too much are refused, and mblocks held until then are released.
#[test]
fn a_map_that_cannot_be_made_holds_nothing() {
    let mut tunables = Tunables::default();
    tunables.set_map_log2(27);
    let bench = Bench::with(64, &tunables);
    let ids = [bench.mblock(1, 8192), bench.mblock(2, 8193)];
    let kind = |ids: &[ObjectId]| bench.table.create(ids, Temperature::Warm).unwrap_err().kind();
    assert_eq!(kind(&[]), Kind::Invalid);
    assert_eq!(kind(&[ids[0], id(77)]), Kind::NotFound);
    assert_eq!(kind(&[ids[0]; 5]), Kind::TooBig);
    assert_eq!(kind(&[ids[1]; 3]), Kind::TooBig);
    assert_eq!((bench.holds(ids[0]), bench.holds(ids[1]), bench.table.count()), (0, 0, 0));
    assert_eq!(bench.table.create(&[ids[0]; 4], Temperature::Warm).unwrap().bytes, 1 << 27);
    bench.finish(Vec::new());
}

/// mpool-119: only as many maps as the tunable allows.
#[test]
fn the_number_of_maps_is_limited() {
    let mut tunables = Tunables::default();
    tunables.set_maps_max(1024);
    let bench = Bench::with(64, &tunables);
    let one = [bench.mblock(1, 1)];
    for _ in 0..1024 {
        bench.table.create(&one, Temperature::Warm).unwrap();
    }
    assert_eq!(bench.table.create(&one, Temperature::Warm).unwrap_err().kind(), Kind::NoSpace);
    bench.table.destroy(7 << 30);
    assert_eq!(bench.table.create(&one, Temperature::Warm).unwrap().offset, 7 << 30);
    bench.finish(Vec::new());
}

/// mpool-120, partly: mblocks are held from creation until the last attachment has gone, not only the first.
#[test]
fn the_last_attachment_destroys_the_map() {
    let bench = Bench::new(64);
    let (info, first) = bench.attached(1, 4, Temperature::Warm);
    let second = bench.table.attach(info.offset + PAGE, PAGE).unwrap();
    assert_eq!(bench.holds(id(1)), 1);
    drop(first);
    assert_eq!((bench.holds(id(1)), bench.table.count()), (1, 1));
    bench.load(info, &bench.table.attach(info.offset, PAGE).unwrap(), 0..1);
    assert_eq!(bench.resident(info), 1, "pages stay as long as the map");
    drop(second);
    assert_eq!((bench.holds(id(1)), bench.table.count()), (0, 0));
    assert_eq!(bench.table.attach(info.offset, PAGE).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(bench.table.residency(info.offset).unwrap_err().kind(), Kind::NotFound);
    bench.finish(Vec::new());
}

/// mpool-120, partly: destroy removes a map without attachment; it ignores attached and unknown ones.
#[test]
fn destroy_removes_maps_that_were_never_attached() {
    let bench = Bench::new(64);
    let info = bench.table.create(&[bench.mblock(1, 4)], Temperature::Warm).unwrap();
    assert_eq!(bench.holds(id(1)), 1);
    bench.table.destroy(info.offset);
    assert_eq!((bench.holds(id(1)), bench.table.count()), (0, 0));
    bench.table.destroy(info.offset);
    let (info, map) = bench.attached(2, 4, Temperature::Warm);
    bench.table.destroy(info.offset);
    assert_eq!((bench.holds(id(2)), bench.table.count()), (1, 1));
    bench.load(info, &map, 0..4);
    bench.finish(vec![map]);
}

/// mpool-120, partly: the last detach waits for reads in flight; then the mblocks can be deleted.
#[test]
fn detaching_waits_for_reads() {
    let bench = Bench::new(128);
    let (info, map) = bench.attached(1, 16, Temperature::Warm);
    map.advise(info.offset, 16 * PAGE, super::super::Advice::WillNeed).unwrap();
    // A read whose reader is cancelled continues.
    assert!(map.get(info.offset + 9 * PAGE, 1).now_or_never().is_none());
    bench.world.settle();
    assert!(bench.source.reads_under_way.get() > 0);
    let mut detaching = Box::pin(map.detach());
    assert!(detaching.as_mut().now_or_never().is_none());
    assert_eq!(bench.holds(id(1)), 1);
    bench.world.run(detaching);
    assert_eq!((bench.holds(id(1)), bench.source.reads_under_way.get(), bench.table.count()), (0, 0, 0));
    bench.finish(Vec::new());
}

/// mpool-120, partly: queued batches are not read once the map is dying.
#[test]
fn a_dying_map_reads_no_further() {
    let bench = Bench::new(64);
    let (info, map) = bench.attached(1, 64, Temperature::Warm);
    map.advise(info.offset, 64 * PAGE, super::super::Advice::WillNeed).unwrap();
    bench.world.settle();
    bench.world.run(map.detach());
    assert_eq!(bench.reads(), [(id(1), 0, 8)], "a budget of 64 pages has one passage");
    bench.finish(Vec::new());
}

/// mpool-120, partly: a page that is still pinned keeps the map and its mblocks.
#[test]
fn a_guard_keeps_its_map() {
    let bench = Bench::new(64);
    let (info, map) = bench.attached(1, 4, Temperature::Warm);
    let guard = bench.world.run(map.get(info.offset, 10)).unwrap();
    drop(map);
    assert_eq!((bench.holds(id(1)), bench.table.count()), (1, 1));
    assert_eq!(bench.table.attach(info.offset, PAGE).unwrap_err().kind(), Kind::NotFound, "it is dying");
    assert_eq!(guard.contiguous().unwrap(), content(id(1), 0..10));
    drop(guard);
    assert_eq!((bench.holds(id(1)), bench.table.count()), (0, 0));
    bench.finish(Vec::new());
}

/// mpool-120, partly: closing removes maps that were never attached to, waits for the others, and refuses new ones.
#[test]
fn closing_waits_for_attached_maps() {
    let bench = Bench::new(64);
    let unused = bench.table.create(&[bench.mblock(1, 4)], Temperature::Warm).unwrap();
    let (info, map) = bench.attached(2, 4, Temperature::Warm);
    let (_, other) = bench.attached(3, 4, Temperature::Warm);
    {
        let mut closing = Box::pin(bench.table.close());
        assert!(closing.as_mut().now_or_never().is_none());
        assert_eq!((bench.holds(id(1)), bench.holds(id(2))), (0, 1));
        assert_eq!(bench.table.residency(unused.offset).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(bench.table.create(&[id(1)], Temperature::Warm).unwrap_err().kind(), Kind::Busy);
        assert_eq!(bench.table.attach(info.offset, PAGE).unwrap_err().kind(), Kind::Busy);
        bench.load(info, &map, 0..4);
        drop(map);
        assert!(closing.as_mut().now_or_never().is_none(), "there is another");
        drop(other);
        bench.world.run(closing);
    }
    bench.finish(Vec::new());
}

/// mpool-118, adapted: attaching to parts; a range must be whole pages of one region.
#[test]
fn attachments_are_within_one_map() {
    let bench = Bench::new(64);
    let info = bench.table.create(&[bench.mblock(1, 4)], Temperature::Warm).unwrap();
    let kind = |offset, bytes| bench.table.attach(offset, bytes).unwrap_err().kind();
    assert_eq!(kind(0, PAGE), Kind::NotFound);
    assert_eq!(kind(2 << 30, PAGE), Kind::NotFound);
    for (offset, bytes) in [(0, 0), (0, (1 << 30) + PAGE), (PAGE, 1 << 30), (1, PAGE), (0, 5), (0, u64::MAX)] {
        assert_eq!(kind(info.offset + offset, bytes), Kind::Invalid, "{offset} {bytes}");
    }
    assert!(!bench.table.cache().maps.borrow()[&1].attached_before.get(), "a refusal attaches nothing");
    let map = bench.table.attach(info.offset + PAGE, 2 * PAGE).unwrap();
    for (offset, bytes, expected) in [(0, 1, false), (PAGE, 8192, true), (3 * PAGE - 1, 2, false), (3 * PAGE, 1, false)]
    {
        assert_eq!(bench.world.run(map.get(info.offset + offset, bytes)).is_ok(), expected, "{offset}");
    }
    bench.finish(vec![map]);
}

/// mpool-122, adapted: virtual pages are those of all buckets, resident ones those touched; purge leaves pinned ones.
#[test]
fn purge_and_residency() {
    let bench = Bench::new(64);
    let ids = [bench.mblock(1, 3), bench.mblock(2, 5)];
    let info = bench.table.create(&ids, Temperature::Pinned).unwrap();
    let map = bench.table.attach(info.offset, info.bytes).unwrap();
    bench.load(info, &map, 0..2);
    let pinned = bench.world.run(map.get(info.offset + 8 * PAGE, 1)).unwrap();
    let residency = bench.table.residency(info.offset + 5).unwrap();
    assert_eq!(residency, Residency { virtual_pages: 16, resident_pages: 3 });
    assert_eq!(bench.table.statistics().resident_pages, [0, 0, 0, 3]);
    bench.table.purge(info.offset).unwrap();
    assert_eq!(bench.resident(info), 1);
    drop(pinned);
    bench.table.purge(info.offset).unwrap();
    assert_eq!(bench.resident(info), 0);
    assert_eq!(bench.table.purge(0).unwrap_err().kind(), Kind::NotFound);
    bench.reads();
    bench.load(info, &map, 0..1);
    assert_eq!(bench.reads(), [(id(1), 0, 1)], "what was purged is read again");
    bench.finish(vec![map]);
}

/// mpool-118, adapted: an empty mblock takes a bucket of a page, in which nothing can be accessed (defect 21).
#[test]
fn an_empty_mblock_can_be_in_a_map() {
    let bench = Bench::new(64);
    let ids = [bench.mblock(1, 0), bench.mblock(2, 1)];
    let info = bench.table.create(&ids[..1], Temperature::Warm).unwrap();
    assert_eq!(info.bucket_bytes, PAGE);
    let map = bench.table.attach(info.offset, PAGE).unwrap();
    assert_eq!(bench.world.run(map.get(info.offset, 1)).unwrap_err().kind(), Kind::Invalid);
    map.advise(info.offset, PAGE, super::super::Advice::WillNeed).unwrap();
    bench.world.settle();
    assert_eq!(bench.reads(), []);
    let both = bench.table.create(&ids, Temperature::Warm).unwrap();
    let other = bench.table.attach(both.offset, both.bytes).unwrap();
    assert_eq!(bench.world.run(other.get(both.offset + PAGE, 3)).unwrap().to_vec(), content(id(2), 0..3));
    bench.finish(vec![map, other]);
}

#[test]
fn a_tiny_budget_is_refused() {
    let host: Rc<dyn Host> = World::new().host;
    let bench = Bench::new(16);
    let source: Rc<dyn MblockSource> = bench.source.clone();
    let error = MapTable::new(&host, &source, 16 * PAGE - 1, &Tunables::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    drop((source, host));
    bench.finish(Vec::new());
}
