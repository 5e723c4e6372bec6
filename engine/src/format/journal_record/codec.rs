// SPDX-License-Identifier: BSD-3-Clause

//! Encoding of records.

use super::entry::{Entry, MAX_RANGE_BLOCKS};
use super::header::{RecordHeader, HEADER_BYTES};

/// Bytes of the largest entry: a range entry with a run for each block.
pub const MAX_ENTRY_BYTES: usize = 16 + 8 * MAX_RANGE_BLOCKS as usize;

/// The kinds of entries, and the positions of the fields in their words.
pub(super) mod layout {
    pub const REMAP: u8 = 1;
    pub const RANGE: u8 = 2;
    pub const PAGE: u8 = 3;
    pub const PAGE_GONE: u8 = 4;
    pub const NUMBER_SHIFT: u32 = 8;
    pub const RUNS_SHIFT: u32 = 16;
    pub const RUN_BLOCKS_SHIFT: u32 = 48;
    pub const LEVEL_SHIFT: u32 = 36;
    pub const LIFE_SHIFT: u32 = 40;
}

/// Bytes that an entry takes in a record.
#[must_use]
pub const fn encoded_len(entry: &Entry<'_>) -> usize {
    match entry {
        Entry::Remap { .. } => 24,
        Entry::Range { runs, .. } => 16 + 8 * runs.len(),
        Entry::Page { .. } | Entry::PageGone { .. } => 16,
    }
}

/// Encodes records, one after the other, in the same memory.
#[derive(Debug)]
pub struct RecordBuilder {
    bytes: Vec<u8>,
    entries: u32,
}

impl RecordBuilder {
    /// A builder whose memory suffices for records of `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: usize) -> RecordBuilder {
        let mut bytes = Vec::with_capacity(max_bytes.max(HEADER_BYTES));
        bytes.resize(HEADER_BYTES, 0);
        RecordBuilder { bytes, entries: 0 }
    }

    /// Drops the last record and begins one without entries.
    pub fn begin(&mut self) {
        self.bytes.truncate(HEADER_BYTES);
        self.entries = 0;
    }

    /// Appends an entry to the record.
    pub fn push(&mut self, entry: &Entry<'_>) {
        let numbered = |kind: u8, number: u64| u64::from(kind) | number << layout::NUMBER_SHIFT;
        match *entry {
            Entry::Remap { lbn, old, new } => {
                self.word(numbered(layout::REMAP, lbn.0));
                self.word(old.0);
                self.bytes.extend_from_slice(&new.to_bytes());
            }
            Entry::Range { first, count, runs } => {
                debug_assert!(count <= MAX_RANGE_BLOCKS && runs.len() <= count as usize, "a range is of one leaf page");
                self.word(numbered(layout::RANGE, first.0));
                self.word((runs.len() as u64) << layout::RUNS_SHIFT | u64::from(count));
                for run in runs {
                    self.word(u64::from(run.count) << layout::RUN_BLOCKS_SHIFT | run.first.0);
                }
            }
            Entry::Page { page, pbn, life } => {
                self.word(numbered(layout::PAGE, page.index));
                let life = u64::from(life) << layout::LIFE_SHIFT;
                self.word(life | u64::from(page.level) << layout::LEVEL_SHIFT | pbn.0);
            }
            Entry::PageGone { page, pbn } => {
                self.word(numbered(layout::PAGE_GONE, page.index));
                self.word(u64::from(page.level) << layout::LEVEL_SHIFT | pbn.0);
            }
        }
        self.entries += 1;
    }

    fn word(&mut self, word: u64) {
        self.bytes.extend_from_slice(&word.to_le_bytes());
    }

    /// The number of entries in the record so far.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Bytes of the record so far, including the header.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True while the record has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Encodes the header and returns the record; the builder sets the header's count.
    pub fn finish(&mut self, header: RecordHeader) -> &[u8] {
        RecordHeader { count: self.entries, ..header }.encode(&mut self.bytes[..HEADER_BYTES]);
        &self.bytes
    }
}
