// SPDX-License-Identifier: BSD-3-Clause

//! Steps of a swap between the zones: a call, a queue or a message, by where the other end lives.

use super::{Context, LogicalEvent};
use crate::env::Env;
use crate::hash::Fingerprint;
use crate::io::swapper::{self, SwapRequest, HOME};
use crate::logical::{Mapped, Mapping};
use crate::message::{Message, VioRef};
use crate::units::{Lbn, Pbn, ShardId};

impl<E: Env> Context<'_, E> {
    /// Logical to swapper: a parked write asks for a swap.
    pub fn request_swap(&mut self, request: SwapRequest) {
        if self.id == HOME {
            self.swapper.request(request);
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
            swapper::held(self, swap, vio, mapping);
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
            swapper::filled(self, swap, content);
        } else {
            self.send(HOME, Message::Filled { swap, content });
        }
    }

    /// Passes on to the owner of a block that all that this shard has sent to it before has arrived.
    pub fn settle(&mut self, swap: u32, owner: ShardId) {
        if owner != self.id {
            self.send(owner, Message::Settle { swap, owner });
        } else if self.id == HOME {
            swapper::settled(self, swap);
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
