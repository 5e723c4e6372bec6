// SPDX-License-Identifier: BSD-3-Clause

//! New pages: a block, a journal entry, then the parent's entry and an empty page in the cache.
//!
//! The allocation takes the frame of the new page and pins the parent when it starts, so that it cannot lack anything
//! when its entry is committed. Differs from dm-vdo: the caller takes the reference to the block, which follows from
//! the committed journal entry.

use super::frame::FrameState;
use super::requests::Lack;
use super::walk::Step;
use super::{BlockMap, MapEvent};
use crate::arena::NONE;
use crate::error::RequestError;
use crate::format::{Mapped, Mapping, PageId};
use crate::units::Pbn;

/// A page being created.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allocation {
    /// Frame of the parent, which is pinned.
    parent: u32,
    /// Frame of the page.
    child: u32,
    /// The page's block, once allocated.
    pbn: Option<Pbn>,
}

impl Allocation {
    pub const NONE: Allocation = Allocation { parent: NONE, child: NONE, pbn: None };
}

impl<Buf: Copy> BlockMap<Buf> {
    /// Starts to create a page below the one in frame `parent`, for a request.
    pub(super) fn allocate(&mut self, request: u32, parent: u32, page: PageId) -> Step {
        if self.allocations.available() == 0 {
            return Step::Starved(Lack::Allocation);
        }
        self.frames.pin(parent);
        let Some(child) = self.frames.acquire(page, FrameState::Allocating) else {
            self.frames.unpin(parent);
            return Step::Starved(Lack::Frame);
        };
        let allocation = Allocation { parent, child, pbn: None };
        let ticket = self.allocations.acquire(allocation).expect("room was asked for");
        self.events.push_back(MapEvent::Allocate { ticket });
        self.join(request, child)
    }

    /// The answer to [`MapEvent::Allocate`]: a block, or none because there is no space. Without a block, all requests
    /// that wait for the page fail; later ones try again.
    pub fn allocated(&mut self, ticket: u32, pbn: Option<Pbn>) {
        let Some(pbn) = pbn else {
            return self.refused(ticket, RequestError::NoSpace);
        };
        let allocation = &mut self.allocations[ticket];
        assert!(allocation.pbn.is_none(), "allocation {ticket} has its block already");
        allocation.pbn = Some(pbn);
        let page = self.frames.info(allocation.child).page;
        self.events.push_back(MapEvent::Append { ticket, page, pbn });
    }

    /// The answer to [`MapEvent::Append`]: the journal entry, which gives the page this life number, is durable.
    pub fn committed(&mut self, ticket: u32, entry: u64, life: u32) {
        let Allocation { parent, child, pbn } = self.allocations[ticket];
        let pbn = pbn.expect("an allocation is recorded when it has its block");
        self.allocations.release(ticket);
        let (_, slot) = self.frames.info(child).page.parent().expect("roots are not allocated");
        let link = Mapping::new(Mapped::uncompressed(pbn), life);
        let old = self.frames.entries.replace(parent, slot, link.to_raw());
        assert!(old == Mapping::UNMAPPED.to_raw(), "{:?} was allocated twice", self.frames.info(child).page);
        self.frames.add_mapped(parent, 1);
        self.mark_dirty(parent, entry);
        self.frames.unpin(parent);
        self.frames.entries.page_mut(child).fill(Mapping::UNMAPPED.to_raw());
        self.frames.set_link(child, link);
        self.frames.arrive(child, 0);
        self.mark_dirty(child, entry);
        self.map_pages += 1;
        self.wake(child);
    }

    /// Ends an allocation without a page, at any time before it is committed: all requests that wait for the page fail.
    pub fn refused(&mut self, ticket: u32, error: RequestError) {
        let Allocation { parent, child, .. } = self.allocations[ticket];
        self.allocations.release(ticket);
        self.let_go(parent);
        self.abandon(child, error);
    }
}
