// SPDX-License-Identifier: BSD-3-Clause

//! The journals' changes that the slabs do not contain: the net change of each block.
//!
//! The order of changes between journals is not known, but their sum is the same in any order. A slab's summary names
//! for each journal the first point that the slab does not contain; all changes from there on are summed up.

use std::collections::BTreeMap;

use super::error::RecoveryError;
use crate::format::journal_record::{Change, Point};
use crate::format::slab_journal_block::{SlabChange, SlabEntry};
use crate::format::slab_summary::SlabSummary;
use crate::format::Geometry;
use crate::units::{ShardId, MAX_REFERENCES, MAX_SHARDS};

/// The net change of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Net {
    /// References gained; negative if lost.
    references: i64,
    /// 1: the block becomes a page of the block map, after all other changes. -1: it was one, before all other changes.
    /// It may have been one in between.
    page: i8,
}

impl Net {
    fn entries(self, offset: u32, blocks: u32) -> impl Iterator<Item = SlabEntry> {
        let change = if self.references < 0 { SlabChange::Decrement } else { SlabChange::Increment };
        let times = self.references.unsigned_abs() as usize;
        let references = (0..times).flat_map(move |_| SlabEntry::runs(offset, blocks, change));
        let page = |is: bool, change| is.then(|| SlabEntry::runs(offset, blocks, change)).into_iter().flatten();
        page(self.page < 0, SlabChange::BlockMapDecrement)
            .chain(references)
            .chain(page(self.page > 0, SlabChange::BlockMapIncrement))
    }
}

/// The net changes of all slabs.
#[derive(Debug)]
pub(super) struct SlabChanges<'a> {
    geometry: &'a Geometry,
    summaries: &'a [SlabSummary],
    generation: u64,
    slabs: BTreeMap<u64, BTreeMap<u32, Net>>,
    /// Changes that slabs contain already.
    contained: u64,
    /// Changes that slabs do not contain.
    added: u64,
}

impl<'a> SlabChanges<'a> {
    pub fn new(geometry: &'a Geometry, summaries: &'a [SlabSummary], generation: u64) -> SlabChanges<'a> {
        SlabChanges { geometry, summaries, generation, slabs: BTreeMap::new(), contained: 0, added: 0 }
    }

    /// The first point of `journal` that a slab does not contain.
    fn point(&self, slab: u64, journal: ShardId) -> Point {
        let summary = &self.summaries[slab as usize];
        if summary.generation == self.generation {
            summary.points[journal.index()]
        } else {
            Point(0)
        }
    }

    /// Adds a change of `journal`, whose blocks are in one slab, unless the slab contains it.
    pub fn add(&mut self, journal: ShardId, change: &Change) {
        let Some(slab) = self.geometry.slab_of(change.first) else { return };
        if change.point < self.point(slab, journal) {
            self.contained += 1;
            return;
        }
        self.added += 1;
        let first = (change.first.0 - self.geometry.slab_start(slab).0) as u32;
        let blocks = self.slabs.entry(slab).or_default();
        for offset in first..first + change.count {
            let net = blocks.entry(offset).or_default();
            match change.change {
                SlabChange::Increment => net.references += 1,
                SlabChange::Decrement => net.references -= 1,
                SlabChange::BlockMapIncrement => net.page = net.page.saturating_add(1),
                SlabChange::BlockMapDecrement => net.page = net.page.saturating_sub(1),
            }
        }
    }

    /// The numbers of changes that slabs contained, and that they did not.
    pub fn counted(&self) -> (u64, u64) {
        (self.contained, self.added)
    }

    /// Checks that the journals reach as far as the slabs do: `ends` has, for each journal with entries, the number of
    /// the entry behind the last.
    ///
    /// # Errors
    /// Short.
    pub fn check_reach(&self, ends: impl Iterator<Item = (ShardId, u64)>) -> Result<(), RecoveryError> {
        let mut journal_ends = [None; MAX_SHARDS];
        for (shard, end) in ends {
            journal_ends[shard.index()] = Some((shard, end));
        }
        for slab in 0..self.geometry.slabs() {
            for (shard, end) in journal_ends.into_iter().flatten() {
                let point = self.point(slab, shard);
                if point > Point::start_of(end) && point != Point(u64::MAX) {
                    let contained = Point(point.0 - 1).entry();
                    return Err(RecoveryError::Short { shard, end, slab, contained });
                }
            }
        }
        Ok(())
    }

    /// The entries to append to each slab's journal; consecutive blocks with the same change share entries.
    ///
    /// # Errors
    /// Balance: a net change of more references than a block can gain or lose.
    pub fn into_entries(self) -> Result<BTreeMap<u64, Vec<SlabEntry>>, RecoveryError> {
        let mut all = BTreeMap::new();
        for (slab, blocks) in self.slabs {
            let mut entries = Vec::new();
            let blocks: Vec<_> = blocks.into_iter().filter(|(_, net)| *net != Net::default()).collect();
            for run in blocks.chunk_by(|(a, x), (b, y)| *b == a + 1 && x == y) {
                let (offset, net) = run[0];
                let change = net.references;
                let as_page = change * i64::from(net.page) > 0 || net.page.unsigned_abs() > 1;
                if change.unsigned_abs() > u64::from(MAX_REFERENCES) || as_page {
                    let pbn = self.geometry.slab_start(slab).plus(u64::from(offset));
                    return Err(RecoveryError::Balance { pbn, change });
                }
                entries.extend(net.entries(offset, run.len() as u32));
            }
            if !entries.is_empty() {
                all.insert(slab, entries);
            }
        }
        Ok(all)
    }
}
