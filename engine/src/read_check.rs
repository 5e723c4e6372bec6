// SPDX-License-Identifier: BSD-3-Clause

//! The check code of what was read from the base, for comparing it with the one that is stored in its mapping.
//!
//! Every block that is read is checked, and no option changes that. What it costs can be measured all the same: cargo
//! feature `measure-unchecked`, which is for the benchmark's program alone, adds a switch. It is on until that program
//! switches it off, so that even such a build checks in anyone else's hands.

use crate::fingerprint::Fingerprinter;
use crate::units::Block;

/// The code of `block`, which should be `expected`. Where checks are switched off, `expected` itself, without a look at
/// the block.
#[inline]
pub(crate) fn code_found(block: &Block, expected: u32) -> u32 {
    #[cfg(feature = "measure-unchecked")]
    if !switch::is_on() {
        return expected;
    }
    let _ = expected;
    Fingerprinter::check_code(block)
}

#[cfg(feature = "measure-unchecked")]
pub use switch::switch_read_checks;

#[cfg(feature = "measure-unchecked")]
mod switch {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Of the process, for the benchmark switches between two loads and no shard is concerned otherwise.
    static ON: AtomicBool = AtomicBool::new(true);

    /// Whether what is read from now on is checked; for measuring alone. Unchecked, a damaged block reaches its client.
    pub fn switch_read_checks(on: bool) {
        ON.store(on, Ordering::Relaxed);
    }

    pub(super) fn is_on() -> bool {
        ON.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::BLOCK_SIZE;

    #[test]
    fn what_is_read_is_checked_in_every_build() {
        let block = [7; BLOCK_SIZE];
        let code = Fingerprinter::check_code(&block);
        assert_eq!((code_found(&block, code), code_found(&block, code ^ 1)), (code, code));
    }
}
