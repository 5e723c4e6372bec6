// SPDX-License-Identifier: BSD-3-Clause

//! Logs by id: their life, erasure, properties, raw transfers; the root MDC.

use mpool::mdc::MdcFlags;
use mpool::testing::{Op, What};
use mpool::{Kind, MlogProps, ObjectId};

use super::world::{extent, filled, ids, kind, mlog, open_log, records, Computer, CAPACITY, MIB, PAGE};

/// mpool-51, mpool-76: the life of a log, and its properties after each step.
#[test]
fn a_log_lives_as_its_properties_say() {
    let mut computer = Computer::new(64);
    let props = computer.live(|world| async move {
        let pool = world.create(1).await;
        let fresh = pool.mlog_alloc(CAPACITY, 2 * MIB + 1, false).await.expect("there is room");
        let expected = MlogProps {
            id: fresh.id,
            uuid: fresh.uuid,
            class: CAPACITY,
            capacity_bytes: 3 * MIB,
            generation: 0,
            committed: false,
            zones: 3,
            sector_bytes: 512,
            sectors: 6144,
            open: false,
        };
        assert_eq!(fresh, expected);
        assert_eq!(kind(pool.mlog_open(fresh.id, Default::default()).await), Kind::Invalid);
        assert_eq!(kind(pool.mlog_erase(fresh.id, 0).await), Kind::Invalid);
        assert_eq!(kind(pool.mlog_delete(fresh.id).await), Kind::NotFound);
        pool.mlog_commit(fresh.id).await.expect("the disk works");
        pool.mlog_commit(fresh.id).await.expect("again does nothing");
        let expected = MlogProps { committed: true, ..expected };
        assert_eq!(pool.mlog_props(fresh.id), Ok(expected));
        assert_eq!(kind(pool.mlog_abort(fresh.id).await), Kind::NotFound);
        let log = open_log(&pool, fresh.id).await;
        assert_eq!(pool.mlog_props(fresh.id), Ok(MlogProps { open: true, ..expected }));
        log.log().append(b"record", true).await.expect("there is room");
        log.close().await.expect("the disk works");
        assert_eq!(pool.mlog_erase(fresh.id, 7).await, Ok(7));
        let expected = MlogProps { generation: 7, ..expected };
        assert_eq!(pool.mlog_props(fresh.id), Ok(expected));
        expected
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(pool.mlog_props(props.id), Ok(props));
        pool.mlog_delete(props.id).await.expect("nobody uses it");
        assert_eq!(kind(pool.mlog_props(props.id)), Kind::NotFound);
        let fresh = pool.mlog_alloc(CAPACITY, 0, false).await.expect("there is room");
        assert_eq!((fresh.zones, fresh.uuid == props.uuid), (1, false));
        pool.mlog_abort(fresh.id).await.expect("nobody uses it");
        assert_eq!(kind(pool.mlog_commit(fresh.id).await), Kind::NotFound);
    });
}

/// mpool-51: the zones of a new log are discarded before it is handed out; without that there is no log.
#[test]
fn a_new_log_is_discarded_first() {
    Computer::new(64).live(|world| async move {
        let pool = world.create(1).await;
        world.script.forget();
        let id = pool.mlog_alloc(CAPACITY, 0, false).await.expect("there is room").id;
        let at = extent(&pool, id).first * MIB;
        assert_eq!(world.script.count(|op| *op == Op { what: What::Discard, at, bytes: MIB }), 1);
        let usage = pool.usage();
        world.script.fail(|op| op.what == What::Discard);
        assert_eq!(kind(pool.mlog_alloc(CAPACITY, 0, false).await), Kind::Io);
        world.settle().await;
        assert_eq!(pool.usage(), usage);
    });
}

/// mpool-72: an erased log has at least the generation that was asked for, and a larger one than before in any case.
#[test]
fn erasures_raise_the_generation() {
    Computer::new(64).live(|world| async move {
        let pool = world.create(1).await;
        let id = mlog(&pool).await;
        let log = open_log(&pool, id).await;
        for (least, expected) in [(0, 1), (10, 10), (10, 11), (3, 12), (13, 13)] {
            log.log().append(b"record", true).await.expect("there is room");
            assert_eq!(pool.mlog_erase(id, least).await, Ok(expected));
            assert!(log.log().is_empty() && records(log.log()).await.is_empty());
            assert_eq!(
                (log.log().generation(), pool.mlog_props(id).expect("it is there").generation),
                (expected, expected)
            );
        }
        assert_eq!(pool.mlog_erase(id, u64::MAX).await, Ok(u64::MAX));
        assert_eq!(kind(pool.mlog_erase(id, 0).await), Kind::Invalid, "there is no larger one");
    });
}

/// mpool-73: a log is empty after its erasure whatever becomes of the discard, in this life and the next.
#[test]
fn erasing_does_not_need_the_discard() {
    let mut computer = Computer::new(64);
    let id = computer.live(|world| async move {
        let pool = world.create(1).await;
        let id = mlog(&pool).await;
        let log = open_log(&pool, id).await;
        log.log().append(b"before", true).await.expect("there is room");
        world.script.fail(|op| op.what == What::Discard);
        assert_eq!(pool.mlog_erase(id, 0).await, Ok(1));
        assert_eq!(pool.mlog_erase(id, 0).await, Ok(2), "it can be repeated");
        assert!(log.log().is_empty());
        log.log().append(b"after", true).await.expect("the drive is still online");
        id
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(records(open_log(&pool, id).await.log()).await, [b"after"]);
        world.script.fail(|op| op.what == What::Discard);
        pool.mlog_erase(id, 0).await.expect("the disk works");
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert!(open_log(&pool, id).await.log().is_empty());
    });
}

/// mpool-77: raw transfers go to the log's own bytes, durably, and nowhere else.
#[test]
fn raw_transfers_stay_within_the_log() {
    let mut computer = Computer::new(64);
    let id = computer.live(|world| async move {
        let pool = world.create(1).await;
        let id = pool.mlog_alloc(CAPACITY, 2 * MIB, false).await.expect("there is room").id;
        let write = async |offset, bytes| pool.mlog_write_raw(id, offset, filled(5, bytes), 0..bytes).await.1;
        let read = async |offset, bytes| pool.mlog_read_raw(id, offset, filled(0, bytes), 0..bytes).await.1;
        assert_eq!(kind(write(0, PAGE).await), Kind::NotFound, "not committed");
        pool.mlog_commit(id).await.expect("the disk works");
        world.script.forget();
        let page = PAGE as u64;
        write(page, PAGE).await.expect("inside");
        write(2 * MIB - page, PAGE).await.expect("the last page");
        let at = extent(&pool, id).first * MIB;
        let written: Vec<_> = world.script.begun.borrow().iter().map(|op| op.at - at).collect();
        assert_eq!(written, [page, 2 * MIB - page]);
        let outside = [(2 * MIB, PAGE), (2 * MIB - page, 2 * PAGE), (u64::MAX - page + 1, PAGE), (100, PAGE), (0, 100)];
        for (offset, bytes) in outside {
            assert_eq!(kind(write(offset, bytes).await), Kind::Invalid, "{bytes} bytes at {offset}");
            assert_eq!(kind(read(offset, bytes).await), Kind::Invalid, "{bytes} bytes at {offset}");
        }
        let handle = world.open();
        assert_eq!(kind(handle.mlog_write_raw(id, 0, filled(0, 512), 0..512).await.1), Kind::Invalid, "no whole page");
        assert_eq!(world.script.begun.borrow().len(), 2, "nothing of that was sent to the disk");
        let log = open_log(&pool, id).await;
        assert_eq!(kind(write(0, PAGE).await), Kind::Busy, "its framer would not know");
        log.close().await.expect("the disk works");
        id
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        let (buf, outcome) = pool.mlog_read_raw(id, 4096, filled(0, PAGE), 0..PAGE).await;
        outcome.expect("inside");
        assert_eq!((*buf).as_ref(), [5; PAGE]);
    });
}

/// mpool-84: the root MDC has its fixed ids and works as any other; a log of it that is missing is made again.
#[test]
fn the_root_mdc_is_completed() {
    let mut computer = Computer::new(64);
    let uuid = computer.live(|world| async move {
        let pool = world.create(1).await;
        assert_eq!(pool.root_mdc().map(|id| id.0), [0x201, 0x1201]);
        let root = pool.mdc_open(pool.root_mdc(), MdcFlags::default()).await.expect("it is there");
        root.append(b"configuration", true).await.expect("there is room");
        root.close().await.expect("the disk works");
        drop(root);
        pool.mlog_delete(ObjectId::ROOT_LOGS[1]).await.expect("nobody uses it");
        assert_eq!(kind(pool.mdc_open(pool.root_mdc(), MdcFlags::default()).await), Kind::NotFound);
        pool.mlog_props(ObjectId::ROOT_LOGS[0]).expect("it is there").uuid
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        let props = ObjectId::ROOT_LOGS.map(|id| pool.mlog_props(id).expect("it is there"));
        assert!(props[0].uuid == uuid && props[1].uuid != uuid && props[1].committed, "{props:?}");
        assert_eq!(ids(&pool), []);
        let root = pool.mdc_open(pool.root_mdc(), MdcFlags::default()).await.expect("it is there");
        root.rewind().await.expect("it is open");
        assert_eq!(root.next_vec(100).await.expect("the disk works").as_deref(), Some(&b"configuration"[..]));
        root.cstart().await.expect("the other log is empty");
        root.append(b"smaller", false).await.expect("there is room");
        root.cend().await.expect("the disk works");
        root.close().await.expect("the disk works");
    });
}

/// Its logs cannot be deleted while an MDC is open, and are closed when it is dropped.
#[test]
fn an_mdc_that_is_dropped_is_closed() {
    let mut computer = Computer::new(64);
    computer.live(|world| async move {
        let pool = world.create(1).await;
        let pair = [mlog(&pool).await, mlog(&pool).await];
        let mdc = pool.mdc_open(pair, MdcFlags::default()).await.expect("both are there");
        mdc.append(b"not waited for", false).await.expect("there is room");
        assert_eq!(kind(pool.mlog_delete(pair[0]).await), Kind::Busy);
        drop(mdc);
        world.settle().await;
        assert!(pair.iter().all(|id| !pool.mlog_props(*id).expect("it is there").open));
        let mdc = pool.mdc_open(pair, MdcFlags::default()).await.expect("both are there");
        mdc.rewind().await.expect("it is open");
        assert_eq!(mdc.next_vec(100).await.expect("the disk works").as_deref(), Some(&b"not waited for"[..]));
    });
}
