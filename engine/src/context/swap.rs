// SPDX-License-Identifier: BSD-3-Clause

//! Steps of a swap between the zones, and how many there can be.

use super::Context;
use crate::env::Env;
use crate::fingerprint::Fingerprint;
use crate::format::compressed_block::MAX_FRAGMENTS;
use crate::format::{Mapped, Mapping};
use crate::message::{Message, SwapRequest, ToLogical, ToSwapper, VioRef};
use crate::units::{Lbn, Pbn, ShardId};

/// Swaps that can be under way together.
pub const MAX_SWAPS: usize = 4;

/// The shard that swaps for all.
pub const HOME: ShardId = ShardId(0);

/// Logical blocks that swaps hold in one logical zone at most, besides those of the clients' writes.
pub const HOLDS: usize = MAX_SWAPS * MAX_FRAGMENTS;

impl<E: Env> Context<'_, E> {
    /// Logical to swapper: a parked write asks for a swap.
    pub fn request_swap(&mut self, request: SwapRequest) {
        self.tell(HOME, Message::Swapper(ToSwapper::Requested(request)));
    }

    /// Swapper to logical: asks for a block to be held.
    pub fn hold(&mut self, swap: u32, lbn: Lbn, pbn: Pbn, vio: Option<u32>) {
        let owner = self.geometry.logical_shard(lbn);
        self.tell(owner, Message::Logical(ToLogical::Hold { swap, lbn, pbn, vio }));
    }

    /// Logical to swapper: a block is held, or will not be.
    pub fn held(&mut self, swap: u32, vio: u32, mapping: Option<Mapping>) {
        self.tell(HOME, Message::Swapper(ToSwapper::Held { swap, vio, mapping }));
    }

    /// Swapper to logical: the write that has asked lets go of its block until that is held again.
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

    /// Passes on to the owner of a block that all that this shard has sent to it before has arrived.
    pub fn settle(&mut self, swap: u32, owner: ShardId) {
        if owner != self.id {
            self.send(owner, Message::Settle { swap, owner });
        } else {
            self.tell(HOME, Message::Swapper(ToSwapper::Settled { swap }));
        }
    }

    /// Swapper to hash: where content is stored now.
    pub fn advise(&mut self, fingerprint: Fingerprint, location: Mapped) {
        let to = self.geometry.hash_shard(fingerprint.first_byte());
        self.tell(to, Message::Advise { fingerprint, location });
    }
}
