// SPDX-License-Identifier: BSD-3-Clause

//! Creation, use and deletion without faults.

use mpool::mlog::OpenFlags;

use super::*;
use crate::format::map_page::{self, PageName, ENTRIES};
use crate::format::{Mapping, PageId, Place, ROOTS};
use crate::units::{Pbn, BLOCK_SIZE};
use crate::volume::access::VolumeMedia;
use crate::volume::inventory::config::FIRST_PBN;
use crate::volume::inventory::StateKind;

/// The kind of an expected failure.
fn kind<T>(outcome: Result<T>) -> Kind {
    outcome.map(|_| ()).expect_err("it should have failed").kind()
}

#[test]
fn a_volume_is_what_it_was_made_to_be() {
    for staging in [false, true] {
        let world = world(staging);
        let pool = pool(&world);
        let store = world.run(make(&pool, &spec(5, 5))).expect("room");
        let before = (store.config(), store.slabs(), store.state());
        assert_eq!((before.1, before.2.kind, before.2.generation), (5, StateKind::New, 0));
        assert_eq!((before.0.logical_blocks, before.0.index_mib), (Blocks(5 * 1024), 1));
        assert_eq!((before.0.journal_mib, &*before.0.core_mask, before.0.areas_per_object), (1, "0x1", 7));
        let class = if staging { MediaClass::Staging } else { MediaClass::Capacity };
        assert_eq!((before.0.metadata_class, store.drives().expect("there").len()), (class, 1 + usize::from(staging)));
        world.run(store.close()).expect("closed");
        drop((store, pool));
        let world = restart(world, staging);
        let store = world.run(reopen(&super::pool(&world))).expect("there");
        assert_eq!((store.config(), store.slabs(), store.state()), before);
    }
}

/// Every object lies in zones of its own, where the placement says, on the drive of its class.
#[test]
fn places_do_not_overlap() {
    for staging in [false, true] {
        let world = world(staging);
        let store = world.run(make(&pool(&world), &spec(9, 9))).expect("room");
        let placement = store.placement(store.geometry(1).expect("possible")).expect("open");
        assert_eq!((placement.slabs.len(), placement.areas.len(), placement.segments.len()), (9, 9, 4));
        let area_bytes = store.config().area_bytes();
        let mut parts: Vec<(DeviceByte, u64)> = placement.slabs.iter().map(|at| (*at, SLAB_BLOCKS << 12)).collect();
        assert!(parts.iter().all(|(at, _)| at.device == 0));
        let metadata = placement.areas.iter().map(|at| (*at, area_bytes));
        let metadata = metadata.chain([(placement.roots, ROOTS << 12)]);
        let metadata: Vec<_> = metadata.chain(placement.segments.iter().map(|at| (*at, MIB))).collect();
        assert!(metadata.iter().all(|(at, _)| at.device == u8::from(staging)));
        parts.extend(metadata);
        parts.sort_by_key(|(at, _)| (at.device, at.at));
        for pair in parts.windows(2) {
            let [(one, bytes), (two, _)] = pair else { unreachable!("pairs") };
            assert!(one.device != two.device || one.at + bytes <= two.at, "{one:?} and {two:?}");
        }
        // A write by place reaches the disk at the byte that the placement names.
        let places = [
            (Place::Data(FIRST_PBN.plus(3 * SLAB_BLOCKS + 7)), 1),
            (Place::SlabMetadata { slab: 8, block: 33 }, 2),
            (Place::Roots { block: 59 }, 3),
        ];
        for (place, tag) in places {
            world.run(store.write(place, &[tag; BLOCK_SIZE])).expect("written");
            let at = placement.locate(place);
            let disk = world.disk(["cap", "stg"][usize::from(at.device)]);
            assert_eq!(disk.bytes::<BLOCK_SIZE>(at.at), [tag; BLOCK_SIZE], "{place:?}");
            assert_eq!(world.run(store.read(place, 1)).expect("read"), [tag; BLOCK_SIZE]);
        }
        world.run(store.flush()).expect("flushed");
    }
}

/// A new volume's block map is empty, and its sectors are those of this volume.
#[test]
fn roots_are_written_empty() {
    let world = world(true);
    let store = world.run(make(&pool(&world), &spec(1, 1))).expect("room");
    let nonce = store.config().nonce;
    for tree in 0..ROOTS {
        let block = world.run(store.read(Place::Roots { block: tree as u32 }, 1)).expect("read");
        let block = block.try_into().expect("a block");
        let mut entries = [1; ENTRIES];
        let name = |nonce| PageName::new(PageId::root(tree), nonce, Mapping::UNMAPPED);
        map_page::decode(name(nonce), &block, &mut entries).expect("written");
        assert_eq!(entries, [0; ENTRIES]);
        assert!(map_page::decode(name(nonce ^ 1), &block, &mut entries).is_err());
    }
}

#[test]
fn large_transfers_are_cut_into_pieces() {
    let world = world(false);
    let store = world.run(make(&pool(&world), &spec(1, 1))).expect("room");
    let bytes: Vec<u8> = (0..300 * BLOCK_SIZE).map(|at| (at / 512) as u8).collect();
    world.run(store.write(Place::Data(FIRST_PBN.plus(2)), &bytes)).expect("written");
    assert_eq!(world.run(store.read(Place::Data(FIRST_PBN.plus(2)), 300)).expect("read"), bytes);
}

#[test]
fn places_outside_are_refused() {
    let world = world(false);
    let store = world.run(make(&pool(&world), &spec(2, 2))).expect("room");
    let area = store.config().area().blocks();
    let data = |block| Place::Data(FIRST_PBN.plus(block));
    let refused = [
        (Place::Data(Pbn(0)), 1),
        (Place::Data(Pbn(255)), 1),
        (data(SLAB_BLOCKS - 1), 2),
        (data(2 * SLAB_BLOCKS), 1),
        (Place::Data(Pbn(u64::MAX)), 1),
        (Place::SlabMetadata { slab: 0, block: area - 1 }, 2),
        (Place::SlabMetadata { slab: 0, block: u32::MAX }, 1),
        (Place::SlabMetadata { slab: 2, block: 0 }, 1),
        (Place::SlabMetadata { slab: u64::MAX, block: 0 }, 1),
        (Place::Roots { block: 60 }, 1),
        (Place::Roots { block: 59 }, 2),
    ];
    for (place, blocks) in refused {
        assert_eq!(kind(world.run(store.read(place, blocks))), Kind::Invalid, "{place:?}");
        let bytes = vec![0; blocks as usize * BLOCK_SIZE];
        assert_eq!(kind(world.run(store.write(place, &bytes))), Kind::Invalid, "{place:?}");
    }
    assert_eq!(kind(world.run(store.write(data(0), &[0; 512]))), Kind::Invalid, "no whole block");
    let journal = Place::Journal { segment: 0, offset: 0 };
    assert_eq!(kind(world.run(store.write(journal, &[0; BLOCK_SIZE]))), Kind::Invalid, "their framers write them");
    assert!(world.run(store.read(journal, 1)).is_ok());
    let beyond = Place::Journal { segment: 0, offset: MIB };
    assert_eq!(kind(world.run(store.read(beyond, 1))), Kind::Invalid);
    assert_eq!(kind(world.run(store.read(Place::Journal { segment: 4, offset: 0 }, 1))), Kind::NotFound);
}

/// A failed transfer is retried once, and its failure does not end the use of the drive.
#[test]
fn transfers_are_tried_twice() {
    let world = world(false);
    let store = world.run(make(&pool(&world), &spec(1, 1))).expect("room");
    let placement = store.placement(store.geometry(1).expect("possible")).expect("open");
    let disk = world.disk("cap");
    for place in [Place::Data(FIRST_PBN), Place::Roots { block: 1 }, Place::SlabMetadata { slab: 0, block: 2 }] {
        let at = placement.locate(place).at;
        for failures in 1..=2 {
            disk.fail_some_in(failures, at..at + 1);
            assert_eq!(world.run(store.write(place, &[1; BLOCK_SIZE])).is_ok(), failures == 1, "{place:?}");
            disk.fail_some_in(failures, at..at + 1);
            assert_eq!(world.run(store.read(place, 1)).is_ok(), failures == 1, "{place:?}");
        }
        assert!(world.run(store.read(place, 1)).is_ok(), "the drive is in use");
    }
    let at = placement.segments[0].at;
    for failures in 1..=2 {
        disk.fail_some_in(failures, at..at + 1);
        assert_eq!(world.run(store.segment_records(0)).is_ok(), failures == 1);
    }
    assert!(world.run(store.set_state(VolumeState::default())).is_ok());
}

/// After failed writes, an inventory and the erasure of a journal's segment continue as soon as the disk works.
#[test]
fn a_volume_goes_on_after_failures() {
    let world = world(false);
    let store = world.run(make(&pool(&world), &spec(1, 1))).expect("room");
    world.run(store.prepare_journals(1)).expect("a good disk");
    let state = |generation| VolumeState { generation, ..store.state() };
    world.disk("cap").fail_writes_after(0);
    assert_eq!(kind(world.run(store.set_state(state(5)))), Kind::Io);
    assert_eq!(kind(world.run(store.erase_segment(0, || false))), Kind::Io);
    assert_eq!(store.state(), state(store.state().generation), "nothing has changed");
    world.disk("cap").heal();
    world.run(store.erase_segment(0, || true)).expect("tried again until the pool goes on");
    world.run(store.set_state(state(7))).expect("the disk works again");
    let before = store.state();
    drop(store);
    let world = restart(world, false);
    assert_eq!(world.run(reopen(&super::pool(&world))).expect("there").state(), before);
}

#[test]
fn the_newest_state_and_configuration_count() {
    let world = world(false);
    let store = world.run(make(&pool(&world), &spec(3, 3))).expect("room");
    let mut config = store.config();
    (config.logical_blocks, config.core_mask) = (Blocks(99_999), "0xff".to_owned());
    world.run(store.set_config(config.clone())).expect("grown");
    // More records than the MDC holds: it is compacted several times.
    let reason = "r".repeat(200);
    for generation in 0..3000 {
        let state = VolumeState { kind: StateKind::ReadOnly, generation, reason: reason.clone(), ..store.state() };
        world.run(store.set_state(state)).expect("recorded");
    }
    let state = store.state();
    assert_eq!((state.generation, state.kind), (2999, StateKind::ReadOnly));
    drop(store);
    let world = restart(world, false);
    let store = world.run(reopen(&pool(&world))).expect("there");
    assert_eq!((store.state(), store.config(), store.slabs()), (state, config.clone(), 3));
    config.nonce ^= 1;
    assert_eq!(kind(world.run(store.set_config(config.clone()))), Kind::Invalid, "another volume");
    config = store.config();
    config.logical_blocks = Blocks(0);
    assert_eq!(kind(world.run(store.set_config(config))), Kind::Invalid, "an impossible size");
    let state = VolumeState { shards: 33, ..store.state() };
    assert_eq!(kind(world.run(store.set_state(state))), Kind::Invalid);
}

#[test]
fn too_little_room_means_fewer_slabs_or_none() {
    for staging in [false, true] {
        let world = world(staging);
        let pool = pool(&world);
        let before = used_zones(&world);
        let store = world.run(make(&pool, &spec(1, 1000))).expect("room for some");
        let slabs = store.slabs();
        assert!((15..27).contains(&slabs), "{slabs} slabs of 2 MiB");
        assert!(store.config().logical_blocks == Blocks(slabs * 1024), "sizes follow from what there is");
        let placement = store.placement(store.geometry(1).expect("possible")).expect("open");
        assert_eq!(placement.areas.len() as u64, slabs);
        world.run(async {
            let catalog = Catalog::open(&pool).await.expect("open");
            store.delete(&catalog).await.expect("deleted");
            assert!(catalog.entries().is_empty());
            catalog.close().await.expect("closed");
        });
        assert_eq!(used_zones(&world), before);
        assert_eq!(kind(world.run(make(&pool, &spec(slabs + 1, 1000)))), Kind::NoSpace);
        assert_eq!(used_zones(&world), before, "nothing is left");
        assert!(world.run(make(&pool, &spec(slabs, slabs))).is_ok(), "exactly as many");
    }
}

#[test]
fn a_refusal_leaves_nothing() {
    let world = world(false);
    let pool = pool(&world);
    let before = used_zones(&world);
    let refused = [
        configured(|config| config.slab_blocks = 300),
        configured(|config| config.slab_blocks = 128),
        configured(|config| config.slab_blocks = 768),
        configured(|config| config.block_size = 0),
        configured(|config| config.journal_mib = 0),
        VolumeSpec { shards: 2, ..spec(1, 1) },
        spec(2, 1),
        spec(1, u64::MAX),
    ];
    for spec in refused {
        assert_eq!(kind(world.run(make(&pool, &spec))), Kind::Invalid, "{spec:?}");
    }
    let outcome = world.run(async {
        let catalog = Catalog::open(&pool).await?;
        let refuse = |slabs, _: &mut VolumeConfig| Err(PoolError::new(Kind::TooBig, "sizes", format!("{slabs} slabs")));
        let outcome = VolumeStore::create(&pool, &catalog, &spec(1, 3), refuse).await;
        catalog.close().await?;
        outcome
    });
    assert_eq!(outcome.map(|_| ()).expect_err("refused").reason(), "3 slabs");
    assert_eq!(used_zones(&world), before);
    let store = world.run(make(&pool, &spec(1, 1))).expect("room");
    assert_eq!(kind(world.run(make(&pool, &spec(1, 1)))), Kind::Exists);
    let _ = store;
}

#[test]
fn objects_of_an_open_volume_are_held() {
    let world = world(false);
    let pool = pool(&world);
    let store = world.run(make(&pool, &spec(1, 1))).expect("room");
    let contents = store.ledger.contents().clone();
    world.run(async {
        for id in [contents.slabs[0], contents.areas[0], contents.roots.expect("there")] {
            assert_eq!(kind(pool.slab_delete(id).await), Kind::Busy);
        }
        let segment = contents.segments[0];
        assert_eq!(kind(pool.mlog_delete(segment).await), Kind::Busy);
        assert_eq!(kind(pool.mlog_open(segment, OpenFlags::default()).await), Kind::Busy);
        assert_eq!(kind(pool.mlog_claim(segment).await), Kind::Busy);
        assert!(pool.mlog_props(segment).expect("there").open);
        assert_eq!(kind(VolumeStore::open(&pool, store.entry().clone()).await), Kind::Busy, "it is open");
    });
    world.run(store.close()).expect("closed");
    world.run(async {
        assert_eq!(kind(store.read(Place::Roots { block: 0 }, 1).await), Kind::Invalid);
        assert_eq!(kind(store.grow(SlabWish { least: 1, wanted: 1 }).await), Kind::NotFound);
        let open = pool.mlog_open(contents.segments[0], OpenFlags::default()).await.expect("no longer claimed");
        assert_eq!(kind(VolumeStore::open(&pool, store.entry().clone()).await), Kind::Busy, "a segment is open");
        open.close().await.expect("closed");
        VolumeStore::open(&pool, store.entry().clone()).await.expect("free again");
    });
}

/// Objects that differ from the inventory are refused.
#[test]
fn a_missing_object_is_noticed() {
    let world = world(false);
    let pool = pool(&world);
    let store = world.run(make(&pool, &spec(3, 3))).expect("room");
    let contents = store.ledger.contents().clone();
    world.run(store.close()).expect("closed");
    let entry = store.entry().clone();
    drop(store);
    world.run(async {
        pool.slab_delete(contents.slabs[1]).await.expect("nobody uses it");
        let error = VolumeStore::open(&pool, entry.clone()).await.expect_err("a slab is missing");
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("does not exist"), "{error}");
        let catalog = Catalog::open(&pool).await.expect("open");
        remove(&pool, &catalog, &entry).await.expect("what there is of it");
        catalog.close().await.expect("closed");
    });
}
