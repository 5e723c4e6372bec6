// SPDX-License-Identifier: BSD-3-Clause

//! The check code of a block read from the base, to be compared with the one stored in its mapping.
//!
//! Every block that is read is checked, and no option changes that. The cost can still be measured: the cargo feature
//! `measure-unchecked`, which is only for the benchmark program, adds a switch. The switch is on until that program
//! turns it off, so even such a build checks when anyone else runs it.

use crate::fingerprint::Fingerprinter;
use crate::units::Block;

/// The check code of `block`, which should be `expected`. When checks are switched off, returns `expected` without
/// reading the block.
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

    /// One switch per process: the benchmark flips it between two loads, and no shard uses it otherwise.
    static ON: AtomicBool = AtomicBool::new(true);

    /// Switches read checks on or off; only for measuring. Unchecked, a damaged block reaches the client.
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
