// SPDX-License-Identifier: BSD-3-Clause

//! The logical zone's part of a swap ([`crate::swapper`]). A client's write that found no space in place of a fragment
//! is parked and requests a swap. On the swapper's behalf the zone holds blocks, each with a data_vio, until they are
//! recorded at their new location or released.
//!
//! A parked write holds its data_vio and nothing else. When its swap starts, the write locks its block as if it had
//! just arrived, and checks whether the block is still stored in the same compressed block; if not, it goes on as an
//! ordinary write. Its content is copied from the client again, and this copy is hashed, stored and answered.

use super::data_vio::{DataVio, Role, Stage};
use super::{LogicalZone, Retired};
use crate::arena::NONE;
use crate::context::Context;
use crate::env::Env;
use crate::error::RequestError;
use crate::format::Mapping;
use crate::message::{SwapRequest, VioRef};
use crate::units::{Lbn, Pbn};

impl<E: Env> LogicalZone<E> {
    /// Whether a failed write can be done by a swap: it found no space, and will free a fragment.
    pub(super) fn may_swap(&self, index: u32, error: RequestError) -> bool {
        let vio = &self.vios[index];
        error == RequestError::NoSpace && vio.role == Role::None && !vio.is_own() && vio.old.is_compressed()
    }

    /// A write that has found no space requests a swap.
    pub(super) fn ask_for_swap(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let (lbn, pbn) = (self.vios[index].lbn, self.vios[index].old.pbn());
        self.park(index);
        cx.request_swap(SwapRequest { vio: VioRef { shard: cx.id, index }, lbn, pbn });
    }

    /// Parks a write: it releases everything that it holds.
    pub(super) fn park(&mut self, index: u32) {
        self.mark_blocked(index);
        let vio = &mut self.vios[index];
        let lbn = vio.lbn;
        (vio.role, vio.stage, vio.member, vio.awaited) = (Role::Parked, Stage::LbnLock, None, false);
        // The block may be unmapped meanwhile and its leaf page released; the vio would not learn that its old mapping
        // is stale.
        (vio.old, vio.new) = (Mapping::UNMAPPED, Mapping::UNMAPPED);
        if let Some(frame) = vio.page.take() {
            self.map.unpin(frame);
        }
        if let Some(bounce) = self.vios[index].data.take() {
            self.retired.push(Retired { piece: NONE, result: Ok(()), bounce: Some(bounce) });
        }
        self.unlock(lbn);
    }

    /// A write has failed that may be part of a swap, which has ended then. Ends the write if it is still parked;
    /// returns false if it is not.
    pub(super) fn ends_parked(&mut self, cx: &mut Context<'_, E>, index: u32, error: RequestError) -> bool {
        let vio = &mut self.vios[index];
        if vio.role != Role::Parked {
            if matches!(vio.role, Role::Requester { .. }) {
                vio.role = Role::Done;
            }
            return false;
        }
        let (piece, is_discard) = (vio.piece, vio.operation.is_discard());
        self.discards -= usize::from(is_discard);
        self.mark_blocked(index);
        self.vios.release(index);
        self.block_done(cx, piece, Err(error));
        true
    }

    /// Locks a block for a swap of the compressed block `pbn`: with the parked data_vio `vio`, or with a new one.
    pub(super) fn hold(&mut self, cx: &mut Context<'_, E>, (swap, pbn): (u32, Pbn), lbn: Lbn, vio: Option<u32>) {
        let index = vio.unwrap_or_else(|| {
            self.holds += 1;
            self.vios.acquire(DataVio::neighbour(lbn, swap, pbn)).expect("data_vios are kept for swaps")
        });
        if vio.is_some() {
            self.vios[index].role = Role::Requester { swap, pbn };
        }
        self.mark_runnable(index);
        self.lock(cx, index);
    }

    /// The mapping of a block to be held is known: the block is held if it is stored in the compressed block.
    pub(super) fn begin_hold(&mut self, cx: &mut Context<'_, E>, index: u32, swap: u32, pbn: Pbn) {
        let vio = &mut self.vios[index];
        if vio.old.is_compressed() && vio.old.pbn() == pbn {
            vio.stage = Stage::Deduping;
            vio.check = vio.old.check();
            let mapping = vio.old;
            self.mark_blocked(index);
            return cx.held(swap, index, Some(mapping));
        }
        if vio.is_own() {
            self.finish(cx, index, Ok(()));
            return cx.held(swap, index, None);
        }
        vio.role = Role::None;
        cx.held(swap, index, None);
        self.mapped(cx, index);
    }

    /// The mapping of a block to be held cannot be read: the swap goes on without the block, or ends with its write.
    pub(super) fn cannot_hold(&mut self, cx: &mut Context<'_, E>, index: u32, swap: u32, error: RequestError) {
        let vio = &mut self.vios[index];
        if !vio.is_own() {
            vio.role = Role::Done;
        }
        self.finish(cx, index, Err(error));
        cx.held(swap, index, None);
    }

    /// All blocks of a swap are held: gets the content of the write that has requested the swap.
    pub(super) fn fill(&mut self, cx: &mut Context<'_, E>, index: u32) {
        self.mark_runnable(index);
        self.vios[index].stage = Stage::Mapped;
        self.bounce(cx, index);
    }

    /// If a swap waits for the content of this write, tells the swapper that there is none: the write needs no room, or
    /// has failed.
    pub(super) fn needs_no_swap(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &mut self.vios[index];
        if let Role::Requester { swap, .. } = vio.role {
            vio.role = Role::Done;
            cx.filled(swap, None);
        }
    }
}
