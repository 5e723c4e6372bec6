// SPDX-License-Identifier: BSD-3-Clause

//! Those who wait for a leaf page.

use super::Purpose;
use crate::arena::NONE;
use crate::format::PageId;
use crate::wait_queue::{Linked, WaitQueue};

/// A request for a leaf page that is not in the cache. It waits for a page on the way to it, or for means to get one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub leaf: PageId,
    pub purpose: Purpose,
    /// The caller's number.
    pub waiter: u32,
    pub next: u32,
}

impl Request {
    pub const NONE: Request = Request { leaf: PageId::root(0), purpose: Purpose::Read, waiter: NONE, next: NONE };
}

impl Linked for Request {
    fn link(&mut self) -> &mut u32 {
        &mut self.next
    }

    fn next(&self) -> u32 {
        self.next
    }
}

/// What a request can lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// A frame for the next page on its way.
    Frame,
    /// Room for another allocation.
    Allocation,
}

/// Requests that lack something, in order of arrival.
#[derive(Debug)]
pub(super) struct Starved {
    frame: WaitQueue,
    allocation: WaitQueue,
}

impl Starved {
    /// None.
    pub const fn new() -> Starved {
        Starved { frame: WaitQueue::new(), allocation: WaitQueue::new() }
    }

    /// Those that lack something.
    pub fn of(&mut self, lack: Lack) -> &mut WaitQueue {
        match lack {
            Lack::Frame => &mut self.frame,
            Lack::Allocation => &mut self.allocation,
        }
    }

    /// True when no request lacks a frame.
    pub const fn frames_suffice(&self) -> bool {
        self.frame.is_empty()
    }
}
