// SPDX-License-Identifier: BSD-3-Clause

//! One block in the hash zone: a data_vio of some shard, as the hash zone sees it.
//!
//! A member usually belongs to a hash lock. A member without one writes alone: its fingerprint collided with that of
//! other content, or its lock was in Bypassing when it arrived.

use crate::arena::NONE;
use crate::fingerprint::Fingerprint;
use crate::format::Mapping;
use crate::message::VioRef;
use crate::units::{Lbn, Pbn};
use crate::wait_queue::Linked;

/// State of a member's fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// The member has no fragment.
    None,
    /// The fragment is in the packer.
    Parked,
    /// The fragment is in this compressed block of the zone, which is in flight.
    In(u32),
}

/// Progress of the search for a free block (module `allocation` of [`super::HashZone`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Number of zones asked so far, over both rounds.
    Round(u16),
    /// Asking for a loan against the block that this owner of the content replaces.
    Loan(u8),
    /// Likewise, but in other zones.
    Abroad {
        /// Number of the owner whose old block the loan is against.
        owner: u8,
        /// Number of other zones asked so far.
        tried: u16,
    },
}

/// A block being deduplicated.
#[derive(Debug, Clone, Copy)]
pub struct Member<Buf> {
    /// The data_vio that the member stands for.
    pub vio: VioRef,
    /// The block that the data_vio writes.
    pub lbn: Lbn,
    /// The content. Valid while the member is in its lock's ring of live members, or has not been remapped.
    pub data: Buf,
    pub fingerprint: Fingerprint,
    /// The hash lock, or [`NONE`].
    pub lock: u32,
    /// The block allocated for the member, which holds a lock on it.
    pub allocation: Option<Pbn>,
    /// Buffer for a verify read.
    pub scratch: Option<Buf>,
    /// State of the member's fragment.
    pub packing: Packing,
    /// An internal block: already stored, to be stored in another place, compressed or not at all.
    pub relocating: bool,
    /// A request waits for the LBN, so the fragment does not wait for partners.
    pub awaited: bool,
    /// Compressed size in bytes; 0 if not compressed.
    pub compressed: u16,
    /// Whether the member has claimed an increment of its lock's lease.
    pub claimed: bool,
    /// Whether the first write failed and the member writes to another block.
    pub retried: bool,
    /// The mapping to be replaced.
    pub old: Mapping,
    /// Progress of the search for a free block.
    pub search: Search,
    /// Neighbours in the ring of live members.
    pub live_next: u32,
    pub live_prev: u32,
    /// Link of the wait queue.
    pub next: u32,
}

impl<Buf> Member<Buf> {
    /// A member without a lock.
    pub fn new(vio: VioRef, lbn: Lbn, data: Buf, fingerprint: Fingerprint) -> Member<Buf> {
        Member {
            vio,
            lbn,
            data,
            fingerprint,
            lock: NONE,
            allocation: None,
            scratch: None,
            packing: Packing::None,
            relocating: false,
            awaited: false,
            compressed: 0,
            claimed: false,
            retried: false,
            old: Mapping::UNMAPPED,
            search: Search::Round(0),
            live_next: NONE,
            live_prev: NONE,
            next: NONE,
        }
    }
}

impl<Buf> Linked for Member<Buf> {
    fn link(&mut self) -> &mut u32 {
        &mut self.next
    }

    fn next(&self) -> u32 {
        self.next
    }
}
