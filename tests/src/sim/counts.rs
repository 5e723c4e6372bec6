// SPDX-License-Identifier: BSD-3-Clause

//! Counts of a run: requests, and transfers on the base bdevs. [`super::faults`] counts what went wrong.

/// Requests, messages and their outcome.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorldCounts {
    /// Client requests begun.
    pub requests: u64,
    /// Pieces that they were cut into.
    pub pieces: u64,
    /// Blocks that they touch.
    pub blocks: u64,
    /// Messages between shards.
    pub messages: u64,
    /// Pieces that failed for want of space.
    pub no_space: u64,
    /// Pieces that failed with an I/O error.
    pub io_errors: u64,
    /// Pieces that failed because stored data was spoilt.
    pub corrupt: u64,
    /// Reports to the operator.
    pub reports: u64,
    /// Changes that clients made to memory that the engine had.
    pub scribbles: u64,
}

impl WorldCounts {
    /// Adds those of another run.
    pub fn add(&mut self, more: &WorldCounts) {
        self.requests += more.requests;
        self.pieces += more.pieces;
        self.blocks += more.blocks;
        self.messages += more.messages;
        self.no_space += more.no_space;
        self.io_errors += more.io_errors;
        self.corrupt += more.corrupt;
        self.reports += more.reports;
        self.scribbles += more.scribbles;
    }
}

/// Counts of what was done, in blocks unless said otherwise; metadata apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskCounts {
    /// Transfers that ended.
    pub transfers: u64,
    /// Blocks read, verify reads not among them.
    pub read: u64,
    /// Blocks read into memory for verifying.
    pub verified: u64,
    /// Blocks written.
    pub written: u64,
    /// Most transfers at one time, of metadata too.
    pub most_in_flight: u64,
    /// Transfers of metadata.
    pub metadata: u64,
    /// Flushes.
    pub flushes: u64,
    /// Erasures of journal segments.
    pub erasures: u64,
}

impl DiskCounts {
    /// Adds those of another run.
    pub fn add(&mut self, more: &DiskCounts) {
        self.transfers += more.transfers;
        self.read += more.read;
        self.verified += more.verified;
        self.written += more.written;
        self.most_in_flight = self.most_in_flight.max(more.most_in_flight);
        self.metadata += more.metadata;
        self.flushes += more.flushes;
        self.erasures += more.erasures;
    }
}
