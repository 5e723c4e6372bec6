// SPDX-License-Identifier: BSD-3-Clause

//! What fails and can be tried again, and what is in doubt meanwhile.

use mpool::host::PoolStatus;
use mpool::testing::{plain_disk, What};
use mpool::units::Nanos;
use mpool::{Host, Kind, ObjectId, Pool, Search, Slot};

use super::containers::log_zone;
use super::world::{
    empty_mblock, ids, kind, mblock, mlog, new_mblock, open_log, read, write, Computer, World, MIB, PAGE, SECOND,
};

/// mpool-38: a commit whose flush fails leaves the mblock uncommitted; it is committed later, or taken back.
#[test]
fn a_failed_commit_can_be_repeated() {
    let mut disk = plain_disk("disk", 40 * MIB, 512);
    disk.volatile_cache = true;
    let mut computer = Computer::with_disk(disk);
    let id = computer.live(|world| async move {
        let pool = world.create(1).await;
        let usage = pool.usage();
        let [kept, gone] = [new_mblock(&pool).await, new_mblock(&pool).await];
        for id in [kept, gone] {
            write(&pool, id, 4, PAGE).await.expect("it fits");
            world.script.fail(|op| op.what == What::Flush);
            for _ in 0..3 {
                assert_eq!(kind(pool.mblock_commit(id).await), Kind::Io);
                assert!(pool.find(id, Search::Uncommitted).is_ok());
            }
            world.script.heal();
        }
        pool.mblock_abort(gone).await.expect("it is still uncommitted");
        write(&pool, kept, 5, PAGE).await.expect("it is still uncommitted");
        pool.mblock_commit(kept).await.expect("the disk works again");
        world.settle().await;
        assert_eq!(pool.usage().objects.mblocks, usage.objects.mblocks + 1);
        kept
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(ids(&pool), [id]);
        assert_eq!(read(&pool, id, PAGE as u64, PAGE).await.expect("it is committed"), [5; PAGE]);
    });
}

/// mpool-38, adapted: a commit whose record cannot be written leaves the mblock uncommitted, whatever is on media. Once
/// the disk takes writes again the pool goes on by itself.
#[test]
fn a_commit_whose_record_fails_can_be_repeated() {
    let mut computer = Computer::new(40);
    let (before, id) = computer.live(|world| async move {
        let pool = world.create(1).await;
        let before = mblock(&pool, 1).await;
        let [id, gone] = [new_mblock(&pool).await, new_mblock(&pool).await];
        write(&pool, id, 2, PAGE).await.expect("it fits");
        world.script.fail(|op| op.is_write());
        for id in [id, gone] {
            assert_eq!(kind(pool.mblock_commit(id).await), Kind::Io);
        }
        assert_eq!(kind(pool.mblock_delete(before).await), Kind::Io);
        assert_eq!(world.told("is suspect"), 1);
        let zones = pool.usage().space.used_bytes;
        pool.mblock_abort(gone).await.expect("it is uncommitted");
        world.settle().await;
        assert_eq!(pool.usage().space.used_bytes, zones, "its record may be on media");
        assert_eq!(read(&pool, before, 0, PAGE).await.expect("reads go on"), [1; PAGE]);
        world.script.heal();
        world.host.sleep(Nanos(60 * SECOND.0)).await;
        assert_eq!((world.told("takes writes again"), pool.faults()), (1, vec![]));
        assert_eq!(pool.usage().space.used_bytes, zones - MIB);
        pool.mblock_commit(id).await.expect("the disk works again");
        (before, id)
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(ids(&pool), [before, id]);
        assert_eq!(read(&pool, id, 0, PAGE).await.expect("it is committed"), [2; PAGE]);
    });
}

/// mpool-115, adapted: a page that cannot be read, and a place that cannot be written, cost what lies on them, and
/// nothing else.
#[test]
fn a_bad_place_costs_what_lies_on_it() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let (bad, good) = (mblock(&pool, 1).await, mblock(&pool, 2).await);
        let log = mlog(&pool).await;
        let zone_of = |id| pool.find(id, Search::Both).expect("it is there").extent().first;
        let (bad_zone, next) = (zone_of(bad), new_mblock(&pool).await);
        let next_zone = zone_of(next);
        world.script.fail(move |op| [bad_zone, next_zone].contains(&(op.at / MIB)));
        assert_eq!(kind(read(&pool, bad, 0, PAGE).await), Kind::Io);
        assert_eq!(kind(write(&pool, next, 3, PAGE).await), Kind::Io);
        pool.mblock_abort(next).await.expect("it fails alone");
        assert_eq!(read(&pool, good, 0, PAGE).await.expect("it can be read"), [2; PAGE]);
        pool.mlog_erase(log, 0).await.expect("it is elsewhere");
        mblock(&pool, 4).await;
        assert_eq!((pool.faults(), pool.status()), (vec![], PoolStatus::Optimal));
        pool.mblock_delete(bad).await.expect("its record is elsewhere");
    });
}

/// A container one log of which cannot be written any more goes on in the other; when neither can, other containers and
/// the drive go on.
#[test]
fn a_container_that_cannot_be_written_fails_alone() {
    Computer::new(60).live(|world| async move {
        let pool = world.create(2).await;
        let (one, two) = (mblock(&pool, 1).await, mblock(&pool, 2).await);
        assert_ne!(one.slot(), two.slot(), "they take turns");
        let first = log_zone(&world, &pool, one.slot()).await;
        world.script.fail(move |op| op.is_write() && op.at / MIB == first);
        pool.mblock_delete(one).await.expect("the other log takes it");
        assert_eq!(pool.faults(), Vec::<String>::new());
        let second = log_zone(&world, &pool, one.slot()).await;
        assert_ne!(first, second);
        world.script.fail(move |op| op.is_write() && [first, second].contains(&(op.at / MIB)));
        let fresh = fresh_in(&pool, one.slot()).await;
        assert_eq!(kind(pool.mblock_commit(fresh).await), Kind::Io);
        assert_eq!((pool.faults().len(), pool.status(), world.told("is suspect")), (1, PoolStatus::Faulted, 0));
        for _ in 0..8 {
            let id = new_mblock(&pool).await;
            assert_eq!(id.slot(), two.slot(), "new objects go elsewhere");
            pool.mblock_commit(id).await.expect("its container is well");
        }
        world.script.heal();
        world.host.sleep(Nanos(60 * SECOND.0)).await;
        pool.mblock_commit(fresh).await.expect("it is tried again by itself");
    });
}

/// A new mblock in a container.
async fn fresh_in(pool: &Pool, slot: Slot) -> ObjectId {
    loop {
        let id = new_mblock(pool).await;
        if id.slot() == slot {
            return id;
        }
        pool.mblock_abort(id).await.expect("it is new");
    }
}

/// mpool-36, adapted: a log whose erasure cannot be recorded takes no records before it is erased again, or it is certain
/// that the erasure does not count.
#[test]
fn a_log_whose_erasure_failed_takes_no_records() {
    let mut computer = Computer::new(40);
    let id = computer.live(|world| async move {
        let pool = world.create(1).await;
        let id = mlog(&pool).await;
        let handle = open_log(&pool, id).await;
        handle.log().append(b"kept", true).await.expect("a good disk");
        let zone = pool.find(id, Search::Both).expect("it is there").extent().first;
        world.script.fail(move |op| op.is_write() && op.at / MIB != zone);
        assert_eq!(kind(pool.mlog_erase(id, 0).await), Kind::Io);
        assert_eq!(kind(handle.log().append(b"lost", true).await), Kind::Io);
        world.script.heal();
        world.host.sleep(Nanos(60 * SECOND.0)).await;
        handle.log().append(b"also kept", true).await.expect("it is certain again");
        handle.close().await.expect("a good disk");
        id
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        let handle = open_log(&pool, id).await;
        for expected in [b"kept".to_vec(), b"also kept".to_vec()] {
            assert_eq!(handle.log().next_vec(100).await.expect("a good disk"), Some(expected));
        }
    });
}

/// Fills the container until one more change is refused or a compaction has been tried.
async fn change_until(world: &World, pool: &Pool, told: &str) -> Result<ObjectId, mpool::PoolError> {
    for _ in 0..400 {
        let id = new_mblock(pool).await;
        pool.mblock_commit(id).await?;
        if world.told(told) > 0 {
            return Ok(id);
        }
        pool.mblock_delete(id).await?;
    }
    panic!("400 mblocks and no compaction");
}

/// mpool-103: four attempts to compact a container fail, the fifth succeeds, and nobody notices.
#[test]
fn a_compaction_is_tried_five_times() {
    let mut computer = Computer::with_short_logs(96);
    computer.tunables.set_no_alloc_mdcs(0);
    let kept = computer.live(|world| async move {
        let pool = world.create(1).await;
        let mut kept = vec![mblock(&pool, 1).await];
        // By now the log has all the memory that it needs.
        log_zone(&world, &pool, Slot(1)).await;
        world.script.no_memory.set(4);
        kept.push(
            change_until(&world, &pool, "compaction of MDC1 failed, attempt 4").await.expect("the fifth succeeds"),
        );
        assert_eq!((world.told("compaction of MDC1 failed"), world.told("out of use")), (4, 0));
        assert_eq!(world.script.no_memory.get(), 0);
        kept.push(empty_mblock(&pool).await);
        kept
    });
    computer.live(move |world| async move { assert_eq!(ids(&*world.activate(1).await), kept) });
}

/// mpool-103, adapted: after five attempts the container is in doubt: changes fail while it cannot be written anew, reads
/// do not, and the old log has everything. Then it goes on by itself.
#[test]
fn a_compaction_is_given_up_after_five_attempts() {
    let mut computer = Computer::with_short_logs(96);
    computer.tunables.set_no_alloc_mdcs(0);
    let (id, committed) = computer.live(|world| async move {
        let pool = world.create(1).await;
        let id = mblock(&pool, 1).await;
        log_zone(&world, &pool, Slot(1)).await;
        world.script.no_memory.set(5);
        assert_eq!(kind(change_until(&world, &pool, "nothing").await), Kind::NoMemory);
        assert_eq!((world.told("compaction of MDC1 failed"), world.told("MDC1 takes no changes")), (5, 1));
        let fresh = new_mblock(&pool).await;
        world.script.no_memory.set(1);
        assert_eq!(kind(pool.mblock_commit(fresh).await), Kind::NoMemory);
        pool.mblock_abort(fresh).await.expect("it was never committed");
        assert_eq!(read(&pool, id, 0, PAGE).await.expect("it is committed"), [1; PAGE]);
        world.host.sleep(SECOND).await;
        assert_eq!(world.told("MDC1 has been written anew"), 1);
        pool.mblock_delete(id).await.expect("the container is in use again");
        (id, ids_in(&pool, Search::Committed))
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(ids(&pool), committed);
        assert!(!committed.contains(&id));
    });
}

/// The pool's objects in one state.
fn ids_in(pool: &Pool, search: Search) -> Vec<ObjectId> {
    ids(pool).into_iter().filter(|id| pool.find(*id, search).is_ok()).collect()
}

/// mpool-103, partly: a compaction into a log that cannot be written leaves the old log as it is.
#[test]
fn a_compaction_that_cannot_be_written_leaves_the_old_log() {
    let mut computer = Computer::with_short_logs(96);
    computer.tunables.set_no_alloc_mdcs(0);
    let id = computer.live(|world| async move {
        let pool = world.create(1).await;
        let id = mblock(&pool, 1).await;
        let zone = log_zone(&world, &pool, Slot(1)).await;
        world.script.fail(move |op| op.is_write() && op.at / MIB != zone);
        assert_eq!(kind(change_until(&world, &pool, "nothing").await), Kind::Io);
        assert_eq!(world.told("MDC1 takes no changes"), 1);
        id
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(ids(&pool)[0], id);
        assert_eq!(read(&pool, id, 0, PAGE).await.expect("it is committed"), [1; PAGE]);
    });
}
