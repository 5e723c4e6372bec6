// SPDX-License-Identifier: BSD-3-Clause

//! The identity of pools on devices: copies, imports, lost copies of superblocks, and foreign data.

use mpool::control::Rights;
use mpool::format::end_copy_at;
use mpool::management::activate::ActivateRequest;
use mpool::management::create::CreateRequest;
use mpool::management::import::ImportRequest;
use mpool::management::scan::{pools_among, ScannedPool};
use mpool::management::Flags;
use mpool::superblocks::Condition;
use mpool::testing::world::{request, World, MIB};
use mpool::{Kind, MediaClass, PoolError};
use uuid::Uuid;

use crate::volume::catalog::{Catalog, VolumeEntry};

/// The kind of an expected failure.
fn kind<T>(outcome: Result<T, PoolError>) -> Kind {
    match outcome {
        Ok(_) => panic!("it should have failed"),
        Err(error) => error.kind(),
    }
}

fn forced(paths: &[&str]) -> ActivateRequest {
    ActivateRequest { flags: Flags { force: true, ..Flags::default() }, ..request(paths) }
}

fn import(paths: &[&str], name: Option<&str>) -> ImportRequest {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    ImportRequest { paths, name: name.map(str::to_owned), force: false }
}

fn scan(world: &World, paths: &[&str]) -> Vec<ScannedPool> {
    let paths: Vec<_> = paths.iter().map(|&path| path.to_owned()).collect();
    pools_among(&world.run(world.registry.scan(&paths)))
}

/// A pool on "cap" and "stg", which has a catalog with one volume; inactive.
fn with_volume() -> (World, Uuid) {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    let uuid = Uuid::from_u128(0x0102_0304_0506_4708_890a_0b0c_0d0e_0f10);
    world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        let (one, two) = (
            handle.mlog_alloc(MediaClass::Capacity, 0, false).await.unwrap().id,
            handle.mlog_alloc(MediaClass::Capacity, 0, false).await.unwrap().id,
        );
        let pool = std::rc::Rc::clone(world.registry.find("mp1").unwrap().pool());
        let catalog = Catalog::open(&pool).await.unwrap();
        catalog.add(VolumeEntry { uuid, name: "D0".to_owned(), logs: [one, two] }).await.unwrap();
        handle.mlog_commit(one).await.unwrap();
        handle.mlog_commit(two).await.unwrap();
        catalog.close().await.unwrap();
    });
    world.deactivate("mp1");
    (world, uuid)
}

/// UUIDs of pool, drives and volumes of an active pool.
fn identities(world: &World, name: &str) -> Vec<Uuid> {
    let pool = std::rc::Rc::clone(world.registry.find(name).unwrap().pool());
    let mut uuids = vec![pool.uuid()];
    uuids.extend(pool.drives().iter().map(|drive| drive.descriptor().uuid));
    world.run(async {
        let catalog = Catalog::open(&pool).await.unwrap();
        uuids.extend(catalog.entries().iter().map(|entry| entry.uuid));
        catalog.close().await.unwrap();
    });
    uuids
}

/// An imported copy gets identities of its own, also for its volumes, and is used beside the original; both reactivate
/// unchanged.
#[test]
fn an_imported_copy_is_another_pool() {
    let (world, volume) = with_volume();
    world.copy("cap", "cap2");
    world.copy("stg", "stg2");
    let found = scan(&world, &["cap", "stg", "cap2", "stg2"]);
    assert_eq!((found.len(), found[0].twins().is_some()), (1, true));
    world.activate(&["cap", "stg"]).unwrap();
    let original = identities(&world, "mp1");
    assert_eq!((original.len(), original[3]), (4, volume));

    assert_eq!(world.run(world.registry.import(&import(&["cap2", "stg2"], None))).unwrap_err().kind(), Kind::Exists);
    assert_eq!(
        world.run(world.registry.import(&import(&["cap2", "cap"], Some("mp2")))).unwrap_err().kind(),
        Kind::Busy
    );
    world.run(world.registry.import(&import(&["cap2", "stg2"], Some("mp2")))).unwrap();
    // Again, before MDC0 knows of the first import.
    let pool = world.run(world.registry.import(&import(&["cap2", "stg2"], Some("mp2")))).unwrap();
    for round in 0..3 {
        world.activate(&["cap2", "stg2"]).unwrap();
        let copy = identities(&world, "mp2");
        assert_eq!(copy[0], pool);
        assert!(copy.iter().all(|uuid| !original.contains(uuid)), "round {round}: {copy:?}");
        assert!(copy.iter().all(|uuid| uuid.get_version_num() == 4), "{copy:?}");
        world.deactivate("mp2");
    }
    assert_eq!(identities(&world, "mp1"), original);
    // Once more, after it has been in use as another pool.
    world.run(world.registry.import(&import(&["cap2", "stg2"], Some("mp3")))).unwrap();
    world.activate(&["cap2", "stg2"]).unwrap();
    assert_eq!(identities(&world, "mp3").len(), 4);
}

/// An import that is cut at any write can be repeated, and the pool exists then.
#[test]
fn an_import_that_was_cut_off_is_done_again() {
    for writes in 0.. {
        let (world, _) = with_volume();
        for name in ["cap", "stg"] {
            world.disk(name).fail_writes_after(writes);
        }
        let outcome = world.run(world.registry.import(&import(&["cap", "stg"], Some("mp2"))));
        let world = world.cut();
        // Whatever the outcome, each drive has a superblock that is certain.
        assert!(scan(&world, &["cap", "stg"]).iter().all(|pool| pool.doubtful().is_none()), "{writes}");
        if outcome.is_ok() {
            world.activate(&["cap", "stg"]).unwrap();
            return;
        }
        world.run(world.registry.import(&import(&["cap", "stg"], Some("mp2")))).unwrap();
        world.activate(&["cap", "stg"]).unwrap();
        assert_eq!(identities(&world, "mp2").len(), 4);
    }
}

/// Which copies of the superblock may be lost, and whether the pool is then activated automatically.
#[test]
fn lost_copies_of_a_superblock_are_repaired() {
    let end = end_copy_at(64 * MIB);
    for (lost, expected) in [
        (&[8192][..], None),
        (&[end][..], None),
        (&[0][..], Some(Condition::Wiped)),
        (&[0, 8192][..], Some(Condition::Wiped)),
        (&[8192, end][..], Some(Condition::Lone)),
    ] {
        let world = World::with_two_disks();
        world.create("mp1");
        world.deactivate("mp1");
        for at in lost {
            world.disk("cap").write(*at, &[0xa5; 4096]);
        }
        assert_eq!(scan(&world, &["cap"])[0].doubtful(), expected, "{lost:?}");
        if expected.is_some() {
            assert_eq!(kind(world.activate(&["cap"])), Kind::NotPermitted, "{lost:?}");
            let again = CreateRequest { name: "mp2".into(), capacity: "cap".into(), ..CreateRequest::default() };
            assert_eq!(kind(world.run(world.registry.create(&again)).map(drop)), Kind::Busy, "{lost:?}");
            world.run(world.registry.activate(&forced(&["cap"]))).unwrap();
        } else {
            world.activate(&["cap"]).unwrap();
        }
        world.deactivate("mp1");
        let copies = [0, 8192, end].map(|at| world.disk("cap").bytes::<4096>(at));
        assert!(copies[0] == copies[1] && copies[1] == copies[2], "repaired: {lost:?}");
        world.activate(&["cap"]).unwrap();
    }
}

/// A pool that is active is not activated on other devices, nor another pool by its name or UUID.
#[test]
fn a_pool_is_activated_on_its_own_devices() {
    let world = World::with_two_disks();
    world.create("mp1");
    let uuid = world.registry.find("mp1").unwrap().pool().uuid().to_string();
    let named = |name: &str, path: &str| ActivateRequest { name: Some(name.to_owned()), ..request(&[path]) };
    for name in ["mp1", &uuid] {
        world.run(world.registry.activate(&named(name, "cap"))).unwrap();
        assert_eq!(kind(world.run(world.registry.activate(&named(name, "stg"))).map(drop)), Kind::Invalid);
    }
    world.deactivate("mp1");
    world.copy("cap", "copy");
    world.copy("cap", "other");
    world.run(world.registry.import(&import(&["other"], Some("mp2")))).unwrap();
    assert_eq!(kind(world.run(world.registry.activate(&named(&uuid, "other"))).map(drop)), Kind::Invalid);
    // A copy alone: the recorded device may still appear.
    assert_eq!(kind(world.activate(&["copy"])), Kind::NotPermitted);
    world.run(world.registry.activate(&forced(&["copy"]))).unwrap();
}

/// Foreign data on a device is named, overwritten with force only, and then gone.
#[test]
fn what_is_on_a_device_is_named() {
    let world = World::with_two_disks();
    world.disk("cap").write(4096, b"EFI PART");
    world.disk("stg").write(0, b"SPDKBLOB");
    let create =
        |force| CreateRequest { name: "mp1".into(), capacity: "cap".into(), force, ..CreateRequest::default() };
    let refused = world.run(world.registry.create(&create(false))).unwrap_err();
    assert_eq!(refused.kind(), Kind::Busy);
    assert!(refused.to_string().contains("GPT") && refused.to_string().contains("force"), "{refused}");
    world.run(world.registry.create(&create(true))).unwrap();
    assert_eq!(world.disk("cap").bytes::<8>(4096), [0; 8]);
    let add = |force| mpool::management::drive_add::DriveAddRequest {
        pool: "mp1".into(),
        path: "stg".into(),
        class: MediaClass::Staging,
        zone_mib: None,
        spare_percent: None,
        force,
    };
    let refused = world.run(world.registry.drive_add(&add(false))).unwrap_err();
    assert!(refused.to_string().contains("lvstore"), "{refused}");
    world.run(world.registry.drive_add(&add(true))).unwrap();
}
