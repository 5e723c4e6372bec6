// SPDX-License-Identifier: BSD-3-Clause

//! Joining drives, and the description of the pool in MDC0.

use super::activation::{content, mblock, pages};
use super::*;
use crate::control::Rights;
use crate::host::PoolStatus;
use crate::management::drive_add::DriveAddRequest;
use crate::params::ParamChanges;
use crate::testing::world::{World, MIB};
use crate::tunables::KeptTunable;

fn addition(path: &str, class: MediaClass) -> DriveAddRequest {
    DriveAddRequest { pool: "mp1".into(), path: path.into(), class, zone_mib: None, spare_percent: None, force: false }
}

/// mpool-24: objects lie on the drive of the requested class; a class without a drive has none.
#[test]
fn objects_lie_where_they_were_wanted() {
    let world = World::with_two_disks();
    world.create("mp1");
    world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        assert_eq!(kind(handle.mblock_alloc(MediaClass::Staging, false).await), Kind::NotFound);
        assert_eq!(kind(handle.mlog_alloc(MediaClass::Staging, 0, false).await), Kind::NotFound);
        assert_eq!(kind(handle.slab_alloc(MediaClass::Staging, 1, false).await), Kind::NotFound);
    });
    world.run(world.registry.drive_add(&addition("stg", MediaClass::Staging))).unwrap();
    for (class, on, off) in [(MediaClass::Staging, "stg", "cap"), (MediaClass::Capacity, "cap", "stg")] {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        let id = world.run(handle.mblock_alloc(class, false)).unwrap().id;
        let before = [on, off].map(|disk| world.disk(disk).writes());
        world.run(handle.mblock_write(id, pages(1, 0xab), 0..4096)).1.unwrap();
        assert_eq!([on, off].map(|disk| world.disk(disk).writes()), [before[0] + 1, before[1]]);
        let zone = world
            .registry
            .find("mp1")
            .unwrap()
            .pool()
            .objects()
            .iter()
            .find(|object| object.id() == id)
            .unwrap()
            .extent()
            .first;
        assert_eq!(world.disk(on).bytes::<4>(zone * MIB), [0xab; 4]);
    }
}

/// mpool-25: each class has one drive.
#[test]
fn a_class_has_one_drive() {
    let world = World::with_two_disks();
    world.create("mp1");
    let add = |class| world.run(world.registry.drive_add(&addition("stg", class)));
    assert_eq!(kind(add(MediaClass::Capacity)), Kind::Invalid);
    assert!(world.disk("stg").is_zero(0, 4096));
    add(MediaClass::Staging).unwrap();
    world.add("more", 32 * MIB);
    let more = addition("more", MediaClass::Staging);
    assert_eq!(kind(world.run(world.registry.drive_add(&more))), Kind::Invalid);
    assert_eq!(world.claimed(), ["cap", "stg"]);
}

/// mpool-26: a STAGING drive joins an active pool, is used at once with the pool's tunables, and belongs to it from then
/// on.
#[test]
fn a_drive_joins_an_active_pool() {
    let world = World::with_two_disks();
    world.create("mp1");
    let tunables = [(KeptTunable::named("chunk_kib").unwrap(), 512)].into();
    let changes = ParamChanges { tunables, ..ParamChanges::default() };
    world.run(world.registry.set_params("mp1", &changes)).unwrap();
    let request =
        DriveAddRequest { zone_mib: Some(2), spare_percent: Some(25), ..addition("stg", MediaClass::Staging) };
    world.run(world.registry.drive_add(&request)).unwrap();
    let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
    let id = world.run(mblock(&handle, MediaClass::Staging, 9));
    let joined = handle.active().pool().drive_of(MediaClass::Staging).unwrap();
    assert_eq!(joined.chunk_bytes(), 512 << 10);
    drop((handle, joined));
    let params = world.registry.get_params("mp1").unwrap();
    assert_eq!((params.mblock_mib, params.spare_percent), ([Some(2), Some(1)], [Some(25), Some(5)]));
    world.deactivate("mp1");
    assert_eq!(kind(world.activate(&["cap"])), Kind::NoDrive);
    world.activate(&["cap", "stg"]).unwrap();
    assert_eq!(world.registry.get_params("mp1").unwrap(), params);
    let handle = world.registry.open("mp1", Rights::ReadOnly, false).unwrap();
    assert_eq!(world.run(content(&handle, id)), [9; 4096]);
}

/// mpool-26: a device with a pool on it does not join.
#[test]
fn a_device_with_a_pool_does_not_join() {
    let world = World::with_two_disks();
    world.create("mp1");
    world.copy("cap", "twin");
    world.add("other", 32 * MIB);
    let other = super::super::create::CreateRequest {
        name: "mp2".into(),
        capacity: "other".into(),
        ..super::super::create::CreateRequest::default()
    };
    world.run(world.registry.create(&other)).unwrap();
    world.deactivate("mp2");
    for path in ["twin", "other"] {
        let request = addition(path, MediaClass::Staging);
        assert_eq!(kind(world.run(world.registry.drive_add(&request))), Kind::Busy);
    }
    assert_eq!(world.claimed(), ["cap"]);
}

/// mpool-11, mpool-26: an addition that is cut at any write leaves a member or none. A superblock without a record
/// makes the drive a zombie, which is refused; adding it again succeeds.
#[test]
fn a_cut_addition_leaves_a_member_or_none() {
    let (mut zombies, mut members) = (0, 0);
    // The superblocks on "stg" come first, then the record on "cap".
    for writes in 0..=4 {
        let world = World::with_two_disks();
        world.create("mp1");
        world.disk("stg").fail_writes_after(writes.min(3));
        // The power is cut: nothing is erased afterwards either.
        world.disk("cap").fail_writes_after(writes.max(3) - 3);
        let ended = world.run(world.registry.drive_add(&addition("stg", MediaClass::Staging))).is_ok();
        assert_eq!(ended, writes == 4);
        let world = world.cut();
        match world.activate(&["cap", "stg"]) {
            Ok(()) => members += 1,
            Err(error) => {
                assert!(!ended && world.claimed().is_empty());
                zombies += u32::from(error.kind() == Kind::NotMember);
                assert!([Kind::NotMember, Kind::NoPool, Kind::Invalid].contains(&error.kind()), "{error}");
                world.activate(&["cap"]).unwrap();
                world.run(world.registry.drive_add(&addition("stg", MediaClass::Staging))).unwrap();
            }
        }
        assert_eq!(world.registry.get_props("mp1").unwrap().status, PoolStatus::Optimal);
        assert_eq!(world.registry.find("mp1").unwrap().pool().drives().len(), 2);
    }
    assert!(zombies > 0 && members == 1, "{zombies} {members}");
}

/// mpool-26, partly: after a failure the superblock is erased; the pool continues without the drive.
#[test]
fn a_failed_addition_leaves_nothing() {
    let world = World::with_two_disks();
    world.create("mp1");
    world.disk("stg").fail_writes_in(8192..8193);
    let request = addition("stg", MediaClass::Staging);
    assert_eq!(kind(world.run(world.registry.drive_add(&request))), Kind::Io);
    assert!(world.disk("stg").is_zero(0, 4096), "the copy that was written");
    assert_eq!(world.claimed(), ["cap"]);
    world.disk("stg").heal();
    world.run(world.registry.drive_add(&request)).unwrap();
}

/// mpool-94: MDC0 describes the drives, the spares, the parameters and the logs of the containers.
#[test]
fn mdc0_describes_the_pool() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    let containers = world.registry.get_params("mp1").unwrap().containers;
    let changes =
        ParamChanges { label: Some("x".into()), spare_percent: [Some(11), Some(12)], ..ParamChanges::default() };
    world.run(world.registry.set_params("mp1", &changes)).unwrap();
    world.deactivate("mp1");
    world.activate(&["cap", "stg"]).unwrap();
    let active = world.registry.find("mp1").unwrap();
    let recorded = world.run(active.pool().load_properties()).unwrap();
    let described: Vec<_> = recorded.drives.iter().flatten().copied().collect();
    let mut drives: Vec<_> = active.pool().drives().iter().map(|drive| drive.descriptor()).collect();
    drives.sort_by_key(|drive| drive.class);
    assert_eq!(described, drives);
    assert_eq!(recorded.spares, [Some(11), Some(12)]);
    assert_eq!(recorded.config.unwrap(), active.pool().config());
    assert_eq!(recorded.version, crate::format::ContentVersion::CURRENT);
    let logs: Vec<_> = active.pool().container(Slot::ZERO).all_committed().iter().map(|log| log.id()).collect();
    let expected: Vec<_> = (1..=containers as u8).flat_map(logs_of).collect();
    assert_eq!(logs, expected);
    assert!(logs.iter().all(|log| log.kind() == Some(ObjectType::Mlog)));
}
