// SPDX-License-Identifier: BSD-3-Clause

//! The inventory of a volume: its objects in the pool, as records in the volume's own MDC.
//!
//! ```text
//!  offset size  SLAB 2, AREAS 3, ROOTS 4, SEGMENT 5   COUNTS 7             DELETED 8
//!       0    4  magic "DINV"                          the same             the same
//!       4    1  version = 6                           the same             the same
//!       5    1  kind                                  the same             the same
//!       6    2  0                                     0                    0
//!       8    8  number, from 0; of ROOTS 0            slabs                -
//!      16    8  id of the object                      segments             -
//!     n-4    4  CRC32C of all bytes before
//! ```
//! CONFIG 1 is in [`config`], STATE 6 in [`state`], and the records of the index, 9 to 11, in [`index`]: the same head
//! and check code around other content.
//!
//! An object is recorded before it is committed, and counts only when a later COUNTS record says so; its content is
//! written before that record. So at any power cut every object has an owner, and a volume has the old or the new
//! number of slabs. The first COUNTS record ends the creation of the volume: without one the volume does not exist.
//!
//! A later CONFIG, STATE or COUNTS record replaces the earlier one. Versions 1 and 2, without an index on media,
//! version 3, which mapped blocks of zeros, version 4, without a reserve, and version 5, with images of the index, were
//! never released and are refused.

pub mod config;
mod contents;
mod fields;
pub mod index;
pub mod state;

use thiserror::Error;

pub use config::VolumeConfig;
pub use contents::{Contents, ContentsError, Counts};
pub use index::ChapterEntry;
pub use state::{StateKind, VolumeState};

use mpool::ObjectId;

use fields::Fields;

const MAGIC: [u8; 4] = *b"DINV";
const VERSION: u8 = 6;

/// Bytes before the content of a record: magic, version, kind.
const HEAD_BYTES: usize = 8;

/// Bytes of the check code.
const CRC_BYTES: usize = 4;

/// Bytes of a record of an object.
pub const OBJECT_RECORD_BYTES: usize = HEAD_BYTES + 16 + CRC_BYTES;

/// The most bytes of a record.
pub const MAX_RECORD_BYTES: usize = 4096;

const _: () = assert!(config::MAX_BYTES + HEAD_BYTES + CRC_BYTES <= MAX_RECORD_BYTES);
const _: () = assert!(state::MAX_BYTES + HEAD_BYTES + CRC_BYTES <= MAX_RECORD_BYTES);

/// A record of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InventoryRecord {
    /// The geometry and configuration.
    Config(Box<VolumeConfig>),
    /// The object of a slab.
    Slab {
        /// The number of the slab.
        number: u64,
        /// The object with its data blocks.
        object: ObjectId,
    },
    /// An object with metadata areas of slabs.
    Areas {
        /// The object's number among its kind.
        number: u64,
        /// The object with the areas.
        object: ObjectId,
    },
    /// The object with the roots of the block map.
    Roots {
        /// The object with the roots.
        object: ObjectId,
    },
    /// A segment of a recovery journal.
    Segment {
        /// The number of the segment.
        number: u64,
        /// The log of the segment.
        object: ObjectId,
    },
    /// The volume's state and usage.
    State(Box<VolumeState>),
    /// The numbers of recorded objects that count.
    Counts(Counts),
    /// The volume is being deleted.
    Deleted,
    /// A closed chapter of the index's history.
    Chapter(ChapterEntry),
    /// The chapter with this number no longer exists.
    ChapterGone(u64),
    /// The log of the open chapter.
    HistoryLog {
        /// The log that is filled with sections.
        object: ObjectId,
    },
}

/// Why a record of the inventory cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InventoryError {
    /// The bytes are not a record of an inventory.
    #[error("it has {0} bytes, too few, or another magic than an inventory's")]
    Foreign(usize),
    /// The version is unknown: other software wrote the record.
    #[error("its version is {0}; {VERSION} is known")]
    Version(u8),
    /// The check code does not match: the record is damaged.
    #[error("its check code is wrong")]
    CheckCode,
    /// The kind is unknown.
    #[error("its kind is {0}, which is unknown")]
    Kind(u8),
    /// The record is too short or too long for its kind.
    #[error("it has {0} bytes, which do not fit its kind")]
    Length(usize),
    /// A field has an impossible value.
    #[error("its {field} is {value}, which is impossible")]
    Field {
        /// The meaning of the field.
        field: &'static str,
        /// The impossible value.
        value: u64,
    },
    /// A text is not UTF-8.
    #[error("its {0} is no text")]
    Text(&'static str),
}

impl InventoryRecord {
    /// Encodes the record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(OBJECT_RECORD_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, self.kind(), 0, 0]);
        match self {
            InventoryRecord::Config(config) => config.put(&mut bytes),
            InventoryRecord::State(state) => state.put(&mut bytes),
            InventoryRecord::Slab { number, object }
            | InventoryRecord::Areas { number, object }
            | InventoryRecord::Segment { number, object } => put_pair(&mut bytes, *number, object.0),
            InventoryRecord::Roots { object } => put_pair(&mut bytes, 0, object.0),
            InventoryRecord::Counts(counts) => put_pair(&mut bytes, counts.slabs, counts.segments),
            InventoryRecord::Deleted => {}
            InventoryRecord::Chapter(chapter) => chapter.put(&mut bytes),
            InventoryRecord::ChapterGone(number) => put_pair(&mut bytes, *number, 0),
            InventoryRecord::HistoryLog { object } => put_pair(&mut bytes, 0, object.0),
        }
        let code = check_code(&bytes);
        bytes.extend_from_slice(&code.to_le_bytes());
        bytes
    }

    const fn kind(&self) -> u8 {
        match self {
            InventoryRecord::Config(_) => 1,
            InventoryRecord::Slab { .. } => 2,
            InventoryRecord::Areas { .. } => 3,
            InventoryRecord::Roots { .. } => 4,
            InventoryRecord::Segment { .. } => 5,
            InventoryRecord::State(_) => 6,
            InventoryRecord::Counts(_) => 7,
            InventoryRecord::Deleted => 8,
            InventoryRecord::Chapter(_) => 9,
            InventoryRecord::ChapterGone(_) => 10,
            InventoryRecord::HistoryLog { .. } => 11,
        }
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// The record is malformed.
    pub fn decode(bytes: &[u8]) -> Result<InventoryRecord, InventoryError> {
        let Some((content, code)) = bytes.split_last_chunk::<CRC_BYTES>() else {
            return Err(InventoryError::Foreign(bytes.len()));
        };
        let Some((head, content_behind)) = content.split_first_chunk::<HEAD_BYTES>() else {
            return Err(InventoryError::Foreign(bytes.len()));
        };
        if head[..4] != MAGIC {
            return Err(InventoryError::Foreign(bytes.len()));
        }
        if head[4] != VERSION {
            return Err(InventoryError::Version(head[4]));
        }
        if u32::from_le_bytes(*code) != check_code(content) {
            return Err(InventoryError::CheckCode);
        }
        let mut fields = Fields::new(content_behind, bytes.len());
        let record = match head[5] {
            1 => InventoryRecord::Config(Box::new(VolumeConfig::take(&mut fields)?)),
            2 => InventoryRecord::Slab { number: fields.u64()?, object: ObjectId(fields.u64()?) },
            3 => InventoryRecord::Areas { number: fields.u64()?, object: ObjectId(fields.u64()?) },
            4 => {
                fields.u64()?;
                InventoryRecord::Roots { object: ObjectId(fields.u64()?) }
            }
            5 => InventoryRecord::Segment { number: fields.u64()?, object: ObjectId(fields.u64()?) },
            6 => InventoryRecord::State(Box::new(VolumeState::take(&mut fields)?)),
            7 => InventoryRecord::Counts(Counts { slabs: fields.u64()?, segments: fields.u64()? }),
            8 => InventoryRecord::Deleted,
            9 => InventoryRecord::Chapter(ChapterEntry::take(&mut fields)?),
            10 => {
                let number = fields.u64()?;
                fields.u64()?;
                InventoryRecord::ChapterGone(number)
            }
            11 => {
                fields.u64()?;
                InventoryRecord::HistoryLog { object: ObjectId(fields.u64()?) }
            }
            other => return Err(InventoryError::Kind(other)),
        };
        fields.end()?;
        Ok(record)
    }
}

fn put_pair(bytes: &mut Vec<u8>, first: u64, second: u64) {
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(&second.to_le_bytes());
}

fn check_code(bytes: &[u8]) -> u32 {
    // CRC32C has 32 bits; the library returns them in 64.
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[cfg(test)]
mod tests;
