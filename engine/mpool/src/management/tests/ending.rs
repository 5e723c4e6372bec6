// SPDX-License-Identifier: BSD-3-Clause

//! Deactivation, destruction, renaming and scanning.

use futures::future::join;

use super::activation::{content, mblock, pages};
use super::*;
use crate::control::Rights;
use crate::format::end_copy_at;
use crate::management::activate::ActivateRequest;
use crate::management::create::CreateRequest;
use crate::management::destroy::DestroyRequest;
use crate::management::rename::RenameRequest;
use crate::management::scan::pools_among;
use crate::mlog::OpenFlags;
use crate::params::ParamChanges;
use crate::testing::world::{request, World, MIB};
use crate::units::Nanos;
use crate::Host;

fn paths(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|&path| path.to_owned()).collect()
}

/// mpool-12: a pool with an open handle, or with an object in use, stays active.
#[test]
fn a_pool_in_use_is_not_deactivated() {
    let world = World::with_two_disks();
    world.create("mp1");
    let deactivate = || world.run(world.registry.deactivate("mp1"));
    let handle = world.registry.open("mp1", Rights::ReadOnly, false).unwrap();
    assert_eq!(kind(deactivate()), Kind::Busy);
    drop(handle);
    let log = world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        let id = handle.mlog_alloc(MediaClass::Capacity, 0, false).await.unwrap().id;
        handle.mlog_commit(id).await.unwrap();
        handle.mlog_open(id, OpenFlags::default()).await.unwrap()
    });
    assert_eq!(kind(deactivate()), Kind::Busy, "a log is open without a handle");
    world.run(log.close()).unwrap();
    deactivate().unwrap();
    assert!(world.claimed().is_empty());
    assert_eq!(kind(deactivate()), Kind::NotMember);
}

/// mpool-13, partly: erasures in progress complete first, and no zone is lost.
#[test]
fn deactivation_waits_for_erasures() {
    let world = World::with_two_disks();
    world.create("mp1");
    let usage = world.registry.get_usage("mp1").unwrap();
    world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        for number in 0..5 {
            let id = mblock(&handle, MediaClass::Capacity, number).await;
            handle.mblock_delete(id).await.unwrap();
        }
    });
    let active = world.registry.find("mp1").unwrap();
    world.deactivate("mp1");
    assert_eq!(active.pool().usage(), usage, "all zones were given back before the devices were let go");
    drop(active);
    world.activate(&["cap"]).unwrap();
    assert_eq!(world.registry.get_usage("mp1").unwrap(), usage);
}

/// mpool-13: MDC0 is closed last. What is recorded in MDC0 while another container's log is still open exists after the
/// next activation.
#[test]
fn mdc0_is_closed_last() {
    let world = World::with_two_disks();
    world.create("mp1");
    let active = world.registry.find("mp1").unwrap();
    let pool = active.pool();
    let label = |label: &str| ParamChanges { label: Some(label.into()), ..ParamChanges::default() };
    let (first, last) = (label("first"), label("last"));
    world.run(async {
        // The log of the container that is closed just before MDC0 cannot close while this lock is held.
        let log = pool.container(Slot::ZERO).committed(logs_of(1)[0]).unwrap();
        let held = log.lock().exclusive().await;
        let recording = async {
            world.host.sleep(Nanos(1_000_000_000)).await;
            pool.change_params(&first).await.unwrap();
            drop(held);
        };
        join(world.registry.deactivate("mp1"), recording).await.0.unwrap();
        assert!(pool.change_params(&last).await.is_err(), "now it is closed");
    });
    drop(active);
    world.activate(&["cap"]).unwrap();
    assert_eq!(world.registry.get_params("mp1").unwrap().label, "first");
}

/// mpool-14: an active pool is deactivated and its superblocks are erased, on all of its drives.
#[test]
fn a_destroyed_pool_is_gone() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    let handle = world.registry.open("mp1", Rights::ReadOnly, false).unwrap();
    let asked = DestroyRequest { name: Some("mp1".into()), ..DestroyRequest::default() };
    assert_eq!(kind(world.run(world.registry.destroy(&asked))), Kind::Busy);
    drop(handle);
    world.run(world.registry.destroy(&asked)).unwrap();
    for disk in ["cap", "stg"] {
        assert!(world.disk(disk).is_zero(0, 16384));
        assert_eq!(kind(world.activate(&[disk])), Kind::NoPool);
    }
    assert!(world.claimed().is_empty() && world.registry.pools().is_empty());
    world.create("new");
}

/// mpool-14: what destruction refuses, and that a path reveals that a pool is active.
#[test]
fn destruction_checks_what_it_is_given() {
    let world = World::with_two_disks();
    world.create("mp1");
    let destroy = |name: Option<&str>, given: &[&str]| {
        let name = name.map(str::to_owned);
        world.run(world.registry.destroy(&DestroyRequest { name, paths: paths(given), force: false }))
    };
    assert_eq!(kind(destroy(Some("mp1"), &["cap", "cap"])), Kind::Invalid);
    assert!(world.registry.named("mp1").is_some(), "nothing was done");
    assert_eq!(kind(destroy(None, &[])), Kind::Invalid);
    assert_eq!(kind(destroy(None, &["stg"])), Kind::NoPool);
    destroy(None, &["cap"]).unwrap();
    assert!(world.disk("cap").is_zero(0, 16384) && world.registry.pools().is_empty());
    world.create("mp1");
    world.deactivate("mp1");
    assert_eq!(kind(destroy(Some("mp2"), &["cap"])), Kind::Invalid, "another name");
    world.disk("cap").change(|properties| properties.bytes = 32 * MIB);
    assert_eq!(kind(destroy(Some("mp1"), &["cap"])), Kind::Invalid, "it is not the drive that was recorded");
    let forced = DestroyRequest { name: None, paths: paths(&["cap"]), force: true };
    world.run(world.registry.destroy(&forced)).unwrap();
    assert!(world.disk("cap").is_zero(0, 16384));
}

/// mpool-14: a superblock of which no copy is whole is erased only with force, and with it the pool's other drive.
#[test]
fn force_destroys_what_is_damaged() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    world.deactivate("mp1");
    let copies = [0, 8192, end_copy_at(64 * MIB)];
    for at in copies {
        world.disk("cap").write(at + 200, &[0x55; 8]);
    }
    let asked = |force| DestroyRequest { name: None, paths: paths(&["cap", "stg"]), force };
    assert_eq!(kind(world.run(world.registry.destroy(&asked(false)))), Kind::Invalid);
    assert_eq!(world.disk("cap").bytes::<8>(200), [0x55; 8], "nothing was done");
    world.run(world.registry.destroy(&asked(true))).unwrap();
    assert!(copies.iter().all(|at| world.disk("cap").is_zero(*at, 4096)) && world.disk("stg").is_zero(0, 16384));
}

/// mpool-14, partly: a destruction that is cut at any write leaves the pool or none, and can be repeated (defect 20).
#[test]
fn a_cut_destruction_can_be_repeated() {
    for writes in 0.. {
        let world = World::with_two_disks();
        world.create_with_staging("mp1");
        world.deactivate("mp1");
        world.disk("cap").fail_writes_after(writes.min(3));
        world.disk("stg").fail_writes_after(writes.max(3) - 3);
        let asked = DestroyRequest { name: None, paths: paths(&["stg", "cap"]), force: false };
        let ended = world.run(world.registry.destroy(&asked)).is_ok();
        assert!(world.claimed().is_empty());
        let world = world.cut();
        let activated = world.activate(&["cap", "stg"]);
        assert_eq!(activated.is_ok(), writes < 2, "as long as two copies are there: {writes} {activated:?}");
        if activated.is_ok() {
            world.deactivate("mp1");
        }
        let repeated = world.run(world.registry.destroy(&asked));
        assert!(if ended { kind(repeated) == Kind::NoPool } else { repeated.is_ok() });
        assert!(world.disk("cap").is_zero(0, 16384) && world.disk("stg").is_zero(0, 16384));
        if ended {
            assert_eq!(writes, 6);
            break;
        }
    }
}

fn rename_to(name: &str) -> RenameRequest {
    RenameRequest { paths: paths(&["cap", "stg"]), name: name.into(), current: None }
}

/// mpool-15: an inactive pool is renamed on all drives; not to the name of an active pool, and not while it is active.
#[test]
fn an_inactive_pool_is_renamed() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    assert_eq!(kind(world.run(world.registry.rename(&rename_to("mp2")))), Kind::Busy);
    world.deactivate("mp1");
    world.run(world.registry.rename(&rename_to("mp2"))).unwrap();
    for disk in ["cap", "stg"] {
        for at in [8, 8192 + 8] {
            assert_eq!(&world.disk(disk).bytes::<4>(at), b"mp2\0");
        }
    }
    world.add("other", 32 * MIB);
    let other = CreateRequest { name: "mp3".into(), capacity: "other".into(), ..CreateRequest::default() };
    world.run(world.registry.create(&other)).unwrap();
    assert_eq!(kind(world.run(world.registry.rename(&rename_to("mp3")))), Kind::Exists);
    let without = RenameRequest { paths: paths(&["stg"]), name: "mp4".into(), current: None };
    assert_eq!(kind(world.run(world.registry.rename(&without))), Kind::Invalid, "without the drive with MDC0");
    assert_eq!(world.claimed(), ["other"]);
    world.activate(&["cap", "stg"]).unwrap();
    assert!(world.registry.named("mp2").is_some());
}

/// mpool-15: renaming to the present name writes nothing.
#[test]
fn renaming_to_the_same_name_does_nothing() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    world.deactivate("mp1");
    let before = world.disk("cap").writes();
    world.run(world.registry.rename(&rename_to("mp1"))).unwrap();
    assert_eq!(world.disk("cap").writes(), before);
}

/// mpool-15, partly: a rename that is cut at any write leaves one name or the other, whichever drive comes first; it
/// can be repeated (defect 20).
#[test]
fn a_cut_renaming_leaves_one_of_the_names() {
    let mut mixed = 0;
    for writes in 0..=6 {
        let world = World::with_two_disks();
        world.create_with_staging("old");
        world.deactivate("old");
        world.disk("stg").fail_writes_after(writes.min(3));
        world.disk("cap").fail_writes_after(writes.max(3) - 3);
        let ended = world.run(world.registry.rename(&rename_to("new"))).is_ok();
        let world = world.cut();
        let names = ["cap", "stg"].map(|disk| world.disk(disk).bytes::<3>(8));
        mixed += u32::from(names[0] != names[1]);
        let found = pools_among(&world.run(world.registry.scan(&paths(&["stg", "cap"]))));
        world.activate(&["stg", "cap"]).unwrap();
        let name = world.registry.pools()[0].pool().name().to_owned();
        assert_eq!(found.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), [name.as_str()]);
        assert!(name == "new" || (name == "old" && !ended), "{name} after {writes} writes");
        world.deactivate(&name);
        world.run(world.registry.rename(&rename_to("new"))).unwrap();
        assert_eq!(["cap", "stg"].map(|disk| world.disk(disk).bytes::<3>(8)), [*b"new"; 2]);
    }
    assert!(mixed > 0, "the drives had two names at some point");
}

/// mpool-18: what force does not relax: drives of two pools, a device in use.
#[test]
fn force_is_not_everything() {
    let world = World::with_two_disks();
    world.create("mp1");
    let forced = Flags { force: true, ..Flags::default() };
    assert_eq!(
        kind(world.run(world.registry.activate(&ActivateRequest { flags: forced, ..request(&["cap"]) }))),
        Kind::Busy
    );
    let again = CreateRequest { name: "mp2".into(), capacity: "cap".into(), force: true, ..CreateRequest::default() };
    assert_eq!(kind(world.run(world.registry.create(&again))), Kind::Busy);
    let other = CreateRequest { name: "mp2".into(), capacity: "stg".into(), ..CreateRequest::default() };
    world.run(world.registry.create(&other)).unwrap();
    world.deactivate("mp1");
    world.deactivate("mp2");
    let both = ActivateRequest { flags: forced, ..request(&["cap", "stg"]) };
    assert_eq!(kind(world.run(world.registry.activate(&both))), Kind::Invalid);
}

/// A scan finds pools, active and inactive, and keeps nothing open.
#[test]
fn a_scan_sees_pools_active_and_inactive() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    world.add("empty", 16 * MIB);
    let all = paths(&["empty", "stg", "cap", "none"]);
    for active in [true, false] {
        let found = world.run(world.registry.scan(&all));
        assert_eq!(found[0].drive.as_ref().unwrap_err().kind(), Kind::NoPool);
        assert_eq!(found[3].drive.as_ref().unwrap_err().kind(), Kind::NotFound);
        let staging = found[1].drive.as_ref().unwrap();
        assert_eq!((staging.drive.class, staging.has_mdc0, staging.active), (MediaClass::Staging, false, active));
        let capacity = found[2].drive.as_ref().unwrap();
        assert_eq!((capacity.drive.class, capacity.has_mdc0, capacity.active), (MediaClass::Capacity, true, active));
        let pools = pools_among(&found);
        assert_eq!(pools.len(), 1);
        assert_eq!((pools[0].name.as_str(), pools[0].drives.len(), pools[0].active), ("mp1", 2, active));
        if active {
            assert_eq!(world.claimed(), ["cap", "stg"]);
            world.deactivate("mp1");
        } else {
            assert!(world.claimed().is_empty());
        }
    }
}

/// mpool-47, partly: deactivation makes uncommitted objects vanish, like a cut.
#[test]
fn uncommitted_objects_vanish() {
    let world = World::with_two_disks();
    world.create("mp1");
    let usage = world.registry.get_usage("mp1").unwrap();
    let (kept, lost) = world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        let kept = mblock(&handle, MediaClass::Capacity, 3).await;
        let lost = handle.mblock_alloc(MediaClass::Capacity, false).await.unwrap().id;
        handle.mblock_write(lost, pages(1, 4), 0..4096).await.1.unwrap();
        (kept, lost)
    });
    world.deactivate("mp1");
    world.activate(&["cap"]).unwrap();
    world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        assert_eq!(content(&handle, kept).await, [3; 4096]);
        assert_eq!(kind(handle.mblock_find(lost)), Kind::NotFound);
        handle.mblock_delete(kept).await.unwrap();
    });
    world.run_for(crate::units::Nanos(1_000_000));
    assert_eq!(world.registry.get_usage("mp1").unwrap(), usage);
}
