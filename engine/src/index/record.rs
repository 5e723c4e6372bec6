// SPDX-License-Identifier: BSD-3-Clause

//! One record of the level-1 index: 8 bytes with the location of a block's content.
//!
//! ```text
//!  63        48 47   46    40 39   36 35                                   0
//! +------------+----+--------+-------+--------------------------------------+
//! |    tag     |side| stamp  | state |             PBN (36 bit)             |
//! +------------+----+--------+-------+--------------------------------------+
//! ```
//! * `tag`: the low 16 bits of the record's key (see [`super::table`]).
//! * `side`: in which of its two buckets the record is. A bucket tells its records apart by tag and side.
//! * `stamp`: the generation, modulo 128, in which the record was last used.
//!
//! A bucket keeps its eight tags together, then the next 16 bits of all eight, then the rest, so that the compiler can
//! compare all eight at once with the vector instructions that every x86-64 and ARMv8 has.
//!
//! Invariant: the state of a location is never unmapped, so 16 zero bits after the tag always and only mean an empty
//! slot.

use crate::format::{Mapped, MappingState};
use crate::units::Pbn;

/// Number of bits of the tag.
pub(super) const TAG_BITS: u32 = 16;

/// Number of records in a bucket.
pub(super) const SLOTS: usize = 8;

const PBN_BITS: u32 = 36;
const STAMP_SHIFT: u32 = PBN_BITS + 4;
const SIDE_SHIFT: u32 = STAMP_SHIFT + 7;
const TAG_SHIFT: u32 = SIDE_SHIFT + 1;
const PBN_MASK: u64 = (1 << PBN_BITS) - 1;
const STAMP_MASK: u64 = 0x7f << STAMP_SHIFT;

/// Position of the middle 16 bits, and of the fields in them.
const MIDDLE_SHIFT: u32 = 32;
const MIDDLE_SIDE: u16 = 1 << (SIDE_SHIFT - MIDDLE_SHIFT);
const MIDDLE_STAMP_SHIFT: u32 = STAMP_SHIFT - MIDDLE_SHIFT;

const _: () = assert!(TAG_SHIFT + TAG_BITS == 64, "the fields fill the word");
const _: () = assert!(MIDDLE_SHIFT < PBN_BITS && MIDDLE_SHIFT + 16 == TAG_SHIFT, "state, stamp and side in one number");

/// Number of distinct stamps. The sweep must visit a record before it is that old, or it would look young again.
pub(super) const STAMPS: u64 = 128;

/// The two buckets in which a record can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The bucket given by the key.
    Primary,
    /// The other bucket.
    Partner,
}

/// A record or an empty slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record(u64);

impl Record {
    /// An empty slot.
    pub(super) const EMPTY: Record = Record(0);

    /// A record used in `generation`.
    ///
    /// Panics for a location that no content can have: the zero block is stored nowhere, so no advice may name it.
    pub(super) fn new(tag: u16, side: Side, location: Mapped, generation: u64) -> Record {
        let Mapped { pbn, state } = location;
        let valid = pbn != Pbn::ZERO && pbn.0 <= PBN_MASK && state != MappingState::Unmapped;
        assert!(valid, "{location:?} cannot be recorded in the index");
        let side = u64::from(side == Side::Partner) << SIDE_SHIFT;
        let location = pbn.0 | u64::from(state.to_bits()) << PBN_BITS;
        Record(u64::from(tag) << TAG_SHIFT | side | location).stamped(generation)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn tag(self) -> u16 {
        (self.0 >> TAG_SHIFT) as u16
    }

    pub(super) const fn side(self) -> Side {
        if self.0 >> SIDE_SHIFT & 1 == 0 {
            Side::Primary
        } else {
            Side::Partner
        }
    }

    pub(super) const fn location(self) -> Mapped {
        Mapped { pbn: Pbn(self.0 & PBN_MASK), state: MappingState::from_bits((self.0 >> PBN_BITS) as u8) }
    }

    /// The same record, last used in `generation`.
    pub(super) const fn stamped(self, generation: u64) -> Record {
        Record((self.0 & !STAMP_MASK) | ((generation % STAMPS) << STAMP_SHIFT))
    }

    /// Generations since the record was last used, 0 to 127.
    pub(super) const fn age(self, generation: u64) -> u64 {
        generation.wrapping_sub((self.0 & STAMP_MASK) >> STAMP_SHIFT) % STAMPS
    }
}

/// One cache line of records, as numbers of 16 bits: bits 63 to 48 of each of the eight records, then bits 47 to 32 of
/// each (side, stamp, state and four bits of the PBN), then their bits 31 to 0, the low half of each first. Zeros are
/// empty slots.
pub(super) type Bucket = [u16; 4 * SLOTS];

/// Positions in a bucket.
const MIDDLE: usize = SLOTS;
const LOW: usize = 2 * SLOTS;

const _: () = assert!(size_of::<Bucket>() == SLOTS * 8, "a record takes 8 bytes and no more");

/// The slots of a bucket.
pub(super) trait Slots {
    /// Reads a word of the bucket to bring it into the CPU cache.
    fn touch(&self) -> u64;

    fn get(&self, slot: usize) -> Record;

    /// Puts a record into a slot, or empties the slot.
    fn set(&mut self, slot: usize, record: Record);

    /// All slots in order, as records.
    fn records(&self) -> impl Iterator<Item = Record> + '_;

    /// The slots whose record has this tag and is on this side, as a bit mask.
    fn matches(&self, tag: u16, side: Side) -> u32;

    /// The empty slots, as a bit mask.
    fn free(&self) -> u32;

    /// Age and slot of the least recently used record, the first one among equals. Only for a full bucket.
    fn oldest(&self, generation: u64) -> (u64, usize);

    /// Sets the age of records older than `most` generations to `most`.
    fn limit_age(&mut self, generation: u64, most: u64);
}

impl Slots for Bucket {
    #[inline]
    fn touch(&self) -> u64 {
        u64::from(self[LOW])
    }

    #[inline]
    fn get(&self, slot: usize) -> Record {
        let word = |at: usize| u64::from(self[at]);
        let low = word(LOW + 2 * slot) | word(LOW + 2 * slot + 1) << 16;
        Record(word(slot) << TAG_SHIFT | word(MIDDLE + slot) << MIDDLE_SHIFT | low)
    }

    #[inline]
    fn set(&mut self, slot: usize, record: Record) {
        self[slot] = record.tag();
        self[MIDDLE + slot] = (record.0 >> MIDDLE_SHIFT) as u16;
        self[LOW + 2 * slot] = record.0 as u16;
        self[LOW + 2 * slot + 1] = (record.0 >> 16) as u16;
    }

    fn records(&self) -> impl Iterator<Item = Record> + '_ {
        (0..SLOTS).map(|slot| self.get(slot))
    }

    #[inline]
    fn matches(&self, tag: u16, side: Side) -> u32 {
        let side = if side == Side::Partner { MIDDLE_SIDE } else { 0 };
        let mut mask = 0;
        for slot in 0..SLOTS {
            let differs = self[slot] ^ tag | (self[MIDDLE + slot] ^ side) & MIDDLE_SIDE;
            mask |= if differs == 0 { 1_u16 << slot } else { 0 };
        }
        // Only a record with tag 0 can be confused with an empty slot.
        if tag == 0 {
            mask &= !(self.free() as u16);
        }
        u32::from(mask)
    }

    #[inline]
    fn free(&self) -> u32 {
        let mut mask = 0;
        for slot in 0..SLOTS {
            mask |= if self[MIDDLE + slot] == 0 { 1_u16 << slot } else { 0 };
        }
        u32::from(mask)
    }

    #[inline]
    fn oldest(&self, generation: u64) -> (u64, usize) {
        let mut oldest = 0;
        for slot in 0..SLOTS {
            let age = (generation as u16).wrapping_sub(self[MIDDLE + slot] >> MIDDLE_STAMP_SHIFT) % STAMPS as u16;
            // One number with the age above the complement of the slot.
            oldest = oldest.max(age << 8 | (SLOTS - 1 - slot) as u16);
        }
        (u64::from(oldest >> 8), SLOTS - 1 - usize::from(oldest & 0xff))
    }

    fn limit_age(&mut self, generation: u64, most: u64) {
        for slot in 0..SLOTS {
            let record = self.get(slot);
            if !record.is_empty() && record.age(generation) > most {
                self.set(slot, record.stamped(generation.wrapping_sub(most)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pbn: u64) -> Mapped {
        Mapped::uncompressed(Pbn(pbn))
    }

    #[test]
    fn fields_do_not_disturb_each_other() {
        for (tag, side) in [(0, Side::Primary), (0xffff, Side::Partner), (0x8001, Side::Primary)] {
            for state in 1..16 {
                let location = Mapped { pbn: Pbn(0x9_8765_4321), state: MappingState::from_bits(state) };
                let record = Record::new(tag, side, location, 1000).stamped(1001);
                assert_eq!((record.tag(), record.side(), record.location()), (tag, side, location));
                assert_eq!((record.age(1001), record.age(1005), record.age(1001 + 127)), (0, 4, 127));
                let mut bucket = [0; 4 * SLOTS];
                bucket.set(3, record);
                assert_eq!((bucket.get(3), bucket.get(2)), (record, Record::EMPTY));
                assert_eq!(bucket.free(), 0xff & !(1 << 3));
            }
        }
    }

    #[test]
    fn a_record_matches_by_tag_and_side() {
        let mut bucket = [0; 4 * SLOTS];
        assert_eq!(bucket.matches(0, Side::Primary), 0, "an empty slot is no record of tag 0");
        bucket.set(1, Record::new(0, Side::Primary, at(1), 0));
        bucket.set(4, Record::new(7, Side::Partner, at(1), 127));
        bucket.set(7, Record::new(7, Side::Primary, at(1), 127));
        assert_eq!((bucket.matches(0, Side::Primary), bucket.matches(0, Side::Partner)), (1 << 1, 0));
        assert_eq!((bucket.matches(7, Side::Partner), bucket.matches(7, Side::Primary)), (1 << 4, 1 << 7));
        assert_eq!(bucket.matches(8, Side::Primary), 0);
    }

    #[test]
    fn the_first_of_the_oldest_is_found() {
        let mut bucket = [0; 4 * SLOTS];
        for (slot, stamp) in [1000, 999, 990, 1001, 990, 1002, 1002, 1002].into_iter().enumerate() {
            bucket.set(slot, Record::new(slot as u16, Side::Partner, at(1), stamp));
        }
        assert_eq!(bucket.oldest(1002), (12, 2));
        bucket.limit_age(1002, 5);
        assert_eq!(bucket.oldest(1002), (5, 2));
        assert_eq!(bucket.records().map(|record| record.age(1002)).collect::<Vec<_>>(), [2, 3, 5, 1, 5, 0, 0, 0]);
    }

    #[test]
    #[should_panic(expected = "cannot be recorded")]
    fn the_zero_block_is_refused() {
        let _ = Record::new(1, Side::Primary, at(0), 0);
    }

    #[test]
    #[should_panic(expected = "cannot be recorded")]
    fn a_block_beyond_36_bits_is_refused() {
        let _ = Record::new(1, Side::Primary, at(1 << 36), 0);
    }

    #[test]
    #[should_panic(expected = "cannot be recorded")]
    fn an_unmapped_location_is_refused() {
        let _ = Record::new(1, Side::Primary, Mapped { pbn: Pbn(1), state: MappingState::Unmapped }, 0);
    }
}
