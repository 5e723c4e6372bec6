// SPDX-License-Identifier: BSD-3-Clause

//! Statistics of a physical zone.

/// Gauges and counters of a physical zone, summed over its slabs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PhysicalStatistics {
    /// Slabs of the zone.
    pub slabs: u64,
    /// Slabs opened for the first time, or loaded.
    pub slabs_opened: u64,
    /// Slabs opened again.
    pub slabs_reopened: u64,
    /// Slabs whose counts are not known yet.
    pub slabs_unrecovered: u64,
    /// Slabs that the scrubber has loaded.
    pub slabs_scrubbed: u64,
    /// Updates that found the ring of a slab journal full.
    pub slab_journal_disk_full: u64,
    /// Times that a slab journal's length called for write-back of reference counts.
    pub slab_journal_flushes: u64,
    /// Updates that found a slab journal at its blocking threshold.
    pub slab_journal_blocked: u64,
    /// Blocks of slab journals written.
    pub slab_journal_blocks_written: u64,
    /// Updates that found no memory for the next block of a slab journal.
    pub slab_journal_tail_busy: u64,
    /// Reference blocks written.
    pub reference_blocks_written: u64,
    /// Slab summaries written.
    pub slab_summaries_written: u64,
}
