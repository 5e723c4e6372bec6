// SPDX-License-Identifier: BSD-3-Clause

//! Answers of the physical zone: immediate where possible, else by an event once media allow it.
//!
//! Invariant: exactly one event follows every [`Applied::Later`], every [`Allocation::Waiting`], every candidate whose
//! lock is not granted or refused at once, and every request to commit slab journals.

use crate::env::ReadOnlyReason;
use crate::error::RequestError;
use crate::format::journal_record::Point;
use crate::message::{Allocation, MemberRef, VioRef};
use crate::units::{Pbn, ShardId};

/// The recovery journal entry that caused a change of a reference count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The shard whose journal holds the entry.
    pub journal: ShardId,
    /// The change's place in that journal. The points that one journal sends to one slab increase strictly.
    pub point: Point,
}

/// When an increment takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It already has.
    Now,
    /// When the slab journal has room for it; [`PhysicalEvent::Incremented`] follows.
    Later,
}

/// The requester of a block, who gets the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// A member of a hash lock, for data.
    Data(MemberRef),
    /// A block map, for a page: shard and ticket.
    Page(VioRef),
}

/// Events for the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhysicalEvent {
    /// An increment that had to wait is done.
    Incremented {
        /// The requester, as given to `increment`.
        vio: VioRef,
        /// Fails if the counter refused the change, or the zone became read-only.
        result: Result<(), RequestError>,
    },
    /// Answers a request for a block that had to wait.
    Allocated {
        /// The requester, as given to `allocate`.
        requester: Requester,
        /// A block, [`Allocation::Again`] or [`Allocation::ReadOnly`].
        answer: Allocation,
    },
    /// Answers for a candidate whose slab had to be loaded.
    Locked {
        /// The member of the hash lock that asked.
        member: MemberRef,
        /// References leased with the lock, at least one; none when the lock was refused.
        lease: Option<u8>,
    },
    /// Every change of a journal up to this point is in slab journals on media.
    JournalsCommitted {
        /// The shard whose recovery journal asked.
        journal: ShardId,
        /// The requested point.
        up_to: Point,
    },
    /// The last slab has been scrubbed.
    ScrubbingDone,
    /// The zone no longer writes, and why.
    ReadOnly(ReadOnlyReason),
    /// A change that had to wait could not be made: counts and mappings disagree.
    Inconsistent {
        /// The block whose counter refused.
        pbn: Pbn,
        /// The refused change.
        operation: &'static str,
    },
}
