// SPDX-License-Identifier: BSD-3-Clause

//! Metadata containers: compaction when they are full, their number, and how they are loaded.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mpool::lock::ordered;
use mpool::params::{LayoutWish, ParamChanges};
use mpool::testing::{plain_disk, Op, What};
use mpool::tunables::KeptTunable;
use mpool::{Kind, Pool, Search, Slot};

use super::world::{
    empty_mblock, ids, kind, mblock, new_mblock, read, small_layout, Computer, World, CAPACITY, MIB, PAGE,
};

/// Zone of the log that a container's records go to just now.
pub async fn log_zone(world: &World, pool: &Pool, slot: Slot) -> u64 {
    loop {
        let id = new_mblock(pool).await;
        world.script.forget();
        pool.mblock_commit(id).await.expect("the disk works");
        pool.mblock_delete(id).await.expect("nobody uses it");
        if id.slot() == slot {
            let ops = world.script.begun.borrow();
            break ops.iter().find(|op| op.is_write()).expect("commits write").at / MIB;
        }
    }
}

/// mpool-99, mpool-80: with logs that hold 250 records, 3000 records are written and none fails; what is left is what
/// was alive, in the next life too.
#[test]
fn a_full_container_is_compacted_by_the_commit_that_finds_it_full() {
    let mut computer = Computer::with_short_logs(96);
    computer.tunables.set_no_alloc_mdcs(0);
    let kept = computer.live(|world| async move {
        let pool = world.create(1).await;
        let mut kept = Vec::new();
        for round in 0..1500_u32 {
            let id = empty_mblock(&pool).await;
            if round % 50 == 0 {
                kept.push(mblock(&pool, round as u8).await);
            }
            pool.mblock_delete(id).await.expect("nobody uses it");
        }
        // The pair has two logs of 1 MiB, each record takes a block: without compactions it had been full long ago.
        assert!(world.script.count(Op::is_write) as u64 * PAGE as u64 > 10 * MIB);
        assert_eq!(world.told("failed"), 0);
        assert_eq!(ids(&pool), kept);
        kept
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(ids(&pool), kept);
        for (id, round) in kept.into_iter().zip((0..1500_u32).step_by(50)) {
            assert_eq!(read(&pool, id, 0, PAGE).await.expect("it is committed"), [round as u8; PAGE]);
        }
    });
}

/// mpool-99, mpool-80: MDC0 is compacted when it is full, by which its superblock is rewritten.
#[test]
fn mdc0_is_compacted_when_it_is_full() {
    let mut computer = Computer::with_short_logs(40);
    let usage = computer.live(|world| async move {
        let pool = world.create(1).await;
        world.script.forget();
        for number in 0..700 {
            let changes = ParamChanges { label: Some(format!("label-{number}")), ..ParamChanges::default() };
            world.registry.set_params("p", &changes).await.expect("the disk works");
        }
        let superblocks = world.script.count(|op| op.is_write() && op.touches(0, 4096));
        assert_eq!(superblocks, 2, "one for each time that MDC0 was full");
        pool.usage()
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(world.registry.get_params("p").expect("it is active").label, "label-699");
        assert_eq!((pool.usage(), pool.container_count()), (usage, 2));
    });
}

/// mpool-105: while a container is compacted its objects are read and found; who wants to change them waits.
#[test]
fn reads_go_on_during_a_compaction() {
    let mut computer = Computer::with_short_logs(96);
    computer.tunables.set_no_alloc_mdcs(0);
    computer.live(|world| async move {
        let pool = world.create(1).await;
        let id = mblock(&pool, 3).await;
        let zone = log_zone(&world, &pool, Slot(1)).await;
        world.script.hold(move |op| op.is_write() && op.at / MIB != zone);
        let done = Rc::new(Cell::new(0));
        let change = async {
            for _ in 0..200 {
                let id = empty_mblock(&pool).await;
                pool.mblock_delete(id).await.expect("nobody uses it");
                done.set(done.get() + 1);
            }
        };
        let look = async {
            world.settle().await;
            let before = done.get();
            assert_eq!(world.script.held(), 1, "the compaction has begun to write");
            for _ in 0..20 {
                assert_eq!(read(&pool, id, 0, PAGE).await.expect("it is committed"), [3; PAGE]);
                assert!(pool.find(id, Search::Committed).is_ok() && pool.mblock_props(id).is_ok());
            }
            assert_eq!(done.get(), before);
            world.script.release();
        };
        futures::join!(ordered(change), ordered(look));
        assert_eq!(done.get(), 200);
    });
}

/// A compaction that nobody waits for any more is given up: what is committed afterwards is durable.
#[test]
fn a_compaction_that_is_given_up_loses_nothing() {
    let mut computer = Computer::with_short_logs(400);
    computer.tunables.set_no_alloc_mdcs(0);
    let kept = computer.live(|world| async move {
        let pool = world.create(1).await;
        let zone = log_zone(&world, &pool, Slot(1)).await;
        let mut kept = Vec::new();
        // It waits for its end marker, whose write is the second one into the new log.
        let writes = Rc::new(Cell::new(0));
        let count = Rc::clone(&writes);
        world.script.hold(move |op| {
            let other = op.is_write() && op.at / MIB != zone;
            count.set(count.get() + u32::from(other));
            other && count.get() > 1
        });
        loop {
            let id = new_mblock(&pool).await;
            let mut commit = Box::pin(ordered(pool.mblock_commit(id)));
            let late = Box::pin(world.settle());
            match futures::future::select(&mut commit, late).await {
                futures::future::Either::Left((outcome, _)) => outcome.expect("the disk works"),
                futures::future::Either::Right(_) => break drop(commit),
            }
            kept.push(id);
        }
        assert!(world.script.held() == 1 && kept.len() > 200, "{} {}", world.script.held(), kept.len());
        world.script.release();
        world.settle().await;
        for _ in 0..3 {
            kept.push(empty_mblock(&pool).await);
        }
        kept
    });
    computer.live(move |world| async move {
        assert_eq!(ids(&*world.activate(1).await), kept);
    });
}

/// mpool-98: a container that was being made when the power was cut is there or not, never half; the next activation
/// makes what is missing.
#[test]
fn half_a_container_is_removed() {
    let mut computer = Computer::new(64);
    let usage = computer.live(|world| async move { world.create(1).await.usage().space });
    let [begin, end] = [1, 2].map(|containers| {
        computer.clone().live(move |world| async move {
            world.activate(containers).await;
            world.next_operation()
        })
    });
    let mut counts = [0; 4];
    let mut halves = 0;
    for moment in Computer::moments(begin - 1..end) {
        let mut computer = computer.clone();
        computer.cut = Some(moment);
        computer.try_live(|world| async move { drop(world.try_activate(2).await) });
        let (count, half) = computer.live(move |world| async move {
            let pool = world.activate(1).await;
            world.settle().await;
            let used = (pool.usage().space.used_bytes - usage.used_bytes) / MIB;
            assert_eq!(used, 2 * (pool.container_count() as u64 - 2), "logs of no container keep no zones");
            (pool.container_count(), world.told("was not finished"))
        });
        counts[count] += 1;
        halves += half;
        computer.live(|world| async move { assert_eq!(world.activate(2).await.container_count(), 3) });
    }
    assert!(counts[2] > 5 && counts[3] > 5 && halves > 0, "{counts:?} {halves}");
}

/// mpool-97: as many containers are loaded at a time as there are jobs.
#[test]
fn containers_are_loaded_by_several_jobs() {
    let mut computer = Computer::new(96);
    let all = computer.live(|world| async move {
        let pool = world.create(16).await;
        for byte in 0..40 {
            mblock(&pool, byte).await;
        }
        ids(&pool)
    });
    for jobs in [1, 3, 8, 255] {
        computer.tunables.set_load_jobs(jobs);
        let all = all.clone();
        computer.clone().live(move |world| async move {
            let pool = world.activate(16).await;
            assert_eq!(ids(&pool), all);
            assert_eq!(world.script.most_in_flight.get(), jobs.min(16) as usize);
        });
    }
}

/// mpool-97: the first container that cannot be loaded stops the others that have not begun.
#[test]
fn the_first_failure_stops_loading() {
    let mut computer = Computer::new(96);
    let zone = computer.live(|world| async move {
        let pool = world.create(16).await;
        // The first containers are left out until the clock's first compaction.
        log_zone(&world, &pool, Slot(5)).await
    });
    let reads_of = |computer: &Computer, jobs, expected: Option<Kind>| {
        let mut computer = computer.clone();
        computer.tunables.set_load_jobs(jobs);
        computer.live(move |world| async move {
            let outcome = world.try_activate(16).await;
            assert_eq!(outcome.as_ref().err().map(|error| error.kind()), expected, "{outcome:?}");
            assert!(outcome.map_or_else(|error| error.to_string().contains("MDC5"), |_| true));
            world.script.count(|op| op.what == What::Read)
        })
    };
    let whole = reads_of(&computer, 1, None);
    let at = zone * MIB + 100;
    let mut sector = computer.image.bytes(at / 512 * 512, 512);
    sector[100] ^= 1;
    computer.image.write(at / 512 * 512, &sector);
    let [one, three] = [1, 3].map(|jobs| reads_of(&computer, jobs, Some(Kind::CorruptLog)));
    assert!(one <= three && three < whole * 2 / 3, "{one}, {three} and {whole} reads");
}

/// Objects that are committed together cost a write and a flush for each container, however many they are; those that are
/// committed already are passed over, and an mblock is refused.
#[test]
fn many_objects_are_committed_with_one_write_a_container() {
    let mut disk = plain_disk("disk", 400 * MIB, 512);
    disk.volatile_cache = true;
    let mut computer = Computer::with_disk(disk);
    let committed = computer.live(|world| async move {
        let pool = world.create(3).await;
        let mut made = Vec::new();
        for _ in 0..200 {
            made.push(pool.slab_alloc(CAPACITY, 1, false).await.expect("there is room").id);
        }
        made.push(pool.mlog_alloc(CAPACITY, 0, false).await.expect("there is room").id);
        pool.slab_commit(made[7]).await.expect("a good disk");
        let mblock = new_mblock(&pool).await;
        assert_eq!(kind(pool.commit_together(&[made[0], mblock]).await), Kind::Invalid);
        world.script.forget();
        pool.commit_together(&made).await.expect("a good disk");
        let flushes = world.script.begun.borrow().iter().filter(|op| op.what == What::Flush).count();
        assert_eq!(flushes, 1 + 3, "one for the objects' content, one for each container");
        pool.commit_together(&made).await.expect("nothing is to be done");
        made.sort();
        made
    });
    computer.live(move |world| async move {
        let mut there = ids(&*world.activate(3).await);
        there.sort();
        assert_eq!(there, committed);
    });
}

/// Objects that are deleted together cost a write and a flush for each container, and none is deleted while one is in use.
#[test]
fn many_objects_are_deleted_with_one_write_a_container() {
    let mut disk = plain_disk("disk", 400 * MIB, 512);
    disk.volatile_cache = true;
    let mut computer = Computer::with_disk(disk);
    let kept = computer.live(|world| async move {
        let pool = world.create(3).await;
        let mut made = Vec::new();
        for _ in 0..200 {
            made.push(pool.slab_alloc(CAPACITY, 1, false).await.expect("there is room").id);
        }
        pool.commit_together(&made).await.expect("a good disk");
        let (kept, doomed) = (made.split_off(199)[0], made);
        let open = pool.slab_open(doomed[9]).await.expect("it is there");
        assert_eq!(kind(pool.delete_together(&doomed[9..10]).await), Kind::Busy);
        drop(open);
        world.script.forget();
        pool.delete_together(&doomed).await.expect("a good disk");
        let flushes = world.script.begun.borrow().iter().filter(|op| op.what == What::Flush).count();
        assert_eq!(flushes, 3, "one for each container");
        assert_eq!(kind(pool.delete_together(&doomed).await), Kind::NotFound);
        kept
    });
    computer.live(move |world| async move { assert_eq!(ids(&*world.activate(3).await), [kept]) });
}

/// The containers are closed in an order in which the last compaction of one can still be recorded: MDC0 last. What an activation reads
/// afterwards is what is alive.
#[test]
fn what_is_garbage_at_the_end_is_compacted_before_mdc0_is_closed() {
    let mut computer = Computer::with_disk(plain_disk("disk", 120 * MIB, 4096));
    // So much garbage would not wait for the end.
    computer.tunables.set_no_alloc_mdcs(0);
    computer.live(|world| async move {
        let layout = LayoutWish { mdc_log_mib: Some(4), ..small_layout(2) };
        let pool = world.create_as(layout).await;
        for _ in 0..500 {
            let id = empty_mblock(&pool).await;
            pool.mblock_delete(id).await.expect("nobody uses it");
        }
        drop(pool);
        let tunables = BTreeMap::from([(KeptTunable::named("no_alloc_mdcs").expect("it is one"), 2)]);
        let changes = ParamChanges { tunables, ..ParamChanges::default() };
        world.registry.set_params("p", &changes).await.expect("the disk works");
        world.registry.deactivate("p").await.expect("nobody uses it");
        assert_eq!(world.told("failed"), 0);
    });
    computer.live(|world| async move {
        world.activate(2).await;
        let read: u64 = world.script.begun.borrow().iter().filter(|op| op.what == What::Read).map(|op| op.bytes).sum();
        // The first piece of each of six logs is a MiB.
        assert!(read < 7 * MIB, "{read} bytes are read for a pool without objects");
    });
}
