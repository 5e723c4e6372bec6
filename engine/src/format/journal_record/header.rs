// SPDX-License-Identifier: BSD-3-Clause

//! The header of a record.

use mpool::format::fields::{FieldReader, FieldWriter, Truncated};

use super::decode::RecordDamage;
use super::point::MAX_ENTRY_NUMBER;
use crate::units::{ShardId, MAX_SHARDS};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 4] = *b"DRJ\x02";

/// What a record says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// Whose journal it belongs to.
    pub shard: ShardId,
    /// Shards of the volume when it was written.
    pub shards: u16,
    /// Load generation.
    pub generation: u64,
    /// Number of its first entry.
    pub first: u64,
    /// Number of its entries.
    pub count: u32,
    /// The first entry that was not known to be durable when the record was written; at most `first`.
    pub committed: u64,
    /// The first entry that a page of the block map needs; at most the one behind the record's last.
    pub map_head: u64,
    /// Logical blocks that the shard's trees map, when all entries up to the last of this record count; as the shard
    /// counts them, perhaps from a base of the volume's.
    pub logical_blocks_used: i64,
    /// Pages of the shard's trees, likewise.
    pub map_pages: i64,
}

impl RecordHeader {
    /// Number of the entry behind the last one.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.first + self.count as u64
    }

    /// Writes the header in front of a record.
    pub(super) fn encode(&self, bytes: &mut [u8]) {
        let mut writer = FieldWriter::new(bytes);
        writer.bytes(&MAGIC).u16(self.shard.0).u16(self.shards).u64(self.generation).u64(self.first);
        writer.u32(self.count).skip(4).u64(self.committed).u64(self.map_head);
        writer.bytes(&self.logical_blocks_used.to_le_bytes()).bytes(&self.map_pages.to_le_bytes());
    }

    /// Reads the header of a record, without its entries.
    ///
    /// # Errors
    /// It is no record's, or its numbers cannot be.
    pub fn decode(bytes: &[u8]) -> Result<RecordHeader, RecordDamage> {
        let header = read(bytes).map_err(|Truncated| RecordDamage::Truncated)?.ok_or(RecordDamage::Foreign)?;
        let RecordHeader { shard, shards, first, count, committed, map_head, .. } = header;
        if shard.0 >= shards || usize::from(shards) > MAX_SHARDS {
            return Err(RecordDamage::Shard { shard, shards });
        }
        let end = first.checked_add(u64::from(count)).filter(|&end| end < MAX_ENTRY_NUMBER);
        if committed > first || end.is_none_or(|end| map_head > end) {
            return Err(RecordDamage::Numbers { first, count });
        }
        Ok(header)
    }
}

/// The fields as they are; none if the magic is another.
fn read(bytes: &[u8]) -> Result<Option<RecordHeader>, Truncated> {
    let mut reader = FieldReader::new(bytes);
    if reader.bytes()? != MAGIC {
        return Ok(None);
    }
    let (shard, shards) = (ShardId(reader.u16()?), reader.u16()?);
    let (generation, first, count) = (reader.u64()?, reader.u64()?, reader.u32()?);
    reader.skip(4)?;
    let (committed, map_head) = (reader.u64()?, reader.u64()?);
    let logical_blocks_used = i64::from_le_bytes(reader.bytes()?);
    let map_pages = i64::from_le_bytes(reader.bytes()?);
    Ok(Some(RecordHeader {
        shard,
        shards,
        generation,
        first,
        count,
        committed,
        map_head,
        logical_blocks_used,
        map_pages,
    }))
}
