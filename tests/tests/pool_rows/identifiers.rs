// SPDX-License-Identifier: BSD-3-Clause

//! Ids of objects: none is handed out twice, whatever is lost.

use std::collections::BTreeSet;

use mpool::testing::{Moment, Op};
use mpool::{Kind, ObjectId, ObjectType, Slot};

use super::world::{ids, kind, mblock, mlog, new_mblock, Computer, CAPACITY, MIB};

/// mpool-48: over 40 lives that end with a cut, most of them in the middle of an allocation, all ids are different.
#[test]
fn no_id_is_handed_out_twice() {
    let mut computer = Computer::new(64);
    computer.live(|world| async move { drop(world.create(2).await) });
    let mut all = BTreeSet::new();
    for life in 0..40_u64 {
        let sent = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let seen = std::rc::Rc::clone(&sent);
        // Some lives get beyond the first checkpoint of each container, some even beyond the second.
        let count = if life % 8 == 0 { 600 } else { life % 5 };
        computer.cut = (life % 4 == 3).then_some(Moment::Torn(70 + life));
        computer.try_live(move |world| async move {
            let pool = world.activate(2).await;
            for number in 0..count {
                let id = new_mblock(&pool).await;
                seen.borrow_mut().push(id);
                if number % 100 == 7 {
                    pool.mblock_commit(id).await.expect("the disk works");
                    pool.mblock_delete(id).await.expect("nobody uses it");
                } else {
                    pool.mblock_abort(id).await.expect("nobody uses it");
                }
            }
        });
        for id in sent.take() {
            assert!(all.insert(id), "{id} was handed out before");
        }
    }
    let slots: BTreeSet<_> = all.iter().map(|id| id.slot()).collect();
    assert!(all.len() > 2500 && slots.len() == 2, "{} in {slots:?}", all.len());
}

/// mpool-48, mpool-49: after an activation a container goes on at the next multiple of 256, whose checkpoint is durable
/// before it is handed out; the others in between need none.
#[test]
fn checkpoints_come_before_their_ids() {
    let mut computer = Computer::new(40);
    for expected in [256, 512, 768] {
        computer.live(move |world| async move {
            let pool = if expected == 256 { world.create(1).await } else { world.activate(1).await };
            for number in 0..3 {
                world.script.forget();
                let id = new_mblock(&pool).await;
                assert_eq!(id, ObjectId::new(expected + number, ObjectType::Mblock, Slot(1)));
                assert_eq!(world.script.count(Op::is_write), usize::from(number == 0));
            }
        });
    }
}

/// mpool-49: an allocation whose checkpoint cannot be written fails, and consumes no id.
#[test]
fn a_failed_checkpoint_consumes_no_id() {
    let mut computer = Computer::new(40);
    computer.live(|world| async move {
        let pool = world.create(1).await;
        world.script.fail(Op::is_write);
        assert_eq!(kind(pool.mblock_alloc(CAPACITY, false).await), Kind::Io);
        assert_eq!(ids(&pool), []);
    });
    computer.live(|world| async move {
        let pool = world.activate(1).await;
        // Without memory the drive stays online, so the next attempt is in the same life.
        world.script.no_memory.set(u32::MAX);
        assert_eq!(kind(pool.mblock_alloc(CAPACITY, false).await), Kind::NoMemory);
        world.script.heal();
        assert_eq!(new_mblock(&pool).await.uniquifier(), 256);
        assert_eq!(new_mblock(&pool).await.uniquifier(), 257);
    });
}

/// mpool-50: a log is made again with an id that was handed out and names nothing.
#[test]
fn ids_are_used_again_only_on_demand() {
    let mut computer = Computer::new(64);
    computer.live(|world| async move {
        let pool = world.create(1).await;
        let id = mlog(&pool).await;
        assert_eq!(kind(pool.mlog_realloc(id, CAPACITY, 0).await), Kind::Exists, "committed");
        pool.mlog_delete(id).await.expect("nobody uses it");
        let props = pool.mlog_realloc(id, CAPACITY, 3 * MIB - 1).await.expect("it was handed out");
        assert_eq!((props.id, props.zones, props.committed), (id, 3, false));
        assert_eq!(kind(pool.mlog_realloc(id, CAPACITY, 0).await), Kind::Exists, "uncommitted");
        pool.mlog_commit(id).await.expect("the disk works");

        let last = new_mblock(&pool).await.uniquifier();
        let of = |uniquifier, kind, slot| ObjectId::new(uniquifier, kind, Slot(slot));
        for (id, why) in [
            (of(last + 1, ObjectType::Mlog, 1), "never handed out"),
            (of(5, ObjectType::Mlog, 0), "slot 0"),
            (of(5, ObjectType::Mlog, 2), "a slot that is not in use"),
            (of(5, ObjectType::Mblock, 1), "no log"),
            (ObjectId(0x5f01), "no such type"),
        ] {
            assert_eq!(kind(pool.mlog_realloc(id, CAPACITY, 0).await), Kind::Invalid, "{why}");
        }
        pool.mlog_realloc(of(last - 2, ObjectType::Mlog, 1), CAPACITY, 0).await.expect("below the last one");
    });
    computer.live(|world| async move {
        let pool = world.activate(1).await;
        assert_eq!(ids(&pool).len(), 1);
        // What the checkpoint allows counts as handed out: it may have been, before the cut.
        let id = ObjectId::new(256 + 255, ObjectType::Mlog, Slot(1));
        pool.mlog_realloc(id, CAPACITY, 0).await.expect("it may have been handed out");
        let above = ObjectId::new(512, ObjectType::Mlog, Slot(1));
        assert_eq!(kind(pool.mlog_realloc(above, CAPACITY, 0).await), Kind::Invalid);
        mblock(&pool, 1).await;
    });
}
