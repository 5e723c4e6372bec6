// SPDX-License-Identifier: BSD-3-Clause

//! The merge map of the I/O submitter: maps a block to the run of waiting requests that contains it.
//!
//! A hash table of fixed size. Single entries are never removed: clearing the map starts a new generation, and entries
//! of older generations count as empty slots. Clearing costs nothing when nothing was enqueued, which is the common
//! case.
//!
//! The map has every block enqueued since it was cleared, where dm-vdo keeps only both ends of each run. An entry for a
//! block inside a run is as harmless as dm-vdo's stale entries (the caller checks that the block is at the run's end),
//! needs no removal, and shows that another request for the same block is waiting.
//!
//! Invariant: at most half of the slots are in use, so probes are short.

use crate::home_slot::home_slot;
use crate::units::Pbn;

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    pbn: Pbn,
    generation: u32,
    run: u32,
}

/// Position of a block's entry, valid until the map is cleared.
#[derive(Debug, Clone, Copy)]
pub struct Position(usize);

/// Maps blocks to runs.
#[derive(Debug)]
pub struct MergeMap {
    /// The slots; their number is a power of two.
    entries: Vec<Entry>,
    /// Entries of other generations are empty slots. Never 0, the generation of new slots.
    generation: u32,
    /// Number of slots in use.
    used: usize,
}

impl MergeMap {
    /// A map with room for `blocks` blocks.
    pub fn new(blocks: usize) -> MergeMap {
        let slots = (2 * blocks).next_power_of_two().max(2);
        MergeMap { entries: vec![Entry::default(); slots], generation: 1, used: 0 }
    }

    /// Removes all blocks.
    pub fn clear(&mut self) {
        if self.used == 0 {
            return;
        }
        self.used = 0;
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.entries.fill(Entry::default());
            self.generation = 1;
        }
    }

    /// The run of a block, if it has an entry.
    #[inline]
    pub fn get(&self, pbn: Pbn) -> Option<u32> {
        let entry = &self.entries[self.probe(pbn)];
        (entry.generation == self.generation).then_some(entry.run)
    }

    /// Sets the entry of a block. Returns its position, and true if the block had no entry before.
    ///
    /// # Panics
    /// If there are more entries than the map was made for.
    #[inline]
    pub fn add(&mut self, pbn: Pbn, run: u32) -> (Position, bool) {
        let at = self.probe(pbn);
        let added = self.entries[at].generation != self.generation;
        if added {
            assert!(2 * self.used < self.entries.len(), "the merge map is full");
            self.used += 1;
        }
        self.entries[at] = Entry { pbn, generation: self.generation, run };
        (Position(at), added)
    }

    /// Changes the run of a block.
    #[inline]
    pub fn set(&mut self, at: Position, run: u32) {
        self.entries[at.0].run = run;
    }

    /// The slot of a block's entry, or the empty slot where it would go.
    #[inline]
    fn probe(&self, pbn: Pbn) -> usize {
        let mask = self.entries.len() - 1;
        let mut at = home_slot(pbn, mask);
        while self.entries[at].generation == self.generation && self.entries[at].pbn != pbn {
            at = (at + 1) & mask;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_until_the_map_is_emptied() {
        let mut map = MergeMap::new(100);
        for round in 0..10 {
            for block in 0..100 {
                assert_eq!(map.get(Pbn(block * 7)), None);
                let (at, added) = map.add(Pbn(block * 7), 5);
                assert!(added);
                map.set(at, block as u32 + round);
            }
            for block in 0..100 {
                assert_eq!(map.get(Pbn(block * 7)), Some(block as u32 + round));
                assert!(!map.add(Pbn(block * 7), 1).1);
                assert_eq!(map.get(Pbn(block * 7)), Some(1));
            }
            map.clear();
        }
    }

    #[test]
    fn an_old_generation_does_not_return() {
        let mut map = MergeMap::new(4);
        map.add(Pbn(1), 1);
        map.generation = u32::MAX;
        map.add(Pbn(2), 2);
        map.clear();
        assert_eq!((map.get(Pbn(1)), map.get(Pbn(2))), (None, None));
        map.add(Pbn(3), 3);
        assert_eq!(map.get(Pbn(3)), Some(3));
    }

    #[test]
    #[should_panic(expected = "merge map is full")]
    fn more_blocks_than_agreed_are_refused() {
        let mut map = MergeMap::new(4);
        for block in 0..=4 {
            map.add(Pbn(block), 0);
        }
    }
}
