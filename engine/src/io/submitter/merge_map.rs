// SPDX-License-Identifier: BSD-3-Clause

//! The merge map of the I/O submitter: which run of waiting requests a block belongs to.
//!
//! A hash table of fixed size that only grows between two emptyings, so nothing is ever removed from it: emptying
//! makes a new generation, and entries of an older one are empty slots. That costs nothing when nothing was merged,
//! which is the common case.
//!
//! It holds every block enqueued since it was emptied, where dm-vdo keeps only both ends of each run. An entry for
//! a block inside a run is as harmless as dm-vdo's stale entries (whoever asks checks that the block is at the run's
//! end), needs no removal, and shows that a second request for the same block is waiting.
//!
//! Invariant: at most half of the slots are in use, so a probe ends soon.

use crate::home_slot::home_slot;
use crate::units::Pbn;

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    pbn: Pbn,
    generation: u32,
    run: u32,
}

/// Where a block's entry is, until the map is emptied.
#[derive(Debug, Clone, Copy)]
pub struct Position(usize);

/// The map from block to run.
#[derive(Debug)]
pub struct MergeMap {
    /// A power of two of slots.
    entries: Vec<Entry>,
    /// Entries of other generations are empty slots. Never 0, which is what new entries have.
    generation: u32,
    /// Slots in use.
    used: usize,
}

impl MergeMap {
    /// A map with room for so many blocks.
    pub fn new(blocks: usize) -> MergeMap {
        let slots = (2 * blocks).next_power_of_two().max(2);
        MergeMap { entries: vec![Entry::default(); slots], generation: 1, used: 0 }
    }

    /// Forgets all blocks.
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

    /// The run of a block.
    #[inline]
    pub fn get(&self, pbn: Pbn) -> Option<u32> {
        let entry = &self.entries[self.probe(pbn)];
        (entry.generation == self.generation).then_some(entry.run)
    }

    /// Gives a block an entry, or finds the one it has; says which.
    ///
    /// # Panics
    /// If more blocks are given entries than the map was made for.
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

    /// The slot of a block: its entry's, or the empty one where that would be.
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
