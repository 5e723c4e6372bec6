// SPDX-License-Identifier: BSD-3-Clause

//! What the tests of the index share.

use crate::fingerprint::Fingerprint;
use crate::format::Mapped;
use crate::units::Pbn;

/// A generator of well-spread numbers (splitmix64), so that every run of a test is the same.
pub(super) struct Random(pub u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The fingerprint of the `n`th content.
pub(super) fn content(n: u64) -> Fingerprint {
    let mut random = Random(n);
    Fingerprint(u128::from(random.next()) << 64 | u128::from(random.next()))
}

pub(super) fn at(pbn: u64) -> Mapped {
    Mapped::uncompressed(Pbn(pbn))
}
