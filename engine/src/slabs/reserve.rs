// SPDX-License-Identifier: BSD-3-Clause

//! The blocks held back when a zone is full, and who may have them.
//!
//! A file system on a full volume must be able to overwrite what it has stored, or its journal aborts and it cannot be
//! repaired. Such an overwrite occupies two blocks for a while: the new block from its write on, the old one until the
//! journal entry is committed. So a zone lends the overwrite a block from a reserve, and gets one back when the old
//! block is freed.
//!
//! ```text
//!  free + lent                                  what may be taken
//!  ------------------------------------------------------------------------------------------
//!   > operator's + overwrites' reserve           anything
//!   > operator's + half of overwrites'           pages of the block map, for zeros and duplicates; the volume's own moves
//!   otherwise                                    a loan: a block for the only reference to a block of this zone
//! ```
//! **A loan is certain to be returned.** It is given to a write whose old mapping is the only reference to an unlocked
//! block. While the loan is out the old block cannot be locked, so no reference can be added to it. Either the write
//! succeeds and the old block is freed, or it fails and the new one is. Either way `free + lent` is what it was. A
//! write that finds no free block waits while a loan is out ([`Verdict::Later`]), and holds nothing that another write
//! needs to complete: its leaf page exists, and its journal entry comes later.
//!
//! **Size.** One block would do; more let as many overwrites be in flight together. The reserve is 1/64 of the zone's
//! blocks, and at most [`MOST`]: that many writes of 4 KiB in flight keep an NVMe drive busy, and cost half a MiB for
//! each shard. A zone of less than 64 blocks has no reserve.
//!
//! A volume that is loaded by more shards than before may have zones with less than their reserve. There a write takes
//! its block from another zone, and its own zone keeps the old block once it is freed; new data waits until each zone
//! has its reserve again.
//!
//! An overwrite of one fragment alone frees nothing, because its compressed block holds others. It gets a loan together
//! with them: the whole block is relocated, and every mapping that refers to it moves to the new one
//! ([`Claim::Replace`], [`crate::swapper`]). The loan is given for exactly the references that move, so it is as
//! certain to be returned, and the same reserve serves: one block for each swap, however many fragments move. A write
//! that frees nothing gets no loan: an overwrite of a shared block counts as new data, and so does an overwrite by data
//! that does not fit where the old data was.
//!
//! **Pages of the block map** may not use the second half of the reserve, so they never keep an overwrite from its
//! loan. Neither an overwrite nor an unmap needs a new page: theirs exist. A first write to a hole may need some;
//! without a block for them it is refused before anything is recorded, and has no other effect.
//!
//! For the same reason a free block that is held back cannot be locked for comparison: for a moment the reserve would
//! lack it.
//!
//! Invariants: a loan's new block is in use; its old block has at most as many references as the loan says, and no
//! lock; at most max([`Reserve::blocks`], 1) loans are out.

use super::layout::BlockIndex;
use crate::message::Claim;

/// Keep 1/64 of the blocks for overwrites.
const SHARE: u64 = 64;

/// The most blocks kept for overwrites.
const MOST: u64 = 128;

/// What a zone holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReserveConfig {
    /// Whether blocks are kept for overwrites; only tests turn that off.
    pub overwrites: bool,
    /// Percent of the zone's blocks that are kept until the operator releases them.
    pub operator_percent: u8,
}

impl Default for ReserveConfig {
    fn default() -> ReserveConfig {
        ReserveConfig { overwrites: true, operator_percent: 0 }
    }
}

/// Whether a claim can be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Now,
    /// Not now, but perhaps when something in flight has completed.
    Later,
    /// Not by this zone; another zone may meet it.
    Elsewhere,
    /// Never.
    Never,
}

/// A block on loan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loan {
    /// The new block.
    pub given: BlockIndex,
    /// The old block, which is to be freed; none if it lies in another zone.
    pub instead: Option<BlockIndex>,
    /// References of the old block when the loan was given; they only become fewer.
    pub references: u8,
}

#[derive(Debug)]
pub(super) struct Reserve {
    config: ReserveConfig,
    blocks: u64,
    zone_blocks: u64,
    loans: Vec<Loan>,
    /// Loans ever given.
    count: u64,
}

impl Reserve {
    pub fn new(zone_blocks: u64, config: ReserveConfig) -> Reserve {
        let mut reserve = Reserve { config, blocks: 0, zone_blocks, loans: Vec::new(), count: 0 };
        reserve.loans.reserve_exact(MOST as usize);
        reserve.resize(zone_blocks);
        reserve
    }

    /// Adapts the reserve to the zone's new size.
    pub fn resize(&mut self, zone_blocks: u64) {
        let most = if self.config.overwrites { MOST } else { 0 };
        (self.zone_blocks, self.blocks) = (zone_blocks, (zone_blocks / SHARE).min(most));
    }

    /// Changes the operator's share; 0 releases it.
    pub fn set_operator_percent(&mut self, percent: u8) {
        self.config.operator_percent = percent;
    }

    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Blocks kept until the operator releases them.
    pub const fn operator_blocks(&self) -> u64 {
        (self.zone_blocks as u128 * self.config.operator_percent as u128 / 100) as u64
    }

    /// Blocks on loan now.
    pub const fn lent(&self) -> u64 {
        self.loans.len() as u64
    }

    /// Loans ever given.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether a claim that frees nothing may take one of `free` blocks.
    pub const fn allows(&self, claim: Claim, free: u64) -> bool {
        let kept = match claim {
            Claim::New => self.blocks,
            Claim::Upkeep => self.blocks.div_ceil(2),
            Claim::Instead(_) | Claim::Replace { .. } | Claim::Abroad(_) => return false,
        };
        free > 0 && free + self.lent() > kept + self.operator_blocks()
    }

    /// Whether one of `free` blocks can be lent now, or later: when a loan is returned, or `more` free blocks may be
    /// found.
    pub const fn lends(&self, free: u64, more: bool) -> Verdict {
        let most = if self.blocks == 0 { 1 } else { self.blocks };
        if free > 0 && self.lent() < most {
            Verdict::Now
        } else if self.lent() > 0 || more {
            Verdict::Later
        } else {
            Verdict::Elsewhere
        }
    }

    /// Records a loan.
    pub fn lend(&mut self, loan: Loan) {
        assert!(self.loans.len() < MOST as usize, "more is lent than the reserve has");
        self.loans.push(loan);
        self.count += 1;
    }

    /// Whether a loan is out against this block, so that it is to be freed.
    #[inline]
    pub fn awaits(&self, block: BlockIndex) -> bool {
        !self.loans.is_empty() && self.loans.iter().any(|loan| loan.instead == Some(block))
    }

    /// Ends the loan to which a freed block belongs: as its old block, or as a new one that is not needed.
    #[inline]
    pub fn freed(&mut self, block: BlockIndex) {
        if !self.loans.is_empty() {
            self.loans.retain(|loan| loan.given != block && loan.instead != Some(block));
        }
    }

    /// Ends the loan of a block whose writer is done with it, if the old block belongs to another zone: it is free
    /// there or about to be.
    #[inline]
    pub fn written(&mut self, block: BlockIndex) {
        if !self.loans.is_empty() {
            self.loans.retain(|loan| loan.given != block || loan.instead.is_some());
        }
    }

    pub fn loans(&self) -> &[Loan] {
        &self.loans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve(zone_blocks: u64, operator_percent: u8) -> Reserve {
        Reserve::new(zone_blocks, ReserveConfig { operator_percent, ..ReserveConfig::default() })
    }

    /// The reserve is a small share, and bounded; a very small zone has none.
    #[test]
    fn the_reserve_follows_the_zone() {
        let blocks = |zone_blocks| reserve(zone_blocks, 1).blocks();
        assert_eq!([63, 64, 640, 8192, 1 << 36].map(blocks), [0, 1, 10, 128, 128]);
        assert_eq!(reserve(1 << 36, 100).operator_blocks(), 1 << 36);
        assert_eq!(reserve(1000, 1).operator_blocks(), 10);
    }

    /// New data leaves both reserves alone, upkeep leaves the operator's and half of the other; blocks on loan count as
    /// free.
    #[test]
    fn each_claim_has_its_limit() {
        let mut reserve = reserve(640, 5);
        let may = |reserve: &Reserve, free| [Claim::New, Claim::Upkeep].map(|claim| reserve.allows(claim, free));
        assert_eq!(may(&reserve, 43), [true; 2]);
        assert_eq!(may(&reserve, 42), [false, true]);
        assert_eq!(may(&reserve, 38), [false, true]);
        assert_eq!(may(&reserve, 37), [false; 2]);
        reserve.lend(Loan { given: BlockIndex(1), instead: Some(BlockIndex(2)), references: 1 });
        assert_eq!(may(&reserve, 42), [true; 2]);
        reserve.set_operator_percent(0);
        assert_eq!(may(&reserve, 6), [false, true]);
    }

    /// A loan ends when either of its blocks is freed; a loan for a block of another zone ends when its writer is done.
    #[test]
    fn a_loan_ends() {
        let mut reserve = reserve(64, 0);
        for (end, instead) in [(BlockIndex(1), Some(BlockIndex(2))), (BlockIndex(2), Some(BlockIndex(2)))] {
            assert_eq!((reserve.lends(0, false), reserve.lends(1, false)), (Verdict::Elsewhere, Verdict::Now));
            reserve.lend(Loan { given: BlockIndex(1), instead, references: 1 });
            assert_eq!((reserve.lends(5, false), reserve.awaits(BlockIndex(2))), (Verdict::Later, true));
            reserve.written(BlockIndex(1));
            assert_eq!(reserve.lent(), 1);
            reserve.freed(end);
            assert_eq!(reserve.lent(), 0);
        }
        reserve.lend(Loan { given: BlockIndex(1), instead: None, references: 1 });
        reserve.written(BlockIndex(1));
        assert_eq!(reserve.lent(), 0);
    }
}
