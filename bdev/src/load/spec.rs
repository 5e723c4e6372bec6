// SPDX-License-Identifier: BSD-3-Clause

//! The description of a load, and its result.

use std::time::Duration;

use thiserror::Error;

use super::histogram::Histogram;

/// The content of the blocks of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Content that no other block has or had.
    Unique,
    /// Like `Unique`, but this percentage of each sector is zeros, which compression can remove. The rest is random.
    Compressible(u8),
    /// In this percentage of requests, content from a fixed set that all jobs share; in the others, unique content.
    Duplicate(u8),
    /// Content from a small set in memory that all requests share, and that changes while they are in flight.
    Changing,
    /// Zeros.
    Zero,
}

/// What each request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reads; with `verify`, compares the stamp that a write of [`Content::Unique`] left (one word per block).
    Read {
        /// Compare the stamps.
        verify: bool,
    },
    /// Writes.
    Write(Content),
    /// Unmaps.
    Unmap,
}

/// Where requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Anywhere in the region.
    Random,
    /// From start to end, each job in its part of the region.
    Sequential,
}

/// How long a load runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// For a time; completions during the warm-up are not counted.
    Time {
        /// Not counted.
        warm_up: Duration,
        /// Counted.
        measure: Duration,
    },
    /// Until each slot of the region has had one request.
    OnePass,
}

/// A load: the same for each core.
#[derive(Debug, Clone)]
pub struct LoadSpec {
    /// Name of the bdev.
    pub bdev: String,
    /// What requests do.
    pub operation: Operation,
    /// Where requests go.
    pub order: Order,
    /// Blocks of 4 KiB in a request, at least 1. Requests start at multiples of it.
    pub blocks_per_request: u32,
    /// Blocks of 4 KiB from the start of the bdev that are used; at least one request must fit.
    pub region_blocks: u64,
    /// Requests in flight on each core, at least 1.
    pub queue_depth: u32,
    /// When to stop.
    pub limit: Limit,
    /// Seed for the order of requests: the same seed gives each core the same order. Content is new in each run.
    pub seed: u64,
}

/// The result of a load.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// Requests per second: the sum of the jobs' rates, each over its own window.
    pub iops: f64,
    /// Requests that were counted.
    pub requests: u64,
    /// Requests including those of the warm-up.
    pub all_requests: u64,
    /// Time that the application's threads spent working (not polling in vain), divided by all requests.
    pub busy_per_request: Duration,
    /// Core time in the counted window, working or not, divided by the counted requests.
    pub core_time_per_request: Duration,
    /// Latencies of the counted requests, in ticks.
    pub latency: Histogram,
    /// Ticks in a second.
    pub ticks_per_second: u64,
}

impl LoadReport {
    /// The latency that the fraction `quantile` (0 to 1) of the requests did not exceed.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> Duration {
        Duration::from_secs_f64(self.latency.quantile(quantile) as f64 / self.ticks_per_second as f64)
    }
}

/// Why a load did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// The load does not suit this bdev.
    #[error("load on bdev {bdev}: {reason}")]
    Spec {
        /// Name of the bdev.
        bdev: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The bdev could not be opened, or gave no channel.
    #[error("opening bdev {bdev}: errno {errno}")]
    Open {
        /// Name of the bdev.
        bdev: String,
        /// Positive errno.
        errno: i32,
    },
    /// No memory for the requests' data.
    #[error("load on bdev {bdev}: SPDK has no {bytes} bytes of memory left for buffers (more huge pages are needed)")]
    Memory {
        /// Name of the bdev.
        bdev: String,
        /// Bytes asked for.
        bytes: usize,
    },
    /// The bdev refused a request.
    #[error("bdev {bdev} refused a request at block {lbn}: errno {errno}")]
    Submit {
        /// Name of the bdev.
        bdev: String,
        /// First block of the request, 4 KiB each.
        lbn: u64,
        /// Positive errno.
        errno: i32,
    },
    /// A request completed with an error.
    #[error("a request at block {lbn} of bdev {bdev} failed")]
    Failed {
        /// Name of the bdev.
        bdev: String,
        /// First block of the request, 4 KiB each.
        lbn: u64,
    },
    /// A block read holds another block's content.
    #[error("block {lbn} of bdev {bdev} reads as the content of block {found}")]
    Miscompare {
        /// Name of the bdev.
        bdev: String,
        /// Block that was read.
        lbn: u64,
        /// Block that the stamp names.
        found: u64,
    },
}
