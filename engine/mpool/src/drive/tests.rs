// SPDX-License-Identifier: BSD-3-Clause

//! The commands that a drive sends to its device, and those that it refuses.

use futures::executor::block_on;
use uuid::Uuid;

use super::*;
use crate::device::{DeviceError, PlainMemory};
use crate::test_device::{properties, Operation, TestDevice};

const MIB: u64 = 1 << 20;

/// A drive of 16 zones of 1 MiB.
fn drive(device: &Rc<TestDevice>) -> Rc<Drive> {
    let descriptor = DriveDescriptor::new(MediaClass::Capacity, &device.properties(), Uuid::from_u128(7), 256);
    let device: Rc<dyn Device> = Rc::clone(device) as _;
    Drive::online(device, descriptor.expect("16 zones"), DriveSettings::default()).expect("accepted")
}

fn device() -> Rc<TestDevice> {
    TestDevice::new(properties(16 * MIB))
}

fn memory(bytes: usize) -> IoBuf {
    Box::new(PlainMemory(vec![0xa5; bytes]))
}

fn extent(first: u64, zones: u64) -> Extent {
    Extent { first, zones }
}

fn write(drive: &Drive, durability: Durability) -> Result<()> {
    block_on(drive.write(extent(2, 1), 0, memory(4096), 0..4096, durability)).1
}

/// mpool-111: refuses offsets and lengths that are not multiples of the sector, or reach out of the extent, the drive,
/// the memory.
#[test]
fn io_outside_or_unaligned_is_refused() {
    for sector_bytes in [512, 4096] {
        let device = TestDevice::new(DeviceProperties { sector_bytes, ..properties(16 * MIB) });
        let (drive, sector) = (drive(&device), u64::from(sector_bytes));
        let bytes = 2 * MIB;
        let table = [
            (extent(1, 2), 0, 0..8192, true),
            (extent(1, 2), bytes - 8192, 0..8192, true),
            (extent(13, 2), bytes - 8192, 0..8192, true),
            (extent(1, 2), 0, 0..0, true),
            (extent(1, 2), sector, 0..sector as usize, true),
            (extent(1, 2), 1, 0..8192, false),
            (extent(1, 2), sector / 2, 0..8192, false),
            (extent(1, 2), 0, 0..sector as usize - 1, false),
            (extent(1, 2), 0, 1..8192, false),
            (extent(1, 2), bytes - 4096, 0..8192, false),
            (extent(1, 2), bytes, 0..4096, false),
            (extent(1, 2), u64::MAX - 4095, 0..8192, false),
            (extent(1, 2), 0, 4096..8192 + 4096, false),
            (extent(1, 2), 0, core::ops::Range { start: 8192, end: 4096 }, false),
            (extent(14, 2), 0, 0..4096, false),
            (extent(15, 1), 0, 0..4096, false),
            (extent(3, 0), 0, 0..0, false),
            (extent(u64::MAX, 2), 0, 0..4096, false),
            (extent(1, u64::MAX), 0, 0..4096, false),
        ];
        for (at, offset, range, good) in table {
            device.take_trace();
            let (buf, read) = block_on(drive.read(at, offset, memory(8192), range.clone()));
            let (_, written) = block_on(drive.write(at, offset, buf, range.clone(), Durability::Durable));
            for outcome in [read, written] {
                let kind = outcome.err().map(|error| error.kind());
                assert_eq!(kind, (!good).then_some(Kind::Invalid), "{at:?} {offset} {range:?}, sectors of {sector}");
            }
            assert!(good || device.take_trace().is_empty(), "what is refused does not reach the device");
        }
        assert_eq!(drive.status(), DriveStatus::Online, "a wrong argument is no failure of the drive");
    }
}

#[test]
fn what_was_written_is_read_from_the_place_of_the_extent() {
    let device = device();
    let drive = drive(&device);
    let (_, written) = block_on(drive.write(extent(3, 2), MIB + 8192, memory(8192), 4096..8192, Durability::Deferred));
    written.expect("a good device");
    assert_eq!(device.image().iter().filter(|byte| **byte == 0xa5).count(), 4096);
    assert!(device.image()[(4 * MIB + 8192) as usize..][..4096].iter().all(|byte| *byte == 0xa5));
    let buf = Box::new(PlainMemory(vec![0; 12288]));
    let (buf, read) = block_on(drive.read(extent(4, 1), 8192, buf, 8192..12288));
    read.expect("a good device");
    assert_eq!((*buf).as_ref().iter().position(|byte| *byte == 0xa5), Some(8192));
}

/// mpool-112, partly: transfers are cut into pieces of 128 KiB, or of the chosen size within 128 KiB and 1 MiB.
#[test]
fn transfers_are_cut_into_chunks() {
    let device = device();
    let drive = drive(&device);
    let lengths = |chunk_kib: usize| {
        drive.set_chunk_bytes(chunk_kib << 10);
        block_on(drive.read(extent(2, 2), 0, memory(1100 << 10), 0..1100 << 10)).1.expect("a good device");
        let trace = device.take_trace();
        let sizes = trace.iter().map(|operation| match operation {
            Operation::Read { bytes, .. } => *bytes >> 10,
            other => panic!("{other:?}"),
        });
        sizes.collect::<Vec<_>>()
    };
    assert_eq!(DriveSettings::default().chunk_bytes, 128 << 10);
    assert_eq!(lengths(128), [128, 128, 128, 128, 128, 128, 128, 128, 76]);
    assert_eq!(lengths(600), [600, 500]);
    assert_eq!(lengths(1), lengths(128), "too small");
    assert_eq!(lengths(5000), [1024, 76], "too large");
}

/// mpool-113: the commands that make a write durable, by the properties of the device.
#[test]
fn durable_writes_are_forced_or_flushed() {
    let write_of = |fua| Operation::Write { at: 2 * MIB, data: vec![0xa5; 4096], fua };
    let table = [
        // (volatile cache, FUA), deferred, its commit, durable
        ((false, false), vec![write_of(false)], vec![], vec![write_of(false)]),
        ((false, true), vec![write_of(false)], vec![], vec![write_of(false)]),
        ((true, true), vec![write_of(true)], vec![], vec![write_of(true)]),
        ((true, false), vec![write_of(false)], vec![Operation::Flush], vec![write_of(false), Operation::Flush]),
    ];
    for ((volatile_cache, fua), deferred, commit, durable) in table {
        let device = TestDevice::new(DeviceProperties { volatile_cache, fua, ..properties(16 * MIB) });
        let drive = drive(&device);
        write(&drive, Durability::Deferred).expect("a good device");
        assert_eq!(device.take_trace(), deferred);
        assert_eq!(drive.needs_flush_at_commit(), !commit.is_empty());
        block_on(drive.make_durable()).expect("a good device");
        assert_eq!(device.take_trace(), commit);
        write(&drive, Durability::Durable).expect("a good device");
        assert_eq!(device.take_trace(), durable);
        block_on(drive.flush()).expect("a good device");
        assert_eq!(device.take_trace().len(), usize::from(volatile_cache), "a flush is sent where there is a cache");
    }
}

/// mpool-114: zones are discarded where the device can, unless they must stay readable and would not.
#[test]
fn zones_are_discarded_when_that_is_safe() {
    let flags = [false, true];
    for (discard, dif, sed, readable) in
        (0..16).map(|bits| (flags[bits & 1], flags[bits >> 1 & 1], flags[bits >> 2 & 1], flags[bits >> 3]))
    {
        let device = TestDevice::new(DeviceProperties { discard, dif, sed, ..properties(16 * MIB) });
        block_on(drive(&device).erase(extent(3, 2), readable)).expect("advice");
        let discarded = discard && !(readable && dif && sed);
        let expected = discarded.then_some(Operation::Unmap { at: 3 * MIB, bytes: 2 * MIB });
        assert_eq!(device.take_trace(), Vec::from_iter(expected), "{discard} {dif} {sed} {readable}");
    }
}

/// mpool-114, partly: only whole units of discard are discarded, and only on the drive.
#[test]
fn discards_keep_to_the_granularity_and_the_drive() {
    let table = [(0, Some((MIB, 3 * MIB))), (MIB, Some((MIB, 3 * MIB))), (2 * MIB, Some((2 * MIB, 2 * MIB)))];
    let table = table.into_iter().chain([(3 * MIB, None), (u64::MAX, None), (1_500_000, Some((1_500_000, 1_500_000)))]);
    for (discard_granularity, expected) in table {
        let device = TestDevice::new(DeviceProperties { discard_granularity, ..properties(16 * MIB) });
        block_on(drive(&device).erase(extent(1, 3), false)).expect("advice");
        let expected = expected.map(|(at, bytes)| Operation::Unmap { at, bytes });
        assert_eq!(device.take_trace(), Vec::from_iter(expected), "units of {discard_granularity}");
    }
    let device = device();
    for outside in [extent(15, 2), extent(16, 1), extent(1, 0), extent(u64::MAX, 1)] {
        let refused = block_on(drive(&device).erase(outside, false)).expect_err("outside");
        assert_eq!((refused.kind(), device.take_trace()), (Kind::Invalid, vec![]));
    }
}

/// mpool-115, adapted: a failed read, write, flush or discard says nothing about the next one; the drive stays online.
#[test]
fn a_failed_transfer_fails_alone() {
    let device = TestDevice::new(DeviceProperties { volatile_cache: true, ..properties(16 * MIB) });
    let drive = drive(&device);
    device.fail_when(|_| Some(DeviceError::Io));
    let read = block_on(drive.read(extent(2, 1), 0, memory(4096), 0..4096)).1;
    let written = write(&drive, Durability::Deferred);
    let (flush, durable) = (block_on(drive.flush()), block_on(drive.make_durable()));
    for outcome in [read, written, flush, durable, block_on(drive.erase(extent(2, 1), false))] {
        let error = outcome.expect_err("injected");
        assert_eq!((error.kind(), error.object()), (Kind::Io, "drive 'Test0'"), "{error}");
        assert_eq!(drive.status(), DriveStatus::Online);
    }
    device.heal();
    write(&drive, Durability::Durable).expect("it works again");
    block_on(drive.read(extent(2, 1), 0, memory(4096), 0..4096)).1.expect("it works again");

    let missing = Drive::unavailable(drive.descriptor(), DriveSettings::default()).expect("zones enough");
    assert_eq!(missing.status(), DriveStatus::Unavailable);
    assert_eq!(missing.allocate(4096).map(|_| ()).expect_err("no device").kind(), Kind::Io);
    assert!(block_on(missing.flush()).expect_err("no device").to_string().contains("the drive is missing"));
}

/// A durable write is attempted three times at once, with its data: a device may have dropped what it could not make
/// durable.
#[test]
fn a_durable_write_is_tried_again() {
    for (failures, writes, good) in [(1, 2, true), (2, 3, true), (3, 3, false)] {
        let device = TestDevice::new(DeviceProperties { volatile_cache: true, ..properties(16 * MIB) });
        let drive = drive(&device);
        let mut left = failures;
        device.fail_when(move |operation| {
            let fails = matches!(operation, Operation::Flush) && left > 0;
            left -= u32::from(fails);
            fails.then_some(DeviceError::Io)
        });
        assert_eq!(write(&drive, Durability::Durable).is_ok(), good, "{failures} failing flushes");
        assert_eq!(device.writes().len(), writes);
    }
}

/// A trial write goes to an unused page, and tells whether the drive takes writes.
#[test]
fn a_probe_writes_where_nothing_is() {
    let device = device();
    let drive = drive(&device);
    block_on(drive.probe()).expect("a good device");
    assert_eq!(device.writes(), [(12288, vec![0; 4096])]);
    device.fail_when(|operation| matches!(operation, Operation::Write { .. }).then_some(DeviceError::Io));
    assert_eq!(block_on(drive.probe()).expect_err("injected").kind(), Kind::Io);
    assert!(drive.suspect(Some("a reason".to_owned())));
    assert!(!drive.suspect(Some("another".to_owned())), "no news");
    assert_eq!((drive.status(), drive.suspicion().as_deref()), (DriveStatus::Suspect, Some("another")));
    block_on(drive.read(extent(2, 1), 0, memory(4096), 0..4096)).1.expect("a suspect drive is read");
    assert!(drive.suspect(None));
    assert_eq!(drive.status(), DriveStatus::Online);
}

fn refusal(change: impl FnOnce(&mut DeviceProperties)) -> Option<Kind> {
    let mut properties = properties(16 * MIB);
    change(&mut properties);
    check_device(&properties).err().map(|error| error.kind())
}

/// mpool-116: a device whose sectors cannot be overwritten is no drive.
#[test]
fn sectors_must_be_updatable() {
    assert_eq!(refusal(|_| ()), None);
    assert_eq!(refusal(|properties| properties.sector_updatable = false), Some(Kind::Invalid));
}

/// mpool-117, adapted: block devices, NVDIMM and files are drives, other devices are not.
#[test]
fn only_some_types_of_devices_are_drives() {
    for number in 1..=6 {
        let kind = DeviceType::from_number(number).expect("six types");
        let accepted = matches!(kind, DeviceType::StandardBlock | DeviceType::NvdimmBlock | DeviceType::File);
        assert_eq!(refusal(|properties| properties.kind = kind), (!accepted).then_some(Kind::Invalid), "{kind:?}");
    }
    assert_eq!(refusal(|properties| properties.sector_bytes = 1024), Some(Kind::Invalid));
    assert_eq!(refusal(|properties| properties.bytes = 0), Some(Kind::Invalid));
    for optimal in [0, 512, 4097, 12288] {
        assert_eq!(refusal(|properties| properties.optimal_write_bytes = optimal), Some(Kind::Invalid), "{optimal}");
    }
    let unusable = TestDevice::new(DeviceProperties { kind: DeviceType::Zoned, ..properties(16 * MIB) });
    let descriptor = drive(&device()).descriptor();
    assert!(Drive::online(unusable, descriptor, DriveSettings::default()).is_err());
}

/// mpool-16, partly: a resized drive has its new zones, and keeps its spare percentage.
#[test]
fn an_empty_drive_can_be_resized() {
    let drive = drive(&device());
    assert_eq!(drive.space().borrow().allocated_zones(), 1, "of the superblocks");
    drive.space().borrow_mut().set_spare_percent(50).expect("a percentage");
    let larger = drive.descriptor().resized(20 * MIB + (64 << 10)).expect("20 zones");
    drive.set_descriptor(larger).expect("empty");
    assert_eq!((drive.descriptor(), drive.space_usage().total_bytes), (larger, 20 * MIB));
    assert_eq!((drive.space_usage().used_bytes, drive.space_usage().spare_bytes), (MIB, 10 * MIB));
    drive.space().borrow_mut().insert(extent(1, 1)).expect("free");
    assert_eq!(drive.set_descriptor(larger).expect_err("in use").kind(), Kind::Busy);
}

#[test]
fn names_are_short() {
    for (path, name) in [("Malloc0", "Malloc0"), ("/dev/disk/by-id/x", "x"), ("a/", "a"), ("", ""), ("//", "//")] {
        assert_eq!(short_name(path), name);
    }
    assert_eq!(short_name(&format!("x/{}\u{e9}", "n".repeat(30))), "n".repeat(30), "no half character");
    assert_eq!(short_name(&"n".repeat(40)).len(), 31);
}

/// Each command that reaches the device is counted once, by kind, with its bytes; failures are errors, and commands
/// that are refused or not sent do not count.
#[test]
fn io_is_counted_by_kind() {
    let cached = DeviceProperties { volatile_cache: true, fua: false, ..properties(16 * MIB) };
    let device = TestDevice::new(cached);
    let drive = drive(&device);
    write(&drive, Durability::Deferred).expect("a good device");
    write(&drive, Durability::Durable).expect("a good device");
    drive.set_chunk_bytes(128 << 10);
    block_on(drive.read(extent(2, 1), 0, memory(1 << 20), 0..1 << 20)).1.expect("a good device");
    block_on(drive.erase(extent(3, 2), false)).expect("a good device");
    block_on(drive.read(extent(2, 1), 1, memory(4096), 0..4096)).1.expect_err("refused");
    let good = IoCounters {
        bytes_read: MIB,
        num_read_ops: 1,
        bytes_written: 8192,
        num_write_ops: 2,
        bytes_unmapped: 2 * MIB,
        num_unmap_ops: 1,
        num_flush_ops: 1,
        ..IoCounters::default()
    };
    assert_eq!(drive.io_counters(), good);
    device.fail_when(|_| Some(DeviceError::Io));
    write(&drive, Durability::Deferred).expect_err("fails");
    block_on(drive.read(extent(2, 1), 0, memory(4096), 0..4096)).1.expect_err("fails");
    block_on(drive.erase(extent(3, 2), false)).expect_err("fails");
    block_on(drive.flush()).expect_err("fails");
    let failed = IoCounters {
        num_read_errors: 1,
        num_write_errors: 1,
        num_unmap_errors: 1,
        num_flush_errors: 1,
        ..IoCounters::default()
    };
    assert_eq!(drive.io_counters(), good.plus(failed));
    drive.add_io(good);
    assert_eq!(drive.io_counters(), good.plus(good).plus(failed));
    let read = good.fields().find(|(name, _)| *name == "bytes_read");
    assert_eq!(read, Some(("bytes_read", MIB)));
}
