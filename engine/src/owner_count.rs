// SPDX-License-Identifier: BSD-3-Clause

//! Counts client and internal operations apart ([`crate::packing::relocator`] runs the internal ones).
//!
//! The split matters when a request has to wait: a client's request may wait for other clients' requests, but should
//! hardly wait for the volume's own operations.

use std::ops::{AddAssign, Sub, SubAssign};

/// A number of client operations and a number of internal ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnerCount {
    /// Operations of clients.
    pub clients: u32,
    /// The volume's own operations.
    pub own: u32,
}

impl OwnerCount {
    pub const ZERO: OwnerCount = OwnerCount { clients: 0, own: 0 };

    /// One operation: internal if `own`, else a client's.
    pub const fn one(own: bool) -> OwnerCount {
        OwnerCount { clients: !own as u32, own: own as u32 }
    }

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
