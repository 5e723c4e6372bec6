// SPDX-License-Identifier: BSD-3-Clause

//! Helpers that the tests of the formats share.

use crate::units::{Block, SECTOR_SIZE};

/// A pseudo-random generator that yields the same numbers in every run.
#[derive(Debug, Clone)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((u128::from(self.0 ^ self.0 >> 29) * u128::from(end)) >> 64) as u64
    }
}

pub(crate) fn code_at(block: &Block, sector: usize) -> u32 {
    let end = (sector + 1) * SECTOR_SIZE;
    u32::from_le_bytes([block[end - 4], block[end - 3], block[end - 2], block[end - 1]])
}

/// Copies of a block with one to four changed bytes in one sector, and that sector's number.
#[derive(Debug)]
pub(crate) struct Mutations {
    good: Block,
    numbers: Numbers,
}

impl Mutations {
    pub(crate) fn of(good: &Block, seed: u64) -> Mutations {
        Mutations { good: *good, numbers: Numbers::new(seed) }
    }
}

impl Iterator for Mutations {
    type Item = (u8, Block);

    fn next(&mut self) -> Option<(u8, Block)> {
        let mut bad = self.good;
        let sector = self.numbers.below(8);
        for at in 0..=self.numbers.below(4) {
            // Different bytes, each certain to change.
            let byte = sector as usize * SECTOR_SIZE + (at * 128 + self.numbers.below(128)) as usize;
            bad[byte] ^= 1 + self.numbers.below(255) as u8;
        }
        Some((sector as u8, bad))
    }
}
