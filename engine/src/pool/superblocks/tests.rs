// SPDX-License-Identifier: BSD-3-Clause

//! Two copies through failures and erasures; power cuts: [`power_cuts`].

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use futures::executor::block_on;
use futures::future::LocalBoxFuture;
use uuid::Uuid;

use super::*;
use crate::pool::device::{DeviceError, DeviceType};
use crate::pool::drive::{describe_new, DriveSettings};
use crate::pool::format::{Mdc0Location, Mdc0Log, PoolName, SuperblockFlags};
use crate::pool::ids::{Extent, MediaClass};
use crate::pool::test_device::{properties, Operation, TestDevice};
use crate::units::Nanos;
use SuperblockVersion::{V1, V2};

mod power_cuts;

const MIB: u64 = 1 << 20;
const DEVICE_BYTES: u64 = 8 * MIB;

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
    block_on(read(device, &LogHost::default()))
}

fn kind_of<T>(outcome: Result<T>) -> Option<Kind> {
    outcome.err().map(|error| error.kind())
}

fn place(copy: usize) -> usize {
    COPIES_AT[copy] as usize
}

fn is_write_of(operation: &Operation, copy: usize) -> bool {
    matches!(operation, Operation::Write { at, .. } if *at == COPIES_AT[copy])
}

fn fail_writes_of(device: &TestDevice, copy: usize) {
    device.fail_when(move |operation| is_write_of(operation, copy).then_some(DeviceError::Io));
}

fn fail_reads_of(device: &TestDevice, copy: usize) {
    let bad = COPIES_AT[copy];
    device.fail_when(move |operation| {
        matches!(operation, Operation::Read { at, .. } if *at == bad).then_some(DeviceError::Io)
    });
}

/// mpool-85: a new superblock needs both copies; of a rewritten one copy 0 must be written, copy 1 comes after it and its
/// failure is only logged.
#[test]
fn both_copies_are_written_in_order() {
    let first = superblock("one");
    for failing in 0..2 {
        let device = new_device();
        fail_writes_of(&device, failing);
        assert_eq!(kind_of(block_on(write_new(&*device, &first, V2))), Some(Kind::Io), "copy {failing}");
    }
    let device = new_device();
    block_on(write_new(&*device, &first, V2)).expect("a good device");
    let bytes = first.encode(V2);
    assert_eq!(device.writes(), [(0, bytes.to_vec()), (8192, bytes.to_vec())]);

    let (host, mut next) = (LogHost::default(), superblock("two"));
    block_on(rewrite(&*device, &mut next, V2, &host)).expect("a good device");
    assert_eq!(next.generation, 2);
    let bytes = next.encode(V2);
    assert_eq!(device.writes(), [(0, bytes.to_vec()), (8192, bytes.to_vec())]);
    assert_eq!((host.take(), read_from(&device).expect("good").superblock), (vec![], next.clone()));

    fail_writes_of(&device, 1);
    next.name = PoolName::new("three").expect("a name");
    block_on(rewrite(&*device, &mut next, V2, &host)).expect("copy 0 suffices");
    let logged = host.take();
    assert!(matches!(&logged[..], [(Level::Warning, line)] if line.contains("writing copy 1")), "{logged:?}");
    fail_writes_of(&device, 0);
    let mut lost = superblock("four");
    lost.generation = next.generation;
    assert_eq!(kind_of(block_on(rewrite(&*device, &mut lost, V2, &host))), Some(Kind::Io));
    assert_eq!(read_from(&device).expect("the one before").superblock, next);
}

/// mpool-85, partly: the writes are durable, one after the other, on any device.
#[test]
fn each_copy_is_durable_before_the_next() {
    for fua in [true, false] {
        let device = TestDevice::new(DeviceProperties { volatile_cache: true, fua, ..properties(DEVICE_BYTES) });
        block_on(write_new(&*device, &superblock("one"), V2)).expect("a good device");
        let trace = device.take_trace();
        let shape: Vec<_> = trace
            .iter()
            .filter_map(|operation| match operation {
                Operation::Write { at, fua, .. } => Some((Some(*at), *fua)),
                Operation::Flush => Some((None, false)),
                _ => None,
            })
            .collect();
        let (copy_0, copy_1, flush) = ((Some(0), fua), (Some(8192), fua), (None, false));
        let expected = if fua { vec![copy_0, copy_1] } else { vec![copy_0, flush, copy_1, flush] };
        assert_eq!(shape, expected);
    }
}

/// mpool-2, partly: the magic in either copy is seen; a copy that cannot be read is an error where the other has none.
#[test]
fn a_superblock_is_seen_in_either_copy() {
    assert_eq!(block_on(probe(&*new_device())), Ok(false));
    for wiped in 0..2 {
        let device = formatted(&superblock("one"), V2);
        device.poke(place(wiped), &[0; SUPERBLOCK_BYTES]);
        assert_eq!(block_on(probe(&*device)), Ok(true));
        device.poke(place(1 - wiped) + 8, &[0xff; 100]);
        // Damaged is not absent, unless the first write of all was cut off.
        assert_eq!(block_on(probe(&*device)), Ok(wiped == 0), "copy {wiped} wiped");
        device.poke(place(1 - wiped), &[0; SUPERBLOCK_BYTES]);
        assert_eq!(block_on(probe(&*device)), Ok(false));
        fail_reads_of(&device, wiped);
        assert_eq!(kind_of(block_on(probe(&*device))), Some(Kind::Io));
        device.poke(place(1 - wiped), &MAGIC);
        assert_eq!(block_on(probe(&*device)), Ok(true));
    }
    let tiny = TestDevice::new(properties(8192));
    assert_eq!(kind_of(block_on(probe(&*tiny))), Some(Kind::Invalid), "no room for superblocks");
}

/// mpool-14, partly: both areas are zeroed, copy 1 first; both are tried, and the first failure is reported.
#[test]
fn erasing_leaves_zeros() {
    let device = formatted(&superblock("one"), V2);
    block_on(erase(&*device)).expect("a good device");
    assert_eq!(device.writes(), [(8192, vec![0; 4096]), (0, vec![0; 4096])]);
    assert!(device.image().iter().all(|byte| *byte == 0));
    assert_eq!(kind_of(read_from(&device)), Some(Kind::NoPool));

    for failing in 0..2 {
        let device = formatted(&superblock("one"), V2);
        fail_writes_of(&device, failing);
        let error = block_on(erase(&*device)).expect_err("injected");
        assert!(error.to_string().contains(&format!("erasing copy {failing}")), "{error}");
        assert_eq!(device.writes().len(), 2, "both are tried");
    }
    let device = formatted(&superblock("one"), V2);
    device.fail_when(|operation| matches!(operation, Operation::Write { .. }).then_some(DeviceError::Io));
    assert!(block_on(erase(&*device)).expect_err("injected").to_string().contains("copy 1"), "the first failure");
    let device = formatted(&superblock("one"), V2);
    fail_writes_of(&device, 1);
    assert!(block_on(erase(&*device)).is_err());
    assert_eq!(kind_of(read_from(&device)), Some(Kind::NoPool), "copy 0 of zeros: copy 1 does not come back");
}

/// What each copy may be.
fn in_state(device: &TestDevice, copy: usize, state: &str) {
    let at = place(copy);
    match state {
        "good" => {}
        "erased" => device.poke(at, &[0; SUPERBLOCK_BYTES]),
        "foreign" => device.poke(at, &[0; 512]),
        "damaged" => device.poke(at + 200, &[0x55; 8]),
        "newer" => {
            let mut bytes = superblock("one").encode(V2);
            bytes[56] = 3;
            // The head's checksum is right, as newer software would have it.
            let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[..62]) as u32;
            bytes[62..66].copy_from_slice(&crc.to_le_bytes());
            device.poke(at, &bytes[..]);
        }
        other => panic!("{other}"),
    }
}

/// mpool-85, adapted: copy 0 counts, and copy 1 where copy 0 cannot be used; mpool.md 13, defect 2.
#[test]
fn copy_1_stands_in_for_copy_0() {
    let table = [
        ("good", "good", Ok(0)),
        ("good", "erased", Ok(0)),
        ("good", "foreign", Ok(0)),
        ("good", "damaged", Ok(0)),
        ("good", "newer", Ok(0)),
        ("erased", "good", Err(Kind::NoPool)),
        ("foreign", "good", Ok(1)),
        ("damaged", "good", Ok(1)),
        ("newer", "good", Err(Kind::UnknownSuperblock)),
        ("erased", "erased", Err(Kind::NoPool)),
        ("foreign", "foreign", Err(Kind::NoPool)),
        ("foreign", "damaged", Err(Kind::NoPool)),
        ("damaged", "erased", Err(Kind::NoPool)),
        ("damaged", "damaged", Err(Kind::Invalid)),
        ("damaged", "foreign", Err(Kind::Invalid)),
    ];
    for (state_0, state_1, expected) in table {
        let (device, host) = (formatted(&superblock("one"), V2), LogHost::default());
        in_state(&device, 0, state_0);
        in_state(&device, 1, state_1);
        let found = block_on(read(&*device, &host));
        let copy = found.as_ref().map(|found| found.copy).map_err(PoolError::kind);
        assert_eq!(copy, expected, "{state_0}, {state_1}");
        if let Ok(found) = found {
            assert_eq!((found.superblock, found.version), (superblock("one"), V2));
            assert_eq!(host.take().len(), usize::from((state_0, state_1) != ("good", "good")), "oddities are logged");
        }
    }
    for copy in 0..2 {
        let device = formatted(&superblock("one"), V2);
        fail_reads_of(&device, copy);
        assert_eq!(read_from(&device).map(|found| found.copy), Ok(1 - copy), "copy {copy} is unreadable");
        in_state(&device, 1 - copy, "damaged");
        let expected = if copy == 0 { Kind::Io } else { Kind::Invalid };
        assert_eq!(kind_of(read_from(&device)), Some(expected), "what is wrong with copy 0");
    }
}

/// Of two good copies of one drive the newer counts; a good copy 1 of another drive or pool does not.
#[test]
fn generations_order_the_copies() {
    let newer = Superblock { generation: 2, ..superblock("two") };
    let with_copy_1 = |copy_1: &Superblock| {
        let device = formatted(&superblock("one"), V2);
        device.poke(place(1), &copy_1.encode(V2)[..]);
        let found = read_from(&device).expect("copy 0 is good");
        assert_eq!(found.warnings.len(), 1);
        found.superblock.name.to_string()
    };
    assert_eq!(with_copy_1(&newer), "two", "the write of copy 0 was lost");
    assert_eq!(with_copy_1(&Superblock { generation: 0, ..newer.clone() }), "one");
    assert_eq!(with_copy_1(&Superblock { generation: 1, ..newer.clone() }), "one");
    assert_eq!(with_copy_1(&Superblock { pool: Uuid::from_u128(1), ..newer.clone() }), "one");
    let elsewhere = DriveDescriptor { uuid: Uuid::from_u128(1), ..newer.drive };
    assert_eq!(with_copy_1(&Superblock { drive: elsewhere, ..newer }), "one");
}

#[test]
fn only_the_drive_of_an_online_pool_is_updated() {
    let (device, host) = (formatted(&superblock("one"), V2), LogHost::default());
    let mut next = superblock("two");
    let as_device: Rc<dyn Device> = Rc::clone(&device) as _;
    let drive = Drive::online(as_device, next.drive, DriveSettings::default()).expect("accepted");
    block_on(update(&drive, &mut next, V2, &host)).expect("online");
    assert_eq!(next.generation, 2);

    fail_writes_of(&device, 0);
    assert_eq!(kind_of(block_on(update(&drive, &mut next, V2, &host))), Some(Kind::Io));
    assert_eq!(drive.status(), DriveStatus::Online, "a superblock's failure leaves the drive in use");
    device.fail_when(|_| Some(DeviceError::Io));
    let buf = drive.allocate(4096).expect("memory");
    assert!(block_on(drive.read(Extent { first: 1, zones: 1 }, 0, buf, 0..4096)).1.is_err());
    device.heal();
    device.take_trace();
    assert_eq!(kind_of(block_on(update(&drive, &mut next, V2, &host))), Some(Kind::Io));
    let missing = Drive::unavailable(next.drive, DriveSettings::default()).expect("zones enough");
    assert_eq!(kind_of(block_on(update(&missing, &mut next, V2, &host))), Some(Kind::Io));
    assert_eq!(device.take_trace(), [], "nothing reaches an offline drive");

    next.generation = u32::MAX;
    let exhausted = block_on(rewrite(&*device, &mut next, V2, &host)).expect_err("no next generation");
    assert_eq!((exhausted.kind(), device.take_trace()), (Kind::Invalid, vec![]));
}

/// mpool-17, partly: a device that is smaller than recorded, or other in kind, sectors or features, is refused.
/// mpool-18, partly: with force it is taken.
#[test]
fn a_device_must_be_what_its_superblock_says() {
    let recorded = superblock("one").drive;
    let outcome = |change: fn(&mut DeviceProperties)| {
        let mut device = properties(DEVICE_BYTES);
        change(&mut device);
        assert_eq!(reconcile(&recorded, &device, true), Ok(()));
        kind_of(reconcile(&recorded, &device, false))
    };
    assert_eq!(outcome(|_| ()), None);
    assert_eq!(outcome(|device| device.bytes += 1 << 30), None, "larger");
    assert_eq!(outcome(|device| device.bytes -= 4096), Some(Kind::Invalid));
    assert_eq!(outcome(|device| device.sector_bytes = 512), Some(Kind::Invalid));
    assert_eq!(outcome(|device| device.kind = DeviceType::File), Some(Kind::Invalid));
    assert_eq!(outcome(|device| device.dif = true), Some(Kind::Invalid));
}

/// mpool-88: an older superblock is rewritten with permission, and the pool is refused without; a newer one is refused.
#[test]
fn older_versions_need_permission() {
    assert_eq!(needs_conversion(V2, V2, false), Ok(false));
    assert_eq!(needs_conversion(V1, V2, true), Ok(true));
    assert_eq!(kind_of(needs_conversion(V1, V2, false)), Some(Kind::NotPermitted));

    let (device, host) = (formatted(&superblock("one"), V1), LogHost::default());
    let Found { mut superblock, version, .. } = read_from(&device).expect("version 1 is known");
    assert_eq!((version, superblock.flags), (V1, SuperblockFlags::LEGACY_LOGS));
    block_on(rewrite(&*device, &mut superblock, V2, &host)).expect("a good device");
    let found = read_from(&device).expect("converted");
    assert_eq!((found.version, found.superblock), (V2, superblock));
    in_state(&device, 0, "newer");
    assert_eq!(kind_of(read_from(&device)), Some(Kind::UnknownSuperblock));
}
