// SPDX-License-Identifier: BSD-3-Clause

//! The priority table: which slab to open next.
//!
//! One FIFO bucket for each priority, and one bit for each bucket that says whether it is occupied, so that one
//! instruction finds the best slab. A bucket is a doubly linked list of slab numbers. Every slab's link is made with
//! the table, so queueing never allocates.
//!
//! Invariants: a slab is in at most one bucket; bit p is set exactly when bucket p is not empty.

use super::layout::SlabIndex;

const BUCKETS: usize = u64::BITS as usize;

/// The end of a list.
const NONE: u32 = u32::MAX;

/// The bucket of a slab that is not in the table.
const NOT_QUEUED: u8 = u8::MAX;

#[derive(Debug, Clone, Copy)]
struct Link {
    previous: u32,
    next: u32,
    bucket: u8,
}

const UNLINKED: Link = Link { previous: NONE, next: NONE, bucket: NOT_QUEUED };

#[derive(Debug, Clone, Copy)]
struct Bucket {
    first: u32,
    last: u32,
}

#[derive(Debug)]
pub(super) struct PriorityTable {
    buckets: [Bucket; BUCKETS],
    occupied: u64,
    links: Vec<Link>,
}

impl PriorityTable {
    /// An empty table for slabs numbered below `slabs`.
    pub fn new(slabs: u32) -> PriorityTable {
        PriorityTable {
            buckets: [Bucket { first: NONE, last: NONE }; BUCKETS],
            occupied: 0,
            links: vec![UNLINKED; slabs as usize],
        }
    }

    /// Makes room for more slabs: those numbered below `slabs`.
    pub fn grow(&mut self, slabs: u32) {
        self.links.resize(slabs as usize, UNLINKED);
    }

    #[inline]
    pub fn priority(&self, slab: SlabIndex) -> Option<u8> {
        let bucket = self.links[slab.0 as usize].bucket;
        (bucket != NOT_QUEUED).then_some(bucket)
    }

    /// Adds a slab that is not in the table, behind all others of its priority, which is below 64.
    pub fn enqueue(&mut self, slab: SlabIndex, priority: u8) {
        assert!(self.priority(slab).is_none(), "{slab:?} is queued twice");
        let bucket = &mut self.buckets[usize::from(priority)];
        let previous = bucket.last;
        bucket.last = slab.0;
        if previous == NONE {
            bucket.first = slab.0;
            self.occupied |= 1 << priority;
        } else {
            self.links[previous as usize].next = slab.0;
        }
        self.links[slab.0 as usize] = Link { previous, next: NONE, bucket: priority };
    }

    /// Removes a slab, if it is queued.
    pub fn remove(&mut self, slab: SlabIndex) {
        let Link { previous, next, bucket: priority } = self.links[slab.0 as usize];
        if priority == NOT_QUEUED {
            return;
        }
        let bucket = &mut self.buckets[usize::from(priority)];
        match previous {
            NONE => bucket.first = next,
            _ => self.links[previous as usize].next = next,
        }
        match next {
            NONE => bucket.last = previous,
            _ => self.links[next as usize].previous = previous,
        }
        if bucket.first == NONE {
            self.occupied &= !(1 << priority);
        }
        self.links[slab.0 as usize].bucket = NOT_QUEUED;
    }

    /// The slab of the highest priority that has waited longest, and that priority; it stays in the table.
    pub fn best(&self) -> Option<(SlabIndex, u8)> {
        let priority = self.occupied.checked_ilog2()? as u8;
        Some((SlabIndex(self.buckets[usize::from(priority)].first), priority))
    }

    /// Walks all lists; returns how many slabs are queued.
    ///
    /// # Errors
    /// Which list is broken, and how.
    pub fn check(&self) -> Result<usize, String> {
        let mut queued = 0;
        for (priority, bucket) in (0..).zip(&self.buckets) {
            if (self.occupied >> priority & 1 == 1) != (bucket.first != NONE) {
                return Err(format!("I10: bit of priority {priority} is wrong"));
            }
            let (mut previous, mut slab) = (NONE, bucket.first);
            while slab != NONE {
                let link = self.links[slab as usize];
                queued += 1;
                if link.bucket != priority || link.previous != previous || queued > self.links.len() {
                    return Err(format!("I10: slab {slab} is not linked properly under priority {priority}: {link:?}"));
                }
                (previous, slab) = (slab, link.next);
            }
            if bucket.last != previous {
                return Err(format!("I10: list of priority {priority} ends with {} not {previous}", bucket.last));
            }
        }
        Ok(queued)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// vdo-46: highest priority first, first in first out within one, as a naive table does it.
    #[test]
    fn table_agrees_with_a_naive_one() {
        const SLABS: u32 = 23;
        let mut table = PriorityTable::new(SLABS);
        let mut naive: Vec<VecDeque<u32>> = vec![VecDeque::new(); BUCKETS];
        let mut random = 3u64;
        for _ in 0..50_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let slab = SlabIndex((random >> 40) as u32 % SLABS);
            let priority = [0, 1, 5, 25, 63][(random >> 33) as usize % 5];
            let place = naive.iter().position(|bucket| bucket.contains(&slab.0));
            assert_eq!(table.priority(slab).map(usize::from), place);
            if let Some(place) = place {
                naive[place].retain(|&other| other != slab.0);
                table.remove(slab);
            } else {
                naive[priority].push_back(slab.0);
                table.enqueue(slab, priority as u8);
            }
            let best = naive.iter().rposition(|bucket| !bucket.is_empty());
            assert_eq!(table.best(), best.map(|best| (SlabIndex(naive[best][0]), best as u8)));
            assert_eq!(table.check(), Ok(naive.iter().map(VecDeque::len).sum()));
        }
    }

    #[test]
    fn an_empty_table_has_no_best() {
        let mut table = PriorityTable::new(1);
        assert_eq!(table.best(), None);
        table.remove(SlabIndex(0));
        table.enqueue(SlabIndex(0), 63);
        assert_eq!(table.best(), Some((SlabIndex(0), 63)));
    }
}
