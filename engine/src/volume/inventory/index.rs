// SPDX-License-Identifier: BSD-3-Clause

//! What of the index lies on media: the records of its chapters and of its images.
//!
//! ```text
//!  offset size  CHAPTER 9            GONE 10   LOG 11             IMAGE 12              NO IMAGES 13
//!       0    8  head                 the same  the same           the same              the same
//!       8    8  number               number    0                  load generation       -
//!      16    8  id of the mblock     0         id of the log      id of the mblock
//!      24    4  sections             -         -                  bytes of the piece
//!      28    2  0                                                 shard
//!      30    2  0                                                 shards
//!      32    4  -                                                 number of the piece
//!     n-4    4  CRC32C of all bytes before
//! ```
//! Nothing depends on these objects being there: a chapter or an image that is missing costs savings only. So no COUNTS
//! record counts them: what is recorded and not there counts for nothing.
//!
//! The number of a chapter is the generation of the log from which it was copied, so numbers grow with age. An image
//! belongs to the load generation that has saved it, and is void as soon as another has begun.

use mpool::ObjectId;

use super::fields::Fields;
use super::InventoryError;
use crate::units::MAX_SHARDS;

/// A closed chapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChapterEntry {
    /// Its number, larger than that of any before.
    pub number: u64,
    /// Its mblock.
    pub object: ObjectId,
    /// Sections in it.
    pub sections: u32,
}

impl ChapterEntry {
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.object.0.to_le_bytes());
        bytes.extend_from_slice(&self.sections.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
    }

    pub(super) fn take(fields: &mut Fields<'_>) -> Result<ChapterEntry, InventoryError> {
        let entry = ChapterEntry { number: fields.u64()?, object: ObjectId(fields.u64()?), sections: fields.u32()? };
        fields.u32()?;
        Ok(entry)
    }
}

/// A piece of the level-1 index of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImagePiece {
    /// The load generation that has saved it.
    pub generation: u64,
    /// Its mblock.
    pub object: ObjectId,
    /// Bytes of the image in it.
    pub bytes: u32,
    /// The shard.
    pub shard: u16,
    /// Shards that the volume had.
    pub shards: u16,
    /// Its number in the shard's image, from 0.
    pub piece: u32,
}

impl ImagePiece {
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.object.0.to_le_bytes());
        bytes.extend_from_slice(&self.bytes.to_le_bytes());
        bytes.extend_from_slice(&self.shard.to_le_bytes());
        bytes.extend_from_slice(&self.shards.to_le_bytes());
        bytes.extend_from_slice(&self.piece.to_le_bytes());
    }

    pub(super) fn take(fields: &mut Fields<'_>) -> Result<ImagePiece, InventoryError> {
        let piece = ImagePiece {
            generation: fields.u64()?,
            object: ObjectId(fields.u64()?),
            bytes: fields.u32()?,
            shard: fields.u16()?,
            shards: fields.u16()?,
            piece: fields.u32()?,
        };
        if piece.shard >= piece.shards || usize::from(piece.shards) > MAX_SHARDS {
            return Err(InventoryError::Field { field: "shard of an image", value: piece.shard.into() });
        }
        Ok(piece)
    }
}
