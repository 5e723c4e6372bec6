// SPDX-License-Identifier: BSD-3-Clause

//! One block in the hash zone: a data_vio of some shard, as the hash zone sees it.
//!
//! A member usually belongs to a hash lock. Without one it writes alone: its content collided with another's
//! fingerprint, or it came to a lock that was dying.

use crate::arena::NONE;
use crate::fingerprint::Fingerprint;
use crate::format::Mapping;
use crate::message::VioRef;
use crate::units::{Lbn, Pbn};
use crate::wait_queue::Linked;

/// Where a member's fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// It has none.
    None,
    /// In the packer.
    Parked,
    /// In this compressed block of the zone, which is on its way.
    In(u32),
}

/// How far the search for a free block is ([`super::HashZone`], module `allocation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// So many zones have been asked, over both rounds.
    Round(u16),
    /// A loan is asked for, in place of the block that this owner of the content replaces.
    Loan(u8),
    /// Likewise, in other zones, of which so many have been asked.
    Abroad {
        /// The owner of the content.
        owner: u8,
        /// Zones asked.
        tried: u16,
    },
}

/// A block that is being deduplicated.
#[derive(Debug, Clone, Copy)]
pub struct Member<Buf> {
    /// The data_vio that it stands for.
    pub vio: VioRef,
    /// The block that it writes.
    pub lbn: Lbn,
    /// The content. Valid while the member is in its lock's ring of live members, or has not been remapped.
    pub data: Buf,
    /// Fingerprint of the content.
    pub fingerprint: Fingerprint,
    /// Its hash lock, or [`NONE`].
    pub lock: u32,
    /// The block that was allocated for it, whose lock it holds.
    pub allocation: Option<Pbn>,
    /// Block of memory for a verify read.
    pub scratch: Option<Buf>,
    /// Where its fragment is.
    pub packing: Packing,
    /// The volume's own: it is stored already, and shall be stored in another place, compressed or not at all.
    pub relocating: bool,
    /// Somebody waits for its LBN: it waits for no company.
    pub awaited: bool,
    /// Bytes that it has been compressed to; 0 if it has not.
    pub compressed: u16,
    /// Whether it has claimed an increment of its lock's lease.
    pub claimed: bool,
    /// Whether its first write failed and it writes to another block.
    pub retried: bool,
    /// The mapping that it replaces.
    pub old: Mapping,
    /// How far its search for a free block is.
    pub search: Search,
    /// Neighbours in the ring of live members.
    pub live_next: u32,
    /// See `live_next`.
    pub live_prev: u32,
    /// Link for waiting.
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
