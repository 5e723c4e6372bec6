// SPDX-License-Identifier: BSD-3-Clause

//! The reference counters of a zone's blocks and the search for a free one.
//!
//! One byte for each block: 0 free, 1 to 254 references, 255 provisional: in use only because a PBN lock says so. The
//! counters of a slab form *reference blocks* of 4032, as many as fit one metadata block; the last of a slab may be
//! shorter. Each reference block knows how many of its counters are not zero, so that the search skips full ones.
//!
//! Invariant (I6): `allocated[r]` is the number of nonzero counters of reference block r.
//!
//! Differs from dm-vdo: the counters of all slabs of a zone lie in one array. A slab is a power of two of at least 8
//! blocks, so it is never padded: no word of 8 counters straddles two slabs, nor two reference blocks.

use super::layout::{BlockIndex, SlabIndex, ZoneLayout};
use crate::format::reference_block::COUNTS_PER_BLOCK as COUNTS_PER_REFERENCE_BLOCK;
use crate::units::MAX_REFERENCES;

/// The counter of a free block.
pub(super) const FREE: u8 = 0;

/// The counter of a block that is in use, but has no recorded reference.
pub(super) const PROVISIONAL: u8 = 255;

/// Counters that the search examines at once.
const WORD: usize = size_of::<u64>();

/// Whether a change comes from a request or from the replay of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A block must have been allocated before it is referenced.
    Online,
    /// Provisional references are not recorded, so a first reference finds the block free.
    #[cfg_attr(not(test), expect(dead_code, reason = "dm-vdo's table is kept whole"))]
    Replay,
}

/// A change of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Allocates a free block under a PBN lock.
    Reserve,
    /// Adds a reference to a data block.
    Increment(Mode),
    /// Gives a block map page its permanent reference.
    BlockMapIncrement(Mode),
    /// Frees the block of a block map page. If a PBN lock is held, the lock becomes responsible for the block.
    BlockMapDecrement {
        /// The block has a PBN lock.
        locked: bool,
    },
    /// Removes a reference. If it was the last and a PBN lock is held, the lock becomes responsible for the block.
    Decrement {
        /// The block has a PBN lock.
        locked: bool,
    },
}

/// dm-vdo's table: the counter after a change; none when the change is not allowed (REF_COUNT_INVALID).
///
/// Block map pages sit at 254 so that nothing dedupes against them. Differs from dm-vdo, whose pages stay at 254 for
/// ever.
#[inline]
pub(super) const fn transition(counter: u8, change: Change) -> Option<u8> {
    use Change::{BlockMapDecrement, BlockMapIncrement, Decrement, Increment, Reserve};
    use Mode::{Online, Replay};
    Some(match (change, counter) {
        (Reserve, FREE) => PROVISIONAL,
        (Reserve, 1..) => return None,

        (Increment(Replay), FREE) => 1,
        (Increment(Online), FREE) => return None,
        (Increment(_), PROVISIONAL) => 1,
        (Increment(_), 1..MAX_REFERENCES) => counter + 1,
        (Increment(_), MAX_REFERENCES) => return None,

        (BlockMapIncrement(Replay), FREE) => MAX_REFERENCES,
        (BlockMapIncrement(Online), PROVISIONAL) => MAX_REFERENCES,
        (BlockMapIncrement(_), _) => return None,

        (BlockMapDecrement { locked: false }, MAX_REFERENCES) => FREE,
        (BlockMapDecrement { locked: true }, MAX_REFERENCES) => PROVISIONAL,
        (BlockMapDecrement { .. }, _) => return None,

        (Decrement { .. }, FREE) => return None,
        (Decrement { locked: false }, 1 | PROVISIONAL) => FREE,
        (Decrement { locked: true }, 1 | PROVISIONAL) => PROVISIONAL,
        (Decrement { .. }, 2..=MAX_REFERENCES) => counter - 1,
    })
}

/// The effect of a change on the number of free blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Balance {
    /// Nothing.
    Same,
    /// The block was free and is not now.
    Taken,
    /// The block was in use and is free now.
    Freed,
}

#[derive(Debug)]
pub(super) struct ReferenceCounts {
    counters: Vec<u8>,
    /// Nonzero counters of each reference block.
    allocated: Vec<u16>,
    slab_blocks: u32,
    reference_blocks_per_slab: u32,
}

impl ReferenceCounts {
    pub fn new(layout: &ZoneLayout) -> ReferenceCounts {
        let reference_blocks_per_slab = layout.slab_blocks().div_ceil(COUNTS_PER_REFERENCE_BLOCK);
        ReferenceCounts {
            counters: vec![FREE; layout.blocks()],
            allocated: vec![0; layout.slabs() as usize * reference_blocks_per_slab as usize],
            slab_blocks: layout.slab_blocks(),
            reference_blocks_per_slab,
        }
    }

    #[inline]
    pub fn get(&self, block: BlockIndex) -> u8 {
        self.counters[block.0]
    }

    #[inline]
    pub fn counters_of(&self, slab: SlabIndex) -> &[u8] {
        let first = slab.0 as usize * self.slab_blocks as usize;
        &self.counters[first..first + self.slab_blocks as usize]
    }

    pub fn reference_block(&self, slab: SlabIndex, number: u32) -> &[u8] {
        let start = (number * COUNTS_PER_REFERENCE_BLOCK) as usize;
        let counters = self.counters_of(slab);
        &counters[start..counters.len().min(start + COUNTS_PER_REFERENCE_BLOCK as usize)]
    }

    /// The counters of a slab that is being loaded; [`ReferenceCounts::loaded`] must follow.
    pub fn counters_to_load(&mut self, slab: SlabIndex) -> &mut [u8] {
        let first = slab.0 as usize * self.slab_blocks as usize;
        &mut self.counters[first..first + self.slab_blocks as usize]
    }

    /// Updates the reference blocks' counts after a slab's counters were set; returns how many counters are zero.
    pub fn loaded(&mut self, slab: SlabIndex) -> u32 {
        let first = self.first_reference_block(slab);
        let mut free = 0;
        for number in 0..self.reference_blocks_per_slab {
            let counters = self.reference_block(slab, number);
            let allocated = counters.iter().filter(|&&counter| counter != FREE).count();
            free += (counters.len() - allocated) as u32;
            self.allocated[first + number as usize] = allocated as u16;
        }
        free
    }

    /// Adds counters of free blocks, up to the size of a larger zone.
    pub fn grow(&mut self, layout: &ZoneLayout) {
        self.counters.resize(layout.blocks(), FREE);
        self.allocated.resize(layout.slabs() as usize * self.reference_blocks_per_slab as usize, 0);
    }

    /// The index in `allocated` of a slab's first reference block.
    #[inline]
    fn first_reference_block(&self, slab: SlabIndex) -> usize {
        slab.0 as usize * self.reference_blocks_per_slab as usize
    }

    /// Changes the counter of the block at `offset` of `slab`, if [`transition`] allows it.
    #[inline]
    pub fn change(&mut self, slab: SlabIndex, offset: u32, change: Change) -> Option<Balance> {
        let counter = &mut self.counters[slab.0 as usize * self.slab_blocks as usize + offset as usize];
        let before = *counter;
        let after = transition(before, change)?;
        *counter = after;
        let balance = match (before, after) {
            (FREE, 1..) => Balance::Taken,
            (1.., FREE) => Balance::Freed,
            _ => Balance::Same,
        };
        if balance != Balance::Same {
            let number = self.first_reference_block(slab) + (offset / COUNTS_PER_REFERENCE_BLOCK) as usize;
            let allocated = &mut self.allocated[number];
            *allocated = if balance == Balance::Taken { *allocated + 1 } else { *allocated - 1 };
        }
        Some(balance)
    }

    /// The first free block of a slab at or after `cursor`; the search does not wrap.
    #[inline]
    pub fn find_free(&self, slab: SlabIndex, cursor: u32) -> Option<u32> {
        let counters = self.counters_of(slab);
        let first_allocated = self.first_reference_block(slab);
        let allocated = &self.allocated[first_allocated..first_allocated + self.reference_blocks_per_slab as usize];

        let first_reference_block = cursor / COUNTS_PER_REFERENCE_BLOCK;
        for (number, &allocated) in (first_reference_block..).zip(allocated.get(first_reference_block as usize..)?) {
            let start = number * COUNTS_PER_REFERENCE_BLOCK;
            let end = (start + COUNTS_PER_REFERENCE_BLOCK).min(self.slab_blocks);
            if u32::from(allocated) < end - start {
                let from = cursor.max(start);
                if let Some(found) = first_zero(&counters[start as usize..end as usize], (from - start) as usize) {
                    return Some(start + found as u32);
                }
            }
        }
        None
    }

    /// Counts the free blocks of a slab, and checks the counts of its reference blocks.
    ///
    /// # Errors
    /// Which reference block is wrong, and how.
    pub fn recount(&self, slab: SlabIndex) -> Result<u32, String> {
        let mut free = 0;
        for (number, counters) in self.counters_of(slab).chunks(COUNTS_PER_REFERENCE_BLOCK as usize).enumerate() {
            let zeros = counters.iter().filter(|&&counter| counter == FREE).count();
            let allocated = self.allocated[self.first_reference_block(slab) + number];
            if usize::from(allocated) != counters.len() - zeros {
                return Err(format!(
                    "I6: reference block {number} of {slab:?} says {allocated} allocated, but {} are",
                    counters.len() - zeros
                ));
            }
            free += zeros as u32;
        }
        Ok(free)
    }

    /// Blocks with a provisional reference.
    pub fn provisional(&self) -> usize {
        self.counters.iter().filter(|&&counter| counter == PROVISIONAL).count()
    }
}

/// The first zero at or after `from`, one word of 8 counters at a time; the number of counters is a multiple of 8.
#[inline]
fn first_zero(counters: &[u8], from: usize) -> Option<usize> {
    const LOW_BITS: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let (words, _) = counters.as_chunks::<WORD>();
    let first = from / WORD;
    // Counters before `from` in the first word must not be found: make them nonzero.
    let mut passed = (1u64 << (from % WORD * 8)) - 1;
    for (number, word) in (first..).zip(words.get(first..)?) {
        let word = u64::from_le_bytes(*word) | passed;
        passed = 0;
        // The lowest bit set marks the first zero byte; borrows can set wrong bits only above it.
        let zeros = word.wrapping_sub(LOW_BITS) & !word & HIGH_BITS;
        if zeros != 0 {
            return Some(number * WORD + zeros.trailing_zeros() as usize / 8);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Geometry;
    use crate::units::{Blocks, Pbn, ShardId};

    fn counts(slab_blocks: u64, slabs: u64) -> ReferenceCounts {
        let end = Pbn(1 + slab_blocks * slabs);
        let geometry = Geometry::new(1, Blocks(1), Pbn(1), end, slab_blocks).expect("valid");
        ReferenceCounts::new(&ZoneLayout::new(&geometry, ShardId(0)))
    }

    /// The table of dm-vdo, cell by cell, for every counter.
    #[test]
    fn every_transition_is_as_specified() {
        use Change::{BlockMapDecrement, BlockMapIncrement, Decrement, Increment, Reserve};
        const FIRST_MIDDLE: u8 = 2;
        // Columns: from free, from provisional, from 1, from 2..=253 (as a difference), from 254.
        type Row = (Change, Option<u8>, Option<u8>, Option<u8>, Option<i16>, Option<u8>);
        let rows: [Row; 9] = [
            (Reserve, Some(255), None, None, None, None),
            (Increment(Mode::Online), None, Some(1), Some(2), Some(1), None),
            (Increment(Mode::Replay), Some(1), Some(1), Some(2), Some(1), None),
            (BlockMapIncrement(Mode::Online), None, Some(254), None, None, None),
            (BlockMapIncrement(Mode::Replay), Some(254), None, None, None, None),
            (BlockMapDecrement { locked: false }, None, None, None, None, Some(0)),
            (BlockMapDecrement { locked: true }, None, None, None, None, Some(255)),
            (Decrement { locked: false }, None, Some(0), Some(0), Some(-1), Some(253)),
            (Decrement { locked: true }, None, Some(255), Some(255), Some(-1), Some(253)),
        ];
        for (change, free, provisional, one, middle, full) in rows {
            assert_eq!(transition(0, change), free, "{change:?} from free");
            assert_eq!(transition(255, change), provisional, "{change:?} from provisional");
            assert_eq!(transition(1, change), one, "{change:?} from 1");
            for counter in FIRST_MIDDLE..=253 {
                let expected = middle.map(|difference| (i16::from(counter) + difference) as u8);
                assert_eq!(transition(counter, change), expected, "{change:?} from {counter}");
            }
            assert_eq!(transition(254, change), full, "{change:?} from 254");
        }
    }

    /// A refused change changes nothing; an allowed one updates the count of its reference block.
    #[test]
    fn reference_blocks_count_their_nonzero_counters() {
        let mut counts = counts(8192, 2);
        let slab = SlabIndex(1);
        for offset in [0, 4031, 4032, 8063, 8064, 8191] {
            assert_eq!(counts.change(slab, offset, Change::Increment(Mode::Online)), None);
            assert_eq!(counts.change(slab, offset, Change::Reserve), Some(Balance::Taken));
            assert_eq!(counts.change(slab, offset, Change::Increment(Mode::Online)), Some(Balance::Same));
        }
        assert_eq!(&counts.allocated[..], [0, 0, 0, 2, 2, 2]);
        assert_eq!(counts.recount(slab), Ok(8192 - 6));
        for offset in [0, 4031, 4032, 8063, 8064, 8191] {
            assert_eq!(counts.change(slab, offset, Change::Decrement { locked: false }), Some(Balance::Freed));
        }
        assert_eq!(&counts.allocated[..], [0; 6]);
    }

    /// vdo-48: the word-wise search finds what a naive one finds, from every cursor, in random maps of any density.
    #[test]
    fn search_agrees_with_a_naive_one() {
        let mut random = 7u64;
        let mut next = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        for (slab_blocks, density, rounds) in [(8, 1, 300), (8, 8, 300), (64, 30, 100), (4096, 2, 4), (16384, 9000, 6)]
        {
            for _ in 0..rounds {
                let mut counts = counts(slab_blocks, 3);
                let slab = SlabIndex((next() % 3) as u32);
                let mut naive = vec![false; slab_blocks as usize];
                for (offset, free) in (0..).zip(naive.iter_mut()) {
                    *free = next() % (density + 1) == 0;
                    if !*free {
                        counts.change(slab, offset, Change::Reserve);
                        let increments = if next() % 4 == 0 { 128 } else { next() % 3 };
                        for _ in 0..increments {
                            counts.change(slab, offset, Change::Increment(Mode::Online));
                        }
                    }
                }
                let mut expected = None;
                for cursor in (0..slab_blocks as u32).rev() {
                    if naive[cursor as usize] {
                        expected = Some(cursor);
                    }
                    assert_eq!(counts.find_free(slab, cursor), expected, "{slab_blocks} blocks from {cursor}");
                }
                assert_eq!(counts.find_free(slab, slab_blocks as u32), None);
            }
        }
    }

    /// vdo-48: every pair of values next to each other, so that a borrow in the word arithmetic cannot mislead.
    #[test]
    fn neighbouring_values_do_not_hide_or_fake_a_zero() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let word = [9, first, second, 1, 128, 129, 255, 7];
                assert_eq!(first_zero(&word, 0), word.iter().position(|&counter| counter == 0));
            }
        }
    }

    /// vdo-48: a full reference block is skipped without a look at its counters.
    #[test]
    fn full_reference_blocks_are_skipped() {
        let mut counts = counts(8192, 1);
        // No sequence of changes produces this state: reference block 0 claims to be full, though all its counters are
        // zero.
        counts.allocated[0] = 4032;
        assert_eq!(counts.find_free(SlabIndex(0), 0), Some(4032));
        counts.allocated[2] = 128;
        counts.allocated[1] = 4032;
        assert_eq!(counts.find_free(SlabIndex(0), 0), None, "the short last block is full at 128");
    }
}
