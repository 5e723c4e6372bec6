// SPDX-License-Identifier: BSD-3-Clause

//! One swap: where it is, and which logical blocks take part.

use crate::fingerprint::Fingerprint;
use crate::format::compressed_block::MAX_FRAGMENTS;
use crate::format::Mapping;
use crate::message::SwapRequest;
use crate::units::{Block, Lbn, Pbn};

/// Logical blocks of one swap: the fragments' and the client's.
pub(super) const MAX_PARTS: usize = MAX_FRAGMENTS + 1;

/// A logical block of a swap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) lbn: Lbn,
    /// The data_vio that holds it.
    pub(super) vio: u32,
    /// Its mapping; none if it was not held, because it is not stored in the block.
    pub(super) mapping: Option<Mapping>,
    /// The slot of its fragment in the new block.
    pub(super) slot: u8,
    /// Of its content.
    pub(super) fingerprint: Fingerprint,
}

pub(super) const NO_PART: Part = Part { lbn: Lbn(0), vio: 0, mapping: None, slot: 0, fingerprint: Fingerprint(0) };

/// Where a swap is; see the picture in the module's documentation.
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

/// One swap.
#[derive(Debug, Clone)]
pub(super) struct Swap<Buf> {
    pub(super) step: Step,
    pub(super) request: SwapRequest,
    pub(super) parts: [Part; MAX_PARTS],
    pub(super) count: usize,
    /// The part that is to be held next.
    pub(super) at: usize,
    /// Memory for transfers.
    pub(super) buf: Buf,
    /// The old block.
    pub(super) old: Box<Block>,
    /// How often the old block was looked at.
    pub(super) looks: u8,
    /// Zones that have been asked for a block, after the old one's.
    pub(super) abroad: u16,
    /// Every shard has passed on what it had to say of the old block.
    pub(super) settled: bool,
    /// The first write has failed.
    pub(super) retried: bool,
    pub(super) allocation: Option<Pbn>,
    /// References leased with the lock on the old block, and later to each part with that on the new one.
    pub(super) lease: u8,
    /// Answers that are still to come.
    pub(super) left: u16,
    pub(super) failed: bool,
}

impl<Buf> Swap<Buf> {
    /// The logical blocks whose fragments may be in the old block, and the client's, in order.
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

    /// Forgets the parts that are not stored in the block.
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
