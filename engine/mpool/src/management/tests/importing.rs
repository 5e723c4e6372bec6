// SPDX-License-Identifier: BSD-3-Clause

//! What an import does to the identity of volumes.

use crate::management::import::ImportRequest;
use crate::testing::world::World;

/// Each import changes the UUIDs of the volumes, differently every time; their version and variant stay.
#[test]
fn each_import_changes_the_uuids_of_volumes() {
    let world = World::with_two_disks();
    world.create("mp1");
    let mask = || world.registry.find("mp1").unwrap().pool().volume_mask();
    let mut masks = vec![mask()];
    assert!(masks[0].is_nil());
    for _ in 0..3 {
        world.deactivate("mp1");
        let asked = ImportRequest { paths: vec!["cap".into()], ..ImportRequest::default() };
        world.run(world.registry.import(&asked)).unwrap();
        world.activate(&["cap"]).unwrap();
        assert!(!masks.contains(&mask()), "{masks:?}");
        masks.push(mask());
    }
    assert!(masks.iter().all(|mask| (mask.get_version_num(), mask.as_bytes()[8] >> 6) == (0, 0)), "{masks:?}");
}
