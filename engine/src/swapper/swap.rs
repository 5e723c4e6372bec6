// SPDX-License-Identifier: BSD-3-Clause

//! One swap: its step, and the logical blocks that take part.

use crate::fingerprint::Fingerprint;
use crate::format::compressed_block::MAX_FRAGMENTS;
use crate::format::Mapping;
use crate::message::SwapRequest;
use crate::units::{Block, Lbn, Pbn};

/// Maximum number of logical blocks of one swap: the fragments' and the client's.
pub(super) const MAX_PARTS: usize = MAX_FRAGMENTS + 1;

/// A logical block of a swap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) lbn: Lbn,
    /// The data_vio that holds the block.
    pub(super) vio: u32,
    /// The block's mapping; `None` if it is not held, because it is not stored in the compressed block.
    pub(super) mapping: Option<Mapping>,
    /// Slot of the fragment in the new block.
    pub(super) slot: u8,
    /// Fingerprint of the content.
    pub(super) fingerprint: Fingerprint,
}

pub(super) const NO_PART: Part = Part { lbn: Lbn(0), vio: 0, mapping: None, slot: 0, fingerprint: Fingerprint(0) };

/// Step of a swap; see the picture in the module's documentation. Settling is a detour of Allocating, while the shards
/// deliver their decrements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Idle,
    Locking,
    Looking,
    Holding,
    Reading,
    Filling,
    Allocating,
    Settling,
    Writing,
    Sharing,
    Recording,
}

/// The state of one swap.
#[derive(Debug, Clone)]
pub(super) struct Swap<Buf> {
    pub(super) step: Step,
    pub(super) request: SwapRequest,
    pub(super) parts: [Part; MAX_PARTS],
    pub(super) count: usize,
    /// The part to be held next.
    pub(super) at: usize,
    /// Buffer for transfers.
    pub(super) buf: Buf,
    /// Content of the old block as last read.
    pub(super) old: Box<Block>,
    /// Number of times that the old block turned out to be another one.
    pub(super) looks: u8,
    /// Number of zones asked for a block, after the old block's own.
    pub(super) abroad: u16,
    /// Every shard has delivered its decrements of the old block.
    pub(super) settled: bool,
    /// The first write has failed.
    pub(super) retried: bool,
    pub(super) allocation: Option<Pbn>,
    /// References leased with the lock on the old block; later, those leased to each part with the lock on the new one.
    pub(super) lease: u8,
    /// Number of answers still to come.
    pub(super) left: u16,
    pub(super) failed: bool,
}

impl<Buf> Swap<Buf> {
    /// Collects the logical blocks whose fragments may be in the old block, and the client's, in ascending order.
    pub(super) fn collect(&mut self, lbns: impl Iterator<Item = Lbn>) {
        let mut all = [Lbn(u64::MAX); MAX_PARTS];
        let mut count = 0;
        for lbn in lbns.filter(|lbn| *lbn != self.request.lbn).chain([self.request.lbn]) {
            if !all[..count].contains(&lbn) {
                all[count] = lbn;
                count += 1;
            }
        }
        all[..count].sort_unstable();
        for (part, lbn) in self.parts.iter_mut().zip(all) {
            *part = Part { lbn, ..NO_PART };
        }
        (self.count, self.at) = (count, 0);
    }

    /// Drops the parts that are not stored in the block.
    pub(super) fn keep_held(&mut self) {
        let mut kept = 0;
        for at in 0..self.count {
            if self.parts[at].mapping.is_some() {
                self.parts[kept] = self.parts[at];
                kept += 1;
            }
        }
        self.count = kept;
    }
}
