// SPDX-License-Identifier: BSD-3-Clause

//! Activation of pools, and several pools at a time.

use std::rc::Rc;

use futures::future::{join_all, LocalBoxFuture};

use super::*;
use crate::control::{PoolHandle, Rights};
use crate::device::{IoBuf, PlainMemory};
use crate::drive::DriveStatus;
use crate::format::{MediaFormat, SuperblockVersion};
use crate::host::{Host, PoolStatus};
use crate::management::activate::ActivateRequest;
use crate::management::create::CreateRequest;
use crate::params::ParamChanges;
use crate::testing::world::{request, World, MIB};
use crate::units::Nanos;

/// Memory of `pages` pages filled with a byte.
pub(super) fn pages(count: usize, fill: u8) -> IoBuf {
    Box::new(PlainMemory(vec![fill; count * 4096]))
}

/// A committed mblock of one page filled with a byte.
pub(super) async fn mblock(handle: &PoolHandle, class: MediaClass, fill: u8) -> ObjectId {
    let id = handle.mblock_alloc(class, false).await.unwrap().id;
    handle.mblock_write(id, pages(1, fill), 0..4096).await.1.unwrap();
    handle.mblock_commit(id).await.unwrap();
    id
}

pub(super) async fn content(handle: &PoolHandle, id: ObjectId) -> Vec<u8> {
    let (buf, outcome) = handle.mblock_read(id, 0, pages(1, 0xee), 0..4096).await;
    outcome.unwrap();
    buf.as_ref().as_ref().to_vec()
}

fn forced(paths: &[&str]) -> ActivateRequest {
    ActivateRequest { flags: Flags { force: true, ..Flags::default() }, ..request(paths) }
}

fn with_flags(paths: &[&str], resize: bool, permit_meta_conv: bool) -> ActivateRequest {
    ActivateRequest { flags: Flags { resize, permit_meta_conv, force: false }, ..request(paths) }
}

/// mpool-6: ids, lengths, contents and usage are the same after a deactivation and an activation.
#[test]
fn a_pool_comes_back_as_it_was() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    let before = world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        let mut before = Vec::new();
        for (number, class) in (0..10).zip([MediaClass::Staging, MediaClass::Capacity].into_iter().cycle()) {
            let id = mblock(&handle, class, number).await;
            before.push((handle.mblock_find(id).unwrap(), vec![number; 4096]));
        }
        let log = handle.mlog_alloc(MediaClass::Staging, 0, false).await.unwrap();
        handle.mlog_commit(log.id).await.unwrap();
        handle.mblock_delete(before.remove(4).0.id).await.unwrap();
        before
    });
    // The zones of the deleted object are freed in the background.
    world.run_for(crate::units::Nanos(1_000_000));
    let usage = world.registry.get_usage("mp1").unwrap();
    world.deactivate("mp1");
    assert!(world.claimed().is_empty(), "deactivation lets go of the devices");
    world.activate(&["stg", "cap"]).unwrap();
    assert_eq!(world.registry.get_usage("mp1").unwrap(), usage);
    world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadOnly, false).unwrap();
        for (props, bytes) in before {
            assert_eq!(handle.mblock_find(props.id).unwrap(), props);
            assert_eq!(content(&handle, props.id).await, bytes);
        }
    });
}

/// mpool-7: an active pool is recognized by its UUID on any path; by name, activating it again does nothing.
#[test]
fn an_active_pool_is_not_activated_again() {
    let world = World::with_two_disks();
    world.create("mp1");
    world.copy("cap", "twin");
    assert_eq!(kind(world.activate(&["twin"])), Kind::Busy);
    assert_eq!(kind(world.activate(&["cap"])), Kind::Busy);
    assert_eq!(world.claimed(), ["cap"]);
    let by_name = ActivateRequest { name: Some("mp1".into()), ..request(&["cap"]) };
    assert_eq!(world.run(world.registry.activate(&by_name)).unwrap().paths(), ["cap"]);
    assert_eq!(world.registry.pools().len(), 1);
}

#[test]
fn an_activation_by_name_finds_that_pool_or_fails() {
    let world = World::with_two_disks();
    world.create("mp1");
    world.deactivate("mp1");
    let wrong = ActivateRequest { name: Some("mp2".into()), ..request(&["cap"]) };
    assert_eq!(kind(world.run(world.registry.activate(&wrong))), Kind::Invalid);
    let right = ActivateRequest { name: Some("mp1".into()), ..request(&["cap"]) };
    assert!(world.run(world.registry.activate(&right)).is_ok());
}

#[test]
fn two_active_pools_have_two_names() {
    let world = World::with_two_disks();
    world.create("same");
    world.deactivate("same");
    let other = CreateRequest { name: "same".into(), capacity: "stg".into(), ..CreateRequest::default() };
    world.run(world.registry.create(&other)).unwrap();
    assert_eq!(kind(world.activate(&["cap"])), Kind::Exists);
    assert_eq!(world.claimed(), ["stg"]);
}

/// mpool-8: the same path twice, and a drive beside its copy, are refused.
#[test]
fn duplicates_are_refused() {
    let world = World::with_two_disks();
    world.create("mp1");
    world.deactivate("mp1");
    assert_eq!(kind(world.activate(&["cap", "cap"])), Kind::Invalid);
    world.copy("cap", "twin");
    assert_eq!(kind(world.activate(&["cap", "twin"])), Kind::Invalid);
    assert_eq!(kind(world.activate(&[])), Kind::Invalid);
    assert_eq!(kind(world.activate(&["cap", "stg", "twin"])), Kind::OutOfDomain);
    assert!(world.claimed().is_empty());
}

/// mpool-9: drives of two pools are not one pool.
#[test]
fn a_foreign_drive_is_refused() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    world.deactivate("mp1");
    world.add("other", 64 * MIB);
    let other = CreateRequest { name: "mp2".into(), capacity: "other".into(), ..CreateRequest::default() };
    world.run(world.registry.create(&other)).unwrap();
    world.deactivate("mp2");
    assert_eq!(kind(world.activate(&["other", "stg"])), Kind::Invalid);
    assert_eq!(kind(world.activate(&["cap", "other"])), Kind::Invalid);
    assert_eq!(kind(world.activate(&["stg"])), Kind::Invalid, "without the drive with MDC0");
    assert!(world.claimed().is_empty());
}

/// mpool-10, mpool-18, mpool-22: a missing STAGING drive is an error, or with force a fault; its objects fail with EIO.
#[test]
fn a_missing_drive_is_an_error_or_a_fault() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    let (near, far) = world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        (mblock(&handle, MediaClass::Capacity, 1).await, mblock(&handle, MediaClass::Staging, 2).await)
    });
    assert_eq!(world.registry.get_props("mp1").unwrap().status, PoolStatus::Optimal);
    world.deactivate("mp1");
    assert_eq!(kind(world.activate(&["cap"])), Kind::NoDrive);
    assert!(world.claimed().is_empty());
    world.run(world.registry.activate(&forced(&["cap"]))).unwrap();
    let props = world.registry.get_props("mp1").unwrap();
    assert_eq!(props.status, PoolStatus::Faulted);
    let [staging, capacity] = &props.classes[..] else { panic!("two classes") };
    assert_eq!((staging.unavailable, staging.drive.status), (1, DriveStatus::Unavailable));
    assert_eq!((capacity.unavailable, capacity.drive.status), (0, DriveStatus::Online));
    world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        assert_eq!(content(&handle, near).await, [1; 4096]);
        assert_eq!(kind(handle.mblock_read(far, 0, pages(1, 0), 0..4096).await.1), Kind::Io);
    });
    world.deactivate("mp1");
    world.activate(&["cap", "stg"]).unwrap();
    assert_eq!(world.registry.get_props("mp1").unwrap().status, PoolStatus::Optimal);
}

/// mpool-22, adapted: a failed write of an mblock says nothing about others; the drive of the pool's metadata is
/// suspect, and so the pool faulted, while a trial write fails too, and recovers automatically.
#[test]
fn a_failed_drive_is_a_fault() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    world.disk("stg").fail_writes_after(0);
    world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        let id = handle.mblock_alloc(MediaClass::Staging, false).await.unwrap().id;
        assert_eq!(kind(handle.mblock_write(id, pages(1, 0), 0..4096).await.1), Kind::Io);
    });
    let status = |drive: &str| {
        let props = world.registry.get_props("mp1").unwrap();
        let pool = Rc::clone(world.registry.find("mp1").unwrap().pool());
        (props.status, pool.drive_props(drive).unwrap().status, props.faults.len())
    };
    assert_eq!(status("stg"), (PoolStatus::Optimal, DriveStatus::Online, 0));
    world.disk("stg").heal();

    world.disk("cap").fail_writes_after(0);
    let label = || ParamChanges { label: Some("new".to_owned()), ..ParamChanges::default() };
    let set = || world.run(world.registry.set_params("mp1", &label()));
    assert_eq!(kind(set()), Kind::Io);
    assert_eq!(status("cap"), (PoolStatus::Faulted, DriveStatus::Suspect, 2));
    let refused = set().expect_err("at once").to_string();
    assert!(refused.contains("suspect") && refused.contains("tried again by itself"), "{refused}");
    assert!(world.lines().iter().any(|line| line.contains("'cap' is suspect") && line.contains("see to the bdev")));
    world.run_for(Nanos(60_000_000_000));
    assert_eq!(status("cap"), (PoolStatus::Faulted, DriveStatus::Suspect, 2), "it still fails");
    world.disk("cap").heal();
    world.run_for(Nanos(60_000_000_000));
    assert_eq!(status("cap"), (PoolStatus::Optimal, DriveStatus::Online, 0));
    assert!(world.lines().iter().any(|line| line.contains("'cap' takes writes again")));
    assert_eq!(world.host.told(), [PoolStatus::Faulted, PoolStatus::Faulted, PoolStatus::Faulted, PoolStatus::Optimal]);
    set().expect("it goes on by itself");
}

/// mpool-16: growth is ignored without RESIZE, needs PERMIT_META_CONV, and is kept.
#[test]
fn a_grown_device_is_used_when_asked_for() {
    let world = World::with_two_disks();
    world.create("mp1");
    let zones = || world.registry.get_props("mp1").unwrap().classes[0].drive.descriptor.zones;
    assert_eq!(zones(), 63);
    world.deactivate("mp1");
    world.disk("cap").change(|properties| properties.bytes = 100 * MIB);
    world.activate(&["cap"]).unwrap();
    assert_eq!(zones(), 63);
    world.deactivate("mp1");
    assert_eq!(kind(world.run(world.registry.activate(&with_flags(&["cap"], true, false)))), Kind::NotPermitted);
    world.run(world.registry.activate(&with_flags(&["cap"], true, true))).unwrap();
    assert_eq!(zones(), 99);
    assert_eq!(world.registry.get_usage("mp1").unwrap().space.total_bytes, 99 * MIB);
    world.deactivate("mp1");
    world.activate(&["cap"]).unwrap();
    assert_eq!(zones(), 99);
}

/// mpool-16, partly: a resize that is cut at any write leaves a pool of the old or the new size.
#[test]
fn a_cut_resize_leaves_the_old_or_the_new_size() {
    for writes in 0.. {
        let world = World::with_two_disks();
        world.create("mp1");
        world.deactivate("mp1");
        world.disk("cap").change(|properties| properties.bytes = 100 * MIB);
        world.disk("cap").fail_writes_after(writes);
        let ended = world.run(world.registry.activate(&with_flags(&["cap"], true, true))).is_ok();
        let world = world.cut();
        world.activate(&["cap"]).unwrap();
        let pool = world.registry.find("mp1").unwrap();
        let zones = pool.pool().drives()[0].descriptor().zones;
        assert!(zones == 99 || (zones == 63 && !ended), "{zones} after {writes} writes");
        if ended {
            break;
        }
    }
}

/// mpool-17, mpool-18: a device that has shrunk is refused, except by force.
#[test]
fn a_shrunken_device_is_refused() {
    let world = World::with_two_disks();
    world.create("mp1");
    world.deactivate("mp1");
    world.disk("cap").change(|properties| properties.bytes = 64 * MIB - 4096);
    assert_eq!(kind(world.activate(&["cap"])), Kind::Invalid);
    world.run(world.registry.activate(&forced(&["cap"]))).unwrap();
}

/// mpool-87, partly: a device with other blocks, of another type or with other features is not the recorded drive.
#[test]
fn a_changed_device_is_refused() {
    let changes: [fn(&mut crate::device::DeviceProperties); 3] = [
        |properties| properties.sector_bytes = 4096,
        |properties| properties.kind = crate::device::DeviceType::NvdimmBlock,
        |properties| properties.dif = true,
    ];
    for change in changes {
        let world = World::with_two_disks();
        world.create("mp1");
        world.deactivate("mp1");
        world.disk("cap").change(change);
        assert_eq!(kind(world.activate(&["cap"])), Kind::Invalid);
    }
}

/// mpool-88, mpool-92, partly: an old superblock needs permission, then superblocks and content are converted; a newer
/// one is refused.
#[test]
fn old_pools_are_converted_with_permission() {
    let old = World::with_format(MediaFormat::ORIGINAL);
    old.add("cap", 64 * MIB);
    old.create("mp1");
    let id = old.run(async {
        let handle = old.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        mblock(&handle, MediaClass::Capacity, 7).await
    });
    old.deactivate("mp1");
    let world = old.cut();
    assert_eq!(kind(world.activate(&["cap"])), Kind::NotPermitted);
    world.run(world.registry.activate(&with_flags(&["cap"], false, true))).unwrap();
    world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        assert_eq!(content(&handle, id).await, [7; 4096]);
    });
    world.deactivate("mp1");
    let found = world.run(world.registry.scan(&["cap".to_owned()]));
    assert_eq!(found[0].drive.as_ref().unwrap().version, Some(SuperblockVersion::V3));
    world.activate(&["cap"]).unwrap();
    world.deactivate("mp1");
    let mut superblock = world.disk("cap").bytes::<4096>(0);
    superblock[56] = 9;
    let head = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &superblock[..62]) as u32;
    superblock[62..66].copy_from_slice(&head.to_le_bytes());
    world.disk("cap").write(0, &superblock);
    world.disk("cap").write(8192, &superblock);
    assert_eq!(kind(world.activate(&["cap"])), Kind::UnknownSuperblock);
}

/// mpool-92: the content of MDC0 is converted first, then that of each other container, each of them once: a conversion
/// that is cut at any write continues where it ended.
#[test]
fn content_is_converted_mdc0_first() {
    let converted = |world: &World| -> Vec<String> {
        let lines = world.lines().into_iter().filter(|line| line.contains("was brought from version"));
        lines.map(|line| line.split(" was brought").next().unwrap_or_default().to_owned()).collect()
    };
    let mut whole: Option<Vec<String>> = None;
    for writes in 0.. {
        let old = World::with_format(MediaFormat::ORIGINAL);
        old.add("cap", 64 * MIB);
        old.create("mp1");
        old.deactivate("mp1");
        let world = old.cut();
        let activate = || world.run(world.registry.activate(&with_flags(&["cap"], false, true))).is_ok();
        world.disk("cap").fail_writes_after(writes);
        let ended = activate();
        let before = converted(&world);
        world.disk("cap").heal();
        assert!(ended || activate());
        let all = converted(&world);
        assert!(all.starts_with(&before));
        let whole = whole.get_or_insert_with(|| all.clone());
        assert!(whole[0].ends_with(&Slot::ZERO.to_string()), "{whole:?}");
        // A superblock on one copy shows a conversion of MDC0 that was not known to have succeeded.
        assert!(*whole == all || (!ended && before.is_empty() && whole[1..] == all), "cut after {writes}: {all:?}");
        if ended {
            assert_eq!(all.len(), world.registry.find("mp1").unwrap().pool().container_count());
            break;
        }
    }
}

/// A failing write at any point of an activation leaves nothing claimed, and the next one succeeds.
#[test]
fn a_failed_activation_leaves_nothing_open() {
    let mut failures = 0;
    for writes in 0.. {
        let world = World::with_two_disks();
        world.create_with_staging("mp1");
        world.deactivate("mp1");
        let changes = crate::params::ParamChanges {
            label: Some("other".into()),
            spare_percent: [Some(1), Some(2)],
            ..Default::default()
        };
        world.disk("cap").fail_writes_after(writes);
        let asked = ActivateRequest { changes, ..request(&["cap", "stg"]) };
        if world.run(world.registry.activate(&asked)).is_ok() {
            break;
        }
        failures += 1;
        assert!(world.claimed().is_empty(), "after {writes} writes");
        world.disk("cap").heal();
        world.activate(&["cap", "stg"]).unwrap();
    }
    assert!(failures > 2, "{failures}");
}

/// mpool-97: containers are read several at a time; the first error ends the activation, whichever container it is in.
#[test]
fn containers_are_read_in_parallel() {
    let world = World::with_two_disks();
    world.create("mp1");
    let active = world.registry.find("mp1").unwrap();
    let logs = [1_u8, 4, 8].map(|slot| {
        let log = active.pool().container(Slot::ZERO).committed(logs_of(slot)[0]).unwrap();
        log.extent().first * MIB..log.extent().end().unwrap() * MIB
    });
    assert!(active.pool().container_count() > 8);
    drop(active);
    world.deactivate("mp1");
    let mut tunables = world.registry.tunables();
    let mut times = [1, 8].map(|jobs| {
        tunables.set_load_jobs(jobs);
        world.registry.set_tunables(tunables.clone());
        let start = world.host.now();
        world.activate(&["cap"]).unwrap();
        let time = world.host.now().0 - start.0;
        world.deactivate("mp1");
        time
    });
    times[0] /= 2;
    assert!(times[1] < times[0], "{times:?}");
    for log in logs {
        world.disk("cap").fail_reads_in(log);
        assert_eq!(kind(world.activate(&["cap"])), Kind::Io);
        assert!(world.claimed().is_empty());
    }
    world.disk("cap").heal();
    world.activate(&["cap"]).unwrap();
}

/// mpool-135: pools created and activated at the same time do not disturb each other.
#[test]
fn many_pools_live_side_by_side() {
    let world = World::new();
    let names: Vec<_> = (0..6).map(|number| format!("mp{number}")).collect();
    let all = |operation: &dyn Fn(&str) -> LocalBoxFuture<'static, ()>| {
        world.run(join_all(names.iter().map(|name| operation(name))));
    };
    for name in &names {
        world.add(name, 32 * MIB);
    }
    let registry = world.registry.clone();
    all(&|name| {
        let (registry, name) = (registry.clone(), name.to_owned());
        Box::pin(async move {
            let asked = CreateRequest { capacity: name.clone(), name: name.clone(), ..CreateRequest::default() };
            registry.create(&asked).await.unwrap();
            let handle = registry.open(&name, Rights::ReadWrite, false).unwrap();
            let id = mblock(&handle, MediaClass::Capacity, name.as_bytes()[2]).await;
            drop(handle);
            registry.deactivate(&name).await.unwrap();
            registry.activate(&request(&[&name])).await.unwrap();
            let handle = registry.open(&name, Rights::ReadOnly, false).unwrap();
            assert_eq!(content(&handle, id).await, [name.as_bytes()[2]; 4096]);
        })
    });
    assert_eq!(world.registry.list(usize::MAX).unwrap().len(), 6);
    all(&|name| {
        let (registry, name) = (registry.clone(), name.to_owned());
        Box::pin(async move { registry.deactivate(&name).await.unwrap() })
    });
    assert!(world.claimed().is_empty() && world.registry.pools().is_empty());
}

/// mpool-135: of two creations on one device at the same time one wins, the other changes nothing.
#[test]
fn operations_on_one_device_take_turns() {
    let world = World::with_two_disks();
    let asked = |name: &str| CreateRequest { name: name.into(), capacity: "cap".into(), ..CreateRequest::default() };
    let (one, two) = (asked("one"), asked("two"));
    let (first, second) = world.run(futures::future::join(world.registry.create(&one), world.registry.create(&two)));
    assert!(first.is_ok());
    assert_eq!(kind(second), Kind::Busy);
    assert_eq!(world.registry.pools().len(), 1);
}
