// SPDX-License-Identifier: BSD-3-Clause

//! Repacking blocks that were stored uncompressed because no partners came.
//!
//! These blocks become repack candidates ([`crate::packing::candidates`]). With at least [`COMPANY`] client requests, a
//! fragment that finds no room in any bin has a candidate moved to fill its own bin: clients wait for partners anyway
//! then. With fewer, no client waits for internal operations. Instead a block that has just been stored is the one to
//! start: if there is a partner for it among the candidates, it is relocated at once, and has the candidate moved too.
//! So the data of a client with one request in flight is packed behind it. Only a request for the very block being
//! moved waits for the move, a few milliseconds at most.
//!
//! Repacking works as fast as clients write ([`CALLS_A_WRITE`]), and quiesces when they do.
//!
//! Invariant: a repack candidate is only a hint. Whether the block is still there is checked under its LBN lock
//! ([`crate::logical`]), and whether it is shared is checked when the move starts.

use super::member::{Member, Packing};
use super::HashZone;
use crate::arena::NONE;
use crate::context::Context;
use crate::env::Env;
use crate::format::Mapped;
use crate::owner_count::OwnerCount;
use crate::packing::candidates::RepackCandidate;
use crate::packing::packer::Choice;
use crate::packing::relocator::MAX_MOVING;
use crate::units::{Lbn, Pbn};

/// From this number of client requests on, a fragment may wait for a candidate that is being moved.
pub(super) const COMPANY: u32 = 8;

/// Blocks that may be moved for each block that a client writes: the block itself and its partner.
const CALLS_A_WRITE: usize = 2;

/// Maximum number of candidates tried for one fragment; most are still in place.
const TRIES: usize = 4;

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// A client writes a block: allows more moves.
    pub(super) fn allow_calls(&mut self) {
        self.packing.calls = (self.packing.calls + CALLS_A_WRITE).min(MAX_MOVING);
    }

    /// Whether one more block may be moved. A block occupies two places while it is relocated: the last free blocks are
    /// left to clients.
    fn may_call<E: Env<Buf = Buf>>(&self, cx: &Context<'_, E>) -> bool {
        self.packing.calls > 0 && cx.relocator.may_call_back() && cx.physical.free_blocks() > MAX_MOVING as u64
    }

    /// Starts the move of a block that is stored uncompressed.
    fn call<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lbn: Lbn, pbn: Pbn) {
        self.packing.calls -= 1;
        cx.stats.blocks_called_back += 1;
        cx.relocate(lbn, Mapped::uncompressed(pbn));
    }

    /// Chooses a bin for a fragment; an internal fragment goes to the bin that expects it, if there is room.
    pub(super) fn choose(&mut self, size: usize, lbn: Lbn, own: bool) -> Choice {
        let packer = &mut self.packing.packer;
        let expecting = if own { packer.arrived(lbn) } else { None };
        match expecting {
            Some(bin) if packer.has_room(bin, size) => Choice::Bin(bin),
            _ => packer.choose(size),
        }
    }

    /// An internal block joins a lock and will not be parked: no bin expects it any more.
    pub(super) fn will_not_park(&mut self, member: u32) {
        let Member { lbn, relocating, .. } = self.members[member];
        if relocating {
            self.packing.packer.arrived(lbn);
        }
    }

    /// Has a candidate moved to fill a bin in which a fragment of `size` bytes is alone, if there is a candidate.
    pub(super) fn call_company<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, bin: usize, size: usize) {
        for _ in 0..TRIES {
            if !self.may_call(cx) {
                return;
            }
            let Some(RepackCandidate { lbn, pbn, size: theirs }) = self.packing.stock.take(size) else { return };
            // The block was freed, or is shared by others, whose mappings would keep it where it is.
            if cx.physical.references(pbn) != Some(1) {
                continue;
            }
            if self.packing.packer.expect(bin, lbn, pbn, theirs) {
                self.call(cx, lbn, pbn);
            }
            return;
        }
    }

    /// A client's block is stored. If it is compressible but stored uncompressed, it becomes a repack candidate or is
    /// relocated at once. Not if others share it, nor if it is in another shard's slab: this shard does not know its
    /// reference count.
    pub(super) fn stored<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        let Member { lock, lbn, compressed, allocation, .. } = self.members[member];
        let Some(pbn) = allocation else { return };
        let is_shared = lock != NONE && self.locks[lock].members.total() > 1;
        let is_known = cx.geometry.physical_shard(pbn) == Some(cx.id);
        if compressed == 0 || !self.packing.is_enabled() || is_shared || !is_known {
            return;
        }
        let size = usize::from(compressed);
        let begins = self.in_use.clients < COMPANY && cx.relocator.may_begin() && self.may_call(cx);
        if begins && self.packing.stock.has_partner_for(size) {
            self.call(cx, lbn, pbn);
        } else {
            self.packing.stock.add(lbn, pbn, size);
        }
    }

    /// A member waits for the agent of its lock. If the agent is parked and the member is a client's, the bin is due: a
    /// client does not wait for the agent's partners.
    pub(super) fn wait_for_agent(&mut self, lock: u32, member: u32) {
        let agent = self.locks[lock].agent;
        if agent == NONE || self.members[agent].packing != Packing::Parked {
            return;
        }
        let own = self.members[member].relocating;
        self.packing.held_up += OwnerCount::one(own);
        if !own {
            self.mark_bin_of(agent);
        }
    }
}
