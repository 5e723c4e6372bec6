// SPDX-License-Identifier: BSD-3-Clause

//! Counters of a journal.

/// Counts at each stage from append to durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitCounts {
    /// Started.
    pub started: u64,
    /// Written: the transfer has succeeded.
    pub written: u64,
    /// Committed: durable, together with all before them.
    pub committed: u64,
}

/// Counters of one journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStatistics {
    /// Times that the ring became full.
    pub disk_full: u64,
    /// Times that the zones were asked to commit their slab journals.
    pub slab_journal_commits_requested: u64,
    /// Journal entries.
    pub entries: CommitCounts,
    /// Blocks: batches of entries, each a record of its log and a flush set.
    pub blocks: CommitCounts,
    /// Bytes written, including framing and padding.
    pub bytes_written: u64,
    /// Flushes that batches waited for.
    pub flushes: u64,
}
