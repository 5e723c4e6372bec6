// SPDX-License-Identifier: BSD-3-Clause

//! Calling back blocks that were stored as they are, because nothing came that would have shared a block with them.
//!
//! They go into the stock ([`crate::packing::candidates`]). A fragment for which no bin has room calls one back that fills up its
//! own, if there are at least [`COMPANY`] clients' requests: then company is what clients wait for anyway. With fewer, none
//! of them waits for what the volume does on its own account. Then a block that has just been stored begins: it is stored
//! anew at once if the stock has company for it, and calls that back. So the data of a client that has one request in
//! flight is packed behind it. Only a request for the very block that is being moved waits for that, a few milliseconds at
//! most.
//!
//! It works as fast as clients write ([`CALLS_A_WRITE`]), and comes to rest when they do.
//!
//! Invariant: nothing is taken for granted that the stock says. Whether the block is still there is looked up under its LBN
//! lock ([`crate::logical`]), and whether somebody shares it when it is called.

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

/// From so many clients' requests on a fragment may wait for a block that is called back.
pub(super) const COMPANY: u32 = 8;

/// Blocks that may be moved for each that a client writes: it, and its company.
const CALLS_A_WRITE: usize = 2;

/// Blocks of the stock that are looked at for one fragment, at most; most are still there.
const TRIES: usize = 4;

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// A client writes a block.
    pub(super) fn allow_calls(&mut self) {
        self.packing.calls = (self.packing.calls + CALLS_A_WRITE).min(MAX_MOVING);
    }

    /// Whether one more block may be moved. While it is stored anew it has two places: the last free blocks are left to
    /// clients.
    fn may_call<E: Env<Buf = Buf>>(&self, cx: &Context<'_, E>) -> bool {
        self.packing.calls > 0 && cx.relocator.may_call_back() && cx.physical.free_blocks() > MAX_MOVING as u64
    }

    /// Has a block moved that is stored as it is.
    fn call<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lbn: Lbn, pbn: Pbn) {
        self.packing.calls -= 1;
        cx.stats.blocks_called_back += 1;
        cx.relocate(lbn, Mapped::uncompressed(pbn));
    }

    /// Where a fragment should go; one of the volume's own to where it is expected.
    pub(super) fn choose(&mut self, size: usize, lbn: Lbn, own: bool) -> Choice {
        let packer = &mut self.packing.packer;
        let expecting = if own { packer.arrived(lbn) } else { None };
        match expecting {
            Some(bin) if packer.has_room(bin, size) => Choice::Bin(bin),
            _ => packer.choose(size),
        }
    }

    /// A block of the volume's own shares the fate of others and will not be parked: no bin expects it any more.
    pub(super) fn will_not_park(&mut self, member: u32) {
        let Member { lbn, relocating, .. } = self.members[member];
        if relocating {
            self.packing.packer.arrived(lbn);
        }
    }

    /// Calls back a block that fills up a bin in which a fragment of `size` bytes is alone, if there is one.
    pub(super) fn call_company<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, bin: usize, size: usize) {
        for _ in 0..TRIES {
            if !self.may_call(cx) {
                return;
            }
            let Some(RepackCandidate { lbn, pbn, size: theirs }) = self.packing.stock.take(size) else { return };
            // Given away, or shared by others, who would keep it where it is.
            if cx.physical.references(pbn) != Some(1) {
                continue;
            }
            if self.packing.packer.expect(bin, lbn, pbn, theirs) {
                self.call(cx, lbn, pbn);
            }
            return;
        }
    }

    /// A client's block has a place. If that is one of its own, although the block could be compressed, it is for the
    /// stock, or begins itself. Not if others share it, nor in another shard's slab: nobody here knows its references.
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

    /// A member waits for the agent of its lock. If that is parked, a client does not wait for its company: its bin is due.
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
