// SPDX-License-Identifier: BSD-3-Clause

//! Messages of a swap between the zones, and limits of swaps.

use super::Context;
use crate::env::Env;
use crate::fingerprint::Fingerprint;
use crate::format::compressed_block::MAX_FRAGMENTS;
use crate::format::{Mapped, Mapping};
use crate::message::{Message, SwapRequest, ToLogical, ToSwapper, VioRef};
use crate::units::{Lbn, Pbn, ShardId};

/// Maximum number of swaps in progress.
pub const MAX_SWAPS: usize = 4;

/// The shard whose swapper serves all shards.
pub const HOME: ShardId = ShardId(0);

/// Maximum number of logical blocks that swaps hold in one logical zone, besides those of the requesting writes.
pub const HOLDS: usize = MAX_SWAPS * MAX_FRAGMENTS;

impl<E: Env> Context<'_, E> {
    /// Logical to swapper: a parked write requests a swap.
    pub fn request_swap(&mut self, request: SwapRequest) {
        self.tell(HOME, Message::Swapper(ToSwapper::Requested(request)));
    }

    /// Swapper to logical: asks the zone to hold a block.
    pub fn hold(&mut self, swap: u32, lbn: Lbn, pbn: Pbn, vio: Option<u32>) {
        let owner = self.geometry.logical_shard(lbn);
        self.tell(owner, Message::Logical(ToLogical::Hold { swap, lbn, pbn, vio }));
    }

    /// Logical to swapper: a block is held, or will not be.
    pub fn held(&mut self, swap: u32, vio: u32, mapping: Option<Mapping>) {
        self.tell(HOME, Message::Swapper(ToSwapper::Held { swap, vio, mapping }));
    }

    /// Swapper to logical: the requesting write releases its block until it holds the block again.
    pub fn park(&mut self, vio: VioRef) {
        self.tell(vio.shard, Message::Logical(ToLogical::Park { vio: vio.index }));
    }

    /// Swapper to logical: asks for the content of a write.
    pub fn fill(&mut self, vio: VioRef) {
        self.tell(vio.shard, Message::Logical(ToLogical::Fill { vio: vio.index }));
    }

    /// Logical to swapper: the content of a write.
    pub fn filled(&mut self, swap: u32, content: Option<E::Buf>) {
        self.tell(HOME, Message::Swapper(ToSwapper::Filled { swap, content }));
    }

    /// Forwards to the owner of a block: everything that this shard sent to the owner before has arrived.
    pub fn settle(&mut self, swap: u32, owner: ShardId) {
        if owner != self.id {
            self.send(owner, Message::Settle { swap, owner });
        } else {
            self.tell(HOME, Message::Swapper(ToSwapper::Settled { swap }));
        }
    }

    /// Swapper to hash: the current location of content.
    pub fn advise(&mut self, fingerprint: Fingerprint, location: Mapped) {
        let to = self.geometry.hash_shard(fingerprint.first_byte());
        self.tell(to, Message::Advise { fingerprint, location });
    }
}
