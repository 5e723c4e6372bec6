// SPDX-License-Identifier: BSD-3-Clause

//! Drives that grow while their pool is in use.

use super::activation::{content, mblock};
use super::*;
use crate::control::Rights;
use crate::testing::world::{World, MIB};

/// Zones of the drive of a class.
fn zones(world: &World, class: MediaClass) -> u32 {
    world.registry.find("mp1").unwrap().pool().drive_of(class).unwrap().descriptor().zones
}

fn stored(world: &World, object: ObjectId) -> Vec<u8> {
    let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
    world.run(content(&handle, object))
}

/// mpool-16, adapted: growth is used at once, with objects present, and persists.
#[test]
fn a_drive_grows_under_its_objects() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    let object = {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        world.run(mblock(&handle, MediaClass::Capacity, 0x5a))
    };
    let free = || world.registry.get_usage("mp1").unwrap().space.free_usable_bytes;
    let before = free();
    assert!(!world.run(world.registry.drives_grow("mp1")).unwrap(), "nothing has grown");
    let staging = zones(&world, MediaClass::Staging);
    world.disk("cap").change(|properties| properties.bytes = 164 * MIB + (64 << 10) + 4096);
    world.disk("stg").change(|properties| properties.bytes += 10 * MIB);
    assert!(world.run(world.registry.drives_grow("mp1")).unwrap());
    assert_eq!((zones(&world, MediaClass::Capacity), zones(&world, MediaClass::Staging)), (164, staging + 10));
    assert!(free() >= before + 104 * MIB, "{} after {before}", free());
    // The new zones can be allocated, and lie where the drive ended.
    let pool = std::rc::Rc::clone(world.registry.find("mp1").unwrap().pool());
    let slab = world.run(pool.slab_alloc(MediaClass::Capacity, 90, false)).unwrap();
    assert!(slab.drive_offset >= 48 * MIB, "{}", slab.drive_offset);
    world.run(pool.slab_abort(slab.id)).unwrap();
    drop(pool);
    assert_eq!(stored(&world, object), [0x5a; 4096]);
    world.deactivate("mp1");
    world.activate(&["cap", "stg"]).unwrap();
    assert_eq!((zones(&world, MediaClass::Capacity), zones(&world, MediaClass::Staging)), (164, staging + 10));
    assert_eq!(stored(&world, object), [0x5a; 4096]);
}

/// mpool-16, adapted: growth that is cut at any write leaves a pool of the old or the new size.
#[test]
fn a_growth_that_is_cut_off_leaves_the_old_or_the_new_size() {
    for writes in 0.. {
        let world = World::with_two_disks();
        world.create("mp1");
        world.disk("cap").change(|properties| properties.bytes = 100 * MIB);
        world.disk("cap").fail_writes_after(writes);
        let ended = world.run(world.registry.drives_grow("mp1")).is_ok();
        let world = world.cut();
        world.activate(&["cap"]).unwrap();
        let zones = zones(&world, MediaClass::Capacity);
        assert!(zones == 99 || (zones == 63 && !ended), "{zones} after {writes} writes");
        if ended {
            break;
        }
    }
}
