// SPDX-License-Identifier: BSD-3-Clause

//! Records of metadata containers: the payload of their logs' records. The first byte is the type:
//!
//! | type | record | bytes |
//! |---|---|---|
//! | 1 | OCREATE: an object was committed | 40, of an mlog 56 |
//! | 2 | OUPDATE: an object's description was replaced | as 1 |
//! | 3 | ODELETE: an object was deleted | 16 |
//! | 4 | OIDCKPT: ids up to this one may have been given out | 16 |
//! | 5 | OERASE: a log was erased | 24 |
//! | 6 | MCCONFIG: a drive | 56 |
//! | 7 | MCSPARE: spare percentage of a class | 3 |
//! | 8 | VERSION: of the records that follow | 10 |
//! | 9 | MPCONFIG: the pool's parameters | 160 |
//! | 10 | TUNABLE: the value of one of the pool's tunables | 16 |
//!
//! Padding is written as zeros and ignored when read: the original mpool left it dirty. Differs from mpool: slab
//! objects, since content version 2.0.0.0; tunables, since 2.1.0.0.

use thiserror::Error;

use super::drive_descriptor::{DescriptorError, DriveDescriptor};
use super::fields::{FieldReader, FieldWriter, Truncated};
use super::history::Structure;
use super::text::TextError;
use super::version::ContentVersion;
use crate::error::PoolError;
use crate::ids::{MediaClass, ObjectId};
use crate::tunables::KeptTunable;

mod config;
mod object;
#[cfg(test)]
mod tests;

pub use config::MpConfig;
pub use object::ObjectCreate;

/// Bytes of the longest record.
pub const MAX_RECORD_BYTES: usize = 160;

/// The types of records.
mod kind {
    pub const OBJECT_CREATE: u8 = 1;
    pub const OBJECT_UPDATE: u8 = 2;
    pub const OBJECT_DELETE: u8 = 3;
    pub const ID_CHECKPOINT: u8 = 4;
    pub const OBJECT_ERASE: u8 = 5;
    pub const MC_CONFIG: u8 = 6;
    pub const MC_SPARE: u8 = 7;
    pub const VERSION: u8 = 8;
    pub const MP_CONFIG: u8 = 9;
    pub const TUNABLE: u8 = 10;
}

/// Bytes of the records with a fixed length; for OCREATE and OUPDATE see [`object`].
const ID_BYTES: usize = 16;
const ERASE_BYTES: usize = 24;
const MC_CONFIG_BYTES: usize = 56;
const MC_SPARE_BYTES: usize = 3;
const VERSION_BYTES: usize = 10;
const TUNABLE_BYTES: usize = 16;

const _: () = assert!(ID_BYTES == 1 + 7 + 8 && ERASE_BYTES == ID_BYTES + 8);
const _: () = assert!(MC_CONFIG_BYTES == 1 + 7 + super::drive_descriptor::DRIVE_DESCRIPTOR_BYTES);
const _: () = assert!(MC_SPARE_BYTES == 1 + 1 + 1 && VERSION_BYTES == 1 + 1 + 4 * 2);
const _: () = assert!(TUNABLE_BYTES == 1 + 1 + 6 + 8);
const _: () = assert!(config::MP_CONFIG_BYTES == MAX_RECORD_BYTES);

/// A record of a metadata container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// OCREATE: an object was committed.
    ObjectCreate(ObjectCreate),
    /// OUPDATE: an object's description was replaced.
    ObjectUpdate(ObjectCreate),
    /// ODELETE: an object was deleted.
    ObjectDelete(ObjectId),
    /// OIDCKPT: ids up to this one may have been allocated. The id is only a number; 0 for a container that has
    /// allocated none.
    IdCheckpoint(ObjectId),
    /// OERASE: a log was erased.
    ObjectErase {
        /// The erased log.
        id: ObjectId,
        /// The log's new generation.
        generation: u64,
    },
    /// MCCONFIG: the descriptor of a drive.
    McConfig(DriveDescriptor),
    /// MCSPARE: the spare percentage of a class.
    McSpare {
        /// The media class.
        class: MediaClass,
        /// The percentage of its zones that are spare, at most 100.
        percent: u8,
    },
    /// VERSION: the version of the records that follow.
    Version(ContentVersion),
    /// MPCONFIG: the parameters of the pool.
    MpConfig(MpConfig),
    /// TUNABLE: the value of a tunable.
    Tunable {
        /// The tunable that was set.
        tunable: KeptTunable,
        /// A value within the tunable's range.
        value: u64,
    },
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The bytes are too short even for a type.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// The type does not exist.
    #[error("there is no record type {0}")]
    Type(u8),
    /// The length is not the type's.
    #[error("a record of type {kind} has {found} instead of {expected} bytes")]
    Length {
        /// The type of the record.
        kind: u8,
        /// Bytes that the type requires.
        expected: usize,
        /// Bytes of the record.
        found: usize,
    },
    /// The media class does not exist.
    #[error("there is no media class {0}")]
    Class(u8),
    /// The record cannot concern an object of the id's kind.
    #[error("{0} cannot be in a record of type {1}")]
    Id(ObjectId, u8),
    /// The object's zones are impossible.
    #[error("{id} has {zones} zones from zone {first}")]
    Extent {
        /// The object that the record describes.
        id: ObjectId,
        /// The first zone.
        first: u64,
        /// The number of zones.
        zones: u64,
    },
    /// The percentage is above 100.
    #[error("{0} % spare")]
    Percent(u8),
    /// The tunable does not exist.
    #[error("there is no tunable {0}")]
    Tunable(u8),
    /// The tunable's value is out of its range.
    #[error("{} is {value}, which is not in its range", tunable.name())]
    TunableValue {
        /// The tunable in the record.
        tunable: KeptTunable,
        /// The value in the record.
        value: u64,
    },
    /// A drive's descriptor is invalid.
    #[error("a drive's descriptor says {0}")]
    Drive(#[from] DescriptorError),
    /// The pool's label is invalid.
    #[error("the pool's label is {0}")]
    Label(TextError),
}

impl RecordError {
    /// This error as a failure (EINVAL) on `object`.
    pub fn on(self, object: impl Into<String>) -> PoolError {
        PoolError::invalid(object, self.to_string())
    }
}

/// An encoded record.
#[derive(Debug, Clone, Copy)]
pub struct EncodedRecord {
    bytes: [u8; MAX_RECORD_BYTES],
    length: usize,
}

impl AsRef<[u8]> for EncodedRecord {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Record {
    /// Encodes the record for content of the current version.
    #[must_use]
    pub fn encode(&self) -> EncodedRecord {
        let mut bytes = [0; MAX_RECORD_BYTES];
        let mut fields = FieldWriter::new(&mut bytes);
        match self {
            Record::ObjectCreate(object) => object.encode(fields.u8(kind::OBJECT_CREATE)),
            Record::ObjectUpdate(object) => object.encode(fields.u8(kind::OBJECT_UPDATE)),
            Record::ObjectDelete(id) => fields.u8(kind::OBJECT_DELETE).skip(7).u64(id.0),
            Record::IdCheckpoint(id) => fields.u8(kind::ID_CHECKPOINT).skip(7).u64(id.0),
            Record::ObjectErase { id, generation } => fields.u8(kind::OBJECT_ERASE).skip(7).u64(id.0).u64(*generation),
            Record::McConfig(drive) => fields.u8(kind::MC_CONFIG).skip(7).bytes(&drive.encode()),
            Record::McSpare { class, percent } => fields.u8(kind::MC_SPARE).u8(*class as u8).u8(*percent),
            Record::Version(version) => fields
                .u8(kind::VERSION)
                .skip(1)
                .u16(version.major)
                .u16(version.minor)
                .u16(version.patch)
                .u16(version.dev),
            Record::MpConfig(config) => config.encode(fields.u8(kind::MP_CONFIG)),
            Record::Tunable { tunable, value } => fields.u8(kind::TUNABLE).u8(tunable.number()).skip(6).u64(*value),
        };
        let length = fields.position();
        EncodedRecord { bytes, length }
    }

    /// Decodes a record of content of the current version.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
        Record::decode_as(ContentVersion::CURRENT, bytes)
    }

    /// Decodes a record of content of `version`.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn decode_as(version: ContentVersion, bytes: &[u8]) -> Result<Record, RecordError> {
        let mut fields = FieldReader::new(bytes);
        let number = fields.u8()?;
        Ok(match number {
            kind::OBJECT_CREATE => Record::ObjectCreate(ObjectCreate::read(version, bytes)?),
            kind::OBJECT_UPDATE => Record::ObjectUpdate(ObjectCreate::read(version, bytes)?),
            kind::OBJECT_DELETE => Record::ObjectDelete(read_object(number, &mut sized(bytes, ID_BYTES)?)?),
            kind::ID_CHECKPOINT => Record::IdCheckpoint(read_id(&mut sized(bytes, ID_BYTES)?)?),
            kind::OBJECT_ERASE => {
                let mut fields = sized(bytes, ERASE_BYTES)?;
                Record::ObjectErase { id: read_object(number, &mut fields)?, generation: fields.u64()? }
            }
            kind::MC_CONFIG => {
                let mut fields = sized(bytes, MC_CONFIG_BYTES)?;
                fields.skip(8)?;
                let descriptor: [u8; super::drive_descriptor::DRIVE_DESCRIPTOR_BYTES] = fields.bytes()?;
                Record::McConfig(DriveDescriptor::decode(&descriptor)?)
            }
            kind::MC_SPARE => read_spare(&mut sized(bytes, MC_SPARE_BYTES)?)?,
            kind::VERSION => Record::Version(read_version(&mut sized(bytes, VERSION_BYTES)?)?),
            kind::MP_CONFIG => Record::MpConfig(MpConfig::decode(&mut sized(bytes, config::MP_CONFIG_BYTES)?)?),
            kind::TUNABLE if version >= ContentVersion::TUNABLES => read_tunable(&mut sized(bytes, TUNABLE_BYTES)?)?,
            other => return Err(RecordError::Type(other)),
        })
    }
}

/// The fields of a record that must have `expected` bytes.
fn sized(bytes: &[u8], expected: usize) -> Result<FieldReader<'_>, RecordError> {
    match bytes.first() {
        None => Err(Truncated.into()),
        Some(kind) if bytes.len() != expected => Err(RecordError::Length { kind: *kind, expected, found: bytes.len() }),
        Some(_) => Ok(FieldReader::new(bytes)),
    }
}

fn read_id(fields: &mut FieldReader<'_>) -> Result<ObjectId, RecordError> {
    fields.skip(8)?;
    Ok(ObjectId(fields.u64()?))
}

/// Reads the id of an object, of a kind that exists.
fn read_object(number: u8, fields: &mut FieldReader<'_>) -> Result<ObjectId, RecordError> {
    let id = read_id(fields)?;
    id.kind().map(|_| id).ok_or(RecordError::Id(id, number))
}

fn read_class(fields: &mut FieldReader<'_>) -> Result<MediaClass, RecordError> {
    let number = fields.u8()?;
    MediaClass::from_number(number).ok_or(RecordError::Class(number))
}

fn read_spare(fields: &mut FieldReader<'_>) -> Result<Record, RecordError> {
    fields.skip(1)?;
    let class = read_class(fields)?;
    let percent = fields.u8()?;
    if percent > 100 {
        return Err(RecordError::Percent(percent));
    }
    Ok(Record::McSpare { class, percent })
}

fn read_tunable(fields: &mut FieldReader<'_>) -> Result<Record, RecordError> {
    fields.skip(1)?;
    let number = fields.u8()?;
    let tunable = KeptTunable::from_number(number).ok_or(RecordError::Tunable(number))?;
    fields.skip(6)?;
    let value = fields.u64()?;
    if !tunable.range().contains(&value) {
        return Err(RecordError::TunableValue { tunable, value });
    }
    Ok(Record::Tunable { tunable, value })
}

fn read_version(fields: &mut FieldReader<'_>) -> Result<ContentVersion, RecordError> {
    fields.skip(2)?;
    Ok(ContentVersion { major: fields.u16()?, minor: fields.u16()?, patch: fields.u16()?, dev: fields.u16()? })
}
