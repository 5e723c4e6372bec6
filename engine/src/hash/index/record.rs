// SPDX-License-Identifier: BSD-3-Clause

//! One record of the level-1 index: 8 bytes that say where a block's content was stored.
//!
//! ```text
//!  63        48 47   46    40 39   36 35                                   0
//! +------------+----+--------+-------+--------------------------------------+
//! |    tag     |side| stamp  | state |             PBN (36 bit)             |
//! +------------+----+--------+-------+--------------------------------------+
//! ```
//! * `tag`: the low 16 bits of the record's key (see [`super::table`]).
//! * `side`: which of its two buckets the record lies in. Tag and side together are its *identity* within a bucket.
//! * `stamp`: the generation, modulo 128, in which it was last used.
//!
//! Invariant: PBN 0 is in no record, so a word of zero is an empty slot, and only that.

use crate::logical::{Mapped, MappingState};
use crate::units::Pbn;

/// Bits of the tag.
pub(super) const TAG_BITS: u32 = 16;

const PBN_BITS: u32 = 36;
const STAMP_SHIFT: u32 = PBN_BITS + 4;
const IDENTITY_SHIFT: u32 = STAMP_SHIFT + 7;
const TAG_SHIFT: u32 = IDENTITY_SHIFT + 1;
const PBN_MASK: u64 = (1 << PBN_BITS) - 1;
const STAMP_MASK: u64 = 0x7f << STAMP_SHIFT;

const _: () = assert!(TAG_SHIFT + TAG_BITS == 64, "the fields fill the word");

/// Number of distinct stamps. A record must be visited before it is that old, or it would look young again.
pub(super) const STAMPS: u64 = 128;

/// The two buckets that a record can lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The bucket that the key names.
    Primary,
    /// The other one.
    Partner,
}

/// A record, or an empty slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record(u64);

impl Record {
    /// A slot without record.
    pub(super) const EMPTY: Record = Record(0);

    /// A record used in `generation`.
    ///
    /// Panics for a PBN that no record may hold: the zero block is stored nowhere, so nothing may advise to share it.
    pub(super) fn new(tag: u16, side: Side, location: Mapped, generation: u64) -> Record {
        assert!(
            location.pbn != Pbn::ZERO && location.pbn.0 <= PBN_MASK,
            "{} cannot be recorded in the index",
            location.pbn
        );
        let location = location.pbn.0 | u64::from(location.state.to_bits()) << PBN_BITS;
        Record(Record::identity_of(tag, side) << IDENTITY_SHIFT | location).stamped(generation)
    }

    /// The identity of a record with this tag on this side.
    pub(super) const fn identity_of(tag: u16, side: Side) -> u64 {
        (tag as u64) << 1 | matches!(side, Side::Partner) as u64
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Tag and side; 0 also for an empty slot.
    pub(super) const fn identity(self) -> u64 {
        self.0 >> IDENTITY_SHIFT
    }

    pub(super) const fn tag(self) -> u16 {
        (self.0 >> TAG_SHIFT) as u16
    }

    pub(super) const fn side(self) -> Side {
        if self.0 >> IDENTITY_SHIFT & 1 == 0 {
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

    /// The word itself, for a reader that only wants it in the processor's cache.
    pub(super) const fn word(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_disturb_each_other() {
        for (tag, side) in [(0, Side::Primary), (0xffff, Side::Partner), (0x8001, Side::Primary)] {
            for state in 0..16 {
                let location = Mapped { pbn: Pbn(0x9_8765_4321), state: MappingState::from_bits(state) };
                let record = Record::new(tag, side, location, 1000).stamped(1001);
                assert_eq!((record.tag(), record.side(), record.location()), (tag, side, location));
                assert_eq!((record.age(1001), record.age(1005), record.age(1001 + 127)), (0, 4, 127));
                assert_eq!(record.identity(), Record::identity_of(tag, side));
                assert!(!record.is_empty());
            }
        }
        assert!(Record::EMPTY.is_empty());
    }

    #[test]
    #[should_panic(expected = "cannot be recorded")]
    fn the_zero_block_is_refused() {
        let _ = Record::new(1, Side::Primary, Mapped::uncompressed(Pbn::ZERO), 0);
    }

    #[test]
    #[should_panic(expected = "cannot be recorded")]
    fn a_block_beyond_36_bits_is_refused() {
        let _ = Record::new(1, Side::Primary, Mapped::uncompressed(Pbn(1 << 36)), 0);
    }
}
