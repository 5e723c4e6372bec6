// SPDX-License-Identifier: BSD-3-Clause

//! Time, in a type of its own.

use core::fmt;

/// A point in time or a duration, in nanoseconds; the origin is known only to the host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub u64);

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ns", self.0)
    }
}
