// SPDX-License-Identifier: BSD-3-Clause

//! How many of something are clients', and how many the volume's own ([`crate::packing::relocator`]).
//!
//! Kept apart where it matters whom somebody waits for: a client's request may wait for other clients' requests, but
//! hardly for what the volume does on its own account.

use std::ops::{AddAssign, Sub, SubAssign};

/// Clients' and the volume's own, counted apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Clients'.
    pub clients: u32,
    /// The volume's own.
    pub own: u32,
}

impl Tally {
    /// None.
    pub const ZERO: Tally = Tally { clients: 0, own: 0 };

    /// One of the volume's own, or of a client.
    pub const fn one(own: bool) -> Tally {
        Tally { clients: !own as u32, own: own as u32 }
    }

    /// All of them.
    pub const fn total(self) -> u32 {
        self.clients + self.own
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.clients += other.clients;
        self.own += other.own;
    }
}

impl SubAssign for Tally {
    fn sub_assign(&mut self, other: Tally) {
        *self = *self - other;
    }
}

impl Sub for Tally {
    type Output = Tally;

    fn sub(self, other: Tally) -> Tally {
        let difference =
            |from: u32, what: u32| from.checked_sub(what).expect("nothing is taken away that is not there");
        Tally { clients: difference(self.clients, other.clients), own: difference(self.own, other.own) }
    }
}
