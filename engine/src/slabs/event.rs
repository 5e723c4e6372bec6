// SPDX-License-Identifier: BSD-3-Clause

//! What a physical zone answers: at once where it can, by an event where the answer has to wait for media.
//!
//! Invariant: every [`Applied::Later`], every [`Allocation::Waiting`], every candidate whose lock is not granted or refused at
//! once, and every request to commit slab journals is followed by exactly one event.

use crate::env::ReadOnlyReason;
use crate::error::RequestError;
use crate::format::journal_record::Point;
use crate::message::{Allocation, MemberRef, VioRef};
use crate::units::{Pbn, ShardId};

/// The recovery journal entry that a change of a reference count belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The shard whose journal it is.
    pub journal: ShardId,
    /// The change's place in it. The points that one journal sends to one slab increase strictly.
    pub point: Point,
}

/// When an increment takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It has.
    Now,
    /// When the slab journal has room for it; [`PhysicalEvent::Incremented`] follows.
    Later,
}

/// Who asks for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// A member of a hash lock, for data.
    Data(MemberRef),
    /// A block map, for a page: shard and ticket.
    Page(VioRef),
}

/// News for the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhysicalEvent {
    /// An increment that had to wait is done.
    Incremented {
        /// Whose.
        vio: VioRef,
        /// Its outcome.
        result: Result<(), RequestError>,
    },
    /// A request for a block that had to wait is answered.
    Allocated {
        /// Who asked.
        requester: Requester,
        /// A block, [`Allocation::Again`] or [`Allocation::ReadOnly`].
        answer: Allocation,
    },
    /// A candidate whose slab had to be loaded is locked, or will not be.
    Locked {
        /// Who asked.
        member: MemberRef,
        /// References leased with the lock, at least one; none when it was not obtained.
        lease: Option<u8>,
    },
    /// Every change of a journal up to this point is in slab journals on media.
    JournalsCommitted {
        /// The journal.
        journal: ShardId,
        /// As it was asked for.
        up_to: Point,
    },
    /// The last slab has been scrubbed.
    ScrubbingDone,
    /// The zone writes nothing any more, and why.
    ReadOnly(ReadOnlyReason),
    /// A change that had to wait could not be made: counts and mappings disagree.
    Inconsistent {
        /// The block.
        pbn: Pbn,
        /// The change.
        operation: &'static str,
    },
}
