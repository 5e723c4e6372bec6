// SPDX-License-Identifier: BSD-3-Clause

//! The requests that wait for a leaf page.

use super::Purpose;
use crate::arena::NONE;
use crate::format::PageId;
use crate::wait_queue::{Linked, WaitQueue};

/// A request for a leaf page that is not in the cache. It waits for a page on the path to the leaf, or for a resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub leaf: PageId,
    pub purpose: Purpose,
    /// The caller's number for the request.
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

/// The resource that a request lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// A frame for the next page on the path.
    Frame,
    /// A free allocation.
    Allocation,
}

/// Requests that lack a resource, in order of arrival.
#[derive(Debug)]
pub(super) struct Starved {
    frame: WaitQueue,
    allocation: WaitQueue,
}

impl Starved {
    pub const fn new() -> Starved {
        Starved { frame: WaitQueue::new(), allocation: WaitQueue::new() }
    }

    /// The queue of requests that lack `lack`.
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
