// SPDX-License-Identifier: BSD-3-Clause

//! The inventory's records of the index: its chapters and its images.
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
//! Nothing depends on the existence of these objects: a missing chapter or image costs savings only. So no COUNTS
//! record counts them: one that is recorded but does not exist is ignored.
//!
//! The number of a chapter is the generation of the log from which it was copied, so newer chapters have larger
//! numbers. An image belongs to the load generation that saved it, and is void as soon as the next has begun.

use mpool::ObjectId;

use super::fields::Fields;
use super::InventoryError;
use crate::units::MAX_SHARDS;

/// The record of a closed chapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChapterEntry {
    /// The chapter's number, larger than that of any earlier one.
    pub number: u64,
    /// The mblock with the chapter's sections.
    pub object: ObjectId,
    /// The number of sections in it.
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

/// The record of a piece of the level-1 index of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImagePiece {
    /// The load generation that saved the image.
    pub generation: u64,
    /// The mblock with the piece.
    pub object: ObjectId,
    /// Bytes of the image in the mblock.
    pub bytes: u32,
    /// The number of the shard.
    pub shard: u16,
    /// The number of shards that the volume had.
    pub shards: u16,
    /// The piece's number in the shard's image, from 0.
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
