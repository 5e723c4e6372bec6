// SPDX-License-Identifier: BSD-3-Clause

//! Where a subsystem is found.

use std::net::SocketAddr;

/// A subsystem at a TCP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Where the target listens.
    pub socket: SocketAddr,
    /// The subsystem's qualified name, at most 223 bytes.
    pub nqn: String,
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} at {}", self.nqn, self.socket)
    }
}
