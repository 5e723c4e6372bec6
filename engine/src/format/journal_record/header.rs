// SPDX-License-Identifier: BSD-3-Clause

//! The header of a journal record.

use mpool::format::fields::{FieldReader, FieldWriter, Truncated};

use super::decode::RecordDamage;
use super::point::MAX_ENTRY_NUMBER;
use crate::units::{ShardId, MAX_SHARDS};

/// Bytes of a header, at the start of each record.
pub const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 4] = *b"DRJ\x02";

/// The fields of a record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// The shard whose journal the record belongs to.
    pub shard: ShardId,
    /// The volume's number of shards when the record was written.
    pub shards: u16,
    /// The load generation of the writer.
    pub generation: u64,
    /// The number of the record's first entry.
    pub first: u64,
    /// The number of entries in the record.
    pub count: u32,
    /// The first entry that was not known to be durable when the record was written; at most `first`.
    pub committed: u64,
    /// The first entry that a page of the block map needs; at most [`RecordHeader::end`].
    pub map_head: u64,
    /// Logical blocks that the shard's trees map after the record's last entry. The shard may count from a base of the
    /// volume's, so the number may be negative.
    pub logical_blocks_used: i64,
    /// Pages of the shard's trees after the record's last entry, counted likewise.
    pub map_pages: i64,
}

impl RecordHeader {
    /// The number of the entry behind the record's last.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.first + self.count as u64
    }

    /// Encodes the header into the first bytes of a record.
    pub(super) fn encode(&self, bytes: &mut [u8]) {
        let mut writer = FieldWriter::new(bytes);
        writer.bytes(&MAGIC).u16(self.shard.0).u16(self.shards).u64(self.generation).u64(self.first);
        writer.u32(self.count).skip(4).u64(self.committed).u64(self.map_head);
        writer.bytes(&self.logical_blocks_used.to_le_bytes()).bytes(&self.map_pages.to_le_bytes());
    }

    /// Decodes the header of a record, not its entries.
    ///
    /// # Errors
    /// The bytes do not begin with a header, or its numbers are impossible.
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

/// The unchecked fields; none if the magic differs.
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
