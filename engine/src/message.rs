// SPDX-License-Identifier: BSD-3-Clause

//! Messages between shards.
//!
//! A message carries everything that its receiver needs, so shards share no state. Invariant: a message fits one cache
//! line, because the rings between reactors hold messages by value.
//!
//! The zones of one shard exchange the same messages through queues (`context.rs`), except for the physical zone, which
//! answers at once and is called directly. Whether a step is a call, a queue entry or a message to another shard
//! depends only on where the owner of the object lives, never on load, so the order between two shards is kept.

use crate::error::RequestError;
use crate::fingerprint::Fingerprint;
use crate::format::journal_record::Point;
use crate::format::{Mapped, Mapping};
use crate::units::{Lbn, Pbn, ShardId};

/// A data_vio in the logical zone of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VioRef {
    /// Shard whose logical zone holds the data_vio.
    pub shard: ShardId,
    /// Index in that zone's pool.
    pub index: u32,
}

/// A member of a hash lock in the hash zone of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberRef {
    /// Shard whose hash zone holds the member.
    pub shard: ShardId,
    /// Index in that zone's pool.
    pub index: u32,
}

/// From this value on, the index of a [`MemberRef`] names a swap ([`crate::swapper`]), which holds blocks as members
/// do.
const FIRST_SWAP: u32 = 1 << 31;

impl MemberRef {
    /// The reference to a swap in place of a member.
    #[must_use]
    pub const fn of_swap(shard: ShardId, swap: u32) -> MemberRef {
        MemberRef { shard, index: FIRST_SWAP | swap }
    }
}

/// The swap that the index of a [`MemberRef`] names; `None` if it names a member.
#[must_use]
pub const fn swap_of(member: u32) -> Option<u32> {
    if member & FIRST_SWAP == 0 {
        None
    } else {
        Some(member & !FIRST_SWAP)
    }
}

/// What a block is allocated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// New data, which needs a block of its own.
    New,
    /// A block that is needed only for a while, or few of them: a block-map page, or blocks that the volume moves
    /// together.
    Upkeep,
    /// Data that replaces the content of a block of the zone, to which the writer has the only reference as far as it
    /// knows.
    Instead(Pbn),
    /// A compressed block that replaces another of the zone: all `references` owners of the old block, as far as the
    /// writer knows them, each drop their reference and take one to the new block.
    Replace {
        /// The old compressed block.
        pbn: Pbn,
        /// Its reference count as far as the writer knows.
        references: u8,
    },
    /// Like `Instead` or `Replace`, but the old block is in another zone, so this zone gets no block back.
    Abroad(Pbn),
}

/// The answer to an allocation request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// The allocated block, locked for the requester.
    Block(Pbn),
    /// The zone has no block for this claim.
    Full,
    /// The claim is valid, but another zone has to serve it.
    Elsewhere,
    /// The zone has no block now; an event of the zone follows.
    Waiting,
    /// After a wait: the zone has no block. Other zones that had none before may have one now.
    Again,
    /// The zone takes no writes any more.
    ReadOnly,
}

/// A write that asks for a swap.
#[derive(Debug, Clone, Copy)]
pub struct SwapRequest {
    /// The parked data_vio.
    pub vio: VioRef,
    /// The block that the data_vio writes.
    pub lbn: Lbn,
    /// The compressed block that holds the old content of `lbn`.
    pub pbn: Pbn,
}

/// A block in a hash zone, for whose LBN a request waits.
#[derive(Debug, Clone, Copy)]
pub struct Awaited {
    /// The data_vio that writes the block.
    pub vio: VioRef,
    /// Fingerprint of the block, which selects the hash zone.
    pub fingerprint: Fingerprint,
}

/// A block handed to the hash zone.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<Buf> {
    /// The data_vio that gets the answer.
    pub vio: VioRef,
    /// The block that the data_vio writes.
    pub lbn: Lbn,
    /// The content.
    pub data: Buf,
    /// Fingerprint of `data`.
    pub fingerprint: Fingerprint,
    /// The mapping to be replaced.
    pub old: Mapping,
    /// The block is already stored and is to be stored in another place.
    pub relocating: bool,
    /// Another request waits for the LBN.
    pub awaited: bool,
}

/// Messages to a logical zone.
#[derive(Debug, Clone, Copy)]
pub enum ToLogical {
    /// Hash to logical: the content is (or will stay) stored at `location`; record it.
    Remap {
        /// Index of the vio in the receiver.
        vio: u32,
        /// The member that gets the result.
        member: MemberRef,
        /// Location of the content.
        location: Mapped,
    },
    /// Hash to logical: the block could not be stored.
    WriteFailed {
        /// Index of the vio in the receiver.
        vio: u32,
        /// Reason of the failure.
        error: RequestError,
    },
    /// Physical to logical: store a block in another place if it is still at `location`; answered by
    /// [`Message::Relocated`].
    Relocate {
        /// The block to be relocated.
        lbn: Lbn,
        /// The location at the time of the request.
        location: Mapped,
    },
    /// Swapper to logical: hold a block if it is stored in compressed block `pbn`; answered by [`ToSwapper::Held`].
    Hold {
        /// The swap that gets the answer.
        swap: u32,
        /// The block to be held.
        lbn: Lbn,
        /// The compressed block being swapped.
        pbn: Pbn,
        /// The receiver's data_vio that has asked for the swap; `None`: take a new one.
        vio: Option<u32>,
    },
    /// Swapper to logical: the write that has asked for a swap gives up its block, and is parked until it holds the
    /// block again.
    Park {
        /// Index of the vio in the receiver.
        vio: u32,
    },
    /// Swapper to logical: get the content that a held data_vio writes; answered by [`ToSwapper::Filled`].
    Fill {
        /// Index of the vio in the receiver.
        vio: u32,
    },
}

/// Messages to the swapper.
#[derive(Debug, Clone, Copy)]
pub enum ToSwapper<Buf> {
    /// Logical to swapper: a write has found no space, but will free a fragment. Answered by [`ToLogical::Hold`] with
    /// its data_vio, or by [`ToLogical::WriteFailed`].
    Requested(SwapRequest),
    /// Logical to swapper: the answer to [`ToLogical::Hold`].
    Held {
        /// The swap that asked.
        swap: u32,
        /// The data_vio that holds the block.
        vio: u32,
        /// The block's mapping; `None` if the block is not stored there, and then it is not held.
        mapping: Option<Mapping>,
    },
    /// Logical to swapper: the answer to [`ToLogical::Fill`].
    Filled {
        /// The swap that asked.
        swap: u32,
        /// The content, unchanged until the vio finishes; `None` if the block needs no room, or there is no content.
        content: Option<Buf>,
    },
    /// Physical to swapper: the answer to [`Message::Settle`].
    Settled {
        /// The swap that asked.
        swap: u32,
    },
    /// Logical to swapper: the remap requested by [`ToLogical::Remap`] has ended.
    Finished {
        /// The swap that asked.
        swap: u32,
        /// Whether the mapping now refers to the location.
        result: Result<(), RequestError>,
    },
}

/// A message to a shard. The comment of each variant names the sending and the receiving zone.
#[derive(Debug, Clone, Copy)]
pub enum Message<Buf> {
    /// Logical to hash: find or make a stored copy of this block. Answered by [`ToLogical::Remap`] or
    /// [`ToLogical::WriteFailed`].
    Dedupe(Arrival<Buf>),
    /// For the logical zone.
    Logical(ToLogical),
    /// For the swapper.
    Swapper(ToSwapper<Buf>),
    /// Logical to hash: a request waits for the LBN of a block that [`Message::Dedupe`] handed over. Not answered.
    Hasten(Awaited),
    /// Logical to hash: the remap requested by [`ToLogical::Remap`] has ended.
    Finished {
        /// Index of the member in the receiver.
        member: u32,
        /// Whether the mapping now refers to the location.
        result: Result<(), RequestError>,
    },
    /// Logical to physical: add one reference; answered by [`Message::Incremented`].
    Increment {
        /// The data_vio that gets the answer.
        vio: VioRef,
        /// The block that gets the reference.
        pbn: Pbn,
        /// Position of the change in the sender's recovery journal.
        point: Point,
    },
    /// Physical to logical: the answer to [`Message::Increment`].
    Incremented {
        /// Index of the vio in the receiver.
        vio: u32,
        /// Whether the count was raised.
        result: Result<(), RequestError>,
    },
    /// Logical to physical: drop one reference of each of the `count` blocks from `first` on. Not answered.
    Decrement {
        /// First block of the run.
        first: Pbn,
        /// Number of consecutive blocks, all in one slab.
        count: u32,
        /// Whether some of the blocks may hold fragments.
        compressed: bool,
        /// Position of the change in the sender's recovery journal.
        point: Point,
    },
    /// Logical to physical: a block-map page is journaled; its block gets the reference that it keeps. Not answered.
    ReferencePage {
        /// The page's block, allocated by [`Message::AllocatePage`].
        pbn: Pbn,
        /// Position of the change in the sender's recovery journal.
        point: Point,
    },
    /// Logical to physical: the journal records that a block-map page is gone; free its block. Not answered.
    FreePage {
        /// The page's block.
        pbn: Pbn,
        /// Position of the change in the sender's recovery journal.
        point: Point,
    },
    /// Logical to physical: allocate a block for a block-map page; answered by [`Message::PageAllocated`].
    AllocatePage {
        /// The requesting shard and its ticket for the page.
        page: VioRef,
        /// Whether to wait for a block that may become free.
        wait: bool,
    },
    /// Physical to logical: the answer to [`Message::AllocatePage`].
    PageAllocated {
        /// The receiver's ticket for the page.
        ticket: u32,
        /// The block, or why there is none.
        answer: Allocation,
    },
    /// Journal to physical: commit the slab journals that hold changes of the sender up to `up_to`; answered by
    /// [`Message::SlabJournalsCommitted`].
    CommitSlabJournals {
        /// Position of the last change.
        up_to: Point,
    },
    /// Physical to journal: the answer to [`Message::CommitSlabJournals`].
    SlabJournalsCommitted {
        /// `up_to` of the request.
        up_to: Point,
    },
    /// Logical to physical: one [`ToLogical::Relocate`] has ended, whatever its result.
    Relocated {
        /// The old location.
        from: Pbn,
    },
    /// Swapper to all shards, which forward it to the owner of a block: everything sent to the owner before this
    /// message has arrived. Answered by [`ToSwapper::Settled`].
    Settle {
        /// The swap that gets the answer.
        swap: u32,
        /// The shard that owns the block.
        owner: ShardId,
    },
    /// Swapper to hash: the content is now stored at `location`; record it in the index.
    Advise {
        /// Fingerprint of the content.
        fingerprint: Fingerprint,
        /// Location of the content.
        location: Mapped,
    },
    /// The volume takes no writes any more.
    ReadOnly,
    /// Hash to physical: try to take a read lock on a candidate; answered by [`Message::Locked`].
    LockForRead {
        /// The member that gets the answer.
        member: MemberRef,
        /// The candidate.
        pbn: Pbn,
        /// Maximum number of increments to lease.
        at_most: u8,
    },
    /// Physical to hash: the answer to [`Message::LockForRead`].
    Locked {
        /// Index of the member in the receiver.
        member: u32,
        /// Increments leased with the lock, at least one; `None` when the lock was not granted.
        lease: Option<u8>,
    },
    /// Hash to physical: lease more increments to the holder of a read lock; answered by [`Message::LeaseExtended`].
    ExtendLease {
        /// The member that gets the answer.
        member: MemberRef,
        /// The locked block.
        pbn: Pbn,
        /// Maximum number of increments to lease.
        at_most: u8,
    },
    /// Physical to hash: the answer to [`Message::ExtendLease`].
    LeaseExtended {
        /// Index of the member in the receiver.
        member: u32,
        /// Increments leased; 0 when the block has none left.
        lease: u8,
    },
    /// Hash to physical: allocate a block and take a write lock on it; answered by [`Message::Allocated`].
    Allocate {
        /// The member that gets the answer.
        member: MemberRef,
        /// What the block is for.
        claim: Claim,
        /// Whether to wait for a block that may become free.
        wait: bool,
    },
    /// Physical to hash: the answer to [`Message::Allocate`].
    Allocated {
        /// Index of the member in the receiver.
        member: u32,
        /// The block, or why there is none.
        answer: Allocation,
    },
    /// Hash to physical: a compressed block is written; each owner of a fragment becomes a holder of its lock. Answered
    /// by [`Message::Shared`].
    ShareCompressed {
        /// The sender's index of the compressed block.
        container: u32,
        /// Location of the compressed block.
        pbn: Pbn,
        /// Number of its fragments.
        holders: u8,
    },
    /// Physical to hash: the answer to [`Message::ShareCompressed`].
    Shared {
        /// `container` of the request.
        container: u32,
        /// Increments leased to each holder; `None` when the lock was in an impossible state.
        lease: Option<u8>,
    },
    /// Hash to physical: one holder releases a lock; answered by [`Message::Released`] if `waiting` is set.
    Release {
        /// The locked block.
        pbn: Pbn,
        /// Leased increments that were not used.
        unused: u8,
        /// The agent of a hash lock in UNLOCKING, which waits for the answer.
        waiting: Option<MemberRef>,
    },
    /// Physical to hash: the answer to [`Message::Release`].
    Released {
        /// Index of the member in the receiver.
        member: u32,
    },
}

const _: () = assert!(core::mem::size_of::<Message<usize>>() <= 64, "a message must fit a cache line");
