// SPDX-License-Identifier: BSD-3-Clause

//! Operations of the host on the index of a hash zone, allowed while queries are in progress; see [`crate::Shard`].

use super::level2::Level2;
use super::HashZone;
use crate::format::index_section::SectionAt;
use crate::index::{History, HistoryConfig, Index};
use crate::statistics::Statistics;

/// Configuration of a hash zone's index.
#[derive(Debug)]
pub struct IndexConfig {
    /// Size of level 1 in bytes.
    pub bytes: usize,
    /// Configuration of level 2, if there is one.
    pub level2: Option<HistoryConfig>,
}

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// Changes the size of the index; see [`Index::resize`].
    pub fn resize_index(&mut self, bytes: usize) {
        self.index_bytes = bytes;
        self.index.resize(bytes);
    }

    /// Adds memory to level 1; see [`Index::extend`].
    pub fn extend_index(&mut self) -> bool {
        self.index.extend()
    }

    /// Whether the index is queried and updated.
    pub fn set_deduplication(&mut self, enabled: bool) {
        self.deduplication = enabled;
    }

    /// Discards every record.
    pub fn clear_index(&mut self) {
        self.index = Index::new(self.index_bytes);
        if let Some(level2) = &mut self.level2 {
            level2.clear();
        }
    }

    pub fn history(&mut self) -> Option<&mut History> {
        self.level2.as_mut().map(Level2::history)
    }

    /// Loads a section of an earlier run; see [`History::refill`].
    pub fn refill(&mut self, at: SectionAt, image: &[u8]) {
        if let Some(level2) = &mut self.level2 {
            // An error of the section has already been counted.
            let _ = level2.history().refill(&mut self.index, at, image);
        }
    }

    /// True when the host has answered every request of the index.
    pub fn is_answered(&self) -> bool {
        self.level2.as_ref().is_none_or(Level2::is_answered)
    }

    pub(super) fn index_gauges(&self, stats: &mut Statistics) {
        let index = self.index.statistics();
        stats.curr_dedupe_queries = self.queries.len() as u64;
        stats.entries_indexed = index.entries;
        stats.entries_discarded = index.evictions;
        stats.index_capacity = index.capacity;
        stats.index_records_restored = index.restored;
        if let Some(level2) = &self.level2 {
            level2.gauges(stats);
        }
    }
}
