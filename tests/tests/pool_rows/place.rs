// SPDX-License-Identifier: BSD-3-Clause

//! Zones on their way from one object to the next: discarded first, free only then.

use futures::future::join_all;
use mpool::lock::ordered;
use mpool::testing::{Op, What};
use mpool::{Kind, ObjectId, Pool};

use super::world::{
    extent, ids, kind, mblock, mlog, new_mblock, open_log, read, records, write, Computer, CAPACITY, MIB, PAGE,
};

/// Allocates mblocks until there is no space.
async fn fill(pool: &Pool) -> Vec<ObjectId> {
    let mut ids = Vec::new();
    while let Ok(props) = pool.mblock_alloc(CAPACITY, false).await {
        ids.push(props.id);
    }
    ids
}

fn is_discard(op: &Op) -> bool {
    op.what == What::Discard
}

/// mpool-30, adapted: with all space on its way through slow discards an allocation waits for the first to end, and succeeds.
#[test]
fn an_allocation_waits_for_discards() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let all = fill(&pool).await;
        assert!(all.len() > 10);
        world.script.hold(is_discard);
        for id in &all {
            pool.mblock_commit(*id).await.expect("the disk works");
            pool.mblock_delete(*id).await.expect("nobody uses it");
        }
        world.settle().await;
        assert_eq!(world.script.held(), all.len());
        let allocations = join_all(all.iter().map(|_| ordered(pool.mblock_alloc(CAPACITY, false))));
        let release = async {
            world.settle().await;
            assert_eq!(ids(&pool), [], "nothing is allocated while no zone is free");
            world.script.release();
        };
        let (allocated, ()) = futures::join!(allocations, release);
        assert!(allocated.iter().all(Result::is_ok), "{allocated:?}");
        assert_eq!(kind(pool.mblock_alloc(CAPACITY, false).await), Kind::NoSpace);
    });
}

/// mpool-41: while the discard of its zone is under way no new object gets the zone; afterwards one does, and the
/// discard does not hit it.
#[test]
fn zones_are_free_only_after_their_discard() {
    let mut computer = Computer::new(40);
    computer.tunables.set_spare_percent(0);
    computer.live(|world| async move {
        let pool = world.create(1).await;
        let all = fill(&pool).await;
        let (kept, gone) = all.split_at(all.len() / 2);
        let mut zones: Vec<_> = gone.iter().map(|id| extent(&pool, *id).first).collect();
        let held = zones.clone();
        world.script.hold(move |op| is_discard(op) && held.iter().any(|zone| op.touches(zone * MIB, MIB)));
        for (number, id) in gone.iter().enumerate() {
            if number % 2 == 0 {
                pool.mblock_abort(*id).await.expect("nobody uses it");
            } else {
                pool.mblock_commit(*id).await.expect("the disk works");
                pool.mblock_delete(*id).await.expect("nobody uses it");
            }
        }
        world.settle().await;
        assert_eq!(world.script.held(), gone.len());
        assert_eq!(pool.class_usage(CAPACITY).expect("it has a drive").space.free_usable_bytes, 0);
        let zone = extent(&pool, kept[0]);
        pool.mblock_abort(kept[0]).await.expect("nobody uses it");
        let id = new_mblock(&pool).await;
        assert_eq!(extent(&pool, id), zone, "the only zone whose discard has ended");

        let allocations = join_all(gone.iter().map(|_| ordered(pool.mblock_alloc(CAPACITY, false))));
        let release = async {
            world.settle().await;
            world.script.release();
        };
        let (allocated, ()) = futures::join!(allocations, release);
        let again: Vec<_> = allocated.into_iter().map(|props| props.expect("zones come back").id).collect();
        let mut given: Vec<_> = again.iter().map(|id| extent(&pool, *id).first).collect();
        given.sort_unstable();
        zones.sort_unstable();
        assert_eq!(given, zones);
        for id in &again {
            write(&pool, *id, 0xaa, PAGE).await.expect("it fits");
            pool.mblock_commit(*id).await.expect("the disk works");
        }
        world.settle().await;
        for id in again {
            assert_eq!(read(&pool, id, 0, PAGE).await.expect("it is committed"), [0xaa; PAGE]);
        }
    });
}

/// mpool-39: objects that are taken back leave no record, and their zones come back.
#[test]
fn taking_back_leaves_nothing() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let usage = pool.usage();
        // One checkpoint of ids in 256 is written for the first object after an activation.
        let first = new_mblock(&pool).await;
        world.script.forget();
        pool.mblock_abort(first).await.expect("nobody uses it");
        for round in 0..200 {
            let id = new_mblock(&pool).await;
            if round % 10 == 0 {
                write(&pool, id, 1, PAGE).await.expect("it fits");
            }
            pool.mblock_abort(id).await.expect("nobody uses it");
            assert_eq!(kind(pool.mblock_abort(id).await), Kind::NotFound);
        }
        world.settle().await;
        assert_eq!(world.script.count(Op::is_write), 20, "nothing but the mblocks' own pages is written");
        assert_eq!(pool.usage(), usage);
    });
}

/// mpool-40: a deletion is logged, then the zones are discarded, then they are free.
#[test]
fn a_deletion_is_logged_before_the_discard() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let usage = pool.usage();
        let id = mblock(&pool, 1).await;
        let at = extent(&pool, id).first * MIB;
        world.script.forget();
        world.script.hold(Op::is_write);
        let delete = ordered(pool.mblock_delete(id));
        let look = async {
            world.settle().await;
            assert_eq!((world.script.held(), world.script.count(is_discard)), (1, 0));
            assert!(pool.mblock_props(id).is_ok(), "it is there until its deletion is durable");
            world.script.hold_instead(is_discard);
        };
        futures::join!(delete, look).0.expect("nobody uses it");
        world.settle().await;
        let ops = world.script.begun.borrow().clone();
        assert!(ops[0].is_write() && !ops[0].touches(at, MIB), "{ops:?}");
        assert_eq!(ops[1..], [Op { what: What::Discard, at, bytes: MIB }]);
        assert_ne!(pool.usage().space, usage.space, "the zone is not free yet");
        world.script.release();
        world.settle().await;
        assert_eq!(pool.usage(), usage);
    });
}

/// mpool-40: a discard that fails keeps nothing from being free.
#[test]
fn a_failed_discard_frees_all_the_same() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let usage = pool.usage();
        let ids = [mblock(&pool, 1).await, mblock(&pool, 2).await];
        world.script.fail(is_discard);
        pool.mblock_delete(ids[0]).await.expect("nobody uses it");
        world.settle().await;
        world.script.heal();
        pool.mblock_delete(ids[1]).await.expect("the drive is still online");
        world.settle().await;
        assert_eq!(pool.usage(), usage);
    });
}

/// mpool-74: a new log on the zone of an old one is empty, though the blocks of the old one may still be there.
#[test]
fn a_log_on_used_zones_is_empty() {
    for seed in 0..8 {
        let mut computer = Computer::new(40);
        computer.seed = 100 * seed;
        // No other zone is free then.
        computer.tunables.set_spare_percent(0);
        computer.live(|world| async move {
            let pool = world.create(1).await;
            let log = mlog(&pool).await;
            let others = fill(&pool).await;
            let zone = extent(&pool, log);
            let handle = open_log(&pool, log).await;
            for _ in 0..20 {
                handle.log().append(&[7; 300], true).await.expect("there is room");
            }
            handle.close().await.expect("the disk works");
            pool.mlog_delete(log).await.expect("nobody uses it");
            // Nothing is discarded: the blocks of the old log stay as they are.
            world.script.fail(is_discard);
            world.settle().await;
            world.script.heal();
            let again = mlog(&pool).await;
            assert!(extent(&pool, again) == zone && again != log && others.len() > 10);
            let handle = open_log(&pool, again).await;
            assert!(handle.log().is_empty());
            handle.log().append(b"new", true).await.expect("there is room");
            handle.close().await.expect("the disk works");
            let handle = open_log(&pool, again).await;
            assert_eq!(records(handle.log()).await, [b"new"]);
            handle.close().await.expect("the disk works");
        });
    }
}
