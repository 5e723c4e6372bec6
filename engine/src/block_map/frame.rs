// SPDX-License-Identifier: BSD-3-Clause

//! One frame of the page cache, without its entries.

use crate::arena::NONE;
use crate::format::{Mapping, PageId};
use crate::wait_queue::WaitQueue;

/// State of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameState {
    /// Holds no page.
    Free,
    /// The page is being loaded.
    Incoming,
    /// The page does not exist yet; a block for it is being allocated.
    Allocating,
    /// The page is in memory.
    Resident,
    /// The page has no entries, and its release is being recorded: readers need not wait, writers wait until the page
    /// is gone.
    Leaving,
}

/// A frame without its entries: one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct FrameInfo {
    /// The page in the frame.
    pub page: PageId,
    /// The parent's entry for the page: its block and its life number. Unmapped for a root.
    pub link: Mapping,
    /// If dirty: the oldest journal entry that the page needs, not counting those of an outgoing image.
    pub oldest: u64,
    /// Link of the dirty list: the previous page.
    pub prev: u32,
    /// Link of the dirty list: the next page.
    pub next: u32,
    /// Requests that wait for the page.
    pub waiters: WaitQueue,
    /// Number of users that pin the page.
    pub pins: u32,
    /// Number of mapped entries.
    pub mapped: u16,
    /// State of the frame.
    pub state: FrameState,
    /// How often the clock's hand passes before the page is evicted.
    pub chances: u8,
    /// Whether the page has changes that are in no image.
    pub dirty: bool,
    /// Whether an image of the page is being written, or is written but not yet durable.
    pub outgoing: bool,
    /// Whether the page is in the list of pages that may have become holes.
    pub noted: bool,
}

const _: () = assert!(core::mem::size_of::<FrameInfo>() == 64, "a hit is to touch one cache line of the frame");

const LEAF_CHANCES: u8 = 1;
const INTERIOR_CHANCES: u8 = 3;

impl FrameInfo {
    /// A frame without a page.
    pub const FREE: FrameInfo = FrameInfo {
        page: PageId::root(0),
        link: Mapping::UNMAPPED,
        oldest: 0,
        prev: NONE,
        next: NONE,
        waiters: WaitQueue::new(),
        pins: 0,
        mapped: 0,
        state: FrameState::Free,
        chances: 0,
        dirty: false,
        outgoing: false,
        noted: false,
    };

    /// True when the frame can be given to another page at once.
    #[inline]
    pub fn is_evictable(&self) -> bool {
        self.state == FrameState::Resident && self.pins == 0 && !self.dirty && !self.outgoing
    }

    /// True when the page has no mapped entries and no users, and is not a root.
    #[inline]
    pub fn is_hole(&self) -> bool {
        self.mapped == 0 && self.pins == 0 && self.state == FrameState::Resident && !self.page.is_root()
    }

    /// Records a use of the page.
    #[inline]
    pub fn renew_chances(&mut self) {
        self.chances = if self.page.is_leaf() { LEAF_CHANCES } else { INTERIOR_CHANCES };
    }
}
