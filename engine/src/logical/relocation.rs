// SPDX-License-Identifier: BSD-3-Clause

//! Relocations: stored blocks that the volume itself stores in another place ([`crate::packing::relocator`]).
//!
//! Each relocation is a data_vio without a piece. It takes the LBN lock like a write, so no client sees it half done.
//! It ends at once if the block is no longer at the expected location. A failure is not reported, because the content
//! stays where it was.
//!
//! The relocation of a repack candidate ([`crate::packing::candidates`]) is expected by a bin of the packer, perhaps by
//! fragments of clients in it. It never waits for anything that a client holds, since that client might wait for the
//! bin: it ends instead.

use super::data_vio::DataVio;
use super::LogicalZone;
use crate::context::Context;
use crate::env::Env;
use crate::format::{Mapped, MappingState, PageId};
use crate::units::Lbn;

/// A block to be relocated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relocation {
    lbn: Lbn,
    /// The expected location.
    location: Mapped,
}

/// Whether a block at this location is a repack candidate.
fn is_expected(location: Mapped) -> bool {
    location.state == MappingState::Uncompressed
}

impl<E: Env> LogicalZone<E> {
    /// Queues a block for relocation if it still is at `location`. Answered by [`Context::relocated`].
    pub fn relocate(&mut self, lbn: Lbn, location: Mapped) {
        self.relocations.push_back(Relocation { lbn, location });
    }

    /// Whether a block is locked, or its whole leaf page is owned by a range operation.
    fn is_taken(&self, lbn: Lbn) -> bool {
        self.locks.is_locked(lbn) || self.page_has_range(PageId::leaf_of(lbn).index)
    }

    /// Starts relocations, as long as most data_vios are left to clients. Returns whether there was progress.
    pub(super) fn begin_relocations(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        while let Some(&Relocation { lbn, location }) = self.relocations.front() {
            if cx.is_read_only() || (is_expected(location) && self.is_taken(lbn)) {
                cx.relocated(location.pbn);
            } else if self.has_vio() && self.vios.in_use() <= self.vios.capacity() / 2 {
                let vio = self.vios.acquire(DataVio::relocation(lbn, location)).expect("availability was checked");
                self.mark_runnable(vio);
                self.lock(cx, vio);
            } else if is_expected(location) {
                cx.relocated(location.pbn);
            } else {
                break;
            }
            self.relocations.pop_front();
            progress = true;
        }
        progress
    }

    /// The mapping is known: gets a bounce block if the block is still at the expected location.
    pub(super) fn begin_move(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &self.vios[index];
        let must_wait = self.bounce.is_empty() && is_expected(vio.new.location());
        if vio.old.location() == vio.new.location() && !must_wait {
            self.bounce(cx, index);
        } else {
            self.finish(cx, index, Ok(()));
        }
    }
}
