// SPDX-License-Identifier: BSD-3-Clause

//! Errors of the physical zone.
//!
//! No client request causes any of these: each means that a lock or a counter is not in the state that the caller
//! relied on. The zone stays consistent ([`super::PhysicalZone::audit`] still passes). A failed operation changes
//! nothing, except that [`super::PhysicalZone::decrement`] processes the other blocks of its range.

use thiserror::Error;

use crate::units::Pbn;

/// Why an operation of the physical zone failed, and on which block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PhysicalError {
    /// All locks of the zone are in use (LOCK_ERROR in dm-vdo). The pool is sized so that this does not happen
    /// ([`super::PbnLocks`]).
    #[error("cannot lock {pbn}: every PBN lock of the zone is in use")]
    LockPoolExhausted {
        /// The block to be locked.
        pbn: Pbn,
    },
    /// A free block turned out to be locked (LOCK_ERROR in dm-vdo).
    #[error("cannot allocate {pbn}: it was free, but locked")]
    SpuriouslyLocked {
        /// The block chosen by the allocator.
        pbn: Pbn,
    },
    /// The counter does not allow the change (REF_COUNT_INVALID in dm-vdo).
    #[error("cannot do {operation} of {pbn}: its reference count does not allow it")]
    ReferenceCount {
        /// The block whose counter refused.
        pbn: Pbn,
        /// The refused change.
        operation: &'static str,
    },
    /// The block is not a data block of this zone's slabs.
    #[error("{pbn} is not a data block of this physical zone")]
    NotOurs {
        /// The block that was named.
        pbn: Pbn,
    },
    /// The operation needs a PBN lock, and the block has none.
    #[error("{pbn} is not locked")]
    NotLocked {
        /// The unlocked block.
        pbn: Pbn,
    },
    /// The lock exists, but does not allow this operation.
    #[error("cannot do {operation} of the lock on {pbn}")]
    LockMisused {
        /// The locked block.
        pbn: Pbn,
        /// The refused operation.
        operation: &'static str,
    },
}

impl PhysicalError {
    /// The block and a short description of the failure, for a log.
    #[must_use]
    pub const fn object(&self) -> (Pbn, &'static str) {
        match *self {
            PhysicalError::LockPoolExhausted { pbn } => (pbn, "lock: none left"),
            PhysicalError::SpuriouslyLocked { pbn } => (pbn, "allocation: locked already"),
            PhysicalError::NotOurs { pbn } => (pbn, "not a data block of this zone"),
            PhysicalError::NotLocked { pbn } => (pbn, "not locked"),
            PhysicalError::ReferenceCount { pbn, operation } | PhysicalError::LockMisused { pbn, operation } => {
                (pbn, operation)
            }
        }
    }
}
