// SPDX-License-Identifier: BSD-3-Clause

//! The superblock: describes a drive, its pool, and the place of MDC0. One copy:
//! ```text
//! offset  size  field
//!      0     8  magic "mpoolDev"
//!      8    32  name of the pool, its first 31 bytes
//!     40    16  UUID of the pool
//!     56     2  version
//!     58     4  generation: counts rewrites; 1 in version 1
//!     62     4  CRC32C of bytes 0..62
//!     66     6  padding
//!     72    48  descriptor of this drive
//!    120     4  CRC32C of bytes 72..120
//!    124     4  padding
//!    128    56  log 1 of MDC0: generation u64, UUID, UUID of its drive, zone count u32, first zone u64, padding u32
//!    184    56  log 2 of MDC0
//!    240    48  descriptor of the drive that has MDC0
//!    288     8  flags                                                     (from here on: since version 3, else zero)
//!    296    16  UUID that the drive had before an import, until MDC0 knows the new one; else nil
//!    312    16  UUID that the pool had before an import, likewise
//!    328    16  mask of the volumes' UUIDs: each counts exclusive-ored with it
//!    344    96  the device that the drive was on when this was written ([`DeviceRecord`])
//!    440   256  name of the pool
//!    696  3396  zero
//!   4092     4  CRC32C of bytes 0..4092, with the two other checksums as zeros
//! ```
//! Bytes 128..288 are zero when MDC0 is on another drive. libblkid looks at bytes 0..66; no version moves them.
//!
//! Version 1 is the original mpool's. Version 2, which had neither the third copy at the end of the drive nor the
//! fields from byte 296 on, was never released and is refused.
//!
//! Since version 3 the last checksum covers everything, including MDC0's place and generations, so that a copy torn by
//! a power cut is recognized. It takes the other checksums as zeros: a CRC over some data followed by the CRC of that
//! data is the same for all data, and would not distinguish the first sector of one superblock from that of another.
//! The generation orders the copies. The zones of the drive end before the last copy.

use thiserror::Error;
use uuid::Uuid;

use super::device_record::{DeviceRecord, DEVICE_RECORD_BYTES};
use super::drive_descriptor::{end_copy_at, DescriptorError, DriveDescriptor, Features, DRIVE_DESCRIPTOR_BYTES};
use super::fields::{FieldReader, FieldWriter, Truncated};
use super::history::{Revision, Structure};
use super::text::{PoolName, TextError, POOL_NAME_BYTES};
use super::version::SuperblockVersion;
use crate::error::{Kind, PoolError};
use crate::ids::Extent;

mod checksum;
#[cfg(test)]
pub(crate) mod tests;

pub use checksum::{checksums, Checksum};

use checksum::{check, crc32c, whole_crc};

/// The first byte of a page that is kept free for trial writes.
pub(crate) const PROBE_AT: u64 = 12288;

/// Bytes of one copy on media.
pub const SUPERBLOCK_BYTES: usize = 4096;

/// The first bytes of every superblock.
pub const MAGIC: [u8; 8] = *b"mpoolDev";

/// Bytes that the first checksum covers.
const HEAD_BYTES: usize = 62;
/// Offset of the version.
const VERSION_AT: usize = 56;
/// Offset of this drive's descriptor.
const DRIVE_AT: usize = 72;
/// Offset of the description of MDC0's logs, which the descriptor of their drive follows.
const METADATA_AT: usize = 128;
/// Bytes of the description of one log of MDC0.
const LOG_BYTES: usize = 56;
/// Bytes that version 1 uses.
const V1_BYTES: usize = METADATA_AT + 2 * LOG_BYTES + DRIVE_DESCRIPTOR_BYTES;
/// Bytes of the name in every version, including its NUL.
const SHORT_NAME_BYTES: usize = 32;
/// Offset of the full name.
const NAME_AT: usize = 440;
/// Bytes that version 3 uses, without its checksum.
const V3_BYTES: usize = NAME_AT + POOL_NAME_BYTES;
/// A version that was never released.
const RETIRED_VERSION: u16 = 2;
/// Offset of the checksum over everything.
const WHOLE_CRC_AT: usize = SUPERBLOCK_BYTES - 4;

const _: () = assert!(HEAD_BYTES == 8 + 32 + 16 + 2 + 4 && VERSION_AT == 8 + 32 + 16);
const _: () = assert!(DRIVE_AT == HEAD_BYTES + 4 + 6 && METADATA_AT == DRIVE_AT + DRIVE_DESCRIPTOR_BYTES + 4 + 4);
const _: () = assert!(LOG_BYTES == 8 + 16 + 16 + 12 + 4 && V1_BYTES == 288);
const _: () = assert!(NAME_AT == V1_BYTES + 8 + 3 * 16 + DEVICE_RECORD_BYTES && V3_BYTES == 696);

/// The description of one of MDC0's two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mdc0Log {
    /// The generation of its blocks.
    pub generation: u64,
    /// The UUID in its blocks.
    pub uuid: Uuid,
    /// The drive that holds the log.
    pub drive: Uuid,
    /// The zones of the log.
    pub extent: Extent,
}

/// The place of MDC0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mdc0Location {
    /// The two logs of MDC0.
    pub logs: [Mdc0Log; 2],
    /// The drive that holds both logs.
    pub drive: DriveDescriptor,
}

/// Properties of the whole pool; bits as on media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SuperblockFlags(u64);

impl SuperblockFlags {
    /// No property.
    pub const NONE: SuperblockFlags = SuperblockFlags(0);
    /// Log blocks with headers of version 1 may exist: the pool was converted from superblock version 1.
    pub const LEGACY_LOGS: SuperblockFlags = SuperblockFlags(0x1);

    /// True when all of `others` are set.
    #[must_use]
    pub const fn contains(self, others: SuperblockFlags) -> bool {
        self.0 & others.0 == others.0
    }
}

/// The identity of a drive before an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Former {
    /// The UUID that the drive had.
    pub drive: Uuid,
    /// The UUID that the pool had.
    pub pool: Uuid,
}

/// The content of a superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// The number of rewrites; the copy with the higher generation is newer.
    pub generation: u32,
    /// The name of the pool.
    pub name: PoolName,
    /// The UUID of the pool.
    pub pool: Uuid,
    /// The descriptor of this drive.
    pub drive: DriveDescriptor,
    /// The place of MDC0, if it is on this drive.
    pub metadata: Option<Mdc0Location>,
    /// Properties of the pool.
    pub flags: SuperblockFlags,
    /// The UUIDs of drive and pool before an import, while MDC0 may not know the new ones.
    pub former: Option<Former>,
    /// The UUIDs of the pool's volumes are the recorded ones XORed with this mask.
    pub volume_mask: Uuid,
    /// The device that held the drive when the superblock was written; none in version 1.
    pub device: Option<DeviceRecord>,
}

/// A superblock of version 1.
#[derive(Debug)]
pub struct SuperblockV1 {
    generation: u32,
    name: PoolName,
    pool: Uuid,
    drive: DriveDescriptor,
    metadata: Option<Mdc0Location>,
}

/// Why bytes are not a superblock, or are inconsistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SuperblockError {
    /// The bytes are too short.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// The magic does not match: no pool.
    #[error("no superblock of a pool")]
    Magic,
    /// A checksum does not match.
    #[error("the checksum of {0} does not match")]
    Checksum(&'static str),
    /// The version is unknown to this software.
    #[error("superblock version {0} is unknown")]
    Version(u16),
    /// The version was never released.
    #[error("superblock version {0} was written by an unreleased state of this software and is not read any more")]
    Retired(u16),
    /// The last copy lies in the drive's zones.
    #[error("the drive's zones reach into the room of the last copy")]
    NoRoomAtEnd,
    /// A flag is unknown to this software.
    #[error("superblock flags {0:#x} are unknown")]
    Flags(u64),
    /// The name is impossible for a pool.
    #[error("the pool's name is {0}")]
    Name(TextError),
    /// The name is empty.
    #[error("the pool has no name")]
    NoName,
    /// The descriptor of the drive is invalid.
    #[error("the drive's descriptor says {0}")]
    Drive(DescriptorError),
    /// The descriptor of MDC0's drive is invalid.
    #[error("the descriptor of MDC0's drive says {0}")]
    MetadataDrive(DescriptorError),
    /// The place of MDC0 is impossible.
    #[error("MDC0's place is impossible: {0}")]
    Metadata(&'static str),
}

impl SuperblockError {
    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            SuperblockError::Magic => Kind::NoPool,
            SuperblockError::Version(_) | SuperblockError::Retired(_) | SuperblockError::Flags(_) => {
                Kind::UnknownSuperblock
            }
            _ => Kind::Invalid,
        }
    }

    /// True when other software, perhaps newer, wrote the superblock.
    #[must_use]
    pub fn is_other_software(&self) -> bool {
        self.kind() == Kind::UnknownSuperblock
    }

    /// This error as a failure on `object`.
    pub fn on(self, object: impl Into<String>) -> PoolError {
        PoolError::new(self.kind(), object, self.to_string())
    }
}

impl Superblock {
    /// Decodes one copy, and returns its version.
    ///
    /// # Errors
    /// See [`SuperblockError`]. The place of MDC0 is not checked: [`Superblock::check_metadata`] does that.
    pub fn decode(bytes: &[u8]) -> Result<(Superblock, SuperblockVersion), SuperblockError> {
        let mut fields = FieldReader::new(bytes);
        if fields.bytes()? != MAGIC {
            return Err(SuperblockError::Magic);
        }
        let (head, mut after) =
            bytes.split_at_checked(HEAD_BYTES).map(|(a, b)| (a, FieldReader::new(b))).ok_or(Truncated)?;
        check(head, after.u32()?, "the head")?;
        fields.skip(VERSION_AT - MAGIC.len())?;
        let number = fields.u16()?;
        if number == RETIRED_VERSION {
            return Err(SuperblockError::Retired(number));
        }
        let version = SuperblockVersion::from_number(number).ok_or(SuperblockError::Version(number))?;
        Ok((Superblock::read(version, bytes)?, version))
    }

    /// Encodes a copy.
    ///
    /// In version 1 nothing follows MDC0's place, the generation is always 1, and a name of more than 31 bytes is cut.
    #[must_use]
    pub fn encode(&self, version: SuperblockVersion) -> Box<[u8; SUPERBLOCK_BYTES]> {
        let mut bytes = Box::new([0; SUPERBLOCK_BYTES]);
        let mut fields = FieldWriter::new(&mut bytes[..]);
        let generation = if version == SuperblockVersion::V1 { 1 } else { self.generation };
        let mut short_name = [0; SHORT_NAME_BYTES];
        short_name[..SHORT_NAME_BYTES - 1].copy_from_slice(&self.name.field()[..SHORT_NAME_BYTES - 1]);
        fields.bytes(&MAGIC).bytes(&short_name).uuid(self.pool).u16(version as u16).u32(generation);
        let head = crc32c(fields.written());
        let drive = self.drive.encode();
        fields.u32(head).skip(6).bytes(&drive).u32(crc32c(&drive)).skip(4);
        match &self.metadata {
            None => fields.skip(V1_BYTES - METADATA_AT),
            Some(metadata) => {
                for log in &metadata.logs {
                    fields.u64(log.generation).uuid(log.uuid).uuid(log.drive).extent(log.extent).skip(4);
                }
                fields.bytes(&metadata.drive.encode())
            }
        };
        assert_eq!(fields.position(), V1_BYTES, "the fields of version 1");
        if version >= SuperblockVersion::V3 {
            let former = self.former.unwrap_or(Former { drive: Uuid::nil(), pool: Uuid::nil() });
            fields.u64(self.flags.0).uuid(former.drive).uuid(former.pool).uuid(self.volume_mask);
            fields.bytes(&self.device.map_or([0; DEVICE_RECORD_BYTES], |device| device.encode()));
            fields.bytes(self.name.field());
            assert_eq!(fields.position(), V3_BYTES, "the fields of version 3");
            fields.skip(WHOLE_CRC_AT - V3_BYTES);
            let whole = whole_crc(fields.written());
            fields.u32(whole);
        }
        bytes
    }

    /// Checks the place of MDC0, if the superblock has one: both logs must be on this drive, equally long, apart from
    /// each other and from the superblocks, and within the drive; the descriptors of the drive must agree.
    ///
    /// # Errors
    /// [`SuperblockError::Metadata`].
    pub fn check_metadata(&self) -> Result<(), SuperblockError> {
        let Some(Mdc0Location { logs: [one, two], drive }) = &self.metadata else {
            return Ok(());
        };
        let own = self.drive.uuid;
        let fault = if own.is_nil() || [one.drive, two.drive, drive.uuid].iter().any(|uuid| *uuid != own) {
            "its logs are not on the drive that says so"
        } else if drive.class_tuple() != self.drive.class_tuple() {
            "the drive's two descriptors differ"
        } else if one.extent.zones != two.extent.zones {
            "its logs differ in size"
        } else if ![one, two].iter().all(|log| self.can_hold(log.extent)) {
            "a log lies outside the drive or on the superblocks"
        } else if overlap(one.extent, two.extent) {
            "its logs overlap"
        } else {
            return Ok(());
        };
        Err(SuperblockError::Metadata(fault))
    }

    /// The UUIDs by which MDC0 may know drive and pool: those before an incomplete import, else the present ones.
    #[must_use]
    pub fn origin(&self) -> Former {
        self.former.unwrap_or(Former { drive: self.drive.uuid, pool: self.pool })
    }

    /// The first byte of the last copy.
    #[must_use]
    pub fn end_copy_at(&self) -> u64 {
        end_copy_at(self.drive.bytes)
    }

    fn can_hold(&self, extent: Extent) -> bool {
        let reserved = superblock_zones(self.drive.zone_bytes());
        let inside = extent.end().is_some_and(|end| end <= u64::from(self.drive.zones));
        extent.zones > 0 && extent.first >= reserved && inside
    }
}

/// The zones that the superblocks take at the start of a drive: the two copies and the room kept after each are 16 KiB.
/// `zone_bytes` is not 0.
#[must_use]
pub const fn superblock_zones(zone_bytes: u64) -> u64 {
    (4 * SUPERBLOCK_BYTES as u64).div_ceil(zone_bytes)
}

impl Structure<SuperblockVersion> for SuperblockV1 {
    type Error = SuperblockError;

    fn read(_version: SuperblockVersion, bytes: &[u8]) -> Result<SuperblockV1, SuperblockError> {
        let mut fields = FieldReader::new(bytes);
        fields.skip(MAGIC.len())?;
        let mut field = [0; POOL_NAME_BYTES];
        let short_name: [u8; SHORT_NAME_BYTES] = fields.bytes()?;
        if !short_name.contains(&0) {
            return Err(SuperblockError::Name(TextError::NotClosed));
        }
        field[..SHORT_NAME_BYTES].copy_from_slice(&short_name);
        let name = read_name(field)?;
        let pool = fields.uuid()?;
        fields.skip(2)?;
        let generation = fields.u32()?;
        fields.skip(DRIVE_AT - HEAD_BYTES)?;
        let drive: [u8; DRIVE_DESCRIPTOR_BYTES] = fields.bytes()?;
        check(&drive, fields.u32()?, "the drive's descriptor")?;
        let drive = DriveDescriptor::decode(&drive).map_err(SuperblockError::Drive)?;
        fields.skip(4)?;
        let metadata = read_metadata(&mut fields)?;
        Ok(SuperblockV1 { generation, name, pool, drive, metadata })
    }
}

impl Revision<SuperblockVersion> for Superblock {
    type Earlier = SuperblockV1;
    const SINCE: SuperblockVersion = SuperblockVersion::V3;

    fn unpack(bytes: &[u8]) -> Result<Superblock, SuperblockError> {
        let (covered, mut crc) =
            bytes.split_at_checked(WHOLE_CRC_AT).map(|(a, b)| (a, FieldReader::new(b))).ok_or(Truncated)?;
        if whole_crc(covered) != crc.u32()? {
            return Err(SuperblockError::Checksum("the superblock"));
        }
        let mut fields = FieldReader::new(covered);
        fields.skip(V1_BYTES)?;
        let flags = fields.u64()?;
        if flags & !SuperblockFlags::LEGACY_LOGS.0 != 0 {
            return Err(SuperblockError::Flags(flags));
        }
        let former = Former { drive: fields.uuid()?, pool: fields.uuid()? };
        let former = Some(former).filter(|former| !former.drive.is_nil() || !former.pool.is_nil());
        let volume_mask = fields.uuid()?;
        let device = DeviceRecord::decode(&fields.bytes()?)?;
        let name = read_name(fields.bytes()?)?;
        // The fields of version 1 are unchanged, except for the name, of which version 1 has only the beginning.
        let SuperblockV1 { generation, pool, drive, metadata, .. } = SuperblockV1::read(Self::SINCE, bytes)?;
        if !drive.leaves_room_at_end() {
            return Err(SuperblockError::NoRoomAtEnd);
        }
        let flags = SuperblockFlags(flags);
        Ok(Superblock { generation, name, pool, drive, metadata, flags, former, volume_mask, device })
    }

    fn convert(earlier: SuperblockV1) -> Superblock {
        let SuperblockV1 { generation, name, pool, drive, metadata } = earlier;
        let flags = SuperblockFlags::LEGACY_LOGS;
        let (former, volume_mask, device) = (None, Uuid::nil(), None);
        Superblock { generation, name, pool, drive, metadata, flags, former, volume_mask, device }
    }
}

fn read_name(field: [u8; POOL_NAME_BYTES]) -> Result<PoolName, SuperblockError> {
    let name = PoolName::decode(field).map_err(SuperblockError::Name)?;
    match name.is_empty() {
        true => Err(SuperblockError::NoName),
        false => Ok(name),
    }
}

/// The place of MDC0; none when the fields are clear.
fn read_metadata(fields: &mut FieldReader<'_>) -> Result<Option<Mdc0Location>, SuperblockError> {
    let logs = [read_log(fields)?, read_log(fields)?];
    let drive: [u8; DRIVE_DESCRIPTOR_BYTES] = fields.bytes()?;
    if logs.iter().all(log_is_clear) && descriptor_is_clear(&drive)? {
        return Ok(None);
    }
    let drive = DriveDescriptor::decode(&drive).map_err(SuperblockError::MetadataDrive)?;
    Ok(Some(Mdc0Location { logs, drive }))
}

fn read_log(fields: &mut FieldReader<'_>) -> Result<Mdc0Log, Truncated> {
    let log =
        Mdc0Log { generation: fields.u64()?, uuid: fields.uuid()?, drive: fields.uuid()?, extent: fields.extent()? };
    fields.skip(4)?;
    Ok(log)
}

/// A log is clear if generation, extent and drive are; its UUID does not matter.
fn log_is_clear(log: &Mdc0Log) -> bool {
    log.generation == 0 && log.drive.is_nil() && log.extent == Extent::default()
}

/// A descriptor is clear if class tuple and zone count are; UUID and size do not matter.
fn descriptor_is_clear(bytes: &[u8; DRIVE_DESCRIPTOR_BYTES]) -> Result<bool, Truncated> {
    let mut fields = FieldReader::new(bytes);
    let class_kind_and_shift: [u8; 3] = fields.bytes()?;
    fields.skip(16 + 5)?;
    let (zone_pages, zones) = (fields.u32()?, fields.u32()?);
    fields.skip(8)?;
    let features = Features(fields.u64()?);
    Ok(class_kind_and_shift == [0; 3] && zone_pages == 0 && zones == 0 && features == Features::default())
}

fn overlap(one: Extent, two: Extent) -> bool {
    let ends = one.end().zip(two.end());
    ends.is_none_or(|(end_one, end_two)| one.first < end_two && two.first < end_one)
}
