// SPDX-License-Identifier: BSD-3-Clause

//! What an entry changes in slabs, and in which order: the same when it is journaled as when it is replayed.

use super::entry::Entry;
use super::point::Point;
use crate::format::slab_journal_block::SlabChange;
use crate::units::Pbn;

/// A change of consecutive blocks' reference counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Its place in the journal.
    pub point: Point,
    /// First block.
    pub first: Pbn,
    /// Number of blocks, all of one slab.
    pub count: u32,
    /// What happens to each.
    pub change: SlabChange,
}

impl<'a> Entry<'a> {
    /// The changes of the entry, if it is number `number`, in the order of their points: of a remapping the new block's
    /// increment as part 0 and the old one's decrement as part 1, of a range its runs, of a page its increment or
    /// decrement.
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
