// SPDX-License-Identifier: BSD-3-Clause

//! Releases pages that have become holes: a journal entry, then the parent's entry is cleared and the block is free.
//!
//! A page is noted when its last user unpins it and it has no entries; a page that is loaded without entries is noted
//! too. From the append of its entry until the commit, the page is leaving ([`FrameState::Leaving`]): it does not
//! change, has no users, and is not written. If the page, or its parent, was evicted before that, it is loaded again
//! first.
//!
//! Invariants:
//! * When the entry is appended, no change of the page waits for the journal, since whoever makes a change pins the
//!   page. So the entry is after all of them, and no other entry of the page follows it before the page is created
//!   again.
//! * When the block is freed, no image of the page is in flight, and none will be.
//! * The page no longer needs the journal: replay ignores its entries before the release. The parent needs the release
//!   entry from then on.
//!
//! Differs from dm-vdo, where a block-map page stays for ever.

use super::frame::FrameState;
use super::requests::Request;
use super::walk::Step;
use super::{BlockMap, Purpose};
use crate::arena::NONE;
use crate::format::{Mapping, PageId};
use crate::units::Pbn;

/// A page being released.
#[derive(Debug, Clone, Copy)]
pub(super) struct Release {
    /// Frame of the parent, which is pinned.
    parent: u32,
    /// Frame of the page.
    child: u32,
}

impl Release {
    pub const NONE: Release = Release { parent: NONE, child: NONE };
}

/// A page whose release is to be recorded: answer with [`BlockMap::released`] or [`BlockMap::release_refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Identifies the release.
    pub ticket: u32,
    /// The page to be released.
    pub page: PageId,
    /// The block that the page frees.
    pub pbn: Pbn,
}

impl<Buf: Copy> BlockMap<Buf> {
    /// Unpins a page, and notes it if it has become a hole.
    #[inline]
    pub(super) fn let_go(&mut self, frame: u32) {
        self.frames.unpin(frame);
        if self.frames.info(frame).is_hole() {
            self.note_hole(frame);
        }
    }

    #[cold]
    fn note_hole(&mut self, frame: u32) {
        let has_room = self.holes.len() < self.holes.capacity();
        if !self.read_only && !self.frames.info(frame).noted && has_room {
            self.frames.set_noted(frame, true);
            self.holes.push_back(self.frames.info(frame).page);
        }
    }

    /// True while pages may have to be released, or are being released.
    #[must_use]
    pub fn is_releasing(&self) -> bool {
        !self.holes.is_empty() || self.releases.in_use() > 0 || self.fetches_own
    }

    /// Clears the list of pages that may have to be released.
    #[cfg(test)]
    pub fn forget_holes(&mut self) {
        self.holes.clear();
    }

    /// Starts the release of the next page that has become a hole, if one can be released.
    pub fn begin_release(&mut self) -> Option<Leaving> {
        for _ in 0..self.holes.len() {
            if self.releases.available() == 0 {
                return None;
            }
            let page = self.holes.pop_front()?;
            let Some(child) = self.frames.find_resident(page) else {
                // Skip a page that is being loaded or already gone. Fetch an evicted one: it is noted again when it is
                // loaded.
                if self.frames.find(page).is_none() && !self.fetch_own(page) {
                    self.holes.push_back(page);
                }
                continue;
            };
            // A page that is in use again is noted another time.
            self.frames.set_noted(child, false);
            if !self.frames.info(child).is_hole() {
                continue;
            }
            let (above, _) = page.parent().expect("a root is no hole");
            let parent = self.frames.find_resident(above);
            match parent {
                Some(parent) if !self.frames.info(child).outgoing => return self.leave(parent, child),
                Some(_) => {}
                None => {
                    self.fetch_own(above);
                }
            }
            self.note_hole(child);
        }
        None
    }

    fn leave(&mut self, parent: u32, child: u32) -> Option<Leaving> {
        let ticket = self.releases.acquire(Release { parent, child })?;
        self.frames.pin(parent);
        self.frames.leave(child);
        let info = self.frames.info(child);
        Some(Leaving { ticket, page: info.page, pbn: info.link.pbn() })
    }

    /// Loads a hole or its parent into the cache, if that page exists; one page at a time. Returns false if another one
    /// is being loaded.
    fn fetch_own(&mut self, page: PageId) -> bool {
        if self.fetches_own {
            return false;
        }
        let request = Request { leaf: page, purpose: Purpose::Read, waiter: NONE, ..Request::NONE };
        let Some(request) = self.requests.acquire(request) else { return false };
        self.fetches_own = true;
        let step = self.step(request);
        self.settle_own(request, step);
        true
    }

    /// Handles the result of a step of an internal request.
    pub(super) fn settle_own(&mut self, request: u32, step: Step) {
        match step {
            Step::Waits => return,
            Step::Starved(lack) => return self.starve(request, lack),
            Step::Page(frame) => self.let_go(frame),
            Step::NoPage | Step::Failed(_) => {}
        }
        self.requests.release(request);
        self.fetches_own = false;
    }

    /// The release entry is committed: the page is gone. Requests that wait for that create it again.
    pub fn released(&mut self, ticket: u32, entry: u64) {
        let Release { parent, child } = self.releases[ticket];
        self.releases.release(ticket);
        let info = self.frames.info(child);
        debug_assert!(info.state == FrameState::Leaving && info.mapped == 0 && info.pins == 0, "{info:?}");
        let (page, link) = (info.page, info.link);
        let (_, slot) = page.parent().expect("roots stay");
        let old = self.frames.entries.replace(parent, slot, Mapping::UNMAPPED.to_raw());
        assert!(old == link.to_raw(), "{page:?} goes, which is not at {link:?} but at {old:#x}");
        self.frames.add_mapped(parent, -1);
        self.mark_dirty(parent, entry);
        self.map_pages -= 1;
        let mut queue = self.frames.waiters(child).take();
        self.frames.dissolve(child);
        while let Some(request) = queue.pop(&mut self.requests) {
            let step = self.step(request);
            self.settle(request, step);
        }
        self.let_go(parent);
    }

    /// The release entry will not be committed, because the volume is read-only: the page stays.
    pub fn release_refused(&mut self, ticket: u32) {
        let Release { parent, child } = self.releases[ticket];
        self.releases.release(ticket);
        self.frames.stay(child);
        self.let_go(parent);
        self.wake(child);
    }
}
