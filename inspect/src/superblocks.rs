// SPDX-License-Identifier: BSD-3-Clause

//! The copies of a drive's superblock, field by field, and which copy counts.
//!
//! The fields are shown as stored, whether the copy is good or not; the engine decides what is good and which copy
//! counts.

use mpool::format::fields::{FieldReader, Truncated};
use mpool::format::superblock::{checksums, MAGIC};
use mpool::format::{DeviceRecord, POOL_NAME_BYTES, SUPERBLOCK_BYTES};
use mpool::superblocks::{self, decide, Condition, CopyState, Found, COPIES, HEAD_COPIES_AT};
use mpool::{DeviceError, PoolError};
use serde::Serialize;
use uuid::Uuid;

use crate::findings::Findings;
use crate::image::Image;
use crate::shown;

/// One copy of a superblock.
#[derive(Debug, Serialize)]
pub struct Copy {
    /// Offset of the copy on the drive.
    pub at_byte: u64,
    /// Whether the pool reads this copy.
    pub counts: bool,
    /// In a word: good, erased, foreign, damaged, unreadable.
    pub state: &'static str,
    /// What is wrong with a copy that is not good.
    pub fault: Option<String>,
    /// The copy's checksums; none if it does not begin as a superblock.
    pub checksums: Vec<Checksum>,
    /// The copy's fields; none if it does not begin as a superblock.
    pub fields: Option<Fields>,
}

/// A checksum of a copy.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Checksum {
    /// The range covered: first byte, and the byte after the last.
    pub covers_bytes: (usize, usize),
    /// As stored.
    #[serde(serialize_with = "shown::serialize_hex")]
    pub stored: u32,
    /// As computed.
    #[serde(serialize_with = "shown::serialize_hex")]
    pub computed: u32,
    /// Whether they match; none in a version without this checksum.
    pub good: Option<bool>,
}

/// The fields of a copy, as stored.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Fields {
    /// Name of the pool.
    pub name: String,
    /// UUID of the pool.
    pub pool: Uuid,
    /// Version.
    pub version: u16,
    /// Incremented by each rewrite.
    pub generation: u32,
    /// This drive.
    pub drive: Descriptor,
    /// MDC0's logs; zeros on a drive without MDC0.
    pub mdc0_logs: [Mdc0Log; 2],
    /// The drive of MDC0.
    pub mdc0_drive: Descriptor,
    /// Flags.
    pub flags: u64,
    /// UUIDs of drive and pool before an import; nil without one.
    pub former: [Uuid; 2],
    /// The volumes' UUIDs are exclusive-ored with this.
    pub volume_mask: Uuid,
    /// The device that the superblock was written to; none if that is not recorded.
    pub device: Option<String>,
}

/// A drive's descriptor, as stored.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Descriptor {
    /// Media class.
    pub class: u8,
    /// Device type.
    pub device_type: u8,
    /// Log2 of the bytes of a sector.
    pub sector_shift: u8,
    /// UUID.
    pub uuid: Uuid,
    /// Pages of 4096 bytes in a zone.
    pub zone_pages: u32,
    /// Number of zones.
    pub zones: u32,
    /// Bytes of the device.
    pub bytes: u64,
    /// Features.
    pub features: u64,
}

/// A log of MDC0, as stored.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Mdc0Log {
    /// Generation.
    pub generation: u64,
    /// UUID of its blocks.
    pub uuid: Uuid,
    /// UUID of its drive.
    pub drive: Uuid,
    /// First zone.
    pub first_zone: u64,
    /// Number of zones.
    pub zones: u64,
}

/// A copy as it was read: its offset, its state, its bytes.
type Read = (u64, CopyState, Option<Box<[u8; SUPERBLOCK_BYTES]>>);

/// Reads all copies. The superblock is none if the engine finds none; the findings then say why.
pub fn read(image: &Image, findings: &mut Findings) -> ([Copy; COPIES], Option<Found>) {
    let copies = read_copies(image);
    let object = format!("superblock of {}", image.path());
    let found = match decide(&object, &copies.each_ref().map(|(_, state, _)| state.clone())) {
        Ok(found) => {
            for warning in &found.warnings {
                findings.warning(&object, warning);
            }
            if found.condition != Condition::Sure {
                findings.error(&object, format!("{}; it is used only with force", found.condition));
            }
            Some(found)
        }
        Err(error) => {
            findings.error(&object, error.reason());
            None
        }
    };
    let counts = found.as_ref().map(|found| found.copy);
    let mut number = 0;
    let copies = copies.map(|(at_byte, state, bytes)| {
        let index = number;
        number += 1;
        copy(at_byte, &state, bytes.as_deref(), counts == Some(index))
    });
    (copies, found)
}

fn read_copies(image: &Image) -> [Read; COPIES] {
    let [zero, one] = HEAD_COPIES_AT.map(|at| read_copy(image, at));
    let mut ends = superblocks::ends(image.bytes(), [&zero.1, &one.1]).into_iter();
    let mut two = read_copy(image, ends.next().unwrap_or_default());
    for at in ends {
        let other = read_copy(image, at);
        if superblocks::is_better_end(&other.1, &two.1, [&zero.1, &one.1]) {
            two = other;
        }
    }
    [zero, one, two]
}

fn read_copy(image: &Image, at: u64) -> Read {
    let mut bytes = Box::new([0; SUPERBLOCK_BYTES]);
    match image.read(at, &mut bytes[..]) {
        Ok(()) => (at, CopyState::of(&bytes[..]), Some(bytes)),
        Err(error) => {
            let doing = format!("reading the copy at byte {at} ({error})");
            (at, CopyState::Unreadable(PoolError::device(image.path(), &doing, DeviceError::Io)), None)
        }
    }
}

fn copy(at_byte: u64, state: &CopyState, bytes: Option<&[u8; SUPERBLOCK_BYTES]>, counts: bool) -> Copy {
    let (word, fault) = match state {
        CopyState::Good(..) => ("good", None),
        CopyState::Erased => ("erased", None),
        CopyState::Foreign => ("foreign", Some("it does not begin as a superblock".to_owned())),
        CopyState::Bad(error) => ("damaged", Some(error.to_string())),
        CopyState::Unreadable(error) => ("unreadable", Some(error.reason().to_owned())),
    };
    let ours = bytes.filter(|bytes| bytes.starts_with(&MAGIC));
    let fields = ours.and_then(|bytes| Fields::read(&mut FieldReader::new(bytes)).ok());
    let version = fields.as_ref().map_or(0, |fields| fields.version);
    let checksums = ours.map_or(Vec::new(), |bytes| judge_checksums(bytes, version));
    Copy { at_byte, counts, state: word, fault, checksums, fields }
}

fn judge_checksums(bytes: &[u8; SUPERBLOCK_BYTES], version: u16) -> Vec<Checksum> {
    let judged = checksums(bytes).into_iter().enumerate().map(|(index, checksum)| {
        let there = index < 2 || version != 1;
        Checksum {
            covers_bytes: checksum.covers,
            stored: checksum.stored,
            computed: checksum.computed,
            good: there.then_some(checksum.stored == checksum.computed),
        }
    });
    judged.collect()
}

impl Fields {
    fn read(fields: &mut FieldReader<'_>) -> Result<Fields, Truncated> {
        fields.skip(MAGIC.len())?;
        let name: [u8; 32] = fields.bytes()?;
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let name = String::from_utf8_lossy(&name[..length]).into_owned();
        let (pool, version, generation) = (fields.uuid()?, fields.u16()?, fields.u32()?);
        fields.skip(4 + 6)?;
        let drive = Descriptor::read(fields)?;
        fields.skip(4 + 4)?;
        let mdc0_logs = [Mdc0Log::read(fields)?, Mdc0Log::read(fields)?];
        let mdc0_drive = Descriptor::read(fields)?;
        let (flags, former) = (fields.u64()?, [fields.uuid()?, fields.uuid()?]);
        let volume_mask = fields.uuid()?;
        let device = DeviceRecord::decode(&fields.bytes()?)?.map(|device| device.to_string());
        let long: [u8; POOL_NAME_BYTES] = fields.bytes()?;
        let length = long.iter().position(|byte| *byte == 0).unwrap_or(long.len());
        // Version 1 has only the short name.
        let name = if length == 0 { name } else { String::from_utf8_lossy(&long[..length]).into_owned() };
        Ok(Fields { name, pool, version, generation, drive, mdc0_logs, mdc0_drive, flags, former, volume_mask, device })
    }
}

impl Descriptor {
    fn read(fields: &mut FieldReader<'_>) -> Result<Descriptor, Truncated> {
        let (class, device_type, sector_shift, uuid) = (fields.u8()?, fields.u8()?, fields.u8()?, fields.uuid()?);
        fields.skip(5)?;
        Ok(Descriptor {
            class,
            device_type,
            sector_shift,
            uuid,
            zone_pages: fields.u32()?,
            zones: fields.u32()?,
            bytes: fields.u64()?,
            features: fields.u64()?,
        })
    }
}

impl Mdc0Log {
    fn read(fields: &mut FieldReader<'_>) -> Result<Mdc0Log, Truncated> {
        let (generation, uuid, drive, extent) = (fields.u64()?, fields.uuid()?, fields.uuid()?, fields.extent()?);
        fields.skip(4)?;
        Ok(Mdc0Log { generation, uuid, drive, first_zone: extent.first, zones: extent.zones })
    }
}
