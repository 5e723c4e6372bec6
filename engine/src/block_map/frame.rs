// SPDX-License-Identifier: BSD-3-Clause

//! One frame of the page cache, but for its entries.

use crate::arena::NONE;
use crate::format::{Mapping, PageId};
use crate::wait_queue::WaitQueue;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameState {
    /// No page.
    Free,
    /// A page that is being loaded.
    Incoming,
    /// A page that does not exist yet; a block for it is being allocated.
    Allocating,
    /// A page.
    Resident,
    /// A page without entries, whose end is being recorded: who reads need not wait, who writes waits for it to be gone.
    Leaving,
}

/// A frame but for its entries: one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct FrameInfo {
    /// The page.
    pub page: PageId,
    /// The entry that leads to it: its block, and its life. Unmapped for a root.
    pub link: Mapping,
    /// If dirty: the oldest journal entry that the page needs beside those of an outgoing image.
    pub oldest: u64,
    /// Link of the dirty list: the page before.
    pub prev: u32,
    /// Link of the dirty list: the page behind.
    pub next: u32,
    /// Requests that wait for the page.
    pub waiters: WaitQueue,
    /// Users that keep the page where it is.
    pub pins: u32,
    /// Entries that are not unmapped.
    pub mapped: u16,
    /// What the frame holds.
    pub state: FrameState,
    /// How often the clock's hand passes by before the page goes.
    pub chances: u8,
    /// Holds changes that no image has.
    pub dirty: bool,
    /// An image of it is being written, or is not durable yet.
    pub outgoing: bool,
    /// Is in the list of pages that may have become holes.
    pub noted: bool,
}

const _: () = assert!(core::mem::size_of::<FrameInfo>() == 64, "a hit is to touch one cache line of the frame");

const LEAF_CHANCES: u8 = 1;
const INTERIOR_CHANCES: u8 = 3;

impl FrameInfo {
    /// A frame without page.
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

    /// True when another page can have the frame at once.
    #[inline]
    pub fn is_evictable(&self) -> bool {
        self.state == FrameState::Resident && self.pins == 0 && !self.dirty && !self.outgoing
    }

    /// True when nothing is below the page, and nobody uses it.
    #[inline]
    pub fn is_hole(&self) -> bool {
        self.mapped == 0 && self.pins == 0 && self.state == FrameState::Resident && !self.page.is_root()
    }

    /// Counts as a use of the page.
    #[inline]
    pub fn renew_chances(&mut self) {
        self.chances = if self.page.is_leaf() { LEAF_CHANCES } else { INTERIOR_CHANCES };
    }
}
