// SPDX-License-Identifier: BSD-3-Clause

//! What fails and can be tried again, and what is out of use afterwards (mpool.md 2.5, 6.6).

use engine::pool::{Kind, ObjectId, Pool, Search, Slot};
use tests::pool_sim::life::plain_disk;

use super::containers::log_zone;
use super::script::What;
use super::world::{empty_mblock, ids, kind, mblock, new_mblock, read, write, Computer, World, MIB, PAGE};

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

/// mpool-38: a commit whose record cannot be written is not repeated in this life: whether it is on media is not known.
/// In the next life the mblock is there as a whole, or it is not.
#[test]
fn a_commit_whose_record_fails_is_decided_by_the_next_life() {
    let mut computer = Computer::new(40);
    let (before, id) = computer.live(|world| async move {
        let pool = world.create(1).await;
        let before = mblock(&pool, 1).await;
        let id = new_mblock(&pool).await;
        write(&pool, id, 2, PAGE).await.expect("it fits");
        world.script.fail(|op| op.is_write());
        assert_eq!(kind(pool.mblock_commit(id).await), Kind::Io);
        world.script.heal();
        assert_eq!(kind(pool.mblock_commit(id).await), Kind::Io, "the drive is offline");
        (before, id)
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(ids(&pool), [before]);
        assert!(pool.find(id, Search::Both).is_err());
    });
}

/// Fills the container until one more change is refused or a compaction has been tried.
async fn change_until(world: &World, pool: &Pool, told: &str) -> Result<ObjectId, engine::pool::PoolError> {
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

/// mpool-103: after five attempts the container is out of use: changes fail, reads do not, and the old log has
/// everything.
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
        assert_eq!((world.told("compaction of MDC1 failed"), world.told("MDC1 is out of use")), (5, 1));
        let fresh = new_mblock(&pool).await;
        assert_eq!(kind(pool.mblock_commit(fresh).await), Kind::Io);
        pool.mblock_abort(fresh).await.expect("it was never committed");
        let committed = ids_in(&pool, Search::Committed);
        for id in &committed {
            assert_eq!(kind(pool.mblock_delete(*id).await), Kind::Io);
        }
        assert_eq!(read(&pool, id, 0, PAGE).await.expect("it is committed"), [1; PAGE]);
        (id, committed)
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(ids(&pool), committed);
        assert_eq!(read(&pool, id, 0, PAGE).await.expect("it is committed"), [1; PAGE]);
        pool.mblock_delete(id).await.expect("the container is in use again");
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
        assert_eq!(world.told("MDC1 is out of use"), 1);
        id
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(ids(&pool)[0], id);
        assert_eq!(read(&pool, id, 0, PAGE).await.expect("it is committed"), [1; PAGE]);
    });
}
