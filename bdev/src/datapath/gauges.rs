// SPDX-License-Identifier: BSD-3-Clause

//! What other threads can read of a shard without asking it.

use core::sync::atomic::AtomicU64;

/// Figures that any thread may read at any time. Each is recent; together they are not a snapshot.
#[derive(Debug, Default)]
pub struct Gauges {
    pub data_blocks_used: AtomicU64,
    /// The shard's share of the mapped logical blocks. It may be negative; stored in two's complement.
    pub logical_blocks_used: AtomicU64,
    /// The shard's share of the block map's pages, likewise.
    pub block_map_pages: AtomicU64,
    /// Slabs whose reference counts are not known yet.
    pub slabs_unrecovered: AtomicU64,
}
