// SPDX-License-Identifier: BSD-3-Clause

//! Accounting of space and objects.

use super::activation::mblock;
use super::*;
use crate::control::{PoolHandle, Rights};
use crate::metadata::{ObjectUsage, Usage};
use crate::testing::world::World;
use crate::units::Nanos;

/// An object of the model.
#[derive(Debug, Clone, Copy)]
struct Known {
    id: ObjectId,
    class: MediaClass,
    zones: u64,
    written: u64,
    committed: bool,
}

/// Zones of 1 MiB on both disks.
const ZONE: u64 = 1 << 20;

/// The usage that the pool must report: that at the start, and the known objects.
fn expected(start: &Usage, known: &[Known], class: Option<MediaClass>) -> Usage {
    let mut usage = *start;
    for object in known.iter().filter(|object| class.is_none_or(|class| class == object.class)) {
        let bytes = object.zones * ZONE;
        usage.space.used_bytes += bytes;
        usage.space.free_usable_bytes -= bytes;
        let objects: &mut ObjectUsage = &mut usage.objects;
        match object.id.kind().unwrap() {
            ObjectType::Mblock => {
                objects.mblocks += 1;
                objects.mblock_allocated_bytes += bytes;
                objects.mblock_written_bytes += object.written;
            }
            ObjectType::Mlog => {
                objects.mlogs += 1;
                objects.mlog_allocated_bytes += bytes;
            }
            ObjectType::Slab => {
                objects.slabs += 1;
                objects.slab_allocated_bytes += bytes;
            }
        }
    }
    usage
}

async fn add(handle: &PoolHandle, choice: u64, class: MediaClass) -> Known {
    let (id, zones, written, committed) = match choice % 5 {
        0 => (handle.mblock_alloc(class, false).await.unwrap().id, 1, 0, false),
        1 | 2 => (mblock(handle, class, choice as u8).await, 1, 4096, true),
        3 => {
            let id = handle.mlog_alloc(class, 2 * ZONE - 5, false).await.unwrap().id;
            handle.mlog_commit(id).await.unwrap();
            (id, 2, 0, true)
        }
        _ => {
            let id = handle.slab_alloc(class, 3, false).await.unwrap().id;
            handle.slab_commit(id).await.unwrap();
            (id, 3, 0, true)
        }
    };
    Known { id, class, zones, written, committed }
}

async fn remove(handle: &PoolHandle, object: Known) {
    match (object.id.kind().unwrap(), object.committed) {
        (ObjectType::Mblock, false) => handle.mblock_abort(object.id).await,
        (ObjectType::Mblock, true) => handle.mblock_delete(object.id).await,
        (ObjectType::Mlog, _) => handle.mlog_delete(object.id).await,
        (ObjectType::Slab, _) => handle.slab_delete(object.id).await,
    }
    .unwrap();
}

/// mpool-23: usage is exact to the byte, for each class and for the pool, against a model of random objects.
#[test]
fn usage_is_exact() {
    let world = World::with_two_disks();
    world.create_with_staging("mp1");
    let active = world.registry.find("mp1").unwrap();
    let pool = active.pool();
    let start = (pool.usage(), MediaClass::ALL.map(|class| pool.class_usage(class).unwrap()));
    assert_eq!((start.0.objects.mlogs, start.0.objects.mblocks), (2, 0), "the root logs");
    assert_eq!(start.0.space.total_bytes, 94 * ZONE);
    assert_eq!(start.0.space.usable_bytes, (59 + 29) * ZONE, "95 % of 63 and of 31 zones");
    assert_eq!((start.0.space.spare_bytes, start.0.space.free_spare_bytes), (6 * ZONE, 6 * ZONE));
    let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
    let mut known: Vec<Known> = Vec::new();
    let mut state = 1_u64;
    for _ in 0..80 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let class = MediaClass::ALL[(state >> 40) as usize % 2];
        let zones: u64 = known.iter().filter(|object| object.class == class).map(|object| object.zones).sum();
        if (state >> 60 < 10 || known.is_empty()) && zones < 12 {
            known.push(world.run(add(&handle, state >> 33, class)));
        } else if !known.is_empty() {
            let object = known.swap_remove((state >> 33) as usize % known.len());
            world.run(remove(&handle, object));
            world.run_for(Nanos(1_000_000));
        }
        assert_eq!(pool.usage(), expected(&start.0, &known, None));
        for class in MediaClass::ALL {
            let of_class = pool.class_usage(class).unwrap();
            assert_eq!(of_class, expected(&start.1[class.index()], &known, Some(class)));
        }
        let objects = pool.usage().objects;
        let (mblocks, others) =
            (objects.mblock_allocated_bytes, objects.mlog_allocated_bytes + objects.slab_allocated_bytes);
        assert_eq!(objects.allocated_bytes(), mblocks + others);
        assert_eq!(objects.written_bytes(), objects.mblock_written_bytes + others);
    }
    assert!(!known.is_empty());
}
