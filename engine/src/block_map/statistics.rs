// SPDX-License-Identifier: BSD-3-Clause

//! Statistics of the block map.

use super::BlockMap;

/// Statistics of one shard's page cache. The first five are gauges, the others count since the map was loaded.
///
/// Differs from dm-vdo: there are no failed pages, since a frame whose load failed is free at once; a write never makes
/// a user wait, so no page is reclaimed; `found_in_cache` includes dm-vdo's `read_outgoing`, and `fetch_required` its
/// `discard_required`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MapStatistics {
    /// Dirty pages that are not being written.
    pub dirty_pages: u64,
    /// Pages that are the same in memory and on media.
    pub clean_pages: u64,
    /// Frames without a page.
    pub free_pages: u64,
    /// Pages being loaded or allocated.
    pub incoming_pages: u64,
    /// Pages being written.
    pub outgoing_pages: u64,
    /// Requests that found no frame for their page.
    pub cache_pressure: u64,
    /// Fetches to read.
    pub read_count: u64,
    /// Fetches to write or to discard.
    pub write_count: u64,
    /// Loads that failed or found a damaged page.
    pub failed_reads: u64,
    /// Writes that failed.
    pub failed_writes: u64,
    /// Fetches that found their page in the cache.
    pub found_in_cache: u64,
    /// Pages that had to be loaded.
    pub fetch_required: u64,
    /// Times that a request waited for a page that was already being loaded or allocated.
    pub wait_for_page: u64,
    /// Pages loaded.
    pub pages_loaded: u64,
    /// Pages written and durable.
    pub pages_saved: u64,
    /// Flushes requested.
    pub flush_count: u64,
}

impl<Buf: Copy> BlockMap<Buf> {
    /// The current values.
    #[must_use]
    pub fn statistics(&self) -> MapStatistics {
        let (dirty, outgoing) = (self.frames.dirty_not_outgoing(), self.frames.outgoing());
        let incoming = self.frames.incoming();
        MapStatistics {
            dirty_pages: dirty as u64,
            clean_pages: (self.frames.used() - dirty - outgoing - incoming) as u64,
            free_pages: self.frames.free() as u64,
            incoming_pages: incoming as u64,
            outgoing_pages: outgoing as u64,
            ..self.counts
        }
    }
}
