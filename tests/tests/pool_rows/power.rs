// SPDX-License-Identifier: BSD-3-Clause

//! Power cuts at every moment of an operation on an object. The disk has a volatile cache, of which a
//! cut leaves anything, or nothing.

use std::cell::Cell;
use std::rc::Rc;

use mpool::testing::{plain_disk, Op, What};
use mpool::{Kind, Pool, Search};

use super::world::{
    extent, filled, ids, kind, mblock, mlog, new_mblock, open_log, read, records, write, Computer, World, CAPACITY,
    MIB, PAGE,
};

/// A computer whose disk forgets what was not flushed, with a pool on it.
fn forgetful() -> Computer {
    let mut disk = plain_disk("disk", 40 * MIB, 512);
    disk.volatile_cache = true;
    let mut computer = Computer::with_disk(disk);
    computer.live(|world| async move { drop(world.create(1).await) });
    computer
}

/// Cuts the power at every moment of `body` and a while longer. Calls `check` in the life after that, with what `body`
/// returned if it ended. Returns how often it ended.
fn cut_everywhere<T, B, C>(computer: &Computer, body: B, check: C) -> u32
where
    T: 'static,
    B: AsyncFn(&World, &Rc<Pool>) -> T + Copy + 'static,
    C: AsyncFn(&Rc<Pool>, Option<T>) + Copy + 'static,
{
    let life = move |computer: &mut Computer| {
        let (operations, result) = (Rc::new(Cell::new((0, 0))), Rc::new(Cell::new(None)));
        let (begun, returned) = (Rc::clone(&operations), Rc::clone(&result));
        computer.try_live(move |world| async move {
            let pool = world.activate(1).await;
            let begin = world.next_operation();
            returned.set(Some(body(&world, &pool).await));
            let after = pool.mlog_read_raw(pool.root_mdc()[0], 0, filled(0, PAGE), 0..PAGE).await;
            after.1.expect("the disk works");
            begun.set((begin, world.next_operation()));
        });
        (operations.get(), result.take())
    };
    let ((begin, end), _) = life(&mut computer.clone());
    assert!(end > begin + 2);
    let mut ended = 0;
    for moment in Computer::moments(begin..end) {
        let mut computer = computer.clone();
        computer.cut = Some(moment);
        let result = life(&mut computer).1;
        ended += u32::from(result.is_some());
        computer.live(move |world| async move { check(&world.activate(1).await, result).await });
    }
    ended
}

/// mpool-36: the data is flushed before its record is written, and the record is flushed before the call returns.
#[test]
fn data_is_durable_before_its_record() {
    forgetful().live(|world| async move {
        let pool = world.activate(1).await;
        let id = new_mblock(&pool).await;
        world.script.forget();
        write(&pool, id, 1, PAGE).await.expect("it fits");
        pool.mblock_commit(id).await.expect("the disk works");
        let ops = world.script.begun.borrow().clone();
        let whats: Vec<_> = ops.iter().map(|op| op.what).collect();
        assert_eq!(whats, [What::Write, What::Flush, What::Write, What::Flush]);
        let at = extent(&pool, id).first * MIB;
        assert!(ops[0].touches(at, MIB) && !ops[2].touches(at, MIB));
    });
}

/// mpool-36: on a disk that can force single writes nothing is flushed; without a cache there is nothing to force.
#[test]
fn nothing_is_flushed_needlessly() {
    for (volatile_cache, fua, expected) in [(true, true, What::ForcedWrite), (false, false, What::Write)] {
        let mut disk = plain_disk("disk", 40 * MIB, 512);
        (disk.volatile_cache, disk.fua) = (volatile_cache, fua);
        Computer::with_disk(disk).live(move |world| async move {
            let pool = world.create(1).await;
            let id = new_mblock(&pool).await;
            world.script.forget();
            write(&pool, id, 1, PAGE).await.expect("it fits");
            pool.mblock_commit(id).await.expect("the disk works");
            let whats: Vec<_> = world.script.begun.borrow().iter().map(|op: &Op| op.what).collect();
            assert_eq!(whats, [expected; 2]);
        });
    }
}

/// mpool-36: after a cut at any moment an mblock is there with all of its data, or it is not; once its commit has
/// returned it is.
#[test]
fn a_commit_is_atomic_and_durable() {
    let body = async |_: &World, pool: &Rc<Pool>| {
        let id = new_mblock(pool).await;
        write(pool, id, 1, 2 * PAGE).await.expect("it fits");
        write(pool, id, 2, PAGE).await.expect("it fits");
        pool.mblock_commit(id).await.expect("the disk works");
    };
    let check = async |pool: &Rc<Pool>, ended: Option<()>| {
        let ids = ids(pool);
        assert!(ids.len() == 1 || (ids.is_empty() && ended.is_none()));
        for id in ids {
            let expected: Vec<_> = [[1; PAGE], [1; PAGE], [2; PAGE]].concat();
            assert_eq!(read(pool, id, 0, 3 * PAGE).await.expect("it is committed"), expected);
        }
    };
    assert!(cut_everywhere(&forgetful(), body, check) > 0);
}

/// mpool-40: before the record of its deletion is durable an mblock is there, with its data; once the call has
/// returned it is not, and its zone is free even if its discard never ran.
#[test]
fn a_deletion_is_atomic_and_durable() {
    let mut computer = forgetful();
    let usage = computer.live(|world| async move {
        let pool = world.activate(1).await;
        let usage = pool.usage();
        mblock(&pool, 9).await;
        usage
    });
    let body = async |world: &World, pool: &Rc<Pool>| {
        world.script.hold(|op| op.what == What::Discard);
        let id = ids(pool)[0];
        pool.mblock_delete(id).await.expect("nobody uses it");
    };
    let check = async move |pool: &Rc<Pool>, ended: Option<()>| match ids(pool)[..] {
        [id] => {
            assert!(ended.is_none());
            assert_eq!(read(pool, id, 0, PAGE).await.expect("it is committed"), [9; PAGE]);
        }
        _ => assert_eq!(pool.usage(), usage),
    };
    assert!(cut_everywhere(&computer, body, check) > 0);
}

/// mpool-47: what was not committed is gone after a cut, and its zones are free.
#[test]
fn what_is_not_committed_is_lost() {
    let mut computer = forgetful();
    let (usage, lost) = computer.live(|world| async move {
        let pool = world.activate(1).await;
        let usage = pool.usage();
        let mut lost = Vec::new();
        for byte in 0..5 {
            let id = new_mblock(&pool).await;
            write(&pool, id, byte, PAGE).await.expect("it fits");
            lost.push(id);
        }
        lost.push(pool.mlog_alloc(CAPACITY, 0, false).await.expect("there is room").id);
        lost.push(pool.slab_alloc(CAPACITY, 2, false).await.expect("there is room").id);
        world.settle().await;
        (usage, lost)
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!((pool.usage(), ids(&pool)), (usage, vec![]));
        assert!(lost.iter().all(|id| pool.find(*id, Search::Both).is_err()));
    });
}

/// mpool-72: a log is erased or not at any moment; its new generation is logged first, so that it is empty from then
/// on.
#[test]
fn an_erasure_is_atomic_and_durable() {
    let mut computer = forgetful();
    let id = computer.live(|world| async move {
        let pool = world.activate(1).await;
        let id = mlog(&pool).await;
        let log = open_log(&pool, id).await;
        log.log().append(b"one", true).await.expect("there is room");
        log.log().append(b"two", true).await.expect("there is room");
        id
    });
    let body = async move |_: &World, pool: &Rc<Pool>| pool.mlog_erase(id, 10).await.expect("the disk works");
    let check = async move |pool: &Rc<Pool>, ended: Option<u64>| {
        let generation = pool.mlog_props(id).expect("it is there").generation;
        let records = records(open_log(pool, id).await.log()).await;
        match generation {
            0 => assert!(ended.is_none() && records == [b"one", b"two"], "{records:?}"),
            generation => assert!(generation == 10 && records.is_empty(), "{generation} {records:?}"),
        }
    };
    assert!(cut_everywhere(&computer, body, check) > 0);
}

/// mpool-52: a record is there after a cut at any moment once its append has returned, and the ones before it too.
#[test]
fn an_append_is_durable() {
    let mut computer = forgetful();
    let id = computer.live(|world| async move { mlog(&*world.activate(1).await).await });
    let body = async move |_: &World, pool: &Rc<Pool>| {
        let log = open_log(pool, id).await;
        log.log().append(b"one", false).await.expect("there is room");
        log.log().append(b"two", true).await.expect("there is room");
    };
    let check = async move |pool: &Rc<Pool>, ended: Option<()>| {
        let records = records(open_log(pool, id).await.log()).await;
        assert!(ended.is_none() || records.len() == 2, "{records:?}");
        assert_eq!(records[..], [b"one", b"two"][..records.len()]);
    };
    assert!(cut_everywhere(&computer, body, check) > 0);
}

/// mpool-51: a log that is committed is there after a cut, one that is deleted is not.
#[test]
fn logs_come_and_go_as_mblocks_do() {
    let mut computer = forgetful();
    let (kept, gone) = computer.live(|world| async move {
        let pool = world.activate(1).await;
        let (kept, gone) = (mlog(&pool).await, mlog(&pool).await);
        pool.mlog_delete(gone).await.expect("nobody uses it");
        (kept, gone)
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert!(pool.mlog_props(kept).expect("it is there").committed);
        assert_eq!(kind(pool.mlog_props(gone)), Kind::NotFound);
    });
}
