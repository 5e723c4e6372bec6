// SPDX-License-Identifier: BSD-3-Clause

//! A region of a space map: its free extents in address order. All ranges here are from a first zone to before an end.

use std::collections::{btree_map, BTreeMap};

use crate::ids::Extent;

/// A contiguous part of a drive's zones.
#[derive(Debug, Clone)]
pub(super) struct Region {
    first: u64,
    end: u64,
    /// The first zone of each free extent, and its end. The extents neither touch nor overlap.
    free: BTreeMap<u64, u64>,
}

impl Region {
    /// A region of free zones.
    pub(super) fn new(first: u64, end: u64) -> Region {
        Region { first, end, free: BTreeMap::from([(first, end)]) }
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The zone after the last.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Extends the region; the new zones are free.
    pub(super) fn grow(&mut self, end: u64) {
        let before = core::mem::replace(&mut self.end, end);
        self.give(before, end);
    }

    pub(super) fn free_extents(&self) -> impl Iterator<Item = Extent> + '_ {
        self.free.iter().map(|(first, end)| Extent { first: *first, zones: end - first })
    }

    /// The first zone of a run of `zones` free zones that begins at a multiple of `align`.
    pub(super) fn first_fit(&self, zones: u64, align: u64) -> Option<u64> {
        self.free.iter().find_map(|(first, end)| {
            let start = first.checked_next_multiple_of(align)?;
            (start.checked_add(zones)? <= *end).then_some(start)
        })
    }

    /// True when all of these zones are free.
    pub(super) fn is_free(&self, first: u64, end: u64) -> bool {
        self.free.range(..=first).next_back().is_some_and(|(_, free_end)| end <= *free_end)
    }

    /// True when any of these zones is free.
    pub(super) fn touches_free(&self, first: u64, end: u64) -> bool {
        self.free.range(..end).next_back().is_some_and(|(_, free_end)| first < *free_end)
    }

    /// Marks free zones as in use.
    pub(super) fn take(&mut self, first: u64, end: u64) {
        let around = self.free.range(..=first).next_back().map(|(first, end)| (*first, *end));
        let (free_first, free_end) = around.filter(|(_, free_end)| end <= *free_end).expect("the zones are free");
        self.free.remove(&free_first);
        if free_first < first {
            self.free.insert(free_first, first);
        }
        if end < free_end {
            self.free.insert(end, free_end);
        }
    }

    /// Begins to mark many zones in address order.
    pub(super) fn taking(&self) -> Taking<'_> {
        let mut later = self.free.iter();
        Taking { present: later.next().map(pair), later, left: Vec::new() }
    }

    /// Replaces the free extents.
    pub(super) fn set_free(&mut self, left: Vec<(u64, u64)>) {
        self.free = left.into_iter().collect();
    }

    /// Frees zones that are all in use, and merges them with free neighbours.
    pub(super) fn give(&mut self, first: u64, end: u64) {
        assert!(!self.touches_free(first, end), "the zones are not free");
        let before = self.free.range(..first).next_back().filter(|(_, before_end)| **before_end == first);
        let joined_first = before.map_or(first, |(before_first, _)| *before_first);
        let joined_end = self.free.remove(&end).unwrap_or(end);
        self.free.insert(joined_first, joined_end);
    }
}

/// Marks zones of a region in address order. The region itself changes only when all are marked.
#[derive(Debug)]
pub(super) struct Taking<'a> {
    /// The free extent that holds the next zones, if they do not lie behind it.
    present: Option<(u64, u64)>,
    later: btree_map::Iter<'a, u64, u64>,
    left: Vec<(u64, u64)>,
}

fn pair((first, end): (&u64, &u64)) -> (u64, u64) {
    (*first, *end)
}

impl Taking<'_> {
    /// Marks zones behind the earlier ones. False if they are not all free, or not behind them.
    pub(super) fn take(&mut self, first: u64, end: u64) -> bool {
        while let Some(passed) = self.present.take_if(|(_, free_end)| *free_end <= first) {
            self.left.push(passed);
            self.present = self.later.next().map(pair);
        }
        let Some((free_first, free_end)) = self.present.filter(|free| free.0 <= first && end <= free.1) else {
            return false;
        };
        if free_first < first {
            self.left.push((free_first, first));
        }
        self.present = if end < free_end { Some((end, free_end)) } else { self.later.next().map(pair) };
        true
    }

    /// The remaining free extents, in address order.
    pub(super) fn finish(self) -> Vec<(u64, u64)> {
        let mut left = self.left;
        left.extend(self.present.into_iter().chain(self.later.map(pair)));
        left
    }
}
