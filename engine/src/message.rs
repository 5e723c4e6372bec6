// SPDX-License-Identifier: BSD-3-Clause

//! What shards tell each other.
//!
//! A message carries everything that its receiver needs, so no state is shared. Invariant: a message fits one cache
//! line, because the rings between reactors hold them by value.
//!
//! Zones of one shard tell each other the same through queues (`context.rs`), but for the physical zone:
//! it answers at once, so it is called. Whether a step is a call, a queue or a message to another shard depends only on
//! where the owner of the object lives, never on load, so the order between two shards is kept.

use crate::error::RequestError;
use crate::fingerprint::Fingerprint;
use crate::format::journal_record::Point;
use crate::format::{Mapped, Mapping};
use crate::units::{Lbn, Pbn, ShardId};

/// A data_vio in the logical zone of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VioRef {
    /// Shard whose logical zone holds it.
    pub shard: ShardId,
    /// Its place in that zone's pool.
    pub index: u32,
}

/// A member of a hash lock in the hash zone of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberRef {
    /// Shard whose hash zone holds it.
    pub shard: ShardId,
    /// Its place in that zone's pool.
    pub index: u32,
}

/// From here on the index of a [`MemberRef`] names a swap ([`crate::swapper`]), which holds blocks as members do.
const FIRST_SWAP: u32 = 1 << 31;

impl MemberRef {
    /// The name of a swap among members.
    #[must_use]
    pub const fn of_swap(shard: ShardId, swap: u32) -> MemberRef {
        MemberRef { shard, index: FIRST_SWAP | swap }
    }
}

/// The swap that an index of a [`MemberRef`] names, if it is none of a member.
#[must_use]
pub const fn swap_of(member: u32) -> Option<u32> {
    if member & FIRST_SWAP == 0 {
        None
    } else {
        Some(member & !FIRST_SWAP)
    }
}

/// What a block is to be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Data that needs room of its own.
    New,
    /// What needs room for a while, or little of it: a page of the block map, or blocks that the volume moves together.
    Upkeep,
    /// Data in place of that in a block of the zone, to which the writer has the only reference, as far as it knows.
    Instead(Pbn),
    /// A compressed block in place of another of the zone: of those who have `references` to it, which are all as far as
    /// the writer knows, each takes one to the new block instead.
    Replace {
        /// The old block.
        pbn: Pbn,
        /// Its references.
        references: u8,
    },
    /// Likewise, but of a block in another zone, which has nothing to lend.
    Abroad(Pbn),
}

/// The answer to a request for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// A block, locked for the requester.
    Block(Pbn),
    /// The zone has none for such a claim.
    Full,
    /// The claim is a good one, but other zones have to meet it.
    Elsewhere,
    /// The zone has none now; an event of the zone follows.
    Waiting,
    /// After a wait: the zone has none. Others that had none before may have some now.
    Again,
    /// The zone takes no writes any more.
    ReadOnly,
}

/// A write that asks for a swap.
#[derive(Debug, Clone, Copy)]
pub struct SwapRequest {
    /// The parked data_vio.
    pub vio: VioRef,
    /// The block that it writes.
    pub lbn: Lbn,
    /// The compressed block that held its old content.
    pub pbn: Pbn,
}

/// A block that a hash zone has, and for whose LBN somebody waits.
#[derive(Debug, Clone, Copy)]
pub struct Awaited {
    /// The block.
    pub vio: VioRef,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

/// A block for the hash zone.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<Buf> {
    /// Who asks.
    pub vio: VioRef,
    /// The block that it writes.
    pub lbn: Lbn,
    /// The content.
    pub data: Buf,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The mapping that it replaces.
    pub old: Mapping,
    /// It is stored, but shall be stored in another place.
    pub relocating: bool,
    /// Somebody waits for its LBN.
    pub awaited: bool,
}

/// What a logical zone is told or asked.
#[derive(Debug, Clone, Copy)]
pub enum ToLogical {
    /// Hash to logical: the block's content is (or will stay) stored here; record it.
    Remap {
        /// Index of the vio in the receiver.
        vio: u32,
        /// The member to report back to.
        member: MemberRef,
        /// Where the content is.
        location: Mapped,
    },
    /// Hash to logical: the block could not be stored.
    WriteFailed {
        /// Index of the vio in the receiver.
        vio: u32,
        /// Why.
        error: RequestError,
    },
    /// Physical to logical: store a block in another place if this is still where it is; answered by
    /// [`Message::Relocated`].
    Relocate {
        /// The block.
        lbn: Lbn,
        /// Where its content was stored.
        location: Mapped,
    },
    /// Swapper to logical: hold a block, if it is stored in a compressed block; answered by [`ToSwapper::Held`].
    Hold {
        /// The swap.
        swap: u32,
        /// The block.
        lbn: Lbn,
        /// The compressed block.
        pbn: Pbn,
        /// The receiver's data_vio, which has asked for the swap; none for a new one.
        vio: Option<u32>,
    },
    /// Swapper to logical: the write that has asked for a swap lets go of its block, and is parked again until that is held anew.
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

/// What the swapper is told or asked.
#[derive(Debug, Clone, Copy)]
pub enum ToSwapper<Buf> {
    /// Logical to swapper: a write has found no space, but gives a fragment back. Answered by [`ToLogical::Hold`] with its
    /// data_vio, or [`ToLogical::WriteFailed`].
    Requested(SwapRequest),
    /// Logical to swapper.
    Held {
        /// The swap.
        swap: u32,
        /// The data_vio that holds the block.
        vio: u32,
        /// The block's mapping; none if it is not stored there, and not held.
        mapping: Option<Mapping>,
    },
    /// Logical to swapper.
    Filled {
        /// The swap.
        swap: u32,
        /// The content, unchanged until the vio finishes; none if it needs no room, or there is none.
        content: Option<Buf>,
    },
    /// Physical to swapper.
    Settled {
        /// The swap.
        swap: u32,
    },
    /// Logical to swapper: the remap that [`ToLogical::Remap`] asked for is over.
    Finished {
        /// The swap.
        swap: u32,
        /// Whether the mapping now refers to the location.
        result: Result<(), RequestError>,
    },
}

/// One message. The comment of each variant names sender and receiver by zone.
#[derive(Debug, Clone, Copy)]
pub enum Message<Buf> {
    /// Logical to hash: find or make one stored copy of this block. Answered by [`ToLogical::Remap`] or
    /// [`ToLogical::WriteFailed`].
    Dedupe(Arrival<Buf>),
    /// For the logical zone.
    Logical(ToLogical),
    /// For the swapper.
    Swapper(ToSwapper<Buf>),
    /// Logical to hash: somebody waits for the LBN of a block that [`Message::Dedupe`] handed over. Not answered.
    Hasten(Awaited),
    /// Logical to hash: the remap that [`ToLogical::Remap`] asked for is over.
    Finished {
        /// Index of the member in the receiver.
        member: u32,
        /// Whether the mapping now refers to the location.
        result: Result<(), RequestError>,
    },
    /// Logical to physical: one more reference; answered by [`Message::Incremented`].
    Increment {
        /// Who asks.
        vio: VioRef,
        /// The block.
        pbn: Pbn,
        /// The change's place in the sender's recovery journal.
        point: Point,
    },
    /// Physical to logical.
    Incremented {
        /// Index of the vio in the receiver.
        vio: u32,
        /// Whether the count was raised.
        result: Result<(), RequestError>,
    },
    /// Logical to physical: each of `count` blocks from `first` on loses one reference. Not answered.
    Decrement {
        /// First block.
        first: Pbn,
        /// Number of consecutive blocks, all in one slab.
        count: u32,
        /// Some of them may hold fragments.
        compressed: bool,
        /// The change's place in the sender's recovery journal.
        point: Point,
    },
    /// Logical to physical: a block-map page that is recorded gets the reference that it keeps. Not answered.
    ReferencePage {
        /// Its block, allocated by [`Message::AllocatePage`].
        pbn: Pbn,
        /// The change's place in the sender's recovery journal.
        point: Point,
    },
    /// Logical to physical: a block-map page that is recorded to be gone gives its block back. Not answered.
    FreePage {
        /// Its block.
        pbn: Pbn,
        /// The change's place in the sender's recovery journal.
        point: Point,
    },
    /// Logical to physical: allocate a block for a page of the block map; answered by [`Message::PageAllocated`].
    AllocatePage {
        /// The shard that asks, and its ticket for it.
        page: VioRef,
        /// Wait for a block that may come free.
        wait: bool,
    },
    /// Physical to logical.
    PageAllocated {
        /// The receiver's ticket.
        ticket: u32,
        /// The block, or why there is none.
        answer: Allocation,
    },
    /// Journal to physical: commit the slab journals that hold changes of the sender's up to `up_to`; answered by
    /// [`Message::SlabJournalsCommitted`].
    CommitSlabJournals {
        /// The last change.
        up_to: Point,
    },
    /// Physical to journal.
    SlabJournalsCommitted {
        /// As it was asked for.
        up_to: Point,
    },
    /// Logical to physical: one [`ToLogical::Relocate`] is done with, in whatever way.
    Relocated {
        /// Where the block was stored.
        from: Pbn,
    },
    /// Swapper to all, and on to the owner of a block: what was sent to it before this has arrived. Answered by
    /// [`ToSwapper::Settled`].
    Settle {
        /// The swap.
        swap: u32,
        /// The shard that owns the block.
        owner: ShardId,
    },
    /// Swapper to hash: content is stored here now; for the index.
    Advise {
        /// Fingerprint of the content.
        fingerprint: Fingerprint,
        /// Where it is.
        location: Mapped,
    },
    /// The volume takes no writes any more.
    ReadOnly,
    /// Hash to physical: try for a read lock on a candidate; answered by [`Message::Locked`].
    LockForRead {
        /// Who asks.
        member: MemberRef,
        /// The candidate.
        pbn: Pbn,
        /// Increments to be leased, at most.
        at_most: u8,
    },
    /// Physical to hash.
    Locked {
        /// Index of the member in the receiver.
        member: u32,
        /// Increments leased with the lock, at least one; none when it was not obtained.
        lease: Option<u8>,
    },
    /// Hash to physical: more increments for the holder of a read lock; answered by [`Message::LeaseExtended`].
    ExtendLease {
        /// Who asks.
        member: MemberRef,
        /// The locked block.
        pbn: Pbn,
        /// Increments to be leased, at most.
        at_most: u8,
    },
    /// Physical to hash.
    LeaseExtended {
        /// Index of the member in the receiver.
        member: u32,
        /// Increments leased; none when the block has no more to give.
        lease: u8,
    },
    /// Hash to physical: allocate a block and write-lock it; answered by [`Message::Allocated`].
    Allocate {
        /// Who asks.
        member: MemberRef,
        /// What for.
        claim: Claim,
        /// Wait for a block that may come free.
        wait: bool,
    },
    /// Physical to hash.
    Allocated {
        /// Index of the member in the receiver.
        member: u32,
        /// The block, or why there is none.
        answer: Allocation,
    },
    /// Hash to physical: a compressed block is written; each of its owners becomes a holder of its lock.
    /// Answered by [`Message::Shared`].
    ShareCompressed {
        /// The compressed block, by the sender's name for it.
        container: u32,
        /// Where it is.
        pbn: Pbn,
        /// Number of its fragments.
        holders: u8,
    },
    /// Physical to hash.
    Shared {
        /// As it was asked for.
        container: u32,
        /// Increments leased to each holder; none when the lock was found in an impossible state.
        lease: Option<u8>,
    },
    /// Hash to physical: one holder lets go; answered by [`Message::Released`] if somebody waits for it.
    Release {
        /// The locked block.
        pbn: Pbn,
        /// Leased increments that were not used.
        unused: u8,
        /// The agent of a hash lock in UNLOCKING.
        waiting: Option<MemberRef>,
    },
    /// Physical to hash.
    Released {
        /// Index of the member in the receiver.
        member: u32,
    },
}

const _: () = assert!(core::mem::size_of::<Message<usize>>() <= 64, "a message must fit a cache line");
