// SPDX-License-Identifier: BSD-3-Clause

//! Mblocks: what may be written, read, committed and taken back, and in which state.

use std::cell::Cell;
use std::rc::Rc;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use mpool::cache::Temperature;
use mpool::lock::ordered;
use mpool::testing::{plain_disk, Op, What};
use mpool::{Kind, MblockProps, ObjectId, ObjectType, Pool, Search, Slot};

use super::world::{
    extent, filled, ids, kind, mblock, mlog, new_mblock, open_log, read, write, Computer, CAPACITY, MIB, PAGE,
};

/// mpool-29: each mblock has one zone, and there are as many as zones for ordinary use; then there is no space.
#[test]
fn mblocks_are_allocated_until_there_is_no_space() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let mut zones = Vec::new();
        let free = pool.class_usage(CAPACITY).expect("it has a drive").space.free_usable_bytes;
        loop {
            match pool.mblock_alloc(CAPACITY, false).await {
                Ok(props) => {
                    assert_eq!((props.capacity_bytes, props.zones), (MIB, 1));
                    zones.push(extent(&pool, props.id).first);
                }
                Err(error) => break assert_eq!(error.kind(), Kind::NoSpace),
            }
        }
        assert_eq!(zones.len() as u64, free / MIB);
        zones.sort_unstable();
        zones.dedup();
        assert_eq!(zones.len() as u64, free / MIB, "no zone is given away twice");
    });
}

/// mpool-31: each write goes behind the one before, and what is read is all of them in a row.
#[test]
fn writes_are_appended() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let id = new_mblock(&pool).await;
        let mut expected = Vec::new();
        for (byte, pages) in [(1, 1), (2, 3), (3, 2)] {
            write(&pool, id, byte, pages * PAGE).await.expect("it fits");
            expected.extend(vec![byte; pages * PAGE]);
            assert_eq!(pool.mblock_props(id).expect("it is there").written_bytes, expected.len() as u64);
        }
        // Only a part of the memory.
        let mut buf = filled(9, 3 * PAGE);
        (*buf).as_mut()[PAGE..2 * PAGE].fill(4);
        pool.mblock_write(id, buf, PAGE..2 * PAGE).await.1.expect("it fits");
        expected.extend([4; PAGE]);
        pool.mblock_commit(id).await.expect("the disk works");
        assert_eq!(read(&pool, id, 0, 7 * PAGE).await.expect("it is committed"), expected);
        let last = extent(&pool, id).first * MIB + 6 * PAGE as u64;
        let ops = |op: &Op| op.is_write() && op.at == last && op.bytes == PAGE as u64;
        assert_eq!(world.script.count(ops), 1, "the last page lies behind the others on the disk");
    });
}

/// mpool-32: only the last write may be no multiple of the optimal size; after it nothing more is written.
#[test]
fn only_the_last_write_is_odd() {
    let mut disk = plain_disk("disk", 40 * MIB, 512);
    disk.optimal_write_bytes = 16384;
    Computer::with_disk(disk).live(|world| async move {
        let pool = world.create(1).await;
        let id = new_mblock(&pool).await;
        assert_eq!(pool.mblock_props(id).expect("it is there").optimal_write_bytes, 16384);
        write(&pool, id, 1, 2 * 16384).await.expect("a multiple");
        write(&pool, id, 2, 16384 + PAGE).await.expect("the last one");
        for pages in [1, 3, 4] {
            assert_eq!(kind(write(&pool, id, 3, pages * PAGE).await), Kind::Invalid);
        }
        assert_eq!(pool.mblock_props(id).expect("it is there").written_bytes, 3 * 16384 + PAGE as u64);
        pool.mblock_commit(id).await.expect("the disk works");
        assert_eq!(read(&pool, id, 3 * 16384, PAGE).await.expect("it is committed"), [2; PAGE]);
    });
}

/// mpool-33: an mblock takes as much as its zone has and not a page more; a refused write leaves its length.
#[test]
fn an_mblock_has_one_zone() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let id = new_mblock(&pool).await;
        assert_eq!(kind(write(&pool, id, 1, MIB as usize + PAGE).await), Kind::Invalid);
        write(&pool, id, 1, MIB as usize - PAGE).await.expect("it fits");
        let before = world.script.begun.borrow().len();
        assert_eq!(kind(write(&pool, id, 2, 2 * PAGE).await), Kind::Invalid);
        assert_eq!(world.script.begun.borrow().len(), before, "nothing is sent to the disk");
        assert_eq!(pool.mblock_props(id).expect("it is there").written_bytes, MIB - PAGE as u64);
        write(&pool, id, 3, PAGE).await.expect("it just fits");
        assert_eq!(kind(write(&pool, id, 4, PAGE).await), Kind::Invalid);
        assert_eq!(pool.mblock_props(id).expect("it is there").written_bytes, MIB);
    });
}

/// mpool-34: writes have one or more whole pages, and through a handle at most the largest transfer.
#[test]
fn writes_have_whole_pages() {
    let mut computer = Computer::new(96);
    computer.tunables.set_io_mib_max(1);
    computer.live(|world| async move {
        let pool = world.create(1).await;
        let id = new_mblock(&pool).await;
        for range in [0..512, 0..0, 0..PAGE + 512, 512..512 + PAGE, 0..3 * PAGE] {
            let outcome = pool.mblock_write(id, filled(1, 2 * PAGE), range.clone()).await.1;
            assert_eq!(kind(outcome), Kind::Invalid, "{range:?}");
        }
        let handle = world.open();
        let bytes = MIB as usize + PAGE;
        let outcome = handle.mblock_write(id, filled(1, bytes), 0..bytes).await.1;
        let error = outcome.expect_err("more than the largest transfer");
        assert!(error.kind() == Kind::Invalid && error.reason().contains("a transfer of"), "{error}");
        assert_eq!(pool.mblock_props(id).expect("it is there").written_bytes, 0);
        handle.mblock_write(id, filled(1, MIB as usize), 0..MIB as usize).await.1.expect("the largest");
    });
}

/// mpool-35: a committed mblock is not written any more, by whatever way.
#[test]
fn a_committed_mblock_is_immutable() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let id = mblock(&pool, 1).await;
        let before = world.script.begun.borrow().len();
        assert_eq!(kind(write(&pool, id, 2, PAGE).await), Kind::Already);
        let handle = world.open();
        assert_eq!(kind(handle.mblock_write(id, filled(2, PAGE), 0..PAGE).await.1), Kind::NotFound);
        assert_eq!(world.script.begun.borrow().len(), before);
        assert_eq!(read(&pool, id, 0, PAGE).await.expect("it is committed"), [1; PAGE]);
    });
}

/// mpool-37: committing again does nothing, also when both come at the same time; there is one record.
#[test]
fn committing_again_does_nothing() {
    let mut computer = Computer::new(40);
    let id = computer.live(|world| async move {
        let pool = world.create(1).await;
        let id = new_mblock(&pool).await;
        write(&pool, id, 7, PAGE).await.expect("it fits");
        let both = join_all((0..2).map(|_| ordered(pool.mblock_commit(id)))).await;
        assert_eq!(both, [Ok(()), Ok(())]);
        let before = world.script.begun.borrow().len();
        pool.mblock_commit(id).await.expect("it is committed");
        assert_eq!(world.script.begun.borrow().len(), before);
        id
    });
    // A second record of its creation would be refused.
    let content = computer.live(move |world| async move { read(&*world.activate(1).await, id, 0, PAGE).await });
    assert_eq!(content.expect("it is committed"), [7; PAGE]);
}

/// mpool-42: while an mblock is mapped, a log or a slab object open, it is not deleted; afterwards it is.
#[test]
fn what_is_in_use_is_not_deleted() {
    Computer::new(64).live(|world| async move {
        let pool = world.create(1).await;
        let maps = pool.maps().expect("there is memory for pages");
        let id = mblock(&pool, 1).await;
        let map = maps.create(&[id], Temperature::Warm).expect("the mblock is committed");
        assert_eq!(kind(pool.mblock_delete(id).await), Kind::Busy);
        maps.destroy(map.offset);
        pool.mblock_delete(id).await.expect("nobody uses it");

        let id = mlog(&pool).await;
        for handle in [open_log(&pool, id).await, open_log(&pool, id).await] {
            assert_eq!(kind(pool.mlog_delete(id).await), Kind::Busy);
            handle.close().await.expect("the disk works");
        }
        pool.mlog_delete(id).await.expect("nobody uses it");

        let id = pool.slab_alloc(CAPACITY, 2, false).await.expect("there is room").id;
        let open = pool.slab_open(id).await.expect("it is there");
        assert_eq!(kind(pool.slab_abort(id).await), Kind::Busy);
        pool.slab_commit(id).await.expect("the disk works");
        assert_eq!(kind(pool.slab_delete(id).await), Kind::Busy);
        drop(open);
        pool.slab_delete(id).await.expect("nobody uses it");
        assert_eq!(ids(&pool), []);
    });
}

/// mpool-42: while it is read an mblock stays as it is: a deletion waits until the read has ended.
#[test]
fn what_is_being_read_is_not_deleted() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let id = mblock(&pool, 1).await;
        world.script.forget();
        world.script.hold(|op| op.what == What::Read);
        let deleted = Cell::new(false);
        let deleting = ordered(async {
            world.settle().await;
            pool.mblock_delete(id).await.expect("nobody uses it any more");
            deleted.set(true);
        });
        let watching = async {
            world.settle().await;
            world.settle().await;
            assert_eq!((world.script.held(), deleted.get()), (1, false));
            assert_eq!(world.script.count(|op| op.what != What::Read), 0, "no record, no discard");
            assert!(pool.find(id, Search::Committed).is_ok());
            world.script.release();
        };
        let (content, (), ()) = futures::join!(ordered(read(&pool, id, 0, PAGE)), deleting, watching);
        assert_eq!(content.expect("it was there"), [1; PAGE]);
        assert!(deleted.get() && pool.find(id, Search::Both).is_err());
    });
}

/// mpool-42: while its deletion is being recorded an mblock cannot be mapped; when recording fails, it can.
#[test]
fn what_is_being_deleted_is_not_mapped() {
    Computer::new(64).live(|world| async move {
        let pool = world.create(1).await;
        let maps = pool.maps().expect("there is memory for pages");
        let id = mblock(&pool, 1).await;
        world.script.hold(Op::is_write);
        let deleting = ordered(pool.mblock_delete(id));
        let mapping = async {
            world.settle().await;
            assert_eq!(world.script.held(), 1, "the record of the deletion");
            assert_eq!(kind(maps.create(&[id], Temperature::Warm)), Kind::NotFound);
            world.script.release();
        };
        futures::join!(deleting, mapping).0.expect("the disk works");
        assert_eq!(kind(maps.create(&[id], Temperature::Warm)), Kind::NotFound);
    });
}

/// mpool-123, adapted: of one mblock, direct reads and reads through a map show the same bytes at the same time, with a cache of
/// which pages are evicted meanwhile; direct reads neither use nor fill it.
#[test]
fn mapped_and_direct_reads_agree_under_load() {
    let mut computer = Computer::new(64);
    computer.tunables.set_cache_mib(1);
    computer.live(|world| async move {
        let pool = world.create(1).await;
        let id = new_mblock(&pool).await;
        let pages = 250;
        for page in 0..pages {
            write(&pool, id, page as u8, PAGE).await.expect("it fits");
        }
        pool.mblock_commit(id).await.expect("the disk works");
        let maps = pool.maps().expect("there is memory for pages");
        let info = maps.create(&[id], Temperature::Warm).expect("the mblock is committed");
        let map = maps.attach(info.offset, info.bytes).expect("it is there");
        for round in 0..4_u64 {
            let reads = (0..pages).map(|number| {
                let (page, map, pool) = ((number * 7 + round) % pages, &map, &pool);
                let at = page * PAGE as u64;
                ordered(async move {
                    let (direct, mapped) = futures::join!(read(pool, id, at, PAGE), map.get(info.offset + at, PAGE));
                    assert_eq!(direct.expect("it is committed"), [page as u8; PAGE]);
                    assert_eq!(mapped.expect("it is mapped").to_vec(), [page as u8; PAGE]);
                })
            });
            stream::iter(reads).buffer_unordered(16).collect::<Vec<()>>().await;
        }
        assert!(maps.statistics().evicted_pages > 0, "the cache is smaller than the mblock");
        let counters = || {
            let statistics = maps.statistics();
            (statistics.hits, statistics.misses, statistics.readahead_pages)
        };
        let before = counters();
        for page in 0..pages {
            read(&pool, id, page * PAGE as u64, PAGE).await.expect("it is committed");
        }
        assert_eq!(counters(), before);
        map.detach().await;
        maps.destroy(info.offset);
    });
}

/// mpool-43: reads have whole pages, end within what was written, and need a commit before.
#[test]
fn reads_stay_within_what_was_written() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let id = new_mblock(&pool).await;
        write(&pool, id, 5, 2 * PAGE).await.expect("it fits");
        assert_eq!(kind(read(&pool, id, 0, PAGE).await), Kind::NotYet);
        let handle = world.open();
        assert_eq!(kind(handle.mblock_read(id, 0, filled(0, PAGE), 0..PAGE).await.1), Kind::NotFound);
        pool.mblock_commit(id).await.expect("the disk works");
        let page = PAGE as u64;
        for (offset, bytes) in [(0, PAGE), (page, PAGE), (0, 2 * PAGE)] {
            assert_eq!(read(&pool, id, offset, bytes).await.expect("it was written"), vec![5; bytes]);
        }
        let beyond = [(2 * page, PAGE), (page, 2 * PAGE), (0, 3 * PAGE), (u64::MAX - page + 1, PAGE)];
        let misaligned = [(512, PAGE), (0, 512), (0, 0), (0, PAGE + 512)];
        for (offset, bytes) in beyond.into_iter().chain(misaligned) {
            assert_eq!(kind(read(&pool, id, offset, bytes).await), Kind::Invalid, "{bytes} bytes at {offset}");
        }
        let outside = pool.mblock_read(id, 0, filled(0, PAGE), 0..2 * PAGE).await.1;
        assert_eq!(kind(outside), Kind::Invalid);
    });
}

/// mpool-44: any number of reads of one mblock are in flight together; a writer of another does not wait for them.
#[test]
fn reads_share_an_mblock() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let id = mblock(&pool, 6).await;
        world.script.forget();
        world.script.hold(|op| op.what == What::Read);
        let reads = join_all((0..16).map(|_| ordered(read(&pool, id, 0, PAGE))));
        let others = async {
            world.settle().await;
            assert_eq!((world.script.held(), world.script.most_in_flight.get()), (16, 16));
            mblock(&pool, 8).await;
            world.script.release();
        };
        let (contents, ()) = futures::join!(reads, others);
        assert!(contents.into_iter().all(|content| content.expect("it is committed") == [6; PAGE]));
    });
}

/// mpool-45: the properties after each transition.
#[test]
fn properties_follow_the_life_of_an_mblock() {
    let mut computer = Computer::new(40);
    let committed = computer.live(|world| async move {
        let pool = world.create(1).await;
        let fresh = pool.mblock_alloc(CAPACITY, false).await.expect("there is room");
        let expected = MblockProps {
            id: fresh.id,
            class: CAPACITY,
            capacity_bytes: MIB,
            written_bytes: 0,
            optimal_write_bytes: 4096,
            committed: false,
            zones: 1,
        };
        let props = |pool: &Rc<Pool>| pool.mblock_props(fresh.id).expect("it is there");
        assert_eq!((fresh, props(&pool)), (expected, expected));
        write(&pool, fresh.id, 1, 3 * PAGE).await.expect("it fits");
        let expected = MblockProps { written_bytes: 3 * PAGE as u64, ..expected };
        assert_eq!(props(&pool), expected);
        pool.mblock_commit(fresh.id).await.expect("the disk works");
        let expected = MblockProps { committed: true, ..expected };
        assert_eq!(props(&pool), expected);
        expected
    });
    computer.live(move |world| async move {
        let pool = world.activate(1).await;
        assert_eq!(pool.mblock_props(committed.id), Ok(committed));
        pool.mblock_delete(committed.id).await.expect("nobody uses it");
        assert_eq!(kind(pool.mblock_props(committed.id)), Kind::NotFound);
    });
}

/// mpool-46: an object is found by whoever looks for its state, or for any; one that has gone is not.
#[test]
fn objects_are_found_by_their_state() {
    Computer::new(40).live(|world| async move {
        let pool = world.create(1).await;
        let found =
            |id| [Search::Committed, Search::Uncommitted, Search::Both].map(|search| pool.find(id, search).is_ok());
        let id = new_mblock(&pool).await;
        assert_eq!(found(id), [false, true, true]);
        pool.mblock_commit(id).await.expect("the disk works");
        assert_eq!(found(id), [true, false, true]);
        pool.mblock_delete(id).await.expect("nobody uses it");
        assert_eq!(found(id), [false; 3]);
        let id = new_mblock(&pool).await;
        pool.mblock_abort(id).await.expect("nobody uses it");
        assert_eq!(found(id), [false; 3]);
        let log = mlog(&pool).await;
        assert_eq!(kind(pool.mblock_props(log)), Kind::Invalid, "an mlog is no mblock");
        let elsewhere = [0, 77].map(|slot| ObjectId::new(300, ObjectType::Mblock, Slot(slot)));
        assert_eq!(elsewhere.map(found), [[false; 3]; 2]);
    });
}
