// SPDX-License-Identifier: BSD-3-Clause

//! What a physical zone is made of.

use crate::media::slab_summary::SlabSummary;
use crate::units::ShardId;
use crate::volume::Geometry;

/// What a physical zone is made of.
#[derive(Debug)]
pub struct PhysicalConfig<Buf> {
    /// The volume's layout.
    pub geometry: Geometry,
    /// The shard that the zone is part of.
    pub shard: ShardId,
    /// PBN locks that can be in use at once. One is needed for each block that is being written and each candidate that
    /// is being compared: two for each data_vio suffice (vdo.md section 0).
    pub locks: usize,
    /// The volume's nonce.
    pub nonce: u64,
    /// The load generation that begins now: points of another one in `summaries` are void.
    pub generation: u64,
    /// The summaries of the zone's slabs, in the order of their numbers.
    pub summaries: Vec<SlabSummary>,
    /// Memory for transfers of slab metadata, at least [`MIN_METADATA_BUFS`].
    pub bufs: Vec<Buf>,
}

/// Blocks of memory without which a zone could wait for itself.
pub const MIN_METADATA_BUFS: usize = 8;
