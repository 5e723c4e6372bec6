// SPDX-License-Identifier: BSD-3-Clause

use crate::error::Kind;
use crate::format::ContentVersion;
use crate::ids::{ObjectId, ObjectType, Slot};
use crate::metadata::Container;
use crate::testing::world::World;

/// mpool-48, mpool-49: mpool's worked example. The checkpoint comes first, and without it there is no id.
#[test]
fn ids_are_those_of_the_worked_example() {
    let world = World::with_two_disks();
    world.create("mp1");
    let pool = std::rc::Rc::clone(world.registry.find("mp1").unwrap().pool());
    let fresh = [1, 2].map(|slot| Container::new(Slot(slot), ContentVersion::CURRENT));
    let first = fresh.each_ref().map(|container| world.run(pool.new_id(container, ObjectType::Mblock)).unwrap());
    assert_eq!(first, [ObjectId::new(2, ObjectType::Mblock, Slot(1)), ObjectId(0x1102)]);
    for container in &fresh {
        container.resume_identifiers();
        assert_eq!(container.last_uniquifier.get(), 255);
        // It is not open, so its checkpoint cannot be written.
        let error = world.run(pool.new_id(container, ObjectType::Mblock)).unwrap_err();
        assert_eq!((error.kind(), container.last_uniquifier.get()), (Kind::Io, 255));
    }
    let open = pool.container(Slot(1));
    assert_eq!(world.run(pool.new_id(open, ObjectType::Mblock)).unwrap().uniquifier(), 256);
    assert_eq!(open.checkpoint.get().map(ObjectId::uniquifier), Some(256));
    open.resume_identifiers();
    assert_eq!(open.last_uniquifier.get(), 256 + 255);
}
