// SPDX-License-Identifier: BSD-3-Clause

//! What the block map counts.

use super::BlockMap;

/// Statistics of the page cache of one shard. The first five are gauges, the others count since the map was loaded.
///
/// Differs from dm-vdo: there are no failed pages, as a frame whose load failed is free at once; a write never makes
/// a user wait, so nothing is reclaimed; and `read_outgoing` is not told from `found_in_cache`, nor `discard_required`
/// from `fetch_required`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MapStatistics {
    /// Pages with changes, none of which is being written.
    pub dirty_pages: u64,
    /// Pages that are as they are on media.
    pub clean_pages: u64,
    /// Frames without page.
    pub free_pages: u64,
    /// Pages that are being loaded or allocated.
    pub incoming_pages: u64,
    /// Pages that are being written.
    pub outgoing_pages: u64,
    /// Requests that found no frame for their page.
    pub cache_pressure: u64,
    /// Fetches to read or to discard.
    pub read_count: u64,
    /// Fetches to write.
    pub write_count: u64,
    /// Loads that failed, or found damage.
    pub failed_reads: u64,
    /// Writes that failed.
    pub failed_writes: u64,
    /// Fetches that found the page.
    pub found_in_cache: u64,
    /// Pages that had to be loaded.
    pub fetch_required: u64,
    /// Times that a request waited for a page which was on its way already.
    pub wait_for_page: u64,
    /// Pages loaded.
    pub pages_loaded: u64,
    /// Pages written, and durable.
    pub pages_saved: u64,
    /// Flushes asked for.
    pub flush_count: u64,
}

impl<Buf: Copy> BlockMap<Buf> {
    /// The statistics now.
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
