// SPDX-License-Identifier: BSD-3-Clause

//! Pages go that have become holes: a journal entry, then the parent's entry is cleared and the block is free.
//!
//! A page is noted when it has no entries and its last user lets go of it; also one that was loaded so. From when its entry
//! is appended to when that is committed it is on its way out ([`FrameState::Leaving`]): nothing of it changes, nobody
//! has it, and it is not written. A page that has left the cache meanwhile, or whose parent has, is loaded again first.
//!
//! Invariants:
//! * When the entry is appended, no change of the page waits for the journal: those who make one hold the page. So the
//!   entry is behind all of them, and no other entry of the page is behind it before the page is made anew.
//! * When the block is given back no image of the page is under way, and none will be.
//! * What the page needed of the journal is needed no more: replay leaves out all that lies before the page's end. The
//!   parent needs the entry from now on.
//!
//! Differs from dm-vdo, where a page of the block map stays for ever.

use super::frame::FrameState;
use super::requests::Request;
use super::walk::Step;
use super::{BlockMap, Purpose};
use crate::arena::NONE;
use crate::format::{Mapping, PageId};
use crate::units::Pbn;

/// A page on its way out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Release {
    /// Frame of the parent, pinned.
    parent: u32,
    /// Frame of the page.
    child: u32,
}

impl Release {
    pub const NONE: Release = Release { parent: NONE, child: NONE };
}

/// A page that is to be recorded as gone: answer with [`BlockMap::released`] or [`BlockMap::release_refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Name of the release.
    pub ticket: u32,
    /// The page.
    pub page: PageId,
    /// Its block.
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

    /// True while pages may have to go, or are on their way out.
    #[must_use]
    pub fn is_releasing(&self) -> bool {
        !self.holes.is_empty() || self.releases.in_use() > 0 || self.fetches_own
    }

    /// Forgets which pages may have to go.
    #[cfg(test)]
    pub fn forget_holes(&mut self) {
        self.holes.clear();
    }

    /// Lets the next page go that has become a hole, if there is one that can.
    pub fn begin_release(&mut self) -> Option<Leaving> {
        for _ in 0..self.holes.len() {
            if self.releases.available() == 0 {
                return None;
            }
            let page = self.holes.pop_front()?;
            let Some(child) = self.frames.find_resident(page) else {
                // Not one that is on its way, or gone; one that was evicted is noted again when it has come back.
                if self.frames.find(page).is_none() && !self.fetch_own(page) {
                    self.holes.push_back(page);
                }
                continue;
            };
            // One that is used again is noted another time.
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

    /// Gets a hole, or the page above one, into the cache, if there is such a page; one at a time. Returns whether it is this
    /// one's turn.
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

    /// Acts on how far a request of the map's own has come.
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

    /// The page's entry is committed: it is gone. Those who wait for it to be gone make it anew.
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

    /// The page's entry will not be committed, as writing has ended: it stays.
    pub fn release_refused(&mut self, ticket: u32) {
        let Release { parent, child } = self.releases[ticket];
        self.releases.release(ticket);
        self.frames.stay(child);
        self.let_go(parent);
        self.wake(child);
    }
}
