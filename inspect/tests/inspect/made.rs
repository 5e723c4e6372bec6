// SPDX-License-Identifier: BSD-3-Clause

//! A pool on one drive, made by hand, so that a test can make it wrong in any place.
//!
//! ```text
//! zone   0  superblocks             5, 6  logs of MDC2          11      mblock 0x5101
//!     1, 2  logs of MDC0            7, 8  logs of the root MDC  12      mlog 0x6201
//!     3, 4  logs of MDC1           9, 10  logs of volume D0     13-16   slabs 0x7301 and 0x8301
//!
//! zones 21-26  metadata objects 0x9301 and 0xa301    27-30  roots 0xb301    31  journal segment 0xc201
//! ```

use std::path::Path;

use engine::fingerprint::SECRET_BYTES;
use engine::format::journal_record::{Entry, PbnRun, RecordBuilder, RecordHeader};
use engine::format::{Mapped, Mapping, PageId};
use engine::units::ShardId;
use engine::volume::catalog::{CatalogRecord, VolumeEntry};
use engine::volume::inventory::{Counts, InventoryRecord, StateKind, VolumeConfig, VolumeState};
use engine::{Blocks, Lbn, Pbn};
use mpool::device::DeviceType;
use mpool::format::drive_descriptor::Features;
use mpool::format::{
    ContentVersion, DriveDescriptor, Label, Mdc0Location, Mdc0Log, MediaFormat, MpConfig, ObjectCreate, PoolName,
    Record, Superblock, SuperblockFlags, SuperblockVersion,
};
use mpool::mlog::block::Stamp;
use mpool::mlog::scan::Recovered;
use mpool::mlog::{Geometry, LogFormat, LogWriter, Policy, WriterConfig};
use mpool::{Extent, MediaClass, ObjectId, ObjectType, Slot};
use uuid::Uuid;

/// Bytes of a zone.
pub const ZONE: usize = 64 << 10;
/// Zones of the drive.
pub const ZONES: u32 = 40;

/// A pool to be written.
pub struct Made {
    /// The superblock.
    pub superblock: Superblock,
    /// Versions of everything.
    pub format: MediaFormat,
    /// What MDC0 says, behind its version.
    pub mdc0: Vec<Record>,
    /// What MDC1 says, behind its version.
    pub mdc1: Vec<Record>,
    /// What MDC2 says, behind its version.
    pub mdc2: Vec<Record>,
    /// The records of the root MDC.
    pub root: Vec<Vec<u8>>,
    /// The records of the volume's MDC.
    pub volume: Vec<Vec<u8>>,
    /// The records of the client's log.
    pub client: Vec<Vec<u8>>,
    /// The records of the volume's journal segment.
    pub journal: Vec<Vec<u8>>,
}

/// The configuration of the volume: its slabs have 32 blocks.
pub fn config() -> VolumeConfig {
    VolumeConfig {
        nonce: 0x1234,
        slab_blocks: 32,
        slab_zones: 2,
        logical_blocks: Blocks(100),
        areas_per_object: 1,
        block_size: 4096,
        index_mib: 1,
        map_cache_mib: 2,
        journal_mib: 3,
        history_mib: 4,
        compression: false,
        deduplication: true,
        reserve_percent: 0,
        metadata_class: MediaClass::Capacity,
        secret: [0x5e; SECRET_BYTES],
        core_mask: "0x1".to_owned(),
    }
}

/// The state of the volume.
pub fn state() -> VolumeState {
    VolumeState {
        kind: StateKind::ReadOnly,
        generation: 4,
        shards: 1,
        logical_blocks_used: 9,
        map_pages: 3,
        complete_recoveries: 2,
        read_only_recoveries: 1,
        reason: "a write failed".to_owned(),
        counters: vec![(1, 17)],
    }
}

/// What the volume's MDC says.
pub fn inventory() -> Vec<InventoryRecord> {
    let object = ObjectId;
    vec![
        InventoryRecord::Roots { object: object(0xb301) },
        InventoryRecord::Areas { number: 0, object: object(0x9301) },
        InventoryRecord::Areas { number: 1, object: object(0xa301) },
        InventoryRecord::Slab { number: 0, object: object(0x7301) },
        InventoryRecord::Slab { number: 1, object: object(0x8301) },
        InventoryRecord::Segment { number: 0, object: object(0xc201) },
        InventoryRecord::Config(Box::new(config())),
        InventoryRecord::State(Box::new(state())),
        InventoryRecord::Counts(Counts { slabs: 2, segments: 1 }),
    ]
}

/// Two records of a recovery journal, and something that is none.
fn journal() -> Vec<Vec<u8>> {
    let mut builder = RecordBuilder::new(4096);
    let header = |first, count| RecordHeader {
        shard: ShardId(0),
        shards: 1,
        generation: 4,
        first,
        count,
        committed: first,
        map_head: 0,
        logical_blocks_used: 9,
        map_pages: 3,
    };
    let new = Mapping::new(Mapped::uncompressed(Pbn(300)), 0xabcdef);
    builder.begin();
    builder.push(&Entry::Page { page: PageId { level: 0, index: 7 }, pbn: Pbn(299), life: 0x12 });
    builder.push(&Entry::Remap { lbn: Lbn(5), old: Pbn(0), new });
    let first = builder.finish(header(0, 2)).to_vec();
    builder.begin();
    let runs = [PbnRun { first: Pbn(300), count: 1 }, PbnRun { first: Pbn(310), count: 2 }];
    builder.push(&Entry::Range { first: Lbn(5), count: 3, runs: &runs });
    let second = builder.finish(header(2, 1)).to_vec();
    vec![first, second, b"none".to_vec()]
}

/// A mblock, an mlog or a slab of MDC1.
pub fn object(id: u64, first: u64, zones: u64) -> ObjectCreate {
    let id = ObjectId(id);
    let is_log = id.kind() == Some(ObjectType::Mlog);
    ObjectCreate {
        id,
        class: MediaClass::Capacity,
        extent: Extent { first, zones },
        generation: 0,
        written_bytes: if id.kind() == Some(ObjectType::Mblock) { 8192 } else { 0 },
        uuid: is_log.then(|| uuid_of(id)),
    }
}

fn uuid_of(id: ObjectId) -> Uuid {
    Uuid::from_u128(0xabcd_0000 + u128::from(id.0))
}

/// The second log of a pair, which is empty: a compaction has raised its generation.
fn second(id: u64, first: u64) -> ObjectCreate {
    ObjectCreate { generation: 1, ..object(id, first, 1) }
}

impl Made {
    /// A pool without faults.
    pub fn good() -> Made {
        let drive = DriveDescriptor {
            class: MediaClass::Capacity,
            kind: DeviceType::StandardBlock,
            sector_shift: 9,
            uuid: Uuid::from_u128(0x0d0d),
            zone_pages: (ZONE / 4096) as u32,
            zones: ZONES,
            // A zone is as long as the room of the last copy of the superblock.
            bytes: u64::from(ZONES + 1) * ZONE as u64,
            features: Features(3),
        };
        let log = |number: u64| Mdc0Log {
            generation: 1 + number,
            uuid: Uuid::from_u128(0xace + u128::from(number)),
            drive: drive.uuid,
            extent: Extent { first: 1 + number, zones: 1 },
        };
        let superblock = Superblock {
            generation: 3,
            name: PoolName::new("mp1").expect("a name"),
            pool: Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f),
            drive,
            metadata: Some(Mdc0Location { logs: [log(0), log(1)], drive }),
            flags: SuperblockFlags::NONE,
            former: None,
            volume_mask: Uuid::nil(),
            device: None,
        };
        let config = MpConfig {
            root_logs: ObjectId::ROOT_LOGS,
            uid: 7,
            gid: 8,
            mode: 0o640,
            mdc_capacity_bytes: ZONE as u64,
            readahead_pages: 32,
            map_bytes_shift: 30,
            user_type: Uuid::nil(),
            label: Label::new("raw").expect("a label"),
        };
        let create = Record::ObjectCreate;
        let entry = VolumeEntry {
            uuid: Uuid::from_u128(0x70),
            name: "D0".to_owned(),
            logs: [ObjectId(0x2201), ObjectId(0x3201)],
        };
        Made {
            superblock,
            format: MediaFormat::CURRENT,
            mdc0: vec![
                Record::MpConfig(config),
                Record::McConfig(drive),
                Record::McSpare { class: MediaClass::Capacity, percent: 5 },
                create(object(0x2200, 3, 1)),
                create(second(0x3200, 4)),
                create(object(0x4200, 5, 1)),
                create(second(0x5200, 6)),
            ],
            mdc1: vec![
                Record::IdCheckpoint(ObjectId(0)),
                create(object(0x201, 7, 1)),
                create(second(0x1201, 8)),
                create(object(0x2201, 9, 1)),
                create(second(0x3201, 10)),
                create(object(0x4101, 20, 1)),
                create(object(0x5101, 11, 1)),
                create(object(0x6201, 12, 1)),
                create(object(0x7301, 13, 2)),
                create(object(0x8301, 15, 2)),
                Record::ObjectDelete(ObjectId(0x4101)),
                create(object(0x9301, 21, 3)),
                create(object(0xa301, 24, 3)),
                create(object(0xb301, 27, 4)),
                create(object(0xc201, 31, 1)),
            ],
            mdc2: vec![Record::IdCheckpoint(ObjectId::new(256, ObjectType::Mblock, Slot(2)))],
            root: vec![CatalogRecord::Volume(entry).encode(), b"somebody else's".to_vec()],
            volume: inventory().iter().map(InventoryRecord::encode).collect(),
            client: vec![vec![7; 100], vec![8; 1000], Vec::new()],
            journal: journal(),
        }
    }

    /// The same as the original mpool would have written it, as far as it knew these objects.
    pub fn original() -> Made {
        let mut made = Made::good();
        made.format = MediaFormat::ORIGINAL;
        made.mdc1.retain(
            |record| !matches!(record, Record::ObjectCreate(object) if object.id.kind() == Some(ObjectType::Slab)),
        );
        made.root.remove(0);
        made
    }

    /// The image of the drive.
    pub fn image(&self) -> Vec<u8> {
        let mut image = vec![0; (ZONES as usize + 1) * ZONE];
        let superblock = self.superblock.encode(self.format.superblock);
        image[..4096].copy_from_slice(&superblock[..]);
        image[8192..8192 + 4096].copy_from_slice(&superblock[..]);
        if self.format.superblock != SuperblockVersion::V1 {
            let end = self.superblock.end_copy_at() as usize;
            image[end..end + 4096].copy_from_slice(&superblock[..]);
        }
        if let Some(location) = &self.superblock.metadata {
            let log = location.logs[0];
            let stamp = Stamp { uuid: log.uuid, generation: log.generation };
            self.log(&mut image, log.extent.first, stamp, true, &self.encoded(&self.mdc0));
        }
        for (id, zone, records) in [(0x2200, 3, &self.mdc1), (0x4200, 5, &self.mdc2)] {
            self.log(&mut image, zone, stamp(id), true, &self.encoded(records));
        }
        self.log(&mut image, 7, stamp(0x201), true, &self.root);
        self.log(&mut image, 9, stamp(0x2201), true, &self.volume);
        self.log(&mut image, 12, stamp(0x6201), false, &self.client);
        self.log(&mut image, 31, stamp(0xc201), false, &self.journal);
        image
    }

    fn encoded(&self, records: &[Record]) -> Vec<Vec<u8>> {
        let version = self.format.content;
        let version = (version > ContentVersion::ORIGINAL).then_some(Record::Version(version));
        version.iter().chain(records).map(|record| record.encode().as_ref().to_vec()).collect()
    }

    fn log(&self, image: &mut [u8], zone: u64, stamp: Stamp, markers: bool, records: &[Vec<u8>]) {
        let geometry = Geometry::new(512, ZONE as u64).expect("sectors of 512 bytes");
        let format = if self.format.superblock == SuperblockVersion::V1 { LogFormat::V1 } else { LogFormat::V2 };
        let config = WriterConfig { format, stamp, geometry, policy: Policy::Fresh, buffers: 2, max_in_flight: 1 };
        let mut writer = LogWriter::new(config, &Recovered::EMPTY);
        while writer.missing_buffers() > 0 {
            writer.supply(vec![0; ZONE / 2]);
        }
        let start = zone as usize * ZONE;
        let space = &mut image[start..start + ZONE];
        if markers {
            writer.append_compaction_start().expect("the log is empty");
            flush(&mut writer, space);
            writer.append_compaction_end().expect("the log has room");
            flush(&mut writer, space);
        }
        for record in records {
            writer.append(record).expect("the log has room");
            flush(&mut writer, space);
        }
    }

    /// Writes the image to a file.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.image()).expect("a file");
    }
}

fn stamp(id: u64) -> Stamp {
    Stamp { uuid: uuid_of(ObjectId(id)), generation: 0 }
}

fn flush(writer: &mut LogWriter<Vec<u8>>, space: &mut [u8]) {
    while let Some(set) = writer.next_flush(true) {
        let at = set.at as usize;
        space[at..at + set.range.len()].copy_from_slice(&set.buffer[set.range.clone()]);
        writer.flushed(set.id, set.buffer, true);
    }
}
