// SPDX-License-Identifier: BSD-3-Clause

//! Steps of a swap between the zones: a call, a queue or a message, by where the other end lives.

use super::{Context, LogicalEvent};
use crate::env::Env;
use crate::error::RequestError;
use crate::fingerprint::Fingerprint;
use crate::format::compressed_block::MAX_FRAGMENTS;
use crate::format::{Mapped, Mapping};
use crate::message::{Message, SwapRequest, VioRef};
use crate::units::{Lbn, Pbn, ShardId};

/// Swaps that can be under way together.
pub const MAX_SWAPS: usize = 4;

/// The shard that swaps for all.
pub const HOME: ShardId = ShardId(0);

/// Logical blocks that swaps hold in one logical zone at most, besides those of the clients' writes.
pub const HOLDS: usize = MAX_SWAPS * MAX_FRAGMENTS;

/// News for the swapper from the zones of its own shard.
#[derive(Debug, Clone, Copy)]
pub enum SwapEvent<Buf> {
    /// A parked write asks for a swap.
    Requested(SwapRequest),
    /// See [`Message::Held`].
    Held {
        /// The swap.
        swap: u32,
        /// The data_vio that holds the block.
        vio: u32,
        /// The block's mapping; none if it is not stored there, and not held.
        mapping: Option<Mapping>,
    },
    /// See [`Message::Filled`].
    Filled {
        /// The swap.
        swap: u32,
        /// The content; none if it needs no room, or there is none.
        content: Option<Buf>,
    },
    /// See [`Message::Settled`].
    Settled {
        /// The swap.
        swap: u32,
    },
    /// See [`Message::Finished`].
    Finished {
        /// The swap.
        swap: u32,
        /// The outcome of one of its remaps.
        result: Result<(), RequestError>,
    },
}

impl<E: Env> Context<'_, E> {
    /// Logical to swapper: a parked write asks for a swap.
    pub fn request_swap(&mut self, request: SwapRequest) {
        if self.id == HOME {
            self.handoff.to_swapper.push_back(SwapEvent::Requested(request));
        } else {
            self.send(HOME, Message::Swap(request));
        }
    }

    /// Swapper to logical: asks for a block to be held.
    pub fn hold(&mut self, swap: u32, lbn: Lbn, pbn: Pbn, vio: Option<u32>) {
        let owner = self.geometry.logical_shard(lbn);
        if owner == self.id {
            self.handoff.to_logical.push_back(LogicalEvent::Hold { swap, lbn, pbn, vio });
        } else {
            self.send(owner, Message::Hold { swap, lbn, pbn, vio });
        }
    }

    /// Logical to swapper: a block is held, or will not be.
    pub fn held(&mut self, swap: u32, vio: u32, mapping: Option<Mapping>) {
        if self.id == HOME {
            self.handoff.to_swapper.push_back(SwapEvent::Held { swap, vio, mapping });
        } else {
            self.send(HOME, Message::Held { swap, vio, mapping });
        }
    }

    /// Swapper to logical: the write that has asked lets go of its block until that is held again.
    pub fn park(&mut self, vio: VioRef) {
        if vio.shard == self.id {
            self.handoff.to_logical.push_back(LogicalEvent::Park { vio: vio.index });
        } else {
            self.send(vio.shard, Message::Park { vio: vio.index });
        }
    }

    /// Swapper to logical: asks for the content of a write.
    pub fn fill(&mut self, vio: VioRef) {
        if vio.shard == self.id {
            self.handoff.to_logical.push_back(LogicalEvent::Fill { vio: vio.index });
        } else {
            self.send(vio.shard, Message::Fill { vio: vio.index });
        }
    }

    /// Logical to swapper: the content of a write.
    pub fn filled(&mut self, swap: u32, content: Option<E::Buf>) {
        if self.id == HOME {
            self.handoff.to_swapper.push_back(SwapEvent::Filled { swap, content });
        } else {
            self.send(HOME, Message::Filled { swap, content });
        }
    }

    /// Passes on to the owner of a block that all that this shard has sent to it before has arrived.
    pub fn settle(&mut self, swap: u32, owner: ShardId) {
        if owner != self.id {
            self.send(owner, Message::Settle { swap, owner });
        } else if self.id == HOME {
            self.handoff.to_swapper.push_back(SwapEvent::Settled { swap });
        } else {
            self.send(HOME, Message::Settled { swap });
        }
    }

    /// Swapper to hash: where content is stored now.
    pub fn advise(&mut self, fingerprint: Fingerprint, location: Mapped) {
        let to = self.geometry.hash_shard(fingerprint.first_byte());
        if to == self.id {
            self.handoff.advice.push_back((fingerprint, location));
        } else {
            self.send(to, Message::Advise { fingerprint, location });
        }
    }
}
