// SPDX-License-Identifier: BSD-3-Clause

//! Repack candidates of a shard: compressible blocks that were stored uncompressed because no partners came.
//!
//! In real data most fragments are larger than half a block, and need a small partner that the few requests in flight
//! seldom bring. So a block that was stored alone is remembered with the size of its fragment. When a later fragment
//! finds no bin in the packer, [`RepackCandidates::take`] looks for a candidate that fills its block; the relocator
//! ([`super::relocator`]) then moves that candidate there.
//!
//! Of the candidates that fit, the largest is taken, and only if less than [`SLACK`] bytes are wasted, so that it does
//! not use up the place of a better one. When the list is full, there is no point in waiting for a better one, and any
//! candidate that fits is taken. On file-system trees one block in ten is repacked, and three repacked blocks save one
//! block.
//!
//! Invariants: candidates are hints, like everything in the relocator; whoever takes a block checks whether it is still
//! there. At most [`CAPACITY`] blocks are remembered, roughly the oldest are forgotten first, and all of them at a
//! restart. Sizes are counted in classes of 16 bytes, rounded up; a block is in the list of its class. Nothing is
//! allocated after [`RepackCandidates::new`].
//!
//! dm-vdo never looks again at what it has stored.

use super::compression::MAX_FRAGMENT;
use crate::format::compressed_block::{ENTRY_BYTES, ROOM};
use crate::units::{Lbn, Pbn};

/// Maximum number of candidates.
pub const CAPACITY: usize = 8192;

/// Bytes of a block that may be wasted, as long as the list is not full: a tenth.
pub const SLACK: usize = 400;

const CLASS_BYTES: usize = 16;
const CLASSES: usize = MAX_FRAGMENT.div_ceil(CLASS_BYTES) + 1;
const WORDS: usize = CLASSES.div_ceil(64);

/// The index of no entry.
const NONE: u16 = u16::MAX;

const _: () = assert!(CAPACITY < NONE as usize && CLASSES <= u8::MAX as usize);

/// A compressible block that is stored uncompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepackCandidate {
    /// The logical block that it was written for.
    pub lbn: Lbn,
    /// Its location.
    pub pbn: Pbn,
    /// Size of its fragment in bytes, rounded up to that of its class.
    pub size: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    lbn: Lbn,
    pbn: Pbn,
    /// Class of its size; 0 for an unused entry.
    class: u8,
    /// Neighbours in the list of the class.
    older: u16,
    newer: u16,
}

const UNUSED: Entry = Entry { lbn: Lbn(0), pbn: Pbn::ZERO, class: 0, older: NONE, newer: NONE };

/// The ends of the list of a class.
#[derive(Debug, Clone, Copy)]
struct Ends {
    newest: u16,
    oldest: u16,
}

/// The repack candidates of a shard, by class of size.
#[derive(Debug)]
pub struct RepackCandidates {
    entries: Vec<Entry>,
    unused: Vec<u16>,
    /// Newest and oldest entry of each class.
    ends: [Ends; CLASSES],
    /// One bit for each class, set if it has entries.
    filled: [u64; WORDS],
    /// The entry to be forgotten next.
    hand: u16,
}

impl Default for RepackCandidates {
    fn default() -> RepackCandidates {
        RepackCandidates::new()
    }
}

impl RepackCandidates {
    /// Memory of the list in bytes.
    pub const BYTES: usize = CAPACITY * (size_of::<Entry>() + size_of::<u16>()) + size_of::<RepackCandidates>();

    /// An empty list.
    #[must_use]
    pub fn new() -> RepackCandidates {
        RepackCandidates {
            entries: vec![UNUSED; CAPACITY],
            unused: (0..CAPACITY as u16).rev().collect(),
            ends: [Ends { newest: NONE, oldest: NONE }; CLASSES],
            filled: [0; WORDS],
            hand: 0,
        }
    }

    /// Number of candidates.
    #[must_use]
    pub fn len(&self) -> usize {
        CAPACITY - self.unused.len()
    }

    /// Whether there are no candidates.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a candidate whose fragment has `size` bytes.
    ///
    /// # Panics
    /// If no fragment can have that size.
    pub fn add(&mut self, lbn: Lbn, pbn: Pbn, size: usize) {
        assert!((1..=MAX_FRAGMENT).contains(&size), "no fragment has {size} bytes");
        let entry = self.unused.pop().unwrap_or_else(|| self.forget());
        let class = size.div_ceil(CLASS_BYTES);
        let older = self.ends[class].newest;
        self.entries[usize::from(entry)] = Entry { lbn, pbn, class: class as u8, older, newer: NONE };
        self.ends[class].newest = entry;
        if older == NONE {
            self.set_oldest(class, entry);
        } else {
            self.entries[usize::from(older)].newer = entry;
        }
    }

    /// Whether [`RepackCandidates::take`] would find a block.
    #[must_use]
    pub fn has_partner_for(&self, size: usize) -> bool {
        self.best_class(size).is_some()
    }

    /// Takes the candidate that best fills a block together with a fragment of `size` bytes. Of several of the same
    /// size it takes the oldest, which clients are least likely to access again.
    pub fn take(&mut self, size: usize) -> Option<RepackCandidate> {
        let class = self.best_class(size)?;
        let entry = self.ends[class].oldest;
        self.unlink(entry);
        self.unused.push(entry);
        let Entry { lbn, pbn, .. } = self.entries[usize::from(entry)];
        Some(RepackCandidate { lbn, pbn, size: (class * CLASS_BYTES).min(MAX_FRAGMENT) })
    }

    /// The class of the largest candidates that fit beside `size` bytes, if they waste little enough.
    fn best_class(&self, size: usize) -> Option<usize> {
        let room = ROOM.checked_sub(size + 2 * ENTRY_BYTES)?;
        let smallest = if self.unused.is_empty() { 1 } else { room.saturating_sub(SLACK).div_ceil(CLASS_BYTES).max(1) };
        let largest = (room / CLASS_BYTES).min(CLASSES - 1);
        self.last_filled(largest).filter(|class| *class >= smallest)
    }

    /// The highest class with entries, not above `class`.
    fn last_filled(&self, class: usize) -> Option<usize> {
        let (word, bit) = (class / 64, class % 64);
        let below = self.filled[word] & (u64::MAX >> (63 - bit));
        let words = std::iter::once((word, below)).chain((0..word).rev().map(|word| (word, self.filled[word])));
        let (word, bits) = words.into_iter().find(|(_, bits)| *bits != 0)?;
        Some(word * 64 + 63 - bits.leading_zeros() as usize)
    }

    /// Forgets the candidate under the hand, which goes round in the order in which the list was filled.
    fn forget(&mut self) -> u16 {
        let entry = self.hand;
        self.hand = (entry + 1) % CAPACITY as u16;
        self.unlink(entry);
        entry
    }

    fn unlink(&mut self, entry: u16) {
        let Entry { class, older, newer, .. } = self.entries[usize::from(entry)];
        assert!(class > 0, "entry {entry} is in use");
        self.entries[usize::from(entry)].class = 0;
        if newer == NONE {
            self.ends[usize::from(class)].newest = older;
        } else {
            self.entries[usize::from(newer)].older = older;
        }
        if older == NONE {
            self.set_oldest(usize::from(class), newer);
        } else {
            self.entries[usize::from(older)].newer = newer;
        }
    }

    fn set_oldest(&mut self, class: usize, entry: u16) {
        self.ends[class].oldest = entry;
        let bit = 1 << (class % 64);
        if entry == NONE {
            self.filled[class / 64] &= !bit;
        } else {
            self.filled[class / 64] |= bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use mpool::testing::Random;

    use super::*;

    fn rounded(size: usize) -> usize {
        size.next_multiple_of(CLASS_BYTES).min(MAX_FRAGMENT)
    }

    /// Against a model that searches all candidates: the one taken fits, is the largest that fits, and wastes little.
    #[test]
    fn what_fills_a_block_best_is_taken() {
        let (mut random, mut stock) = (Random::new(3), RepackCandidates::new());
        let mut model: Vec<(u64, usize)> = Vec::new();
        let (mut taken, mut refused) = (0, 0);
        for number in 0..20_000u64 {
            if random.below(2) == 0 && stock.len() < CAPACITY {
                let size = 1 + random.below(MAX_FRAGMENT);
                stock.add(Lbn(number), Pbn(number + 7), size);
                model.push((number, rounded(size)));
            }
            let size = 1 + random.below(MAX_FRAGMENT);
            let room = (ROOM - 2 * ENTRY_BYTES).saturating_sub(size);
            let best = model.iter().map(|(_, size)| *size).filter(|size| *size <= room).max();
            let best = best.filter(|best| room - best <= SLACK);
            assert_eq!(stock.has_partner_for(size), best.is_some(), "{size} bytes");
            let found = stock.take(size);
            assert_eq!(found.map(|found| found.size), best, "{size} bytes");
            let Some(RepackCandidate { lbn, pbn, size }) = found else {
                refused += 1;
                continue;
            };
            taken += 1;
            let at = model.iter().position(|entry| *entry == (lbn.0, size)).expect("it was added, and only once taken");
            model.swap_remove(at);
            assert_eq!(pbn, Pbn(lbn.0 + 7));
            assert_eq!(stock.len(), model.len());
        }
        assert!(taken > 1000 && refused > 1000, "{taken} {refused}");
    }

    #[test]
    fn the_oldest_of_a_size_is_taken() {
        let mut stock = RepackCandidates::new();
        (0..5).for_each(|number| stock.add(Lbn(number), Pbn(number), 3000));
        let taken: Vec<_> = std::iter::from_fn(|| stock.take(800)).map(|stocked| stocked.lbn.0).collect();
        assert_eq!(taken, [0, 1, 2, 3, 4]);
    }

    /// A full list forgets the oldest candidates, and gives any that fits.
    #[test]
    fn a_full_stock_forgets_and_is_not_choosy() {
        let mut stock = RepackCandidates::new();
        for number in 0..CAPACITY as u64 {
            assert!(!stock.has_partner_for(1000), "{number} blocks of 1000 bytes leave half a block");
            stock.add(Lbn(number), Pbn(number), 1000);
        }
        assert!(stock.has_partner_for(1000));
        stock.add(Lbn(CAPACITY as u64), Pbn(0), 1000);
        assert_eq!(stock.len(), CAPACITY);
        let mut lbns: Vec<_> = Vec::new();
        while let Some(stocked) = stock.take(MAX_FRAGMENT - 1200).or_else(|| stock.take(ROOM - 1030)) {
            lbns.push(stocked.lbn.0);
        }
        lbns.sort_unstable();
        assert!(lbns.iter().copied().eq(1..=CAPACITY as u64), "the first block was forgotten, and only that");
        assert!(stock.is_empty() && stock.filled == [0; WORDS]);
    }

    #[test]
    fn what_needs_a_block_of_its_own_has_no_company() {
        let mut stock = RepackCandidates::new();
        stock.add(Lbn(1), Pbn(1), MAX_FRAGMENT);
        stock.add(Lbn(2), Pbn(2), 1);
        assert!(!stock.has_partner_for(ROOM) && !stock.has_partner_for(usize::from(u16::MAX)));
        assert_eq!(stock.take(MAX_FRAGMENT).map(|stocked| stocked.lbn), Some(Lbn(2)));
        assert_eq!(stock.take(100).map(|stocked| stocked.lbn), Some(Lbn(1)));
    }
}
