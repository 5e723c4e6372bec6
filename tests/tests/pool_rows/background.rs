// SPDX-License-Identifier: BSD-3-Clause

//! What a pool does ahead of need, by the clock: compaction, and more containers; and what it tells of
//! its space.

use mpool::params::{LayoutWish, ParamChanges, OWN_LABEL};
use mpool::testing::{plain_disk, Op, What};
use mpool::units::Nanos;
use mpool::{Host, Pool, Slot};

use super::containers::log_zone;
use super::world::{empty_mblock, new_mblock, small_layout, Computer, World, MIB, SECOND};

fn seconds(tenths: u64) -> Nanos {
    Nanos(tenths * SECOND.0 / 10)
}

/// Commits so many mblocks without bytes, and deletes the first `deleted` of them. A record each.
async fn change(pool: &Pool, committed: usize, deleted: usize) {
    let mut ids = Vec::new();
    for _ in 0..committed {
        ids.push(empty_mblock(pool).await);
    }
    for id in &ids[..deleted] {
        pool.mblock_delete(*id).await.expect("nobody uses it");
    }
}

fn writes(world: &World) -> usize {
    world.script.count(Op::is_write)
}

/// mpool-100: a container that is 70 % full and has 20 % of garbage is compacted at the next multiple of 5 seconds,
/// and not before. What is left empty in blocks is garbage, too, so each record here is nearly nothing else.
#[test]
fn containers_are_compacted_ahead_of_need() {
    // Records in a log of 256 blocks, of which markers, version and checkpoint take 4.
    for (committed, deleted, due) in
        [(170, 0, false), (181, 0, true), (160, 22, true), (150, 10, false), (90, 90, true)]
    {
        let mut computer = Computer::with_short_logs(260);
        computer.tunables.set_grow_fill_percent(100);
        computer.live(|world| async move { drop(world.create(1).await) });
        computer.live(move |world| async move {
            let pool = world.activate(1).await;
            change(&pool, committed, deleted).await;
            world.wait_until(seconds(49)).await;
            world.script.forget();
            world.wait_until(seconds(52)).await;
            assert_eq!(writes(&world) > 0, due, "{committed} created, {deleted} deleted");
            world.script.forget();
            world.wait_until(seconds(112)).await;
            assert_eq!(writes(&world), 0, "once is enough");
        });
    }
}

/// mpool-100: with the pool's clock at work no commit pays for a compaction.
#[test]
fn no_commit_pays_for_a_compaction() {
    let mut computer = Computer::with_short_logs(96);
    computer.live(|world| async move {
        let pool = world.create(1).await;
        let first = log_zone(&world, &pool, Slot(1)).await;
        let mut zones = std::collections::BTreeSet::from([first]);
        for round in 0..800 {
            let id = new_mblock(&pool).await;
            world.script.forget();
            pool.mblock_commit(id).await.expect("the disk works");
            pool.mblock_delete(id).await.expect("nobody uses it");
            assert_eq!(writes(&world), 2, "round {round}: one record each, and nothing else");
            zones.extend(world.script.begun.borrow().iter().filter(|op| op.is_write()).map(|op| op.at >> 20));
            world.host.sleep(seconds(2)).await;
        }
        assert_eq!(zones.len(), 2, "both logs of the pair were used");
    });
}

/// A container that has become much longer than it needs to be is compacted before the period ends, and MDC0 is, too: a power
/// cut at any time leaves little that an activation reads for nothing.
#[test]
fn much_waste_is_compacted_at_once() {
    for (excluded, compacted) in [(2, true), (0, false)] {
        let mut computer = Computer::with_disk(plain_disk("disk", 120 * MIB, 4096));
        computer.tunables.set_no_alloc_mdcs(excluded);
        computer.live(|world| async move {
            let layout = LayoutWish { mdc_log_mib: Some(4), mdc0_log_mib: Some(4), ..small_layout(2) };
            let pool = world.create_as(layout).await;
            for number in 0..850 {
                let id = empty_mblock(&pool).await;
                pool.mblock_delete(id).await.expect("nobody uses it");
                let changes = ParamChanges { uid: Some(number), ..ParamChanges::default() };
                world.registry.set_params("p", &changes).await.expect("the disk works");
            }
            assert!(world.host.now() < seconds(50), "no period has ended");
        });
        computer.live(move |world| async move {
            world.activate(2).await;
            let begun = world.script.begun.borrow();
            let read: u64 = begun.iter().filter(|op| op.what == What::Read).map(|op| op.bytes).sum();
            // A MiB behind the end of each of six logs, one in each of three, and MDC0's is read twice.
            assert_eq!(read < 11 * MIB, compacted, "{read} bytes are read for a pool without objects");
        });
    }
}

/// mpool-100: MDC0 is not compacted ahead of need, unless it is much too long; 0 disables it all.
#[test]
fn mdc0_is_left_alone() {
    Computer::with_short_logs(96).live(|world| async move {
        world.create(1).await;
        for number in 0..220 {
            let changes = ParamChanges { uid: Some(number), ..ParamChanges::default() };
            world.registry.set_params("p", &changes).await.expect("the disk works");
        }
        world.script.forget();
        world.host.sleep(seconds(600)).await;
        assert_eq!(writes(&world), 0);
    });
    let mut computer = Computer::with_short_logs(260);
    computer.tunables.set_no_alloc_mdcs(0);
    computer.live(|world| async move {
        let pool = world.create(1).await;
        change(&pool, 110, 110).await;
        world.script.forget();
        world.host.sleep(seconds(600)).await;
        assert_eq!(writes(&world), 0);
    });
}

/// mpool-101: when all containers together are filled with objects that live by more than is asked for, there are a set
/// more of them.
#[test]
fn containers_are_added_in_sets() {
    let mut computer = Computer::with_disk(plain_disk("disk", 700 * MIB, 512));
    computer.tunables.set_grow_fill_percent(1);
    computer.live(|world| async move {
        let pool = world.create(1).await;
        // A log of 1 MiB each, and 53 bytes for each record with its share of the block's header.
        change(&pool, 300, 0).await;
        world.host.sleep(seconds(60)).await;
        assert_eq!(pool.container_count(), 2, "not more than 1 % full");
        change(&pool, 200, 0).await;
        world.host.sleep(seconds(60)).await;
        assert_eq!(pool.container_count(), 17);
        world.host.sleep(seconds(200)).await;
        assert_eq!(pool.container_count(), 17, "now there is room");
        let mut slots = std::collections::BTreeSet::new();
        for _ in 0..1024 {
            slots.insert(new_mblock_slot(&pool).await);
        }
        assert!(slots.iter().any(|slot| slot.index() > 1), "the new ones are used");
    });
    computer.live(|world| async move { assert_eq!(world.activate(1).await.container_count(), 17) });
}

async fn new_mblock_slot(pool: &Pool) -> Slot {
    let id = new_mblock(pool).await;
    pool.mblock_abort(id).await.expect("nobody uses it");
    id.slot()
}

/// Containers that are wanted and cannot be made are asked for in each period; that is said once.
#[test]
fn a_lack_of_space_for_containers_is_said_once() {
    let mut computer = Computer::with_disk(plain_disk("disk", 320 * MIB, 512));
    computer.tunables.set_grow_fill_percent(0);
    computer.live(|world| async move {
        let pool = world.create(1).await;
        change(&pool, 270, 0).await;
        world.host.sleep(seconds(600)).await;
        assert!(pool.container_count() < 17);
        assert_eq!(world.told("of 16 client containers"), 1);
    });
}

/// mpool-101: with garbage in them containers are compacted, not added.
#[test]
fn containers_are_not_added_without_need() {
    let mut computer = Computer::with_short_logs(400);
    computer.tunables.set_mdc_set(2);
    computer.live(|world| async move {
        let pool = world.create(2).await;
        change(&pool, 250, 60).await;
        world.host.sleep(seconds(200)).await;
        assert_eq!(pool.container_count(), 3);
    });
}

/// mpool-110: an active pool tells of its space once a minute, while less than half of it is free.
#[test]
fn an_active_pool_tells_of_its_space() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        world.host.sleep(seconds(610)).await;
        assert_eq!(world.told("% of the usable space is free"), 0);
        for _ in 0..26 {
            new_mblock(&pool).await;
        }
        world.host.sleep(seconds(600)).await;
        assert_eq!(world.told("% of the usable space is free"), 1);
        world.host.sleep(seconds(1800)).await;
        assert_eq!(world.told("% of the usable space is free"), 1);
    });
}

/// A pool that one client fills from the start does not alarm anybody: the client knows what is left.
#[test]
fn a_pool_of_one_client_tells_nothing_of_its_space() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let changes = ParamChanges { label: Some(OWN_LABEL.to_owned()), ..ParamChanges::default() };
        world.registry.set_params("p", &changes).await.expect("it is active");
        for _ in 0..26 {
            new_mblock(&pool).await;
        }
        world.host.sleep(seconds(600)).await;
        assert_eq!(world.told("% of the usable space is free"), 0);
    });
}
