// SPDX-License-Identifier: BSD-3-Clause

//! How many of something are clients', and how many the volume's own ([`crate::packing::relocator`]).
//!
//! Kept apart where it matters whom somebody waits for: a client's request may wait for other clients' requests, but
//! hardly for what the volume does on its own account.

use std::ops::{AddAssign, Sub, SubAssign};

/// Clients' and the volume's own, counted apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnerCount {
    /// Clients'.
    pub clients: u32,
    /// The volume's own.
    pub own: u32,
}

impl OwnerCount {
    /// None.
    pub const ZERO: OwnerCount = OwnerCount { clients: 0, own: 0 };

    /// One of the volume's own, or of a client.
    pub const fn one(own: bool) -> OwnerCount {
        OwnerCount { clients: !own as u32, own: own as u32 }
    }

    /// All of them.
    pub const fn total(self) -> u32 {
        self.clients + self.own
    }
}

impl AddAssign for OwnerCount {
    fn add_assign(&mut self, other: OwnerCount) {
        self.clients += other.clients;
        self.own += other.own;
    }
}

impl SubAssign for OwnerCount {
    fn sub_assign(&mut self, other: OwnerCount) {
        *self = *self - other;
    }
}

impl Sub for OwnerCount {
    type Output = OwnerCount;

    fn sub(self, other: OwnerCount) -> OwnerCount {
        let difference =
            |from: u32, what: u32| from.checked_sub(what).expect("nothing is taken away that is not there");
        OwnerCount { clients: difference(self.clients, other.clients), own: difference(self.own, other.own) }
    }
}
