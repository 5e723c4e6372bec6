// SPDX-License-Identifier: BSD-3-Clause

//! Activation with containers whose records no pool would write.

use std::collections::BTreeMap;
use std::rc::Rc;

use uuid::Uuid;

use crate::error::{Kind, PoolError};
use crate::format::{ContentVersion, MediaFormat, ObjectCreate, Record};
use crate::ids::{Extent, MediaClass, ObjectId, ObjectType, Slot};
use crate::metadata::RecordCounts;
use crate::testing::world::{World, MIB};
use crate::tunables::KeptTunable;
use crate::Pool;

const MDC0: Slot = Slot(0);
const MDC1: Slot = Slot(1);

/// A zone that is free in a new pool.
const FREE_ZONE: u64 = 59;

fn new_pool(format: MediaFormat) -> (World, Rc<Pool>) {
    let world = World::with_format(format);
    world.add("cap", 64 * MIB);
    world.create("mp1");
    let pool = Rc::clone(world.registry.find("mp1").unwrap().pool());
    assert!(pool.container_count() > 2);
    (world, pool)
}

/// A pool with these records in a container, after a power cut.
fn with_records(slot: Slot, records: &[Record]) -> Result<Rc<Pool>, PoolError> {
    let (world, pool) = new_pool(MediaFormat::CURRENT);
    for record in records {
        world.run(pool.append_record(pool.container(slot), record)).unwrap();
    }
    activated(world)
}

/// The same with bytes that are no record.
fn with_bytes(bytes: &[u8]) -> Result<Rc<Pool>, PoolError> {
    let (world, pool) = new_pool(MediaFormat::CURRENT);
    let mdc = pool.container(MDC1).mdc().unwrap();
    world.run(mdc.append(bytes, true)).unwrap();
    activated(world)
}

fn activated(world: World) -> Result<Rc<Pool>, PoolError> {
    let world = world.cut();
    let activated = world.activate(&["cap"]);
    assert_eq!(world.claimed().is_empty(), activated.is_err());
    activated.map(|()| Rc::clone(world.registry.find("mp1").unwrap().pool()))
}

fn kind_of(slot: Slot, records: &[Record]) -> Option<Kind> {
    with_records(slot, records).err().map(|error| error.kind())
}

fn mblock_id(uniquifier: u64, slot: Slot) -> ObjectId {
    ObjectId::new(uniquifier, ObjectType::Mblock, slot)
}

fn log_id(uniquifier: u64, slot: Slot) -> ObjectId {
    ObjectId::new(uniquifier, ObjectType::Mlog, slot)
}

fn object(id: ObjectId, zone: u64) -> ObjectCreate {
    let uuid = (id.kind() == Some(ObjectType::Mlog)).then(|| Uuid::from_u128(u128::from(id.0)));
    let extent = Extent { first: zone, zones: 1 };
    ObjectCreate { id, class: MediaClass::Capacity, extent, generation: 0, written_bytes: 0, uuid }
}

fn create(id: ObjectId, zone: u64) -> Record {
    Record::ObjectCreate(object(id, zone))
}

fn erase(id: ObjectId, generation: u64) -> Record {
    Record::ObjectErase { id, generation }
}

fn checkpoint(uniquifier: u64) -> Record {
    Record::IdCheckpoint(mblock_id(uniquifier, MDC1))
}

/// mpool-95: consistent records are applied in order.
#[test]
fn the_net_effect_of_records_is_kept() {
    let [kept, gone, log] = [mblock_id(5, MDC1), mblock_id(6, MDC1), log_id(7, MDC1)];
    let records = [
        create(kept, FREE_ZONE),
        create(gone, FREE_ZONE + 1),
        create(log, FREE_ZONE + 2),
        erase(log, 4),
        erase(log, 4),
        Record::ObjectUpdate(ObjectCreate { written_bytes: 8192, ..object(kept, FREE_ZONE) }),
        Record::ObjectDelete(gone),
        create(gone, FREE_ZONE + 3),
        Record::ObjectDelete(gone),
        checkpoint(256),
        checkpoint(512),
    ];
    let pool = with_records(MDC1, &records).unwrap();
    assert_eq!(pool.mblock_props(kept).unwrap().written_bytes, 8192);
    assert_eq!(pool.mlog_props(log).unwrap().generation, 4);
    assert!(pool.mblock_props(gone).is_err());
    let counts = pool.container(MDC1).counts.get();
    // The root logs and these objects.
    assert_eq!((counts.creates, counts.updates, counts.deletes, counts.erases), (2 + 4, 1, 2, 2));
    assert_eq!(pool.container(MDC1).last_uniquifier.get(), 512 + 255);
}

/// mpool-95: refuses records of objects that exist already, that do not exist, or that belong elsewhere.
#[test]
fn contradictions_between_records_are_refused() {
    let (id, other) = (mblock_id(5, MDC1), mblock_id(5, Slot(2)));
    let log = log_id(6, MDC1);
    let descriptor = new_pool(MediaFormat::CURRENT).1.drives()[0].descriptor();
    let cases: [(&[Record], Kind); 15] = [
        (&[create(id, FREE_ZONE), create(id, FREE_ZONE + 1)], Kind::Exists),
        (&[Record::ObjectDelete(id)], Kind::NotFound),
        (&[create(id, FREE_ZONE), Record::ObjectDelete(id), Record::ObjectDelete(id)], Kind::NotFound),
        (&[erase(log, 1)], Kind::NotFound),
        (&[Record::ObjectUpdate(object(id, FREE_ZONE))], Kind::NotFound),
        (&[create(log, FREE_ZONE), erase(log, 5), erase(log, 4)], Kind::Invalid),
        (&[create(other, FREE_ZONE)], Kind::WrongSlot),
        (&[Record::ObjectDelete(other)], Kind::WrongSlot),
        (&[erase(log_id(6, Slot(2)), 1)], Kind::WrongSlot),
        (&[Record::IdCheckpoint(other)], Kind::WrongSlot),
        (&[Record::McConfig(descriptor)], Kind::WrongSlot),
        (&[Record::McSpare { class: MediaClass::Capacity, percent: 5 }], Kind::WrongSlot),
        (&[Record::Tunable { tunable: KeptTunable::named("mdc_set").unwrap(), value: 5 }], Kind::WrongSlot),
        (&[Record::Version(ContentVersion::CURRENT)], Kind::Invalid),
        (&[Record::ObjectCreate(ObjectCreate { class: MediaClass::Staging, ..object(id, FREE_ZONE) })], Kind::NotFound),
    ];
    for (records, kind) in cases {
        assert_eq!(kind_of(MDC1, records), Some(kind), "{records:?}");
    }
}

/// mpool-95: refuses impossible objects: an id that was never allocated, more bytes than fit.
#[test]
fn impossible_objects_are_refused() {
    assert_eq!(kind_of(MDC1, &[create(mblock_id(255, MDC1), FREE_ZONE)]), None);
    assert_eq!(kind_of(MDC1, &[create(mblock_id(256, MDC1), FREE_ZONE)]), Some(Kind::Invalid));
    assert_eq!(kind_of(MDC1, &[checkpoint(256), create(mblock_id(511, MDC1), FREE_ZONE)]), None);
    assert_eq!(kind_of(MDC1, &[checkpoint(256), create(mblock_id(512, MDC1), FREE_ZONE)]), Some(Kind::Invalid));
    for (written_bytes, expected) in [(MIB, None), (MIB + 1, Some(Kind::Invalid)), (u64::MAX, Some(Kind::Invalid))] {
        let mblock = ObjectCreate { written_bytes, ..object(mblock_id(5, MDC1), FREE_ZONE) };
        assert_eq!(kind_of(MDC1, &[Record::ObjectCreate(mblock)]), expected);
    }
}

/// mpool-95, mpool-48: checkpoints grow strictly; an empty one may be the first.
#[test]
fn checkpoints_only_grow() {
    let empty = Record::IdCheckpoint(ObjectId(0));
    assert_eq!(kind_of(MDC1, &[empty.clone(), empty.clone(), checkpoint(256)]), None);
    assert_eq!(kind_of(MDC1, &[checkpoint(512), checkpoint(512)]), Some(Kind::Invalid));
    assert_eq!(kind_of(MDC1, &[checkpoint(512), checkpoint(256)]), Some(Kind::Invalid));
    assert_eq!(kind_of(MDC1, &[checkpoint(256), empty.clone()]), Some(Kind::Invalid));
    assert_eq!(kind_of(MDC0, &[empty]), Some(Kind::WrongSlot));
}

/// mpool-93, mpool-95: bytes that are no record, and records longer than any.
#[test]
fn what_is_no_record_is_refused() {
    let kind = |bytes: &[u8]| with_bytes(bytes).err().map(|error| error.kind());
    assert_eq!(kind(&[]), Some(Kind::Invalid));
    assert_eq!(kind(&[0; 16]), Some(Kind::Invalid));
    assert_eq!(kind(&[10; 160]), Some(Kind::Invalid));
    assert_eq!(kind(&Record::ObjectDelete(mblock_id(5, MDC1)).encode().as_ref()[..15]), Some(Kind::Invalid));
    assert_eq!(kind(&[9; 161]), Some(Kind::Overflow));
}

/// mpool-93: content of newer software, in whatever container, is refused as such.
#[test]
fn newer_content_is_refused() {
    let (world, pool) = new_pool(MediaFormat::ORIGINAL);
    // In the original format nothing is in it yet, so the version record is its first.
    world.run(pool.append_record(pool.container(Slot(2)), &Record::Version(ContentVersion::CURRENT))).unwrap();
    let world = world.cut_to(MediaFormat::ORIGINAL);
    let error = world.activate(&["cap"]).unwrap_err();
    assert_eq!(error.kind(), Kind::NotSupported);
    assert!(error.to_string().contains("MDC2"), "{error}");
}

/// After a failed activation, a container that cannot be read to its end is unchanged, however much of its readable
/// start looks like garbage.
#[test]
fn what_could_not_be_read_is_not_compacted() {
    let world = World::new();
    world.add("cap", 4096 * MIB);
    // The garbage must stay until the end.
    let mut tunables = world.registry.tunables();
    tunables.set_no_alloc_mdcs(0);
    world.registry.set_tunables(tunables);
    world.create("mp1");
    let pool = Rc::clone(world.registry.find("mp1").unwrap().pool());
    let container = pool.container(MDC1);
    for _ in 0..300 {
        let pair = [create(mblock_id(5, MDC1), FREE_ZONE), Record::ObjectDelete(mblock_id(5, MDC1))];
        let pairs: Vec<_> = pair.iter().cloned().cycle().take(200).collect();
        world.run(pool.append_records(container, &pairs)).unwrap();
    }
    assert!(pool.fill(container).used > 2 * MIB, "{:?}", pool.fill(container));
    world.run(container.mdc().unwrap().append(&[99], true)).unwrap();
    world.run(pool.append_record(container, &create(mblock_id(6, MDC1), 4000))).unwrap();
    drop(pool);
    let world = world.cut();
    for _ in 0..2 {
        assert_eq!(world.activate(&["cap"]).unwrap_err().kind(), Kind::Invalid);
    }
}

/// Records are counted as they are written; a compaction leaves one for each object, and so does a load after it.
#[test]
fn a_compaction_counts_its_records_anew() {
    let (world, pool) = new_pool(MediaFormat::CURRENT);
    let made = |deleted: bool| {
        let id = world.run(pool.mblock_alloc(MediaClass::Capacity, false)).unwrap().id;
        world.run(pool.mblock_commit(id)).unwrap();
        if deleted {
            world.run(pool.mblock_delete(id)).unwrap();
        }
        id
    };
    for _ in 0..3 * pool.container_count() {
        made(true);
    }
    let slot = made(false).slot();
    let container = pool.container(slot);
    let written = container.counts.get();
    assert_eq!(written.creates, written.deletes + 1, "{written:?}");
    assert!(written.deletes > 0, "{written:?}");
    let compaction = async {
        let _rest = container.compaction.exclusive().await;
        pool.compact(container).await
    };
    world.run(compaction).unwrap();
    let expected = RecordCounts { creates: 1, ..RecordCounts::default() };
    assert_eq!((container.counts.get(), expected.total()), (expected, 1));
    let pool = activated(world).unwrap();
    assert_eq!(pool.container(slot).counts.get(), expected);
}

/// Tunables are rewritten when MDC0 is compacted, and are refused where the content format has none.
#[test]
fn tunables_survive_a_compaction() {
    let wanted = BTreeMap::from([(KeptTunable::named("mdc_set").unwrap(), 7)]);
    let (world, pool) = new_pool(MediaFormat::CURRENT);
    world.run(pool.log_tunables(&wanted)).unwrap();
    let mdc0 = pool.container(MDC0);
    let compaction = async {
        let _rest = mdc0.compaction.exclusive().await;
        pool.compact(mdc0).await
    };
    world.run(compaction).unwrap();
    let pool = activated(world).unwrap();
    assert_eq!((&*pool.kept_tunables.borrow(), pool.tunables.borrow().mdc_set()), (&wanted, 7));
    let (world, pool) = new_pool(MediaFormat::ORIGINAL);
    let error = world.run(pool.log_tunables(&wanted)).unwrap_err();
    assert_eq!(error.kind(), Kind::NotSupported);
    assert!(error.to_string().contains("since version 2.1.0.0"), "{error}");
}

/// mpool-95, mpool-98: MDC0 describes the logs of containers and nothing else; all containers but the last have both.
#[test]
fn the_set_of_containers_is_checked() {
    let count = new_pool(MediaFormat::CURRENT).1.container_count() as u64;
    for (records, kind) in [
        (vec![create(mblock_id(2 * count, MDC0), FREE_ZONE)], Kind::Invalid),
        (vec![create(log_id(512, MDC0), FREE_ZONE)], Kind::Invalid),
        (vec![create(log_id(1, MDC0), FREE_ZONE)], Kind::WrongSlot),
        (vec![create(mblock_id(5, MDC1), FREE_ZONE)], Kind::WrongSlot),
        (vec![Record::ObjectDelete(log_id(3, MDC0))], Kind::NotFound),
        (
            vec![2, 3].into_iter().map(|log| create(log_id(2 * count + log, MDC0), FREE_ZONE + log)).collect(),
            Kind::NotFound,
        ),
    ] {
        assert_eq!(kind_of(MDC0, &records), Some(kind), "{records:?}");
    }
    // Ignored: a power cut may have left it.
    assert_eq!(kind_of(MDC0, &[Record::McSpare { class: MediaClass::Staging, percent: 5 }]), None);
}

/// mpool-98: the half of the last container is removed, on media too, and its zone is free; either half.
#[test]
fn the_half_of_a_container_is_removed() {
    let (world, pool) = new_pool(MediaFormat::CURRENT);
    let (count, space) = (pool.container_count() as u64, pool.usage().space);
    drop((world, pool));
    for half in [0, 1] {
        let (world, pool) = new_pool(MediaFormat::CURRENT);
        let id = log_id(2 * count + half, MDC0);
        world.run(pool.append_record(pool.container(MDC0), &create(id, FREE_ZONE))).unwrap();
        let world = world.cut();
        for _ in 0..2 {
            world.activate(&["cap"]).unwrap();
            world.run_for(crate::units::Nanos(1_000_000));
            let pool = Rc::clone(world.registry.find("mp1").unwrap().pool());
            assert_eq!((pool.container_count() as u64, pool.usage().space), (count, space));
            assert!(pool.container(MDC0).committed(id).is_none());
            world.deactivate("mp1");
        }
        let removals = world.lines().iter().filter(|line| line.contains("was not finished")).count();
        assert_eq!(removals, 1, "the second activation found nothing to remove");
    }
}

/// mpool-96: two objects on one zone, or an object where none can be.
#[test]
fn zones_belong_to_one_object() {
    let (one, two) = (mblock_id(5, MDC1), mblock_id(6, MDC1));
    let wide = |first, zones| Record::ObjectCreate(ObjectCreate { extent: Extent { first, zones }, ..object(two, 0) });
    assert_eq!(kind_of(MDC1, &[create(one, FREE_ZONE), wide(FREE_ZONE + 1, 2)]), None);
    for second in
        [wide(FREE_ZONE, 1), wide(FREE_ZONE - 1, 2), wide(0, 1), wide(1, 1), wide(63, 2), wide(u64::MAX - 1, 1)]
    {
        let error = with_records(MDC1, &[create(one, FREE_ZONE), second.clone()]).unwrap_err();
        assert!(error.kind() == Kind::Invalid && error.to_string().contains("MDC1"), "{second:?}: {error}");
    }
    // Objects of two containers.
    let (world, pool) = new_pool(MediaFormat::CURRENT);
    for slot in [MDC1, Slot(2)] {
        world.run(pool.append_record(pool.container(slot), &create(mblock_id(5, slot), FREE_ZONE))).unwrap();
    }
    assert_eq!(activated(world).unwrap_err().kind(), Kind::Invalid);
}
