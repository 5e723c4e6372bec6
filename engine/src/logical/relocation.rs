// SPDX-License-Identifier: BSD-3-Clause

//! Blocks that the volume itself stores in another place ([`crate::packing::relocator`]).
//!
//! Each is a data_vio without a piece. It takes the LBN lock like a write, so no client sees it half done; it ends at once
//! if the block is no longer where it was said to be; and nobody is told if it fails, because its content stays where it
//! was.
//!
//! A block that was called back ([`crate::packing::candidates`]) is expected, by fragments of clients perhaps. It waits for nothing that
//! a client has, who might wait for it: it ends instead.

use super::data_vio::DataVio;
use super::LogicalZone;
use crate::context::Context;
use crate::env::Env;
use crate::format::{Mapped, MappingState, PageId};
use crate::units::Lbn;

/// A block to be stored in another place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relocation {
    lbn: Lbn,
    /// Where it was stored.
    location: Mapped,
}

/// Whether a block that is stored there was called back.
fn is_expected(location: Mapped) -> bool {
    location.state == MappingState::Uncompressed
}

impl<E: Env> LogicalZone<E> {
    /// Takes a block that is to be stored in another place if it still is at `location`. Answered by
    /// [`Context::relocated`].
    pub fn relocate(&mut self, lbn: Lbn, location: Mapped) {
        self.relocations.push_back(Relocation { lbn, location });
    }

    /// Whether somebody has a block's lock, or its whole leaf page.
    fn is_taken(&self, lbn: Lbn) -> bool {
        self.locks.is_locked(lbn) || self.page_has_range(PageId::leaf_of(lbn).index)
    }

    /// Begins relocations, as long as most data_vios are left to clients. Returns whether any began.
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

    /// The mapping is known: get memory for the content if it is the one that is meant.
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
