// SPDX-License-Identifier: BSD-3-Clause

//! Creation of pools.

use core::future::Future;

use super::*;
use crate::format::Superblock;
use crate::management::create::CreateRequest;
use crate::params::{CreateParams, LayoutWish, ParamChanges};
use crate::testing::world::{World, MIB};

fn create_request(name: &str) -> CreateRequest {
    CreateRequest { name: name.into(), capacity: "cap".into(), ..CreateRequest::default() }
}

/// mpool-1: all copies of the superblock describe the pool; the default containers and the root logs exist.
#[test]
fn a_new_pool_has_superblocks_containers_and_root_logs() {
    let world = World::new();
    let disk = world.add("cap", 8192 * MIB);
    world.create("mp1");
    let active = world.registry.find("mp1").unwrap();
    let pool = active.pool();
    assert_eq!(pool.container_count(), 17);
    for id in [0x201, 0x1201].map(ObjectId) {
        let log = pool.mlog_props(id).unwrap();
        assert!(log.committed && log.class == MediaClass::Capacity && log.capacity_bytes == 32 * MIB);
    }
    for at in [0, 8192, 8192 * MIB - 65536] {
        let (superblock, _) = Superblock::decode(&disk.bytes::<4096>(at)).unwrap();
        assert_eq!((superblock.name.as_str(), superblock.pool), ("mp1", pool.uuid()));
        let drive = superblock.drive;
        assert_eq!((drive.class, drive.zone_bytes(), drive.zones), (MediaClass::Capacity, 32 * MIB, 255));
        let [one, two] = superblock.metadata.unwrap().logs;
        assert_eq!([one.extent, two.extent].map(|extent| (extent.first, extent.zones)), [(1, 1), (2, 1)]);
        // The first open of the pair has erased the second log beyond the first one's generation.
        assert!(one.generation == 1 && two.generation >= 2);
        superblock.check_metadata().unwrap();
    }
    assert!(disk.is_zero(4096, 4096) && disk.is_zero(8192 + 4096, 4096), "the room kept after each copy");
}

/// mpool-2: the magic in any copy keeps a device from being taken, unless forced.
#[test]
fn a_device_with_a_pool_is_not_taken() {
    for wiped in [None, Some(0), Some(8192), Some(64 * MIB - 65536)] {
        let world = World::with_two_disks();
        world.create("old");
        world.deactivate("old");
        if let Some(at) = wiped {
            world.disk("cap").write(at, &[0; 4096]);
        }
        assert_eq!(kind(world.run(world.registry.create(&create_request("new")))), Kind::Busy);
        assert!(world.claimed().is_empty());
        let forced = CreateRequest { force: true, ..create_request("new") };
        assert_eq!(world.run(world.registry.create(&forced)).unwrap().pool().name(), "new");
    }
}

/// mpool-3: a creation that fails at any write leaves no superblock and nothing open.
#[test]
fn a_failed_creation_leaves_nothing() {
    let mut failures = 0;
    for writes in 0.. {
        let world = World::with_two_disks();
        let disk = world.disk("cap");
        disk.fail_writes_after(writes);
        // The pool is deactivated before its superblocks are erased, which must be able to succeed.
        let request = create_request("mp1");
        let mut creating = Box::pin(world.registry.create(&request));
        let created = world.run(core::future::poll_fn(|context| {
            if world.lines().iter().any(|line| line.contains("undoing 'writing the superblocks'")) {
                disk.heal();
            }
            creating.as_mut().poll(context)
        }));
        if created.is_ok() {
            break;
        }
        failures += 1;
        assert!(disk.is_zero(0, 4096) && disk.is_zero(8192, 4096), "after {writes} writes");
        assert!(world.claimed().is_empty() && world.registry.pools().is_empty());
        disk.heal();
        assert!(world.run(world.registry.create(&create_request("mp1"))).is_ok(), "after {writes} writes");
    }
    assert!(failures > 10, "{failures}");
}

/// mpool-4: a drive with room for fewer containers gets fewer; activation adds more when there is room.
#[test]
fn a_small_drive_gets_fewer_containers() {
    let world = World::new();
    let disk = world.add("cap", 20 * MIB);
    let layout = LayoutWish { zone_mib: Some(1), containers: Some(16), ..LayoutWish::default() };
    let params = CreateParams { layout, ..CreateParams::default() };
    let request = CreateRequest { params, ..create_request("small") };
    let active = world.run(world.registry.create(&request)).unwrap();
    let few = active.pool().container_count();
    assert!((2..17).contains(&few), "{few}");
    assert!(world.lines().iter().any(|line| line.contains("of 16 client containers")));
    drop(active);
    world.deactivate("small");
    disk.change(|properties| properties.bytes = 64 * MIB);
    let mut again = crate::testing::world::request(&["cap"]);
    again.containers = Some(16);
    again.flags = Flags { resize: true, permit_meta_conv: true, force: false };
    let active = world.run(world.registry.activate(&again)).unwrap();
    assert_eq!(active.pool().container_count(), 17);
}

#[test]
fn a_device_too_small_for_a_pool_is_refused() {
    let world = World::new();
    world.add("cap", 2 * MIB);
    assert_eq!(kind(world.run(world.registry.create(&create_request("tiny")))), Kind::NoSpace);
    assert!(world.claimed().is_empty());
}

/// mpool-116, partly: a device whose blocks cannot be rewritten gets no pool. mpool-117, partly: nor one of another type.
#[test]
fn unsuitable_devices_are_refused() {
    for unsuitable in 0..3 {
        let world = World::with_two_disks();
        world.disk("cap").change(|properties| match unsuitable {
            0 => properties.sector_updatable = false,
            1 => properties.kind = crate::device::DeviceType::Zoned,
            _ => properties.sector_bytes = 1024,
        });
        assert_eq!(kind(world.run(world.registry.create(&create_request("mp1")))), Kind::Invalid, "{unsuitable}");
        assert!(world.disk("cap").is_zero(0, 4096));
    }
}

/// mpool-19: names are sanitised, and refused when they are empty or too long.
#[test]
fn names_and_labels_are_sanitised() {
    let world = World::with_two_disks();
    assert_eq!(kind(world.run(world.registry.create(&create_request("")))), Kind::Invalid);
    assert_eq!(kind(world.run(world.registry.create(&create_request(&"n".repeat(256))))), Kind::NameTooLong);
    let changes = ParamChanges { label: Some("-x/y".into()), ..ParamChanges::default() };
    let params = CreateParams { changes, ..CreateParams::default() };
    let request = CreateRequest { params, ..create_request("-a/b") };
    let active = world.run(world.registry.create(&request)).unwrap();
    assert_eq!((active.pool().name(), active.pool().params().label.as_str()), ("_a_b", "_x_y"));
    let label = Some("l".repeat(64));
    let changes = ParamChanges { label, ..ParamChanges::default() };
    assert_eq!(kind(world.run(world.registry.set_params("_a_b", &changes))), Kind::NameTooLong);
}

/// mpool-134, partly: no more pools than the tunable allows are active.
#[test]
fn the_number_of_pools_is_limited() {
    let world = World::new();
    let mut tunables = world.registry.tunables();
    assert_eq!(tunables.set_pools_max(1), 8, "moved into its range");
    world.registry.set_tunables(tunables);
    for number in 0..=8 {
        let name = format!("mp{number}");
        world.add(&name, 16 * MIB);
        let request = CreateRequest { capacity: name.clone(), ..create_request(&name) };
        let created = world.run(world.registry.create(&request));
        if number == 8 {
            assert_eq!(kind(created), Kind::NoSpace);
            assert!(world.disk(&name).is_zero(0, 4096));
        } else {
            created.unwrap();
        }
    }
}

#[test]
fn an_active_name_is_not_given_again() {
    let world = World::with_two_disks();
    world.create("mp1");
    let request = CreateRequest { capacity: "stg".into(), ..create_request("mp1") };
    assert_eq!(kind(world.run(world.registry.create(&request))), Kind::Exists);
    assert!(world.disk("stg").is_zero(0, 4096));
}

/// mpool-26, partly: two devices in one creation; when the second cannot be added there is no pool at all.
#[test]
fn a_creation_with_two_devices_is_all_or_nothing() {
    let world = World::with_two_disks();
    world.create_with_staging("two");
    assert_eq!(world.registry.find("two").unwrap().pool().drives().len(), 2);
    let world = World::with_two_disks();
    world.disk("stg").fail_writes_after(0);
    let request = CreateRequest { staging: Some("stg".into()), ..create_request("two") };
    assert_eq!(kind(world.run(world.registry.create(&request))), Kind::Io);
    assert!(world.registry.pools().is_empty() && world.claimed().is_empty());
    assert!(world.disk("cap").is_zero(0, 4096) && world.disk("cap").is_zero(8192, 4096));
}

/// mpool-3, partly: a creation that is cut at any write is later activated as a whole pool, or refused; and it can be
/// repeated with force.
#[test]
fn a_cut_creation_is_a_pool_or_none() {
    let (mut pools, mut none) = (0, 0);
    for writes in 0.. {
        let world = World::with_two_disks();
        let disk = world.disk("cap");
        disk.fail_writes_after(writes);
        let ended = world.run(world.registry.create(&create_request("mp1"))).is_ok();
        let world = world.cut();
        match world.activate(&["cap"]) {
            Ok(()) => {
                pools += 1;
                let pool = world.registry.find("mp1").unwrap();
                assert_eq!(pool.pool().params().root_logs.map(|id| id.0), [0x201, 0x1201]);
                assert!(pool.pool().container_count() > 1);
            }
            Err(error) => {
                none += 1;
                assert!(!ended, "{error}");
                let expected = [Kind::NoPool, Kind::NotMember, Kind::NotFound];
                assert!(expected.contains(&error.kind()), "after {writes} writes: {error}");
                assert!(world.claimed().is_empty());
            }
        }
        if ended {
            break;
        }
    }
    assert!(pools > 5 && none > 4, "{pools} {none}");
}
