// SPDX-License-Identifier: BSD-3-Clause

//! One slab as the allocator sees it, and its priority.
//!
//! A used slab with at least half of its blocks free is preferred to one that was never used, which is preferred to
//! fuller ones: the storage under a thinly provisioned volume stays thin, yet allocation finds long free runs.
//!
//! Differs from dm-vdo: "was never opened" replaces "its journal is blank". dm-vdo also counts a slab as unused that
//! was opened but held only provisional references; here its next opening is a reopening.

#[derive(Debug, Clone, Copy)]
pub(super) struct Slab {
    /// Blocks whose counter is zero.
    pub free_blocks: u32,
    /// It was the open slab at some time, in this load of the volume or an earlier one.
    pub was_opened: bool,
    /// Its counters are known. Until then all are zero, and no block can be allocated.
    pub is_loaded: bool,
}

/// Computes the priorities of slabs of one size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Priorities {
    unopened: u8,
}

/// Priority of a slab without a free block: the lowest.
pub(super) const FULL: u8 = 0;

impl Priorities {
    /// Priorities of slabs of `slab_blocks`, at least 8.
    pub const fn new(slab_blocks: u32) -> Priorities {
        let three_quarters = slab_blocks / 4 * 3;
        Priorities { unopened: 1 + three_quarters.ilog2() as u8 }
    }

    /// The priority of a slab; higher is better, at most 2 + log2(slab size).
    #[inline]
    pub const fn of(self, slab: Slab) -> u8 {
        if slab.free_blocks == 0 {
            return FULL;
        }
        if !slab.was_opened {
            return self.unopened;
        }
        let priority = 1 + slab.free_blocks.ilog2() as u8;
        // The value `unopened` is reserved for slabs that were never opened.
        if priority >= self.unopened {
            priority + 1
        } else {
            priority
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(free_blocks: u32) -> Slab {
        Slab { free_blocks, was_opened: true, is_loaded: true }
    }

    /// vdo-46: free counts against the rules of 4.4, for the smallest, the default and the largest slab.
    #[test]
    fn priorities_are_as_specified() {
        // Slab size, priority of an unused slab, then (free blocks, priority) at each edge of a bucket.
        type Row = (u32, u8, &'static [(u32, u8)]);
        let table: [Row; 4] = [
            (8, 3, &[(0, 0), (1, 1), (2, 2), (3, 2), (4, 4), (7, 4), (8, 5)]),
            (64, 6, &[(1, 1), (2, 2), (16, 5), (31, 5), (32, 7), (63, 7), (64, 8)]),
            (1 << 19, 19, &[(0, 0), (1, 1), (1023, 10), (1024, 11), ((1 << 18) - 1, 18), (1 << 18, 20), (1 << 19, 21)]),
            (1 << 23, 23, &[(0, 0), (1 << 21, 22), ((1 << 22) - 1, 22), (1 << 22, 24), (1 << 23, 25)]),
        ];
        for (slab_blocks, unopened, rows) in table {
            let priorities = Priorities::new(slab_blocks);
            assert_eq!(priorities.of(Slab { free_blocks: slab_blocks, was_opened: false, is_loaded: true }), unopened);
            assert_eq!(priorities.of(Slab { free_blocks: 1, was_opened: false, is_loaded: true }), unopened);
            assert_eq!(priorities.of(Slab { free_blocks: 0, was_opened: false, is_loaded: true }), FULL);
            for &(free, expected) in rows {
                assert_eq!(priorities.of(used(free)), expected, "{free} free of {slab_blocks}");
            }
        }
    }

    /// vdo-46: half free goes before unused, unused before less; more free blocks never lower a priority.
    #[test]
    fn the_unopened_threshold_is_half() {
        for shift in 3..=23 {
            let slab_blocks = 1 << shift;
            let priorities = Priorities::new(slab_blocks);
            let unopened = priorities.of(Slab { free_blocks: slab_blocks, was_opened: false, is_loaded: true });
            assert!(priorities.of(used(slab_blocks / 2)) > unopened);
            assert!(priorities.of(used(slab_blocks / 2 - 1)) < unopened);
            assert_eq!(u32::from(priorities.of(used(slab_blocks))), 2 + shift);
            let edges = (0..=shift).flat_map(|bit| [(1 << bit) - 1, 1 << bit]);
            assert!(edges.clone().zip(edges.skip(1)).all(|(a, b)| priorities.of(used(a)) <= priorities.of(used(b))));
        }
    }
}
