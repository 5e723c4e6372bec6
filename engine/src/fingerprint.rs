// SPDX-License-Identifier: BSD-3-Clause

//! Fingerprints (dm-vdo calls them record names) and check codes of 4 KiB blocks.
//!
//! Differs from dm-vdo, whose MurmurHash3-128 has a fixed seed: here the hash is XXH3-128, keyed by a secret of the
//! volume. Without the secret nobody can construct a collision. A collision that is found nevertheless costs one
//! compare: every duplicate is compared byte by byte before it is shared.

use std::fmt;

use crc_fast::CrcAlgorithm;
use twox_hash::XxHash3_128;

use crate::units::Block;

/// Bits of a check code.
pub const CHECK_BITS: u32 = 24;

/// Bytes of a volume's secret.
pub const SECRET_BYTES: usize = 192;

/// The 128-bit fingerprint of a block's content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// The byte that selects the hash zone.
    #[must_use]
    pub const fn first_byte(self) -> u8 {
        self.0 as u8
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Bits of a fingerprint that the index stores on media.
pub const SHORT_BITS: u32 = 88;

/// Position and number of the bits that make a fingerprint a hook: all zero, that is one in 32.
const HOOK_SHIFT: u32 = 72;
const HOOK_BITS: u32 = 5;

/// The low 88 bits of a fingerprint: all that an index record on media stores of it.
///
/// These bits are enough for the index: they contain the partition (bits 0 to 7), the key of the level-1 index (8 to
/// 71) and the hook bits (72 to 76). They do not prove that two blocks are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShortFingerprint(u128);

impl ShortFingerprint {
    /// The low 88 bits of a number.
    #[must_use]
    pub const fn from_bits(bits: u128) -> ShortFingerprint {
        ShortFingerprint(bits & ((1 << SHORT_BITS) - 1))
    }

    /// As a number, below 2^88.
    #[must_use]
    pub const fn to_bits(self) -> u128 {
        self.0
    }

    /// The byte that selects the hash zone: the partition of the index.
    #[must_use]
    pub const fn first_byte(self) -> u8 {
        self.0 as u8
    }

    /// Whether this fingerprint is a hook, by which a section of old records is found again: one in 32 is.
    #[must_use]
    pub const fn is_hook(self) -> bool {
        self.0 >> HOOK_SHIFT & ((1 << HOOK_BITS) - 1) == 0
    }
}

impl From<Fingerprint> for ShortFingerprint {
    fn from(fingerprint: Fingerprint) -> ShortFingerprint {
        ShortFingerprint::from_bits(fingerprint.0)
    }
}

impl fmt::Debug for ShortFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "..{:022x}", self.0)
    }
}

/// Computes fingerprints and check codes for one volume.
#[derive(Clone)]
pub struct Fingerprinter {
    secret: Box<[u8; SECRET_BYTES]>,
    mask: u128,
}

impl Fingerprinter {
    /// A fingerprinter with the volume's secret, which should be random.
    #[must_use]
    pub fn new(secret: [u8; SECRET_BYTES]) -> Fingerprinter {
        Fingerprinter { secret: Box::new(secret), mask: u128::MAX }
    }

    /// A fingerprinter that keeps only the low `bits` bits of each fingerprint, for tests that need many collisions.
    /// With 0 bits all blocks collide.
    #[must_use]
    pub fn weakened(secret: [u8; SECRET_BYTES], bits: u32) -> Fingerprinter {
        let mask = 1u128.checked_shl(bits).map_or(u128::MAX, |bound| bound - 1);
        Fingerprinter { secret: Box::new(secret), mask }
    }

    /// The fingerprint of a block.
    #[must_use]
    pub fn fingerprint(&self, block: &Block) -> Fingerprint {
        let hash = XxHash3_128::oneshot_with_secret(&self.secret[..], block)
            .expect("a secret of 192 bytes is longer than the 136 that XXH3 asks for");
        Fingerprint(hash & self.mask)
    }

    /// The 24-bit check code of a block: the low bits of its CRC32C.
    #[must_use]
    pub fn check_code(block: &Block) -> u32 {
        let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, block);
        crc as u32 & ((1 << CHECK_BITS) - 1)
    }
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never log the secret.
        write!(f, "Fingerprinter {{ bits: {} }}", self.mask.count_ones())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::BLOCK_SIZE;

    fn block(byte: u8) -> Block {
        let mut block = [byte; BLOCK_SIZE];
        block[0] = !byte;
        block
    }

    #[test]
    fn the_secret_changes_every_fingerprint() {
        let (one, two) = (Fingerprinter::new([1; SECRET_BYTES]), Fingerprinter::new([2; SECRET_BYTES]));
        for byte in 0..=255 {
            assert_eq!(one.fingerprint(&block(byte)), one.fingerprint(&block(byte)));
            assert_ne!(one.fingerprint(&block(byte)), two.fingerprint(&block(byte)));
        }
    }

    #[test]
    fn a_weakened_fingerprint_collides() {
        let weak = Fingerprinter::weakened([1; SECRET_BYTES], 0);
        assert_eq!(weak.fingerprint(&block(1)), weak.fingerprint(&block(2)));
        let full = Fingerprinter::weakened([1; SECRET_BYTES], 128);
        assert_eq!(full.fingerprint(&block(1)), Fingerprinter::new([1; SECRET_BYTES]).fingerprint(&block(1)));
    }

    /// A short fingerprint keeps the first byte and the hook bits, 72 to 76; bits from 88 on are cut off.
    #[test]
    fn a_short_fingerprint_is_the_low_88_bits() {
        let whole = Fingerprint(0xffff_ffff_ff12_2034_5678_9abc_def0_1122);
        let short = ShortFingerprint::from(whole);
        assert_eq!(short.to_bits(), 0x12_2034_5678_9abc_def0_1122);
        assert_eq!((short.first_byte(), short.is_hook()), (whole.first_byte(), true));
        for bit in 0..128 {
            let other = ShortFingerprint::from(Fingerprint(whole.0 ^ 1 << bit));
            assert_eq!(other.is_hook(), !(72..77).contains(&bit), "bit {bit}");
            assert_eq!(other == short, bit >= 88, "bit {bit}");
        }
    }

    /// The check code is part of the media format, so its value for known content is fixed.
    #[test]
    fn check_code_is_the_low_24_bits_of_crc32c() {
        assert_eq!(Fingerprinter::check_code(&[0; BLOCK_SIZE]), 0x98f9_4189 & 0xff_ffff);
    }
}
