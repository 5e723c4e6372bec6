// SPDX-License-Identifier: BSD-3-Clause

//! The records in the recovery journals of one load generation.
//!
//! Records of other generations are skipped: they were void when this one began. Those of this one are sorted by their
//! numbers. Where a record is missing there are two cases. Either no entry behind the gap was ever acknowledged,
//! because several writes may be in flight when the power is cut: the journal ends there. Or a record behind the gap
//! was written when the missing one had been committed: that is damage, and acknowledged data would be lost.
//!
//! The first record found is taken to follow the reaped ones. The writes before it cannot have been lost instead: a log
//! ends at its first hole, so they would have been all that a segment held, and each segment has room for several.

use futures::stream::{self, StreamExt};

use super::error::RecoveryError;
use super::RecoveryConfig;
use crate::format::journal_record::{self, OwnedEntry, RecordDamage, RecordHeader};
use crate::units::ShardId;
use crate::volume::access::VolumeMedia;

/// Segments that are read concurrently.
const CONCURRENT_SEGMENTS: usize = 8;

/// A record and the place where it was found.
#[derive(Debug)]
pub(in crate::volume) struct Found {
    pub header: RecordHeader,
    segment: u32,
    record: usize,
    bytes: Vec<u8>,
}

impl Found {
    /// Decodes the record's entries.
    ///
    /// # Errors
    /// Record.
    pub fn entries(&self) -> Result<Vec<OwnedEntry>, RecoveryError> {
        let Found { segment, record, .. } = *self;
        let damaged = |damage| RecoveryError::Record { segment, record, damage };
        journal_record::decode(&self.bytes).map(|(_, entries)| entries).map_err(damaged)
    }
}

/// The journal of one shard.
#[derive(Debug)]
pub(in crate::volume) struct ShardJournal {
    pub shard: ShardId,
    /// The journal's records, in order.
    pub records: Vec<Found>,
}

impl ShardJournal {
    /// The number of the entry behind the last one; none for a journal without records.
    pub fn end(&self) -> Option<u64> {
        self.records.last().map(|record| record.header.end())
    }

    /// The first entry that a page of the block map may need. Entries before it may be gone. It may be lower than
    /// necessary: the last record does not know of pages that were written after it.
    pub fn map_head(&self) -> u64 {
        self.records.iter().map(|record| record.header.map_head).max().unwrap_or(0)
    }

    /// Cuts the journal where entries are missing that were never acknowledged. Returns the number of records dropped.
    ///
    /// # Errors
    /// Gap: the missing entries had been committed.
    fn cut_at_gap(&mut self) -> Result<usize, RecoveryError> {
        let Some(first) = self.records.first() else { return Ok(0) };
        let shard = self.shard;
        let mut expected = first.header.first;
        let gap = self.records.iter().position(|record| {
            let follows = record.header.first == expected;
            expected = if follows { record.header.end() } else { expected };
            !follows
        });
        let Some(gap) = gap else { return Ok(0) };
        let behind = &self.records[gap..];
        if let Some(record) = behind.iter().find(|r| r.header.committed > expected || r.header.first < expected) {
            return Err(RecoveryError::Gap { shard, expected, found: record.header.first });
        }
        let cut = behind.len();
        self.records.truncate(gap);
        Ok(cut)
    }
}

/// Counts of unusable segments and records, for a caller that tolerates them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::volume) struct Unusable {
    pub segments: u32,
    pub records: u64,
}

/// Reads the journals of a generation, without looking for gaps. With `unusable`, unreadable segments and records are
/// counted instead of ending the read.
///
/// # Errors
/// Pool, Record, Shards.
pub(in crate::volume) async fn read_journals(
    media: &dyn VolumeMedia,
    config: &RecoveryConfig,
    mut unusable: Option<&mut Unusable>,
) -> Result<Vec<ShardJournal>, RecoveryError> {
    let mut journals: Vec<_> =
        (0..config.shards).map(|shard| ShardJournal { shard: ShardId(shard), records: Vec::new() }).collect();
    let reads = (0..media.segments()).map(|segment| async move { (segment, media.segment_records(segment).await) });
    let mut segments = stream::iter(reads).buffered(CONCURRENT_SEGMENTS);
    while let Some((segment, records)) = segments.next().await {
        let records = match (records, &mut unusable) {
            (Ok(records), _) => records,
            (Err(_), Some(unusable)) => {
                unusable.segments += 1;
                continue;
            }
            (Err(error), None) => return Err(error.into()),
        };
        for (record, bytes) in records.into_iter().enumerate() {
            match (judge(config, segment, record, bytes), &mut unusable) {
                (Ok(Some(found)), _) => journals[found.header.shard.index()].records.push(found),
                (Ok(None), _) => {}
                (Err(_), Some(unusable)) => unusable.records += 1,
                (Err(error), None) => return Err(error),
            }
        }
    }
    for journal in &mut journals {
        journal.records.sort_by_key(|record| record.header.first);
    }
    Ok(journals)
}

/// The record, if it belongs to the generation.
fn judge(config: &RecoveryConfig, segment: u32, record: usize, bytes: Vec<u8>) -> Result<Option<Found>, RecoveryError> {
    let damaged = |damage: RecordDamage| RecoveryError::Record { segment, record, damage };
    let header = RecordHeader::decode(&bytes).map_err(damaged)?;
    if header.generation != config.generation {
        return Ok(None);
    }
    if header.shards != config.shards {
        return Err(RecoveryError::Shards { segment, record, found: header.shards, expected: config.shards });
    }
    Ok(Some(Found { header, segment, record, bytes }))
}

/// Reads the journals of a generation up to their first gaps. Also returns the number of records that were dropped
/// because entries before them were never acknowledged.
///
/// # Errors
/// Pool, Record, Shards, Gap.
pub(super) async fn read_committed(
    media: &dyn VolumeMedia,
    config: &RecoveryConfig,
) -> Result<(Vec<ShardJournal>, usize), RecoveryError> {
    let mut journals = read_journals(media, config, None).await?;
    let mut cut = 0;
    for journal in &mut journals {
        cut += journal.cut_at_gap()?;
    }
    Ok((journals, cut))
}
