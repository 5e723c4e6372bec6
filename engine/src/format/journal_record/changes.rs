// SPDX-License-Identifier: BSD-3-Clause

//! The changes that an entry makes to slabs, and their order: the same when the entry is journaled as when it is
//! replayed.

use super::entry::Entry;
use super::point::Point;
use crate::format::slab_journal_block::SlabChange;
use crate::units::Pbn;

/// The same change of consecutive blocks' reference counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The change's place in the journal.
    pub point: Point,
    /// The first block that changes.
    pub first: Pbn,
    /// The number of blocks, all of one slab.
    pub count: u32,
    /// The change of each block's counter.
    pub change: SlabChange,
}

impl<'a> Entry<'a> {
    /// The changes that the entry makes as entry `number`, in the order of their points: for a remapping the new
    /// block's increment as part 0 and the old block's decrement as part 1; for a range its runs; for a page its
    /// increment or decrement.
    pub fn changes(&self, number: u64) -> impl Iterator<Item = Change> + use<'a> {
        let (single, runs) = match *self {
            Entry::Remap { old, new, .. } => {
                let increment = new.has_block().then_some((new.pbn(), SlabChange::Increment));
                let decrement = (old != Pbn::ZERO).then_some((old, SlabChange::Decrement));
                ([increment, decrement], &[][..])
            }
            Entry::Range { runs, .. } => ([None, None], runs),
            Entry::Page { pbn, .. } => ([Some((pbn, SlabChange::BlockMapIncrement)), None], &[][..]),
            Entry::PageGone { pbn, .. } => ([Some((pbn, SlabChange::BlockMapDecrement)), None], &[][..]),
        };
        let single = (0..).zip(single).filter_map(move |(part, change)| {
            change.map(|(first, change)| Change { point: Point::new(number, part), first, count: 1, change })
        });
        let runs = (0..).zip(runs).map(move |(part, run)| Change {
            point: Point::new(number, part),
            first: run.first,
            count: run.count,
            change: SlabChange::Decrement,
        });
        single.chain(runs)
    }
}
