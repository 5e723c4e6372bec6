// SPDX-License-Identifier: BSD-3-Clause

//! The frames of the page cache: the page in each, its state, and the choice of the page to be evicted.
//!
//! ```text
//!  Free --> Incoming ---> Resident ---> Free           Incoming --> Free        (load failed)
//!  Free --> Allocating -> Resident                     Allocating --> Free      (no space, or refused)
//!  Resident -> Leaving -> Free                         Leaving ---> Resident    (refused)
//! ```
//! A resident page may be dirty, and it may be OUTGOING: an image of it is being written. Since the image is a copy,
//! the page can be read and changed meanwhile; it is then both dirty and outgoing. Differs from dm-vdo: there is no
//! FAILED state, a frame whose load failed is free at once; and writers do not wait for an outgoing page.
//!
//! Eviction is by second chances (CLOCK): a hit writes only the frame's own cache line, and no list. Interior pages,
//! each of which leads to 504 others, have more chances than leaves.
//!
//! Invariants: the table contains exactly the frames that are not free; a page has at most one frame; `evictable`
//! counts the frames whose page is resident, clean, not outgoing and not pinned.

use hashbrown::HashTable;

use super::dirty_list::DirtyList;
use super::frame::{FrameInfo, FrameState};
use super::page_memory::PageMemory;
use crate::arena::NONE;
use crate::format::{Mapping, PageId};
use crate::wait_queue::WaitQueue;

#[inline]
fn hash(page: PageId) -> u64 {
    let product = (page.index << 2 | u64::from(page.level)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

/// All frames of a cache and the lists over them.
#[derive(Debug)]
pub(super) struct Frames {
    info: Vec<FrameInfo>,
    /// The entries of the pages in the frames.
    pub entries: PageMemory,
    table: HashTable<u32>,
    free: Vec<u32>,
    /// Configured number of frames; there are more while the cache shrinks.
    limit: usize,
    hand: usize,
    evictable: usize,
    dirty: DirtyList,
    /// Number of pages with an image in flight.
    outgoing: usize,
    /// Number of pages with an image in flight that were changed since.
    dirty_again: usize,
    /// Number of pages being loaded or allocated.
    incoming: usize,
}

impl Frames {
    /// Frames for `limit` pages, all free.
    pub fn new(limit: usize) -> Frames {
        let mut frames = Frames {
            info: Vec::new(),
            entries: PageMemory::default(),
            table: HashTable::new(),
            free: Vec::new(),
            limit: 0,
            hand: 0,
            evictable: 0,
            dirty: DirtyList::new(),
            outgoing: 0,
            dirty_again: 0,
            incoming: 0,
        };
        frames.set_limit(limit);
        frames
    }

    /// Changes the number of frames. They grow at once, and shrink as soon as [`Frames::trim`] finds the last ones
    /// unused. Allocates.
    pub fn set_limit(&mut self, limit: usize) {
        assert!(limit < NONE as usize, "a cache has fewer than 2^32 - 1 pages");
        let former = std::mem::replace(&mut self.limit, limit);
        self.free.retain(|&frame| (frame as usize) < limit);
        let there = self.info.len();
        if limit > there {
            self.info.reserve_exact(limit - there);
            self.info.resize(limit, FrameInfo::FREE);
            self.entries.resize(limit);
            // The table has twice the needed capacity, so that it is rehashed in place and never grows.
            self.table.reserve(2 * limit - self.table.len(), |&frame| hash(self.info[frame as usize].page));
            self.free.reserve(limit - self.free.len());
        }
        // In descending order: frames are taken from the end of the list, so the lowest is used first.
        let added = (former..limit).rev().filter(|&frame| self.info[frame].state == FrameState::Free);
        self.free.extend(added.map(|frame| frame as u32));
        self.trim();
    }

    /// True while there are more frames than the limit.
    pub fn is_shrinking(&self) -> bool {
        self.info.len() > self.limit
    }

    /// Removes the last frames while they are unused, down to the limit. Returns whether any were removed.
    pub fn trim(&mut self) -> bool {
        let before = self.info.len();
        while self.is_shrinking() {
            let last = self.info.len() - 1;
            if self.info[last].is_evictable() {
                self.forget(last as u32);
            } else if self.info[last].state != FrameState::Free {
                break;
            }
            self.info.pop();
        }
        if self.info.len() < before {
            self.entries.resize(self.info.len());
            self.hand %= self.info.len();
        }
        self.info.len() < before
    }

    /// A frame without its entries.
    #[inline]
    pub fn info(&self, frame: u32) -> &FrameInfo {
        &self.info[frame as usize]
    }

    /// The requests that wait for the page of a frame.
    pub fn waiters(&mut self, frame: u32) -> &mut WaitQueue {
        &mut self.info[frame as usize].waiters
    }

    /// The frame of a page, in any state.
    #[inline]
    pub fn find(&self, page: PageId) -> Option<u32> {
        self.table.find(hash(page), |&frame| self.info[frame as usize].page == page).copied()
    }

    /// The frame of a page if the page is resident.
    #[inline]
    pub fn find_resident(&self, page: PageId) -> Option<u32> {
        self.find(page).filter(|&frame| self.info(frame).state == FrameState::Resident)
    }

    /// Changes a frame and updates the number of evictable frames.
    #[inline]
    fn change(&mut self, frame: u32, change: impl FnOnce(&mut FrameInfo)) {
        let info = &mut self.info[frame as usize];
        let before = usize::from(info.is_evictable());
        change(info);
        self.evictable = self.evictable + usize::from(info.is_evictable()) - before;
    }

    /// Keeps a page in its frame, and records a use of the page.
    #[inline]
    pub fn pin(&mut self, frame: u32) {
        self.change(frame, |info| {
            info.pins += 1;
            info.renew_chances();
        });
    }

    /// Undoes one [`Frames::pin`].
    #[inline]
    pub fn unpin(&mut self, frame: u32) {
        self.change(frame, |info| {
            assert!(info.pins > 0, "{:?} is unpinned but not pinned", info.page);
            info.pins -= 1;
        });
    }

    /// Records a use of a page.
    pub fn renew(&mut self, frame: u32) {
        self.info[frame as usize].renew_chances();
    }

    /// Number of frames that are free or evictable.
    pub fn available(&self) -> usize {
        self.free.len() + self.evictable
    }

    /// Takes a frame for a page that has none: a free one, or that of a page evicted by the clock. `None` if all are in
    /// use.
    pub fn acquire(&mut self, page: PageId, state: FrameState) -> Option<u32> {
        let frame = match self.free.pop() {
            Some(frame) => frame,
            None => self.evict()?,
        };
        self.info[frame as usize] = FrameInfo { page, state, ..FrameInfo::FREE };
        self.incoming += 1;
        self.table.insert_unique(hash(page), frame, |&frame| hash(self.info[frame as usize].page));
        Some(frame)
    }

    /// Frees a frame whose page could not be loaded or allocated.
    pub fn release(&mut self, frame: u32) {
        debug_assert!(self.info(frame).state != FrameState::Resident, "pages go by eviction");
        self.incoming -= 1;
        self.forget(frame);
        if (frame as usize) < self.limit {
            self.free.push(frame);
        }
    }

    /// The page of a frame is loaded or created, with `mapped` mapped entries.
    pub fn arrive(&mut self, frame: u32, mapped: u16) {
        self.incoming -= 1;
        self.change(frame, |info| {
            info.state = FrameState::Resident;
            info.mapped = mapped;
            info.renew_chances();
        });
    }

    /// Sets the parent's entry for the page of a frame.
    pub fn set_link(&mut self, frame: u32, link: Mapping) {
        self.info[frame as usize].link = link;
    }

    /// Sets whether the page of a frame is in the list of pages that may have become holes.
    pub fn set_noted(&mut self, frame: u32, noted: bool) {
        self.info[frame as usize].noted = noted;
    }

    /// A hole without an image in flight is being released: it is not written any more.
    pub fn leave(&mut self, frame: u32) {
        debug_assert!(self.info(frame).is_hole() && !self.info(frame).outgoing, "{:?} is in use", self.info(frame));
        self.change(frame, |info| info.state = FrameState::Leaving);
    }

    /// The release of a page was refused: the page stays.
    pub fn stay(&mut self, frame: u32) {
        self.change(frame, |info| info.state = FrameState::Resident);
    }

    /// A released page is gone; its changes need no image any more.
    pub fn dissolve(&mut self, frame: u32) {
        debug_assert!(self.info(frame).state == FrameState::Leaving, "{:?} is in use", self.info(frame));
        if self.info(frame).dirty {
            self.dirty.remove(&mut self.info, frame);
        }
        self.forget(frame);
        if (frame as usize) < self.limit {
            self.free.push(frame);
        }
    }

    /// Changes the number of mapped entries.
    #[inline]
    pub fn add_mapped(&mut self, frame: u32, more: i16) {
        let info = &mut self.info[frame as usize];
        info.mapped = info.mapped.wrapping_add_signed(more);
    }

    fn evict(&mut self) -> Option<u32> {
        while self.evictable > 0 {
            let frame = self.hand as u32;
            self.hand = if self.hand + 1 < self.info.len() { self.hand + 1 } else { 0 };
            let info = &mut self.info[frame as usize];
            if !info.is_evictable() {
                continue;
            }
            if info.chances > 0 {
                info.chances -= 1;
                continue;
            }
            self.forget(frame);
            if (frame as usize) < self.limit {
                return Some(frame);
            }
        }
        None
    }

    /// Detaches a frame from its page.
    fn forget(&mut self, frame: u32) {
        let page = self.info(frame).page;
        let Ok(entry) = self.table.find_entry(hash(page), |&other| other == frame) else {
            panic!("{page:?} is not in the table of frames");
        };
        entry.remove();
        self.change(frame, |info| info.state = FrameState::Free);
    }

    /// A page has a change that needs journal entry `entry`. Entries come in ascending order.
    #[inline]
    pub fn mark_dirty(&mut self, frame: u32, entry: u64) {
        if self.info(frame).dirty {
            return;
        }
        self.dirty_again += usize::from(self.info(frame).outgoing);
        self.change(frame, |info| {
            info.dirty = true;
            info.oldest = entry;
        });
        self.dirty.push(&mut self.info, frame);
    }

    /// The first page at or after `from` in the dirty list that can be written: it is neither outgoing nor being
    /// released.
    pub fn first_to_write(&self, from: u32) -> Option<u32> {
        let mut frame = from;
        while frame != NONE && (self.info(frame).outgoing || self.info(frame).state == FrameState::Leaving) {
            frame = self.info(frame).next;
        }
        (frame != NONE).then_some(frame)
    }

    /// The page that has been dirty longest, or [`NONE`].
    pub fn dirty_head(&self) -> u32 {
        self.dirty.head()
    }

    /// An image with all changes of a page has been made. Returns the oldest entry that these changes need.
    pub fn begin_write(&mut self, frame: u32) -> u64 {
        debug_assert!(self.info(frame).dirty && !self.info(frame).outgoing, "one image at a time");
        self.dirty.remove(&mut self.info, frame);
        self.change(frame, |info| {
            info.dirty = false;
            info.outgoing = true;
        });
        self.outgoing += 1;
        self.info(frame).oldest
    }

    /// The image of a page is durable.
    pub fn end_write(&mut self, frame: u32) {
        debug_assert!(self.info(frame).outgoing, "no image of {:?} is under way", self.info(frame).page);
        self.dirty_again -= usize::from(self.info(frame).dirty);
        self.change(frame, |info| info.outgoing = false);
        self.outgoing -= 1;
    }

    /// The write of a page's image failed; the page still needs the journal from `oldest` on.
    pub fn fail_write(&mut self, frame: u32, oldest: u64) {
        if self.info(frame).dirty {
            self.dirty_again -= 1;
            self.dirty.remove(&mut self.info, frame);
        }
        self.change(frame, |info| {
            info.dirty = true;
            info.outgoing = false;
            info.oldest = oldest;
        });
        self.outgoing -= 1;
        self.dirty.insert(&mut self.info, frame);
    }

    /// Number of pages with changes that are in no image.
    pub const fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// Number of these pages that are not outgoing.
    pub const fn dirty_not_outgoing(&self) -> usize {
        self.dirty.len() - self.dirty_again
    }

    /// Number of pages with an image in flight.
    pub const fn outgoing(&self) -> usize {
        self.outgoing
    }

    /// Number of pages being loaded or allocated.
    pub const fn incoming(&self) -> usize {
        self.incoming
    }

    /// Number of frames without a page.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Number of frames with a page, in any state.
    pub fn used(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// No two of a volume's first pages have the same hash, whatever their levels: neighbours are mostly cached together.
    #[test]
    fn neighbours_have_hashes_of_their_own() {
        let pages = (0..1000).flat_map(|index| (0..4).map(move |level| PageId { level, index }));
        assert_eq!(pages.map(hash).collect::<HashSet<_>>().len(), 4000);
    }
}
