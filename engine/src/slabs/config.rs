// SPDX-License-Identifier: BSD-3-Clause

//! The configuration of a physical zone.

use super::reserve::ReserveConfig;
use crate::format::slab_summary::SlabSummary;
use crate::format::Geometry;
use crate::units::ShardId;

/// The configuration of a physical zone.
#[derive(Debug)]
pub struct PhysicalConfig<Buf> {
    /// The volume's layout; the zone owns the slabs that it assigns to `shard`.
    pub geometry: Geometry,
    /// The shard that the zone is part of.
    pub shard: ShardId,
    /// PBN locks that can be in use at once.
    pub locks: PbnLocks,
    /// Blocks held back when the zone is full.
    pub reserve: ReserveConfig,
    /// The volume's nonce, which every block of slab metadata carries.
    pub nonce: u64,
    /// The load generation that begins now: recovery points of another generation in `summaries` are void.
    pub generation: u64,
    /// The summaries of the zone's slabs, by slab number.
    pub summaries: Vec<SlabSummary>,
    /// Buffers for transfers of slab metadata, at least [`MIN_METADATA_BUFS`].
    pub bufs: Vec<Buf>,
}

/// The number of PBN locks that can be in use at once, by holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PbnLocks {
    /// Locks on data. Each member of a hash lock, of any shard, holds at most one: on the block that it writes or,
    /// shared with others, on the copy that it compares with or shares. Each read of the relocator holds one too. So
    /// sizing the pool by their number means that it is never exhausted.
    pub data: usize,
    /// Locks on new pages of the block map, at least one. A page's lock is held until the slab journal has room for its
    /// reference, which may be long after the page was recorded, so their number has no natural bound: a request beyond
    /// it waits ([`PhysicalZone::allocate`](super::PhysicalZone::allocate)).
    pub pages: usize,
}

/// With fewer buffers a zone could wait for itself.
pub const MIN_METADATA_BUFS: usize = 8;
