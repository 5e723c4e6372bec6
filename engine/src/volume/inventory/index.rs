// SPDX-License-Identifier: BSD-3-Clause

//! The inventory's records of the index: its chapters.
//!
//! ```text
//!  offset size  CHAPTER 9            GONE 10   LOG 11
//!       0    8  head                 the same  the same
//!       8    8  number               number    0
//!      16    8  id of the mblock     0         id of the log
//!      24    4  sections             -         -
//!      28    4  0
//!     n-4    4  CRC32C of all bytes before
//! ```
//! Nothing depends on the existence of these objects: a missing chapter costs savings only. So no COUNTS record counts
//! them: one that is recorded but does not exist is ignored.
//!
//! The number of a chapter is the generation of the log from which it was copied, so newer chapters have larger
//! numbers.

use mpool::ObjectId;

use super::fields::Fields;
use super::InventoryError;

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
