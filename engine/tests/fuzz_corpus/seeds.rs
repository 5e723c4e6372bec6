// SPDX-License-Identifier: BSD-3-Clause

//! Inputs that the decoders accept, and some that they just do not: where fuzzing begins.

use mpool::device::DeviceType;
use mpool::format::drive_descriptor::Features;
use mpool::format::{
    ContentVersion, DriveDescriptor, Label, Mdc0Location, Mdc0Log, MpConfig, ObjectCreate, PoolName, Record,
    Superblock, SuperblockFlags, SuperblockVersion,
};
use mpool::mlog::scan::Recovered;
use mpool::mlog::{Geometry, LogFormat, LogWriter, Policy, WriterConfig};
use mpool::tunables::KeptTunable;
use mpool::{Extent, MediaClass, ObjectId, ObjectType, Slot};
use uuid::Uuid;

use crate::log_blocks::STAMP;

/// Name and bytes.
type Seed = (&'static str, Vec<u8>);

/// The seeds of all targets.
pub fn all() -> [(&'static str, Vec<Seed>); 4] {
    [("superblock", superblocks()), ("drive_descriptor", drives()), ("mdc_records", records()), ("log_blocks", logs())]
}

fn drive(class: MediaClass) -> DriveDescriptor {
    DriveDescriptor {
        class,
        kind: DeviceType::StandardBlock,
        sector_shift: 12,
        uuid: Uuid::from_bytes(core::array::from_fn(|at| 0x10 + at as u8)),
        zone_pages: 8192,
        zones: 320,
        bytes: 10_737_418_240,
        features: Features(3),
    }
}

fn superblock(class: MediaClass) -> Superblock {
    // A zone less than fit, for the last copy.
    let drive = DriveDescriptor { zones: 319, ..drive(class) };
    let log = |number: u64| Mdc0Log {
        generation: number + 1,
        uuid: Uuid::from_u128(u128::from(number) + 77),
        drive: drive.uuid,
        extent: Extent { first: 1 + number, zones: 1 },
    };
    let location = Mdc0Location { logs: [log(0), log(1)], drive };
    Superblock {
        generation: 5,
        name: PoolName::new("mp1").expect("a name"),
        pool: Uuid::from_bytes(core::array::from_fn(|at| at as u8)),
        drive,
        metadata: (class == MediaClass::Capacity).then_some(location),
        flags: SuperblockFlags::NONE,
        former: None,
        volume_mask: Uuid::nil(),
        device: None,
    }
}

fn superblocks() -> Vec<Seed> {
    let bytes = |class, version| superblock(class).encode(version).to_vec();
    let current = bytes(MediaClass::Capacity, SuperblockVersion::V3);
    let mut newer = current.clone();
    newer[56] = 4;
    let mut apart = current.clone();
    // The second log of MDC0 is longer than the first.
    apart[224] = 2;
    vec![
        ("current", current.clone()),
        ("staging", bytes(MediaClass::Staging, SuperblockVersion::V3)),
        ("original", bytes(MediaClass::Capacity, SuperblockVersion::V1)),
        ("newer", newer),
        ("unequal-logs", apart),
        ("short", current[..288].to_vec()),
    ]
}

fn drives() -> Vec<Seed> {
    let good = drive(MediaClass::Capacity);
    let small = DriveDescriptor { sector_shift: 9, zone_pages: 256, zones: 15, bytes: 16 << 20, ..good };
    let mut huge = good.encode().to_vec();
    huge[24..40].fill(0xff);
    vec![
        ("golden", good.encode().to_vec()),
        ("small", DriveDescriptor { class: MediaClass::Staging, ..small }.encode().to_vec()),
        ("huge", huge),
        ("short", good.encode()[..47].to_vec()),
    ]
}

fn records() -> Vec<Seed> {
    let create = |kind, uuid| ObjectCreate {
        id: ObjectId::new(256, kind, Slot(2)),
        class: MediaClass::Capacity,
        extent: Extent { first: 40, zones: 2 },
        generation: 0,
        written_bytes: 0,
        uuid,
    };
    let mlog = create(ObjectType::Mlog, Some(Uuid::from_u128(9)));
    let mblock = ObjectCreate { written_bytes: 1 << 20, ..create(ObjectType::Mblock, None) };
    let config = MpConfig {
        root_logs: ObjectId::ROOT_LOGS,
        uid: 1000,
        gid: 1000,
        mode: 0o660,
        mdc_capacity_bytes: 8 << 20,
        readahead_pages: 32,
        map_bytes_shift: 30,
        user_type: Uuid::from_u128(5),
        label: Label::new("raw").expect("a label"),
    };
    let seed = |name, record: Record| (name, record.encode().as_ref().to_vec());
    let mut unknown = vec![11];
    unknown.resize(16, 0);
    vec![
        seed("create-mblock", Record::ObjectCreate(mblock)),
        seed("create-mlog", Record::ObjectCreate(mlog)),
        seed("create-slab", Record::ObjectCreate(create(ObjectType::Slab, None))),
        seed("update", Record::ObjectUpdate(mlog)),
        seed("delete", Record::ObjectDelete(mlog.id)),
        seed("checkpoint", Record::IdCheckpoint(mlog.id)),
        seed("erase", Record::ObjectErase { id: mlog.id, generation: 7 }),
        seed("drive", Record::McConfig(drive(MediaClass::Staging))),
        seed("spare", Record::McSpare { class: MediaClass::Capacity, percent: 5 }),
        seed("version", Record::Version(ContentVersion::CURRENT)),
        seed("config", Record::MpConfig(config)),
        seed("tunable", Record::Tunable { tunable: KeptTunable::named("reap_mempct").expect("one"), value: 90 }),
        ("unknown", unknown),
    ]
}

/// How a log of the corpus is written.
struct Log {
    sector_bytes: usize,
    format: LogFormat,
    policy: Policy,
    /// It begins with the markers of a compaction.
    markers: bool,
    /// Bytes of each record, each followed by a flush.
    records: &'static [usize],
}

/// Writes a log, with a few blocks of garbage behind it.
fn log(options: u8, log: &Log) -> Vec<u8> {
    let Log { sector_bytes, format, policy, markers, records } = *log;
    let mut input = vec![0xa5; 1 + 8 * sector_bytes];
    input[0] = options;
    let geometry = Geometry::new(sector_bytes, 8 * sector_bytes as u64).expect("a sector size that there is");
    let config = WriterConfig { format, stamp: STAMP, geometry, policy, buffers: 2, max_in_flight: 1 };
    let mut writer = LogWriter::new(config, &Recovered::EMPTY);
    while writer.missing_buffers() > 0 {
        writer.supply(vec![0; 8 * sector_bytes]);
    }
    if markers {
        writer.append_compaction_start().expect("the log is empty");
        flush(&mut writer, &mut input[1..]);
        writer.append_compaction_end().expect("the log has room");
        flush(&mut writer, &mut input[1..]);
    }
    for (bytes, number) in records.iter().zip(1..) {
        writer.append(&vec![number; *bytes]).expect("the log has room");
        flush(&mut writer, &mut input[1..]);
    }
    input
}

fn flush(writer: &mut LogWriter<Vec<u8>>, space: &mut [u8]) {
    while let Some(set) = writer.next_flush(true) {
        let at = set.at as usize;
        space[at..at + set.range.len()].copy_from_slice(&set.buffer[set.range.clone()]);
        writer.flushed(set.id, set.buffer, true);
    }
}

fn logs() -> Vec<Seed> {
    let small = Log {
        sector_bytes: 512,
        format: LogFormat::V2,
        policy: Policy::Continue,
        markers: false,
        records: &[100, 0, 464, 900, 10],
    };
    let whole = log(0, &small);
    let resealed = log(8, &small);
    // The last block of the record of 900 bytes was never written.
    let mut torn = whole.clone();
    torn[1 + 3 * 512..1 + 4 * 512].fill(0xff);
    // A block of the second set lies behind the end.
    let mut stale = whole.clone();
    stale.copy_within(1 + 512..1 + 2 * 512, 1 + 6 * 512);
    vec![
        ("continued", whole),
        ("sealed", resealed),
        ("one-in-flight", log(16, &small)),
        ("fresh", log(0, &Log { policy: Policy::Fresh, ..small })),
        ("markers", log(2, &Log { policy: Policy::Fresh, markers: true, ..small })),
        ("markers-sealed", log(2 | 8, &Log { markers: true, ..small })),
        ("original", log(4, &Log { format: LogFormat::V1, ..small })),
        ("original-markers", log(2 | 4, &Log { format: LogFormat::V1, markers: true, ..small })),
        ("large", log(1, &Log { sector_bytes: 4096, records: &[100, 5000], ..small })),
        ("torn", torn),
        ("stale", stale),
        ("empty", vec![0; 1 + 1024]),
    ]
}
