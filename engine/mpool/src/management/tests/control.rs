// SPDX-License-Identifier: BSD-3-Clause

//! Rights, exclusive opens and limits of handles.

use futures::FutureExt;

use super::activation::{content, mblock, pages};
use super::*;
use crate::control::Rights;
use crate::device::{IoBuf, PlainMemory};
use crate::mdc::MdcFlags;
use crate::mlog::OpenFlags;
use crate::testing::world::World;

/// mpool-130, adapted: a read-only handle has exactly the commands that read; the others change nothing.
#[test]
fn a_handle_for_reading_only_reads() {
    let world = World::with_two_disks();
    world.create("mp1");
    let writer = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
    let reader = world.registry.open("mp1", Rights::ReadOnly, false).unwrap();
    let class = MediaClass::Capacity;
    world.run(async {
        let block = mblock(&writer, class, 5).await;
        let fresh = writer.mblock_alloc(class, false).await.unwrap().id;
        let log = writer.mlog_alloc(class, 0, false).await.unwrap().id;
        writer.mlog_commit(log).await.unwrap();
        let new_log = writer.mlog_alloc(class, 0, false).await.unwrap().id;
        let slab = writer.slab_alloc(class, 1, false).await.unwrap().id;
        let usage = writer.active().pool().usage();
        let refused = [
            kind(reader.mblock_alloc(class, false).await),
            kind(reader.mblock_write(fresh, pages(1, 1), 0..4096).await.1),
            kind(reader.mblock_commit(fresh).await),
            kind(reader.mblock_abort(fresh).await),
            kind(reader.mblock_delete(block).await),
            kind(reader.mlog_alloc(class, 0, false).await),
            kind(reader.mlog_commit(new_log).await),
            kind(reader.mlog_abort(new_log).await),
            kind(reader.mlog_delete(log).await),
            kind(reader.mlog_erase(log, 0).await),
            kind(reader.mlog_write_raw(log, 0, pages(1, 1), 0..4096).await.1),
            kind(reader.mlog_open(log, OpenFlags::default()).await),
            kind(reader.mdc_open(ObjectId::ROOT_LOGS, MdcFlags::default()).await),
            kind(reader.slab_alloc(class, 1, false).await),
            kind(reader.slab_commit(slab).await),
            kind(reader.slab_abort(slab).await),
            kind(reader.slab_delete(slab).await),
            kind(reader.slab_open(slab).await),
            kind(reader.pool()),
            kind(reader.params()),
            kind(reader.maps()),
        ];
        assert_eq!(refused, [Kind::ReadOnly; 21]);
        assert_eq!(writer.active().pool().usage(), usage);
        assert_eq!(content(&reader, block).await, [5; 4096]);
        assert!(reader.mblock_find(block).unwrap().committed && !reader.mblock_find(fresh).unwrap().committed);
        assert!(reader.mlog_find(log).unwrap().committed && !reader.mlog_find(new_log).unwrap().committed);
        assert!(!reader.slab_find(slab).unwrap().committed);
        assert_eq!((reader.props(), reader.usage()), (writer.props(), usage));
        assert_eq!(reader.class_props(class).unwrap().drive, reader.drive_props("cap").unwrap());
        assert_eq!(writer.params().unwrap(), reader.props().params);
        reader.mlog_read_raw(log, 0, pages(1, 0), 0..4096).await.1.unwrap();
        writer.mlog_write_raw(log, 0, pages(1, 0), 0..4096).await.1.unwrap();
        writer.slab_commit(slab).await.unwrap();
    });
}

/// mpool-131, adapted: an exclusive open and any other exclude each other.
#[test]
fn an_exclusive_opening_is_alone() {
    let world = World::with_two_disks();
    world.create("mp1");
    let open = |exclusive| world.registry.open("mp1", Rights::ReadOnly, exclusive);
    let alone = open(true).unwrap();
    assert_eq!((kind(open(true)), kind(open(false))), (Kind::Busy, Kind::Busy));
    drop(alone);
    let (first, second) = (open(false).unwrap(), open(false).unwrap());
    assert_eq!(kind(open(true)), Kind::Busy);
    drop(first);
    assert_eq!(kind(open(true)), Kind::Busy, "one is still open");
    drop(second);
    assert_eq!(world.registry.find("mp1").unwrap().openers(), 0);
    open(true).unwrap();
    assert_eq!(kind(world.registry.open("mp2", Rights::ReadOnly, false)), Kind::NotMember);
}

/// mpool-35, partly: through the control interface a command finds only objects in the state that it needs, so nothing
/// can be written after the commit. mpool-46, partly: the lookups of the commands.
#[test]
fn commands_look_objects_up_by_state() {
    let world = World::with_two_disks();
    world.create("mp1");
    let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
    let class = MediaClass::Capacity;
    world.run(async {
        let id = handle.mblock_alloc(class, false).await.unwrap().id;
        handle.mblock_write(id, pages(1, 6), 0..4096).await.1.unwrap();
        assert_eq!(kind(handle.mblock_read(id, 0, pages(1, 0), 0..4096).await.1), Kind::NotFound);
        assert_eq!(kind(handle.mblock_delete(id).await), Kind::NotFound);
        handle.mblock_commit(id).await.unwrap();
        assert_eq!(kind(handle.mblock_commit(id).await), Kind::NotFound);
        assert_eq!(kind(handle.mblock_abort(id).await), Kind::NotFound);
        assert_eq!(kind(handle.mblock_write(id, pages(1, 6), 0..4096).await.1), Kind::NotFound);
        let log = handle.mlog_alloc(class, 0, false).await.unwrap().id;
        assert_eq!(kind(handle.mlog_erase(log, 0).await), Kind::NotFound);
        assert_eq!(kind(handle.mlog_read_raw(log, 0, pages(1, 0), 0..4096).await.1), Kind::NotFound);
        assert_eq!(kind(handle.mlog_delete(log).await), Kind::NotFound);
        handle.mlog_commit(log).await.unwrap();
        assert_eq!(kind(handle.mlog_commit(log).await), Kind::NotFound);
        assert_eq!(kind(handle.mlog_abort(log).await), Kind::NotFound);
        let slab = handle.slab_alloc(class, 1, false).await.unwrap().id;
        assert_eq!(kind(handle.slab_delete(slab).await), Kind::NotFound);
        handle.slab_commit(slab).await.unwrap();
        assert_eq!(kind(handle.slab_commit(slab).await), Kind::NotFound);
        assert_eq!(kind(handle.slab_abort(slab).await), Kind::NotFound);
    });
}

/// mpool-34, partly: a transfer has whole pages and a largest size.
#[test]
fn transfers_have_whole_pages_and_a_largest_size() {
    let world = World::new();
    world.add("cap", 8192 << 20);
    let mut tunables = world.registry.tunables();
    tunables.set_io_mib_max(1);
    world.registry.set_tunables(tunables);
    world.create("mp1");
    let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
    world.run(async {
        let id = handle.mblock_alloc(MediaClass::Capacity, false).await.unwrap().id;
        for length in [0, 512, 4095, 4097, (1 << 20) + 4096] {
            let (buf, written) = handle.mblock_write(id, pages(300, 1), 0..length).await;
            assert_eq!(kind(written), Kind::Invalid, "{length}");
            assert_eq!(buf.as_ref().as_ref().len(), 300 * 4096, "the memory comes back");
        }
        handle.mblock_write(id, pages(256, 1), 0..1 << 20).await.1.unwrap();
        handle.mblock_commit(id).await.unwrap();
        for length in [0, 512, (1 << 20) + 4096] {
            assert_eq!(kind(handle.mblock_read(id, 0, pages(300, 1), 0..length).await.1), Kind::Invalid);
        }
        handle.mblock_read(id, 0, pages(256, 1), 0..1 << 20).await.1.unwrap();
    });
}

/// mpool-133: of nine large transfers eight run; the ninth waits for one of them.
#[test]
fn large_transfers_take_turns() {
    let world = World::new();
    world.add("cap", 8192 << 20);
    world.create("mp1");
    let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
    let memory = || -> IoBuf { Box::new(PlainMemory(vec![0; 5 << 20])) };
    let ids: Vec<_> = (0..9).map(|_| world.run(handle.mblock_alloc(MediaClass::Capacity, false)).unwrap().id).collect();
    let mut writes: Vec<_> = ids.iter().map(|&id| Box::pin(handle.mblock_write(id, memory(), 0..5 << 20))).collect();
    assert!(writes.iter_mut().all(|write| write.as_mut().now_or_never().is_none()));
    let admission = handle.active().admission();
    assert_eq!(admission.waiting(), 1);
    drop(writes.remove(0));
    assert_eq!(admission.waiting(), 0);
    let ended = world.run(futures::future::join_all(writes));
    assert!(ended.iter().all(|(_, outcome)| outcome.is_ok()));
}
