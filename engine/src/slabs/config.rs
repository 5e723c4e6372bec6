// SPDX-License-Identifier: BSD-3-Clause

//! What a physical zone is made of.

use super::reserve::ReserveConfig;
use crate::format::slab_summary::SlabSummary;
use crate::format::Geometry;
use crate::units::ShardId;

/// What a physical zone is made of.
#[derive(Debug)]
pub struct PhysicalConfig<Buf> {
    /// The volume's layout.
    pub geometry: Geometry,
    /// The shard that the zone is part of.
    pub shard: ShardId,
    /// PBN locks that can be in use at once.
    pub locks: PbnLocks,
    /// What is kept back when the zone is full.
    pub reserve: ReserveConfig,
    /// The volume's nonce.
    pub nonce: u64,
    /// The load generation that begins now: points of another one in `summaries` are void.
    pub generation: u64,
    /// The summaries of the zone's slabs, in the order of their numbers.
    pub summaries: Vec<SlabSummary>,
    /// Memory for transfers of slab metadata, at least [`MIN_METADATA_BUFS`].
    pub bufs: Vec<Buf>,
}

/// PBN locks that can be in use at once, by who holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PbnLocks {
    /// Locks on data. Each member of a hash lock, in whatever shard, holds one at most: on the block that it writes, or,
    /// together with others, on the copy that it compares with or shares. Each read of the relocator holds one, too.
    /// So this is their number, and nobody ever finds the pool empty.
    pub data: usize,
    /// Locks on new pages of the block map, at least one. A page's lock is held until the slab journal has room for its
    /// reference, which may be long after the page was recorded, so their number has no natural bound: who asks for one
    /// more waits ([`PhysicalZone::allocate`](super::PhysicalZone::allocate)).
    pub pages: usize,
}

/// Blocks of memory without which a zone could wait for itself.
pub const MIN_METADATA_BUFS: usize = 8;
