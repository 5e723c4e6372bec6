// SPDX-License-Identifier: BSD-3-Clause

//! Finds the changes of the block map that are so old that their pages must be written.
//!
//! Age is measured in the ring: how much of it was used since the entry was written. Pages that need an entry older
//! than a third of the ring are written. This spreads the writes evenly and leaves two thirds for batching and for the
//! time that the writes take. Differs from dm-vdo, which counts age in journal blocks of one size.

use std::collections::VecDeque;

/// Number of steps in which the ring measures age.
const STEPS: u64 = 96;

/// Sampled positions in the ring and the entries that begin there.
#[derive(Debug)]
pub(super) struct Eras {
    /// Age in sectors from which on an entry is old.
    age: u64,
    /// Sectors between marks.
    step: u64,
    /// Pairs of sectors used since the journal began and the first entry after them.
    marks: VecDeque<(u64, u64)>,
    /// Entries before this one are old.
    old_before: u64,
}

impl Eras {
    pub fn new(ring_sectors: u64) -> Eras {
        let step = (ring_sectors / STEPS).max(1);
        Eras { age: ring_sectors / 3, step, marks: VecDeque::with_capacity(STEPS as usize), old_before: 0 }
    }

    /// A record whose first entry is `first` is written after `position` sectors used since the journal began.
    pub fn record_begins(&mut self, position: u64, first: u64) {
        if self.marks.back().is_none_or(|&(last, _)| position - last >= self.step) {
            self.marks.push_back((position, first));
        }
        while let Some(&(at, entry)) = self.marks.front() {
            if position - at < self.age {
                break;
            }
            self.old_before = entry;
            self.marks.pop_front();
        }
    }

    /// Entries before this one are old.
    pub fn old_before(&self) -> u64 {
        self.old_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_age_by_a_third_of_the_ring() {
        let mut eras = Eras::new(960);
        for record in 0..2_000 {
            // One record of one sector with three entries.
            eras.record_begins(record, 3 * record);
            let old = eras.old_before() / 3;
            assert!(record - old <= 320 + 10, "record {record}: {old} is a step late at most");
            assert!(old == 0 || record - old >= 320, "record {record}: {old} is early");
        }
        assert!(eras.marks.len() <= STEPS as usize / 3 + 2, "the marks of a third of the ring");
    }

    #[test]
    fn long_records_may_cross_several_steps() {
        let mut eras = Eras::new(96);
        for record in 0..100 {
            eras.record_begins(record * 31, record);
        }
        assert_eq!(eras.old_before(), 97);
        assert!(eras.marks.len() <= 3);
    }
}
