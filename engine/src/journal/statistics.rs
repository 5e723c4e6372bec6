// SPDX-License-Identifier: BSD-3-Clause

//! What a journal counts.

/// Things on their way to the medium.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitCounts {
    /// Begun.
    pub started: u64,
    /// Written: the transfer has ended well.
    pub written: u64,
    /// Committed: durable, as is all before them.
    pub committed: u64,
}

/// Counters of one journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStatistics {
    /// Times that the ring became full.
    pub disk_full: u64,
    /// Times that the zones were asked to commit their slab journals.
    pub slab_journal_commits_requested: u64,
    /// Entries.
    pub entries: CommitCounts,
    /// Blocks: batches of entries, each a record of its log and a flush set.
    pub blocks: CommitCounts,
    /// Bytes given to writes, framing and padding included.
    pub bytes_written: u64,
    /// Flushes waited for.
    pub flushes: u64,
}
