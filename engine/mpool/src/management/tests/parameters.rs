// SPDX-License-Identifier: BSD-3-Clause

//! Parameters, spare zones and properties.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::control::Rights;
use crate::management::activate::ActivateRequest;
use crate::management::create::CreateRequest;
use crate::params::{CreateParams, LayoutWish, ParamChanges};
use crate::testing::world::{request, World, MIB};
use crate::tunables::KeptTunable;

fn all_changes() -> ParamChanges {
    ParamChanges {
        uid: Some(1001),
        gid: Some(1002),
        mode: Some(0o640),
        label: Some("hot".into()),
        user_type: Some(Uuid::from_u128(42)),
        readahead_pages: Some(7),
        spare_percent: [None, Some(20)],
        tunables: tunables(&[("grow_fill_percent", 60), ("reap_ttl_us", 5_000_000)]),
    }
}

fn tunables(given: &[(&str, u64)]) -> BTreeMap<KeptTunable, u64> {
    given.iter().map(|&(name, value)| (KeptTunable::named(name).unwrap(), value)).collect()
}

/// mpool-134: a tunable that was set for a pool applies at once, persists over deactivation and activation, and does
/// not affect other pools or the host.
#[test]
fn tunables_are_kept() {
    let world = World::with_two_disks();
    world.create("mp1");
    let of = |name: &str| -> BTreeMap<_, _> { world.registry.get_params(name).unwrap().tunables.into_iter().collect() };
    let usual = of("mp1");
    assert_eq!(usual.len(), KeptTunable::all().count());
    let wanted = tunables(&[
        ("chunk_kib", 512),
        ("precompact_fill_percent", 0),
        ("precompact_period_seconds", 3600),
        ("no_alloc_mdcs", 0),
        ("load_jobs", 1),
        ("cache_mib", 16),
        ("reap_mempct", 100),
        ("reap_ttl_us", 1 << 40),
    ]);
    let expected: BTreeMap<_, _> = usual.iter().chain(&wanted).map(|(&tunable, &value)| (tunable, value)).collect();
    let changes = ParamChanges { tunables: wanted, ..ParamChanges::default() };
    world.run(world.registry.set_params("mp1", &changes)).unwrap();
    for round in 0..2 {
        assert_eq!(of("mp1"), expected, "{round}");
        let active = world.registry.find("mp1").unwrap();
        let in_force = active.pool().tunables.borrow().clone();
        assert_eq!((in_force.load_jobs(), in_force.no_alloc_mdcs(), in_force.cache_mib()), (1, 0, 16));
        assert_eq!((in_force.reaper.mempct(), in_force.reaper.ttl_us()), (100, 1 << 40));
        assert_eq!(active.pool().drives()[0].chunk_bytes(), 512 << 10);
        drop(active);
        world.deactivate("mp1");
        world.activate(&["cap"]).unwrap();
    }
    let params = CreateParams {
        changes: ParamChanges { tunables: tunables(&[("mdc_set", 3)]), ..ParamChanges::default() },
        ..CreateParams::default()
    };
    let asked = CreateRequest { name: "mp2".into(), capacity: "stg".into(), params, ..CreateRequest::default() };
    world.run(world.registry.create(&asked)).unwrap();
    let expected: BTreeMap<_, _> = usual.into_iter().chain(tunables(&[("mdc_set", 3)])).collect();
    assert_eq!(of("mp2"), expected);
    assert_eq!(world.registry.tunables(), crate::tunables::Tunables::default());
}

/// mpool-134: an impossible value of a tunable is refused with its range, and nothing is changed.
#[test]
fn tunables_are_checked() {
    let world = World::with_two_disks();
    world.create("mp1");
    let before = world.registry.get_params("mp1").unwrap();
    for (name, value, range) in
        [("grow_fill_percent", 101, "0 to 100"), ("load_jobs", 0, "1 to 255"), ("reap_mempct", 4, "5 to 100")]
    {
        let tunables = tunables(&[("chunk_kib", 256), (name, value)]);
        let changes = ParamChanges { uid: Some(7), tunables, ..ParamChanges::default() };
        let error = world.run(world.registry.set_params("mp1", &changes)).unwrap_err();
        assert_eq!(error.to_string(), format!("{name}: {value} is not in its range of {range}"));
        assert_eq!(world.registry.get_params("mp1").unwrap(), before);
    }
}

/// mpool-20: parameters that were set persist over a deactivation; omitted ones stay.
#[test]
fn parameters_are_kept() {
    let world = World::with_two_disks();
    world.create("mp1");
    let before = world.registry.get_params("mp1").unwrap();
    assert_eq!((before.uid, before.gid, before.mode, before.label.as_str()), (0, 6, 0o660, "raw"));
    assert_eq!((before.readahead_pages, before.map_size_log2, before.user_type), (32, 30, Uuid::nil()));
    assert_eq!((before.spare_percent, before.mblock_mib), ([None, Some(5)], [None, Some(1)]));
    let after = world.run(world.registry.set_params("mp1", &all_changes())).unwrap();
    assert_eq!((after.uid, after.gid, after.mode, after.label.as_str()), (1001, 1002, 0o640, "hot"));
    assert_eq!((after.readahead_pages, after.user_type), (7, Uuid::from_u128(42)));
    assert_eq!(after.spare_percent, [None, Some(20)]);
    world.deactivate("mp1");
    world.activate(&["cap"]).unwrap();
    assert_eq!(world.registry.get_params("mp1").unwrap(), after);
    let only = ParamChanges { uid: Some(5), ..ParamChanges::default() };
    let one = world.run(world.registry.set_params("mp1", &only)).unwrap();
    assert_eq!(one, crate::params::PoolParams { uid: 5, ..after });
}

/// mpool-20: values that mean "not given", values that are clamped to their range, values that are refused.
#[test]
fn parameters_are_checked() {
    let world = World::with_two_disks();
    world.create("mp1");
    let set = |changes: ParamChanges| world.run(world.registry.set_params("mp1", &changes));
    let kept = set(all_changes()).unwrap();
    let empty = ParamChanges { label: Some(String::new()), user_type: Some(Uuid::nil()), ..ParamChanges::default() };
    let staging = ParamChanges { spare_percent: [Some(9), None], ..ParamChanges::default() };
    assert_eq!(set(empty).unwrap(), kept);
    assert_eq!(set(staging).unwrap(), kept, "a class without a drive is passed over");
    let many = ParamChanges { readahead_pages: Some(33), ..ParamChanges::default() };
    assert_eq!(set(many).unwrap().readahead_pages, 32);
    let spare = ParamChanges { uid: Some(9), spare_percent: [None, Some(101)], ..ParamChanges::default() };
    assert_eq!(kind(set(spare)), Kind::Invalid);
    assert_eq!(world.registry.get_params("mp1").unwrap().uid, 1001, "nothing of a refused change is done");
    let all_spare = ParamChanges { spare_percent: [None, Some(100)], ..ParamChanges::default() };
    assert_eq!(set(all_spare).unwrap().spare_percent, [None, Some(100)]);
    assert_eq!(kind(world.run(world.registry.set_params("none", &all_changes()))), Kind::NotMember);
}

/// mpool-21: parameters given at activation replace the stored ones, and persist.
#[test]
fn parameters_given_at_activation_stay() {
    let world = World::with_two_disks();
    world.create("mp1");
    world.deactivate("mp1");
    let asked = ActivateRequest { changes: all_changes(), ..request(&["cap"]) };
    let params = world.run(world.registry.activate(&asked)).unwrap().pool().params();
    assert_eq!((params.uid, params.label.as_str(), params.spare_percent[1]), (1001, "hot", Some(20)));
    world.deactivate("mp1");
    world.activate(&["cap"]).unwrap();
    assert_eq!(world.registry.get_params("mp1").unwrap(), params);
}

/// mpool-20, mpool-27: parameters given at creation are honoured, spares included (defect 23).
#[test]
fn parameters_given_at_creation_stay() {
    let world = World::with_two_disks();
    let layout = LayoutWish { zone_mib: Some(2), root_log_bytes: Some(3 * MIB), ..LayoutWish::default() };
    let params = CreateParams { changes: all_changes(), layout, map_size_log2: Some(28) };
    let asked = CreateRequest { name: "mp1".into(), capacity: "cap".into(), params, ..CreateRequest::default() };
    world.run(world.registry.create(&asked)).unwrap();
    for round in 0..2 {
        let params = world.registry.get_params("mp1").unwrap();
        assert_eq!((params.uid, params.label.as_str(), params.map_size_log2), (1001, "hot", 28), "{round}");
        assert_eq!((params.spare_percent, params.mblock_mib), ([None, Some(20)], [None, Some(2)]));
        assert_eq!(params.root_log_bytes, 3 * MIB);
        let active = world.registry.find("mp1").unwrap();
        let root = active.pool().mlog_props(ObjectId::ROOT_LOGS[0]).unwrap();
        assert_eq!(root.capacity_bytes, 4 * MIB);
        let space = active.pool().usage().space;
        assert_eq!((space.usable_bytes, space.spare_bytes), (24 * 2 * MIB, 7 * 2 * MIB), "20 % of 31 zones");
        drop(active);
        world.deactivate("mp1");
        world.activate(&["cap"]).unwrap();
    }
    for (wrong, expected) in [(Some(26), Kind::Invalid), (Some(33), Kind::Invalid)] {
        let params = CreateParams { map_size_log2: wrong, ..CreateParams::default() };
        let asked = CreateRequest { name: "mp2".into(), capacity: "stg".into(), params, ..CreateRequest::default() };
        assert_eq!(kind(world.run(world.registry.create(&asked))), expected);
    }
}

/// mpool-27: ordinary allocations stop at the usable zones, those from the spare continue; also after a reactivation.
#[test]
fn spare_zones_are_kept_back() {
    let world = World::with_two_disks();
    world.create("mp1");
    let changes = ParamChanges { spare_percent: [None, Some(20)], ..ParamChanges::default() };
    world.run(world.registry.set_params("mp1", &changes)).unwrap();
    let created = take_all_zones(&world);
    world.deactivate("mp1");
    world.activate(&["cap"]).unwrap();
    assert_eq!(take_all_zones(&world), created);
}

/// Allocates all zones of a pool of 64 without committing anything, and returns how many of them were usable.
fn take_all_zones(world: &World) -> u64 {
    world.run(async {
        let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
        let space = || world.registry.get_usage("mp1").unwrap().space;
        let spare = space().spare_bytes;
        assert_eq!(spare, 13 * MIB, "63 zones, 50 of them usable");
        let usable = space().free_usable_bytes / MIB;
        let mut taken = Vec::new();
        while let Ok(fresh) = handle.mblock_alloc(MediaClass::Capacity, false).await {
            taken.push(fresh.id);
        }
        assert_eq!(taken.len() as u64, usable);
        assert_eq!((space().free_usable_bytes, space().free_spare_bytes), (0, spare));
        for number in 1..=13 {
            taken.push(handle.mblock_alloc(MediaClass::Capacity, true).await.unwrap().id);
            assert_eq!(space().free_spare_bytes, spare - number * MIB);
        }
        assert_eq!(kind(handle.mblock_alloc(MediaClass::Capacity, true).await), Kind::NoSpace);
        for id in taken {
            handle.mblock_abort(id).await.unwrap();
        }
        usable
    })
}

/// mpool-28: fewer spare zones than are in use: the excess counts as usable.
#[test]
fn fewer_spare_zones_than_in_use() {
    let world = World::with_two_disks();
    world.create("mp1");
    let spare = |percent| ParamChanges { spare_percent: [None, Some(percent)], ..ParamChanges::default() };
    world.run(world.registry.set_params("mp1", &spare(50))).unwrap();
    let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
    for _ in 0..20 {
        world.run(handle.mblock_alloc(MediaClass::Capacity, true)).unwrap();
    }
    let before = world.registry.get_usage("mp1").unwrap().space;
    assert_eq!((before.spare_bytes, before.free_spare_bytes), (32 * MIB, 12 * MIB));
    world.run(world.registry.set_params("mp1", &spare(10))).unwrap();
    let after = world.registry.get_usage("mp1").unwrap().space;
    assert_eq!((after.spare_bytes, after.free_spare_bytes), (7 * MIB, 0), "10 % of 64 zones, all in use");
    assert_eq!(after.used_bytes, before.used_bytes + 13 * MIB);
    world.run(world.registry.set_params("mp1", &spare(80))).unwrap();
    let most = world.registry.get_usage("mp1").unwrap().space;
    assert!(most.used_bytes > most.usable_bytes, "more in use than is usable now");
    assert_eq!(most.free_usable_bytes, 0);
}

/// mpool-22, mpool-132: the reported properties of pools, classes and drives; lists have limits.
#[test]
fn properties_tell_what_is() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    world.add("third", 16 * MIB);
    let other = CreateRequest { name: "mp2".into(), capacity: "third".into(), ..CreateRequest::default() };
    world.run(world.registry.create(&other)).unwrap();
    let props = world.registry.get_props("mp1").unwrap();
    let [staging, capacity] = &props.classes[..] else { panic!("two classes") };
    assert_eq!((staging.class, staging.drive.name.as_str()), (MediaClass::Staging, "stg"));
    assert_eq!((capacity.class, capacity.drive.name.as_str()), (MediaClass::Capacity, "cap"));
    assert_eq!((staging.drive.descriptor.bytes, capacity.drive.descriptor.bytes), (32 * MIB, 64 * MIB));
    assert_eq!((staging.spare_percent, staging.unavailable), (5, 0));
    let sum = staging.usage.space.total_bytes + capacity.usage.space.total_bytes;
    assert_eq!(world.registry.get_usage("mp1").unwrap().space.total_bytes, sum);
    let pool = world.registry.find("mp1").unwrap();
    assert_eq!(pool.pool().drive_props("stg").unwrap(), staging.drive);
    assert_eq!(kind(pool.pool().drive_props("third")), Kind::NotFound);
    let uuids: Vec<_> = world.registry.list(usize::MAX).unwrap().iter().map(|props| props.params.uuid).collect();
    assert!(uuids.len() == 2 && uuids.is_sorted());
    assert_eq!(world.registry.list(1).unwrap().len(), 1);
    assert_eq!(kind(world.registry.list(0)), Kind::Invalid);
    assert_eq!(kind(world.registry.get_props("none")), Kind::NotMember);
    let by_uuid = world.registry.get_props(&uuids[0].to_string()).unwrap();
    assert_eq!(by_uuid.params.uuid, uuids[0]);
}
