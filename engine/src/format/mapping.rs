// SPDX-License-Identifier: BSD-3-Clause

//! A block-map entry: where one logical block is stored, and the check code of its content.
//!
//! ```text
//!  63            40 39   36 35                                   0
//! +----------------+-------+--------------------------------------+
//! | check (24 bit) | state |             PBN (36 bit)             |
//! +----------------+-------+--------------------------------------+
//! ```
//! Stored little-endian. `check` is the low 24 bits of the CRC32C of the 4096 bytes of content, so that no read returns
//! wrong bytes. Differs from dm-vdo, where an entry is 5 bytes without a check code.
//!
//! Invariants: an unmapped entry is all zero; every other entry has a PBN other than 0, and a state other than
//! unmapped.
//!
//! Differs from dm-vdo, which maps a block of zeros to physical block 0: here a block of zeros is unmapped, like one
//! that was never written. Both read the same, and so zeros need no page of the block map either.

use crate::fingerprint::CHECK_BITS;
use crate::units::Pbn;

const PBN_BITS: u32 = 36;
const STATE_SHIFT: u32 = PBN_BITS;
const CHECK_SHIFT: u32 = PBN_BITS + 4;
const PBN_MASK: u64 = (1 << PBN_BITS) - 1;

/// The 4-bit state of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappingState {
    /// Nothing is stored; the block reads as zeros.
    Unmapped,
    /// The block is stored uncompressed.
    Uncompressed,
    /// The block is stored in a slot, 0 to 13, of a compressed block.
    Compressed(u8),
}

impl MappingState {
    /// The state's encoding, 0 to 15.
    #[must_use]
    pub const fn to_bits(self) -> u8 {
        match self {
            MappingState::Unmapped => 0,
            MappingState::Uncompressed => 1,
            MappingState::Compressed(slot) => 2 + slot,
        }
    }

    /// The state with an encoding; only the low 4 bits count, and each of the 16 values is valid.
    #[must_use]
    pub const fn from_bits(bits: u8) -> MappingState {
        match bits & 0xf {
            0 => MappingState::Unmapped,
            1 => MappingState::Uncompressed,
            slot => MappingState::Compressed(slot - 2),
        }
    }
}

/// A place where content is stored: block and state, without check code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// The physical block; PBN 0 for none.
    pub pbn: Pbn,
    /// How the content lies in the block.
    pub state: MappingState,
}

impl Mapped {
    /// The place of a block that is stored uncompressed.
    #[must_use]
    pub const fn uncompressed(pbn: Pbn) -> Mapped {
        Mapped { pbn, state: MappingState::Uncompressed }
    }
}

/// One block-map entry, in its encoding on media.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Mapping(u64);

const _: () = assert!(core::mem::size_of::<Mapping>() == 8, "504 entries must fit a 4096-byte page");

impl Mapping {
    /// Nothing is stored; the block reads as zeros.
    pub const UNMAPPED: Mapping = Mapping(0);

    /// An entry for content stored at `location` with a 24-bit check code.
    ///
    /// # Panics
    /// If the PBN does not fit 36 bits: no geometry contains such a block.
    #[must_use]
    pub fn new(location: Mapped, check: u32) -> Mapping {
        assert!(location.pbn.0 <= PBN_MASK, "{} does not fit a mapping", location.pbn);
        let check = u64::from(check) & ((1 << CHECK_BITS) - 1);
        Mapping(location.pbn.0 | u64::from(location.state.to_bits()) << STATE_SHIFT | check << CHECK_SHIFT)
    }

    /// The physical block; PBN 0 for none.
    #[must_use]
    pub const fn pbn(self) -> Pbn {
        Pbn(self.0 & PBN_MASK)
    }

    /// The state, decoded.
    #[must_use]
    pub const fn state(self) -> MappingState {
        MappingState::from_bits((self.0 >> STATE_SHIFT) as u8)
    }

    /// The check code, 24 bits.
    #[must_use]
    pub const fn check(self) -> u32 {
        (self.0 >> CHECK_SHIFT) as u32
    }

    /// The place without the check code.
    #[must_use]
    pub const fn location(self) -> Mapped {
        Mapped { pbn: self.pbn(), state: self.state() }
    }

    /// True when nothing is stored: never written, discarded, or zeros.
    #[must_use]
    pub const fn is_unmapped(self) -> bool {
        self.0 == 0
    }

    /// True when the entry refers to a physical block.
    #[must_use]
    pub const fn has_block(self) -> bool {
        self.0 & PBN_MASK != 0
    }

    /// True when the physical block is a compressed one.
    #[must_use]
    pub const fn is_compressed(self) -> bool {
        matches!(self.state(), MappingState::Compressed(_))
    }

    /// The entry as the block map keeps it in memory.
    #[must_use]
    pub(crate) const fn to_raw(self) -> u64 {
        self.0
    }

    /// Reverses [`Mapping::to_raw`].
    #[must_use]
    pub(crate) const fn from_raw(raw: u64) -> Mapping {
        Mapping(raw)
    }

    /// The entry's bytes on media.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// Decodes an entry from media; none if no writer makes such an entry.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Mapping> {
        let entry = Mapping(u64::from_le_bytes(bytes));
        let stored = entry.has_block() && entry.state() != MappingState::Unmapped;
        (stored || entry.is_unmapped()).then_some(entry)
    }
}

impl core::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} {:?} check {:06x}", self.pbn(), self.state(), self.check())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let mapping =
            Mapping::new(Mapped { pbn: Pbn(0x9_8765_4321), state: MappingState::Compressed(13) }, 0xffab_cdef);
        assert_eq!(mapping.to_bytes(), [0x21, 0x43, 0x65, 0x87, 0xf9, 0xef, 0xcd, 0xab]);
        assert_eq!(Mapping::from_bytes(mapping.to_bytes()), Some(mapping));
        assert_eq!(mapping.pbn(), Pbn(0x9_8765_4321));
        assert_eq!(mapping.state(), MappingState::Compressed(13));
        assert_eq!(mapping.check(), 0xab_cdef);
        assert_eq!(Mapping::UNMAPPED.to_bytes(), [0; 8]);
    }

    #[test]
    fn hostile_entries_are_refused() {
        // Unmapped, but with a block; then mapped to no block: plain, with a check code, and in a slot.
        let nowhere = [[0, 0, 0, 0, 0x10, 0, 0, 0], [0, 0, 0, 0, 0x10, 1, 0, 0], [0, 0, 0, 0, 0x20, 0, 0, 0]];
        for bytes in [[1, 0, 0, 0, 0, 0, 0, 0]].into_iter().chain(nowhere) {
            assert_eq!(Mapping::from_bytes(bytes), None, "{bytes:?}");
        }
        assert_eq!(Mapping::from_bytes([0; 8]), Some(Mapping::UNMAPPED));
    }

    #[test]
    fn every_state_survives() {
        for bits in 0..16 {
            assert_eq!(MappingState::from_bits(bits).to_bits(), bits);
        }
    }
}
