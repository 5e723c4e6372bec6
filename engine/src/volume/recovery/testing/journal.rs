// SPDX-License-Identifier: BSD-3-Clause

//! A recovery journal of the model: records in a ring of segments.

use super::memory::MemoryMedia;
use crate::format::journal_record::{Entry, RecordBuilder, RecordHeader};
use crate::journal::Counters;
use crate::units::ShardId;

/// Segments of each journal.
pub(super) const SEGMENTS: usize = 4;

/// Records of a segment.
const RECORDS_PER_SEGMENT: usize = 6;

#[derive(Debug)]
pub(super) struct Journal {
    pub shard: ShardId,
    pub shards: u16,
    pub generation: u64,
    /// Number of the next entry.
    pub next: u64,
    pub counters: Counters,
    builder: RecordBuilder,
    /// The segment being written.
    current: usize,
    /// The number of the entry behind the last one in each segment.
    ends: [u64; SEGMENTS],
}

impl Journal {
    pub fn new(shard: u16, shards: u16, generation: u64) -> Journal {
        Journal {
            shard: ShardId(shard),
            shards,
            generation,
            next: 0,
            counters: Counters::default(),
            builder: RecordBuilder::new(1 << 16),
            current: 0,
            ends: [0; SEGMENTS],
        }
    }

    /// Adds an entry to the record being built. Returns its number.
    pub fn push(&mut self, entry: &Entry<'_>) -> u64 {
        self.builder.push(entry);
        self.next += 1;
        self.next - 1
    }

    /// The number of the first entry of the record being built.
    pub fn first(&self) -> u64 {
        self.next - u64::from(self.builder.entries())
    }

    fn header(&self, map_head: u64) -> RecordHeader {
        RecordHeader {
            shard: self.shard,
            shards: self.shards,
            generation: self.generation,
            first: self.first(),
            count: 0,
            committed: self.first(),
            map_head,
            logical_blocks_used: self.counters.logical_blocks_used,
            map_pages: self.counters.map_pages,
        }
    }

    fn segment(&self, index: usize) -> usize {
        usize::from(self.shard.0) * SEGMENTS + index
    }

    /// True if a record can be written, once segments without entries from `needed` on are erased.
    pub fn make_room(&mut self, media: &MemoryMedia, needed: u64) -> bool {
        let records = |index: usize| media.segments.borrow()[self.segment(index)].len();
        if records(self.current) < RECORDS_PER_SEGMENT {
            return true;
        }
        let next = (self.current + 1) % SEGMENTS;
        if records(next) > 0 && self.ends[next] > needed {
            return false;
        }
        media.segments.borrow_mut()[self.segment(next)].clear();
        self.current = next;
        true
    }

    /// Writes the record being built: its entries are committed.
    pub fn commit(&mut self, media: &MemoryMedia, map_head: u64) {
        if self.builder.is_empty() {
            return;
        }
        let header = self.header(map_head);
        let bytes = self.builder.finish(header).to_vec();
        self.builder.begin();
        media.segments.borrow_mut()[self.segment(self.current)].push(bytes);
        self.ends[self.current] = self.next;
    }

    /// Leaves a record behind one that was lost: both were in flight when the power was cut.
    pub fn leave_unacknowledged(&mut self, media: &MemoryMedia, lost: u64, entry: &Entry<'_>) {
        let header = RecordHeader { first: self.next + lost, committed: self.next, ..self.header(self.next) };
        let mut builder = RecordBuilder::new(0);
        builder.push(entry);
        let bytes = builder.finish(header).to_vec();
        media.segments.borrow_mut()[self.segment(self.current)].push(bytes);
    }
}
