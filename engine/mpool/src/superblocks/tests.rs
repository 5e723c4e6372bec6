// SPDX-License-Identifier: BSD-3-Clause

//! The copies through failures and erasures; for power cuts see [`power_cuts`].

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use futures::executor::block_on;
use futures::future::LocalBoxFuture;
use uuid::Uuid;
use SuperblockVersion::{V1, V3};

use super::*;
use crate::device::{DeviceError, DeviceType};
use crate::drive::{describe_new, DriveSettings, DriveStatus};
use crate::format::{DeviceRecord, DriveDescriptor, Mdc0Location, Mdc0Log, PoolName, SuperblockFlags};
use crate::ids::{Extent, MediaClass};
use crate::test_device::{properties, Operation, TestDevice};
use crate::units::Nanos;

mod power_cuts;

const MIB: u64 = 1 << 20;
const DEVICE_BYTES: u64 = 8 * MIB;
const PLACES: [u64; 3] = [0, 8192, DEVICE_BYTES - 65536];

/// A host that only logs.
#[derive(Debug, Default)]
struct LogHost(RefCell<Vec<(Level, String)>>);

#[async_trait(?Send)]
impl Host for LogHost {
    fn now(&self) -> Nanos {
        Nanos(0)
    }

    async fn sleep(&self, _time: Nanos) {}

    fn spawn(&self, _task: LocalBoxFuture<'static, ()>) {}

    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(4);
    }

    async fn open(&self, path: &str) -> Result<Rc<dyn Device>> {
        Err(PoolError::new(Kind::NotFound, path, "this host has no devices"))
    }

    fn log(&self, level: Level, line: &str) {
        self.0.borrow_mut().push((level, line.to_owned()));
    }
}

impl LogHost {
    fn take(&self) -> Vec<(Level, String)> {
        self.0.take()
    }
}

fn superblock(name: &str) -> Superblock {
    let drive =
        describe_new(&properties(DEVICE_BYTES), MediaClass::Capacity, Uuid::from_u128(7), MIB).expect("a drive");
    let log = |first| Mdc0Log {
        generation: first,
        uuid: Uuid::from_u128(first.into()),
        drive: drive.uuid,
        extent: Extent { first, zones: 1 },
    };
    Superblock {
        generation: 1,
        name: PoolName::new(name).expect("a name"),
        pool: Uuid::from_u128(0xb001),
        drive,
        metadata: Some(Mdc0Location { logs: [log(1), log(2)], drive }),
        flags: SuperblockFlags::NONE,
        former: None,
        volume_mask: Uuid::nil(),
        device: None,
    }
}

fn new_device() -> Rc<TestDevice> {
    TestDevice::new(properties(DEVICE_BYTES))
}

/// A device with `superblock` on it.
fn formatted(superblock: &Superblock, version: SuperblockVersion) -> Rc<TestDevice> {
    let device = new_device();
    block_on(write_new(&*device, superblock, version)).expect("a good device");
    device.take_trace();
    device
}

fn read_from(device: &TestDevice) -> Result<Found> {
    block_on(read(device, &LogHost::default(), false))
}

fn kind_of<T>(outcome: Result<T>) -> Option<Kind> {
    outcome.err().map(|error| error.kind())
}

fn place(copy: usize) -> usize {
    PLACES[copy] as usize
}

fn is_write_of(operation: &Operation, copy: usize) -> bool {
    matches!(operation, Operation::Write { at, .. } if *at == PLACES[copy])
}

fn fail_writes_of(device: &TestDevice, copy: usize) {
    device.fail_when(move |operation| is_write_of(operation, copy).then_some(DeviceError::Io));
}

fn fail_reads_of(device: &TestDevice, copy: usize) {
    let bad = PLACES[copy];
    device.fail_when(move |operation| {
        matches!(operation, Operation::Read { at, .. } if *at == bad).then_some(DeviceError::Io)
    });
}

/// mpool-85, adapted: a new superblock needs all copies; a rewrite needs two, the last copy first, and the failure of
/// one is only logged.
#[test]
fn copies_are_written_in_order() {
    let first = superblock("one");
    for failing in 0..3 {
        let device = new_device();
        fail_writes_of(&device, failing);
        assert_eq!(kind_of(block_on(write_new(&*device, &first, V3))), Some(Kind::Io), "copy {failing}");
    }
    let device = new_device();
    block_on(write_new(&*device, &first, V3)).expect("a good device");
    let all =
        |superblock: &Superblock, order: [usize; 3]| order.map(|copy| (PLACES[copy], superblock.encode(V3).to_vec()));
    assert_eq!(device.writes(), all(&first, [0, 1, 2]));

    let (host, mut next) = (LogHost::default(), superblock("two"));
    block_on(rewrite(&*device, &mut next, V3, &host)).expect("a good device");
    assert_eq!(next.generation, 2);
    assert_eq!(device.writes(), all(&next, [2, 1, 0]));
    assert_eq!((host.take(), read_from(&device).expect("good").superblock), (vec![], next.clone()));

    for failing in 0..3 {
        fail_writes_of(&device, failing);
        next.name = PoolName::new(&format!("without{failing}")).expect("a name");
        block_on(rewrite(&*device, &mut next, V3, &host)).expect("two copies suffice");
        let logged = host.take();
        let expected = format!("writing copy {failing}");
        assert!(matches!(&logged[..], [(Level::Warning, line)] if line.contains(&expected)), "{logged:?}");
        let found = read_from(&device).expect("two are good");
        assert_eq!((found.superblock, found.is_whole, found.condition), (next.clone(), false, Condition::Sure));
    }
}

/// A rewrite that fewer than two copies have is not acknowledged, and its generation is not used again.
#[test]
fn one_copy_is_not_enough() {
    for written in 0..3 {
        let (device, host) = (formatted(&superblock("one"), V3), LogHost::default());
        device.fail_when(move |operation| {
            let other = (0..3).any(|copy| copy != written && is_write_of(operation, copy));
            other.then_some(DeviceError::Io)
        });
        let mut lost = superblock("lost");
        assert_eq!(kind_of(block_on(rewrite(&*device, &mut lost, V3, &host))), Some(Kind::Io), "copy {written}");
        assert_eq!(lost.generation, 2);
        device.heal();
        // Whether or not copy 0 has "lost", a superblock that two copies have is newer than both.
        lost.name = PoolName::new("two").expect("a name");
        fail_writes_of(&device, written);
        block_on(rewrite(&*device, &mut lost, V3, &host)).expect("two copies");
        assert_eq!(
            read_from(&device).expect("good").superblock.name.as_str(),
            "two",
            "copy {written} has the lost one"
        );
    }
}

/// A failed transfer of a copy is retried: one bad transfer changes nothing.
#[test]
fn transfers_of_copies_are_tried_again() {
    let (device, host) = (formatted(&superblock("one"), V3), LogHost::default());
    for place in PLACES {
        for failures in 1..3 {
            let mut left = failures;
            device.fail_when(move |operation| {
                let hit = matches!(operation, Operation::Read { at, .. } | Operation::Write { at, .. } if *at == place);
                let fails = hit && left > 0;
                left -= usize::from(fails);
                fails.then_some(DeviceError::Io)
            });
            let found = read_from(&device).expect("readable");
            assert!(found.is_whole, "{:?}", found.warnings);
            let mut next = found.superblock;
            block_on(rewrite(&*device, &mut next, V3, &host)).expect("it is tried again");
            assert_eq!(host.take(), []);
        }
    }
}

/// mpool-85, partly: the writes are durable, one after the other, on any device.
#[test]
fn each_copy_is_durable_before_the_next() {
    for fua in [true, false] {
        let device = TestDevice::new(DeviceProperties { volatile_cache: true, fua, ..properties(DEVICE_BYTES) });
        block_on(write_new(&*device, &superblock("one"), V3)).expect("a good device");
        let trace = device.take_trace();
        let shape: Vec<_> = trace
            .iter()
            .filter_map(|operation| match operation {
                Operation::Write { at, fua, .. } => Some((Some(*at), *fua)),
                Operation::Flush => Some((None, false)),
                _ => None,
            })
            .collect();
        let writes = PLACES.map(|place| (Some(place), fua));
        let expected: Vec<_> =
            writes.into_iter().flat_map(|write| [Some(write), (!fua).then_some((None, false))]).flatten().collect();
        assert_eq!(shape, expected);
    }
}

/// mpool-2, partly: the magic in any copy is found; a copy that cannot be read is an error if the others have none.
#[test]
fn a_superblock_is_seen_in_any_copy() {
    assert_eq!(block_on(probe(&*new_device())), Ok(false));
    for seen in 0..3 {
        let device = new_device();
        device.poke(place(seen), &superblock("one").encode(V3)[..]);
        // Copy 0 alone is what an interrupted creation or destruction leaves.
        assert_eq!(block_on(probe(&*device)), Ok(seen > 0), "copy {seen}");
        device.poke(place(seen) + 8, &[0xff; 100]);
        assert_eq!(block_on(probe(&*device)), Ok(seen > 0), "damaged is not absent: copy {seen}");
        device.poke(place(seen), &[0; SUPERBLOCK_BYTES]);
        assert_eq!(block_on(probe(&*device)), Ok(false));
        fail_reads_of(&device, seen);
        assert_eq!(kind_of(block_on(probe(&*device))), Some(Kind::Io));
        let other = (seen + 1) % 3;
        device.poke(place(other), &superblock("one").encode(V3)[..]);
        assert_eq!(block_on(probe(&*device)), Ok(true));
    }
    let tiny = TestDevice::new(properties(8192));
    assert_eq!(kind_of(block_on(probe(&*tiny))), Some(Kind::Invalid), "no room for superblocks");
}

/// mpool-14, partly: all areas are zeroed, copy 0 last; all are tried, and the first failure is reported.
#[test]
fn erasing_leaves_zeros() {
    let device = formatted(&superblock("one"), V3);
    block_on(erase(&*device)).expect("a good device");
    assert_eq!(device.writes(), [2, 1, 0].map(|copy| (PLACES[copy], vec![0; 4096])));
    assert!(device.image().iter().all(|byte| *byte == 0));
    assert_eq!(kind_of(read_from(&device)), Some(Kind::NoPool));

    for failing in 0..3 {
        let device = formatted(&superblock("one"), V3);
        fail_writes_of(&device, failing);
        let error = block_on(erase(&*device)).expect_err("injected");
        assert!(error.to_string().contains(&format!("erasing copy {failing}")), "{error}");
        assert_eq!(device.writes().len(), 2 + TRIES, "all are tried");
        // The remainder is never used without force.
        assert!(matches!(kind_of(read_from(&device)), Some(Kind::NoPool | Kind::NotPermitted)), "copy {failing}");
    }
    let device = formatted(&superblock("one"), V3);
    device.fail_when(|operation| matches!(operation, Operation::Write { .. }).then_some(DeviceError::Io));
    assert!(block_on(erase(&*device)).expect_err("injected").to_string().contains("copy 2"), "the first failure");
}

/// Puts a copy into a state.
fn in_state(device: &TestDevice, copy: usize, state: &str) {
    let at = place(copy);
    match state {
        "good" => {}
        "erased" => device.poke(at, &[0; SUPERBLOCK_BYTES]),
        "foreign" => device.poke(at, &[0; 512]),
        "damaged" => device.poke(at + 200, &[0x55; 8]),
        "other" => {
            let other = Superblock { pool: Uuid::from_u128(0xb0ff), ..superblock("other") };
            device.poke(at, &other.encode(V3)[..]);
        }
        "newer" | "retired" => {
            let mut bytes = superblock("one").encode(V3);
            bytes[56] = if state == "newer" { 4 } else { 2 };
            // The head's checksum is right, as other software would write it.
            let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[..62]) as u32;
            bytes[62..66].copy_from_slice(&crc.to_le_bytes());
            device.poke(at, &bytes[..]);
        }
        other => panic!("{other}"),
    }
}

/// mpool-85, adapted: which copy counts, and in which condition the superblock is.
#[test]
fn two_good_copies_are_sure() {
    use Condition::{Lone, Sure, Wiped};
    let table = [
        (["good", "good", "good"], Ok((0, Sure))),
        (["good", "erased", "good"], Ok((0, Sure))),
        (["good", "good", "erased"], Ok((0, Sure))),
        (["good", "foreign", "good"], Ok((0, Sure))),
        (["good", "damaged", "good"], Ok((0, Sure))),
        (["good", "good", "other"], Ok((0, Sure))),
        (["good", "erased", "foreign"], Ok((0, Lone))),
        (["good", "damaged", "damaged"], Ok((0, Lone))),
        (["good", "other", "other"], Ok((0, Lone))),
        (["good", "erased", "erased"], Err(Kind::NoPool)),
        (["good", "damaged", "erased"], Err(Kind::NoPool)),
        (["damaged", "good", "good"], Ok((1, Sure))),
        (["damaged", "good", "foreign"], Ok((1, Lone))),
        (["damaged", "good", "erased"], Ok((1, Lone))),
        (["damaged", "erased", "good"], Ok((2, Lone))),
        (["erased", "good", "good"], Ok((1, Wiped))),
        (["foreign", "good", "good"], Ok((1, Wiped))),
        (["foreign", "foreign", "good"], Ok((2, Wiped))),
        (["foreign", "good", "foreign"], Ok((1, Wiped))),
        (["erased", "erased", "erased"], Err(Kind::NoPool)),
        (["foreign", "foreign", "foreign"], Err(Kind::NoPool)),
        (["foreign", "damaged", "damaged"], Err(Kind::NoPool)),
        (["damaged", "erased", "erased"], Err(Kind::NoPool)),
        (["damaged", "damaged", "damaged"], Err(Kind::Invalid)),
        (["newer", "good", "good"], Err(Kind::UnknownSuperblock)),
        (["good", "good", "newer"], Err(Kind::UnknownSuperblock)),
        (["retired", "retired", "erased"], Err(Kind::UnknownSuperblock)),
    ];
    for (states, expected) in table {
        let (device, host) = (formatted(&superblock("one"), V3), LogHost::default());
        (0..3).for_each(|copy| in_state(&device, copy, states[copy]));
        let found = block_on(find(&*device));
        let outcome = found.as_ref().map(|found| (found.copy, found.condition)).map_err(PoolError::kind);
        assert_eq!(outcome, expected, "{states:?}");
        let used = block_on(read(&*device, &host, false)).map(|found| found.superblock.name.to_string());
        match expected {
            Ok((_, Sure)) => assert_eq!(used.as_deref(), Ok("one")),
            Ok(_) => assert_eq!(kind_of(used), Some(Kind::NotPermitted), "{states:?}"),
            Err(kind) => assert_eq!(kind_of(used), Some(kind)),
        }
        let forced = block_on(read(&*device, &LogHost::default(), true));
        assert_eq!(forced.is_ok(), expected.is_ok(), "{states:?}");
        if let Ok(Found { mut superblock, warnings, is_whole, .. }) = forced {
            let odd = states.iter().filter(|state| **state != "good").count();
            assert_eq!((warnings.len(), host.take().len(), is_whole), (odd, odd, odd == 0), "oddities are logged");
            block_on(rewrite(&*device, &mut superblock, V3, &host)).expect("a good device");
            assert!(read_from(&device).expect("repaired").is_whole);
        }
    }
}

/// A copy that cannot be read may be newer than one other, but not than two; the next generation is higher in any case.
/// With one good copy left the read error is returned, while there is one: a retry may help.
#[test]
fn unreadable_copies_may_be_newer() {
    for copy in 0..3 {
        let device = formatted(&superblock("one"), V3);
        fail_reads_of(&device, copy);
        let found = read_from(&device).expect("two are good");
        assert_eq!((found.condition, found.is_whole, found.superblock.generation), (Condition::Sure, false, 1 + LEAP));
        in_state(&device, (copy + 1) % 3, "damaged");
        let error = read_from(&device).expect_err("one is left");
        assert_eq!((error.kind(), copy), (Kind::Io, copy));
    }
}

/// Of good copies of one drive the newest counts; a good copy of another drive or pool does not.
#[test]
fn generations_order_the_copies() {
    let newer = Superblock { generation: 2, ..superblock("two") };
    let with_copy = |copy: usize, with: &Superblock| {
        let device = formatted(&superblock("one"), V3);
        device.poke(place(copy), &with.encode(V3)[..]);
        let found = read_from(&device).expect("copy 0 is good");
        assert!(!found.is_whole);
        found.superblock.name.to_string()
    };
    for copy in 0..3 {
        assert_eq!(with_copy(copy, &newer), "two", "copy {copy}");
        assert_eq!(with_copy(copy, &Superblock { generation: 0, ..newer.clone() }), "one");
    }
    for copy in 1..3 {
        assert_eq!(with_copy(copy, &Superblock { pool: Uuid::from_u128(1), ..newer.clone() }), "one");
        let elsewhere = DriveDescriptor { uuid: Uuid::from_u128(1), ..newer.drive };
        assert_eq!(with_copy(copy, &Superblock { drive: elsewhere, ..newer.clone() }), "one");
    }
}

/// Copy 2 stays where the drive ends for the superblock, and moves when the drive is resized.
#[test]
fn the_last_copy_follows_the_size_of_the_drive() {
    let (device, host) = (formatted(&superblock("one"), V3), LogHost::default());
    let grown_bytes = 2 * DEVICE_BYTES;
    let mut image = device.image();
    image.resize(grown_bytes as usize, 0xee);
    let device = TestDevice::with_image(properties(grown_bytes), image);
    let mut found = read_from(&device).expect("found at the end that copy 0 tells of");
    assert!(found.is_whole, "{:?}", found.warnings);
    block_on(rewrite(&*device, &mut found.superblock, V3, &host)).expect("a good device");
    assert_eq!(device.writes().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [PLACES[2], PLACES[1], PLACES[0]]);

    let former = found.superblock.drive.bytes;
    found.superblock.drive = found.superblock.drive.resized(grown_bytes).expect("more zones");
    block_on(rewrite(&*device, &mut found.superblock, V3, &host)).expect("a good device");
    let end = end_copy_at(grown_bytes);
    let writes = device.writes();
    assert_eq!(writes.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [end, PLACES[1], PLACES[0]]);
    block_on(erase_former_end(&*device, former, &host));
    assert_eq!(device.writes(), [(PLACES[2], vec![0; 4096])]);
    for copy in 0..2 {
        in_state(&device, copy, "foreign");
    }
    let found = block_on(find(&*device)).expect("the last copy");
    assert_eq!((found.copy, found.condition), (2, Condition::Wiped));
}

#[test]
fn a_missing_drive_is_not_updated() {
    let (device, host) = (formatted(&superblock("one"), V3), LogHost::default());
    let mut next = superblock("two");
    let as_device: Rc<dyn Device> = Rc::clone(&device) as _;
    let drive = Drive::online(as_device, next.drive, DriveSettings::default()).expect("accepted");
    block_on(update(&drive, &mut next, V3, &host)).expect("online");
    assert_eq!(next.generation, 2);

    device.fail_when(|operation| (0..2).any(|copy| is_write_of(operation, copy)).then_some(DeviceError::Io));
    assert_eq!(kind_of(block_on(update(&drive, &mut next, V3, &host))), Some(Kind::Io));
    assert_eq!(drive.status(), DriveStatus::Online, "a superblock's failure leaves the drive in use");
    device.heal();
    device.take_trace();
    let missing = Drive::unavailable(next.drive, DriveSettings::default()).expect("zones enough");
    assert_eq!(kind_of(block_on(update(&missing, &mut next, V3, &host))), Some(Kind::Io));
    assert_eq!(device.take_trace(), [], "nothing reaches it");

    next.generation = u32::MAX;
    let exhausted = block_on(rewrite(&*device, &mut next, V3, &host)).expect_err("no next generation");
    assert_eq!((exhausted.kind(), device.take_trace()), (Kind::Invalid, vec![]));
}

/// mpool-17, partly: a device that is smaller than recorded, or other in kind, sectors or features, is refused.
/// mpool-18, partly: with force it is taken.
#[test]
fn a_device_must_be_what_its_superblock_says() {
    let recorded = superblock("one");
    let outcome = |change: fn(&mut DeviceProperties)| {
        let mut device = properties(DEVICE_BYTES);
        change(&mut device);
        assert!(device_check::reconcile(&recorded, &device, false, true).is_ok());
        kind_of(device_check::reconcile(&recorded, &device, false, false))
    };
    assert_eq!(outcome(|_| ()), None);
    assert_eq!(outcome(|device| device.bytes += 1 << 30), None, "larger");
    assert_eq!(outcome(|device| device.bytes -= 4096), Some(Kind::Invalid));
    assert_eq!(outcome(|device| device.sector_bytes = 512), Some(Kind::Invalid));
    assert_eq!(outcome(|device| device.kind = DeviceType::File), Some(Kind::Invalid));
    assert_eq!(outcome(|device| device.dif = true), Some(Kind::Invalid));
}

/// A device other than the recorded one is reported, and refused while the recorded one may still appear.
#[test]
fn another_device_than_the_recorded_one_is_told() {
    let made_on = |product: &str, uuid: u128, uuid_lasts: bool, layered: bool, bytes: u64| DeviceProperties {
        model: product.to_owned(),
        uuid: Uuid::from_u128(uuid),
        uuid_lasts,
        layered,
        ..properties(bytes)
    };
    let (disk, split, large) = (
        |uuid| made_on("AIO disk", uuid, false, false, DEVICE_BYTES),
        |uuid| made_on("Split Disk", uuid, false, true, DEVICE_BYTES),
        |uuid| made_on("AIO disk", uuid, false, false, 2 * DEVICE_BYTES),
    );
    let nvme = |uuid, bytes| made_on("NVMe disk", uuid, true, false, bytes);
    let raid = |uuid| made_on("Raid Volume", uuid, false, true, DEVICE_BYTES);
    let table = [
        (disk(1), disk(2), false, Ok(0)),
        (disk(1), made_on("URING bdev", 3, false, false, DEVICE_BYTES), false, Ok(1)),
        (disk(1), raid(2), false, Ok(1)),
        (disk(1), large(2), false, Err("size differs")),
        (disk(1), large(2), true, Ok(1)),
        (split(1), split(2), false, Ok(0)),
        (split(1), large(2), false, Err("may still come")),
        (split(1), large(2), true, Err("may still come")),
        (raid(1), disk(2), false, Err("may still come")),
        (raid(1), raid(2), false, Ok(0)),
        (nvme(1, DEVICE_BYTES), nvme(1, DEVICE_BYTES), false, Ok(0)),
        (nvme(1, DEVICE_BYTES), nvme(1, 2 * DEVICE_BYTES), false, Ok(1)),
        (nvme(1, DEVICE_BYTES), nvme(2, DEVICE_BYTES), false, Err("may still come")),
        (nvme(1, DEVICE_BYTES), disk(2), false, Err("may still come")),
        (disk(2), nvme(1, DEVICE_BYTES), false, Ok(1)),
    ];
    for (before, now, resize, expected) in table {
        let recorded = Superblock { device: Some(DeviceRecord::of(&before)), ..superblock("one") };
        let case = format!("{before:?}, {now:?}");
        match (device_check::reconcile(&recorded, &now, resize, false), expected) {
            (Ok(warnings), Ok(count)) => assert_eq!(warnings.len(), count, "{case}: {warnings:?}"),
            (Err(error), Err(word)) => {
                assert!(error.to_string().contains(word), "{case}: {error}");
                assert_eq!(error.kind(), Kind::NotPermitted);
                let forced = device_check::reconcile(&recorded, &now, resize, true);
                assert_eq!(forced.map(|warnings| warnings.len()), Ok(1), "{case}");
            }
            (outcome, _) => panic!("{case}: {outcome:?}"),
        }
        let same = DeviceRecord::of(&before).encode()[16..] == DeviceRecord::of(&now).encode()[16..];
        assert_eq!(device_check::has_changed(&recorded, &now), !same || (before.uuid_lasts && before.uuid != now.uuid));
    }
}

/// mpool-88: an older superblock is rewritten with permission, and the pool is refused without; a newer one is refused.
#[test]
fn older_versions_need_permission() {
    assert_eq!(needs_conversion(V3, V3, false), Ok(false));
    assert_eq!(needs_conversion(V1, V3, true), Ok(true));
    assert_eq!(kind_of(needs_conversion(V1, V3, false)), Some(Kind::NotPermitted));

    let (device, host) = (formatted(&superblock("one"), V1), LogHost::default());
    let Found { mut superblock, version, .. } = read_from(&device).expect("version 1 is known");
    assert_eq!((version, superblock.flags), (V1, SuperblockFlags::LEGACY_LOGS));
    block_on(rewrite(&*device, &mut superblock, V3, &host)).expect("a good device");
    let found = read_from(&device).expect("converted");
    assert_eq!((found.version, found.superblock), (V3, superblock));
    in_state(&device, 0, "newer");
    assert_eq!(kind_of(read_from(&device)), Some(Kind::UnknownSuperblock));
}
