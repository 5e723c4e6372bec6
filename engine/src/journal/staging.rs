// SPDX-License-Identifier: BSD-3-Clause

//! Entries that are appended but not yet given to a write: the records being filled or waiting.
//!
//! Invariant: every record here fits into one flush set. Nothing is allocated once the largest number of records ever
//! staged together has been reached.

use std::collections::VecDeque;
use std::ops::Range;

use super::config::{Counters, JournalConfig, SET_BYTES};
use super::ring::Sizes;
use crate::format::journal_record::{encoded_len, Entry, RecordBuilder, RecordHeader, HEADER_BYTES, MAX_ENTRY_BYTES};

const _: () = assert!(
    HEADER_BYTES + MAX_ENTRY_BYTES <= Sizes::new(512).max_record_bytes()
        && Sizes::new(512).max_record_bytes() <= SET_BYTES
        && Sizes::new(4096).max_record_bytes() <= SET_BYTES,
    "the largest entry fits into a flush set"
);

/// A closed batch of entries: no entry is added any more.
#[derive(Debug)]
pub(super) struct Record {
    builder: RecordBuilder,
    header: RecordHeader,
}

impl Record {
    /// The numbers of the record's entries.
    pub fn entries(&self) -> Range<u64> {
        self.header.first..self.header.first + u64::from(self.builder.entries())
    }

    /// The record as it is written to media.
    pub fn finish(&mut self) -> &[u8] {
        self.builder.finish(self.header)
    }
}

/// Positions that the header of a record states as of its closing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    /// The first entry that is not committed.
    pub committed: u64,
    /// The first entry that a page of the block map needs.
    pub map_head: u64,
}

/// Records that wait to be written, and the one being filled.
#[derive(Debug)]
pub(super) struct Staging {
    /// Closed records, oldest first.
    closed: VecDeque<Record>,
    /// The record being filled, and the number of its first entry.
    filling: RecordBuilder,
    first: u64,
    /// Memory of earlier records, for reuse.
    spare: Vec<RecordBuilder>,
    /// Sectors of the closed records.
    closed_sectors: u64,
    sizes: Sizes,
    /// Fields that all headers have in common.
    header: RecordHeader,
    /// Goes into the headers of records as they are closed.
    pub counters: Counters,
}

impl Staging {
    pub fn new<Buf>(config: &JournalConfig<Buf>, sizes: Sizes) -> Staging {
        let header = RecordHeader {
            shard: config.shard,
            shards: config.shards,
            generation: config.generation,
            first: 0,
            count: 0,
            committed: 0,
            map_head: 0,
            logical_blocks_used: 0,
            map_pages: 0,
        };
        Staging {
            closed: VecDeque::new(),
            filling: RecordBuilder::new(sizes.max_record_bytes()),
            first: 0,
            spare: Vec::new(),
            closed_sectors: 0,
            sizes,
            header,
            counters: config.counters,
        }
    }

    /// Load generation.
    pub fn generation(&self) -> u64 {
        self.header.generation
    }

    /// True when there are no staged entries.
    pub fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.filling.is_empty()
    }

    /// Number of closed records.
    pub fn closed(&self) -> usize {
        self.closed.len()
    }

    /// The first staged entry, or the next one.
    #[cfg(test)]
    pub fn first_entry(&self) -> u64 {
        self.closed.front().map_or(self.first, |record| record.header.first)
    }

    /// Sectors that the staged records will take.
    pub fn sectors(&self) -> u64 {
        let filling = if self.filling.is_empty() { 0 } else { self.sizes.sectors(self.filling.len()) };
        self.closed_sectors + filling
    }

    /// Sectors of a record with only `entry`: never fewer than the entry adds to the staged records.
    pub fn sectors_alone(&self, entry: &Entry<'_>) -> u64 {
        self.sizes.sectors(HEADER_BYTES + encoded_len(entry))
    }

    /// Adds an entry. Returns whether it is the first of its record.
    pub fn push(&mut self, entry: &Entry<'_>, heads: Heads) -> bool {
        if self.filling.len() + encoded_len(entry) > self.sizes.max_record_bytes() {
            self.close(heads);
        }
        let first = self.filling.is_empty();
        self.filling.push(entry);
        first
    }

    /// Closes the record being filled, if it has entries.
    pub fn close(&mut self, heads: Heads) {
        if self.filling.is_empty() {
            return;
        }
        let empty = self.spare.pop().unwrap_or_else(|| RecordBuilder::new(self.sizes.max_record_bytes()));
        let builder = std::mem::replace(&mut self.filling, empty);
        let header = RecordHeader {
            first: self.first,
            committed: heads.committed,
            map_head: heads.map_head,
            logical_blocks_used: self.counters.logical_blocks_used,
            map_pages: self.counters.map_pages,
            ..self.header
        };
        self.first += u64::from(builder.entries());
        self.closed_sectors += self.sizes.sectors(builder.len());
        self.closed.push_back(Record { builder, header });
    }

    /// Takes the oldest closed record.
    pub fn pop(&mut self) -> Option<Record> {
        let record = self.closed.pop_front()?;
        self.closed_sectors -= self.sizes.sectors(record.builder.len());
        Some(record)
    }

    /// Takes back the memory of a written record.
    pub fn recycle(&mut self, mut record: Record) {
        record.builder.begin();
        self.spare.push(record.builder);
    }
}
