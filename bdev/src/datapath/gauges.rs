// SPDX-License-Identifier: BSD-3-Clause

//! What a shard shows to other threads without being asked.

use core::sync::atomic::AtomicU64;

/// Figures that any thread may read at any time; each is recent, together they are no snapshot.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Data blocks in use.
    pub data_blocks_used: AtomicU64,
    /// The shard's share of the logical blocks that are mapped, which may be negative, in two's complement.
    pub logical_blocks_used: AtomicU64,
    /// The shard's share of the pages of the block map, likewise.
    pub block_map_pages: AtomicU64,
    /// Slabs whose reference counts are not known yet.
    pub slabs_unrecovered: AtomicU64,
}
