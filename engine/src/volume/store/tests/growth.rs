// SPDX-License-Identifier: BSD-3-Clause

//! Growth by slabs.

use super::*;
use crate::format::slab_summary::SlabSummary;
use crate::format::Place;
use crate::volume::access::VolumeMedia;

/// All slabs have summaries, of slabs that were never used.
fn check_summaries(world: &World, store: &VolumeStore) {
    let nonce = store.config().nonce;
    for slab in 0..store.slabs() {
        let block = world.run(store.read(Place::SlabMetadata { slab, block: 0 }, 1)).expect("read");
        let block = block.try_into().expect("a block");
        let (summary, _) = SlabSummary::decode(nonce, slab, &block).expect("written");
        assert_eq!(summary, SlabSummary::new(SLAB_BLOCKS as u32), "slab {slab}");
        assert!(SlabSummary::decode(nonce ^ 1, slab, &block).is_err(), "of this volume only");
    }
}

/// vdo-109, partly: a volume grows by slabs; with too little room by fewer, or not at all.
#[test]
fn a_volume_grows_by_slabs() {
    for staging in [false, true] {
        let world = world(staging);
        let store = world.run(make(&pool(&world), &spec(5, 5))).expect("room");
        let first = store.placement(store.geometry(1).expect("possible")).expect("open");
        assert_eq!(world.run(store.grow(SlabWish { least: 1, wanted: 4 })).expect("room"), 4);
        assert_eq!((store.slabs(), store.geometry(2).expect("possible").slabs()), (9, 9));
        let second = store.placement(store.geometry(1).expect("possible")).expect("open");
        assert_eq!((&second.slabs[..5], &second.areas[..5]), (&*first.slabs, &*first.areas), "what was there stays");
        assert_eq!((second.slabs.len(), second.areas.len()), (9, 9));
        assert_eq!((second.roots, second.segments.clone()), (first.roots, first.segments));
        check_summaries(&world, &store);
        let used = used_zones(&world);
        let error = world.run(store.grow(SlabWish { least: 500, wanted: 500 })).expect_err("too many");
        assert_eq!((error.kind(), store.slabs()), (Kind::NoSpace, 9));
        assert_eq!(used_zones(&world), used, "nothing is left of it");
        let error = world.run(store.grow(SlabWish { least: 1, wanted: 1 << 40 })).expect_err("too many");
        assert_eq!(error.kind(), Kind::Invalid);
        let more = world.run(store.grow(SlabWish { least: 1, wanted: 500 })).expect("room for some");
        assert!((5..20).contains(&more), "{more} more");
        check_summaries(&world, &store);
        drop(store);
        let world = restart(world, staging);
        let store = world.run(reopen(&pool(&world))).expect("there");
        assert_eq!(store.slabs(), 9 + more);
        let third = store.placement(store.geometry(1).expect("possible")).expect("open");
        assert_eq!((&third.slabs[..9], &third.areas[..9]), (&*second.slabs, &*second.areas));
    }
}

/// vdo-109, partly: cut at every write, growth has happened or not, and every object has an owner.
#[test]
fn a_growth_that_is_cut_short_has_happened_or_not() {
    let whole = |slabs| {
        let world = world(true);
        drop(world.run(make(&pool(&world), &spec(slabs, slabs))).expect("room"));
        let world = restart(world, true);
        (used_zones(&world), world)
    };
    // Eight slabs need a second metadata object.
    let (small, _) = whole(5);
    let (large, _) = whole(9);
    assert_ne!(small, large);
    for (disk, least_cuts) in [("cap", 6), ("stg", 3)] {
        let mut grown = 0;
        for writes in 0.. {
            let (_, world) = whole(5);
            world.disk(disk).fail_writes_after(writes);
            let done = {
                let pool = pool(&world);
                let store = world.run(reopen(&pool)).expect("there");
                world.run(store.grow(SlabWish { least: 4, wanted: 4 })).is_ok()
            };
            let world = restart(world, true);
            let store = world.run(reopen(&pool(&world))).expect("there");
            check_summaries(&world, &store);
            let expected = match store.slabs() {
                5 if !done => &small,
                9 => &large,
                slabs => panic!("{slabs} slabs after {writes} writes, done: {done}"),
            };
            assert_eq!(used_zones(&world), *expected, "{writes} writes");
            if store.slabs() == 5 {
                assert_eq!(world.run(store.grow(SlabWish { least: 4, wanted: 4 })).expect("room"), 4);
                check_summaries(&world, &store);
                assert_eq!(used_zones(&world), large);
            }
            grown += u32::from(store.slabs() == 9);
            if done {
                assert!(writes >= least_cuts, "{writes} writes");
                break;
            }
        }
        assert!(grown > 0);
    }
}

/// A slab whose area lies in an existing object has its summary flushed before it counts.
#[test]
fn summaries_are_durable_before_slabs_count() {
    let world = world(true);
    drop(world.run(make(&pool(&world), &spec(2, 2))).expect("room"));
    let world = restart(world, true);
    let store = world.run(reopen(&pool(&world))).expect("there");
    world.run(store.grow(SlabWish { least: 1, wanted: 1 })).expect("room");
    drop(store);
    let world = restart(world, true);
    let store = world.run(reopen(&pool(&world))).expect("there");
    assert_eq!(store.slabs(), 3);
    check_summaries(&world, &store);
}
