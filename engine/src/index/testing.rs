// SPDX-License-Identifier: BSD-3-Clause

//! Helpers for the tests of the index.

use mpool::testing::Random;

use crate::fingerprint::Fingerprint;
use crate::format::Mapped;
use crate::units::Pbn;

/// The fingerprint of the `n`th content.
pub(super) fn content(n: u64) -> Fingerprint {
    let mut random = Random::new(n);
    Fingerprint(u128::from(random.draw()) << 64 | u128::from(random.draw()))
}

pub(super) fn at(pbn: u64) -> Mapped {
    Mapped::uncompressed(Pbn(pbn))
}
