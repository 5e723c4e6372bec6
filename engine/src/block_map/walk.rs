// SPDX-License-Identifier: BSD-3-Clause

//! The walk of a request down a tree, page by page.
//!
//! Each time the page that a request waits for has arrived, the walk searches again from the leaf upwards for the
//! nearest page in the cache. So a request keeps no state of its walk, and pins no page on the path.

use super::frame::FrameState;
use super::requests::{Lack, Request};
use super::{BlockMap, Fetch, Frame, MapEvent, Purpose};
use crate::arena::NONE;
use crate::error::RequestError;
use crate::format::{Mapping, PageId};

/// Result of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The leaf page, pinned.
    Page(u32),
    /// An entry on the path shows that the leaf page does not exist.
    NoPage,
    /// The request fails.
    Failed(RequestError),
    /// The request waits in the queue of a frame.
    Waits,
    /// The request lacks a resource, and is in no queue yet.
    Starved(Lack),
}

impl<Buf: Copy> BlockMap<Buf> {
    /// [`BlockMap::fetch`] of a page that is not resident in the cache.
    #[cold]
    pub(super) fn fetch_absent(&mut self, leaf: PageId, purpose: Purpose, waiter: u32) -> Fetch {
        let request = Request { leaf, purpose, waiter, ..Request::NONE };
        let request = self.requests.acquire(request).expect("no more users than was said");
        match self.step(request) {
            Step::NoPage => {
                self.requests.release(request);
                Fetch::NoPage
            }
            step => {
                self.settle(request, step);
                Fetch::Wait
            }
        }
    }

    /// The topmost missing page on the path to a leaf, as far as cached pages tell.
    #[must_use]
    pub fn absent(&self, leaf: PageId) -> Option<PageId> {
        let mut page = leaf;
        loop {
            let (parent, slot) = page.parent()?;
            match self.frames.find(page).map(|frame| self.frames.info(frame).state) {
                // A page being allocated does not exist yet, a leaving page is as good as gone.
                Some(FrameState::Allocating | FrameState::Leaving) => return Some(page),
                Some(_) => return None,
                None => {}
            }
            if let Some(frame) = self.frames.find_resident(parent) {
                return (self.frames.entries.get(frame, slot) == Mapping::UNMAPPED.to_raw()).then_some(page);
            }
            page = parent;
        }
    }

    /// Advances a request as far as possible now.
    pub(super) fn step(&mut self, request: u32) -> Step {
        let Request { leaf, purpose, .. } = self.requests[request];
        let mut page = leaf;
        let mut below = None;
        let frame = loop {
            if let Some(frame) = self.frames.find(page) {
                break frame;
            }
            let Some((parent, slot)) = page.parent() else {
                return self.load(request, page, Mapping::UNMAPPED);
            };
            below = Some((page, slot));
            page = parent;
        };
        match (self.frames.info(frame).state, below) {
            (FrameState::Resident, None) => {
                self.frames.pin(frame);
                Step::Page(frame)
            }
            (FrameState::Resident, Some((child, slot))) => self.step_below(request, frame, (child, slot)),
            (FrameState::Incoming, _) => {
                self.counts.wait_for_page += 1;
                self.join(request, frame)
            }
            // A page being allocated does not exist yet for requests that create none; a leaving page is a hole.
            (FrameState::Allocating | FrameState::Leaving, _) if purpose != Purpose::Write => Step::NoPage,
            (FrameState::Allocating | FrameState::Leaving, _) => {
                self.counts.wait_for_page += 1;
                self.join(request, frame)
            }
            (FrameState::Free, _) => unreachable!("the table names no free frames"),
        }
    }

    /// Advances a request from a cached page to the child that is not cached.
    fn step_below(&mut self, request: u32, frame: u32, (child, slot): (PageId, usize)) -> Step {
        self.frames.renew(frame);
        let entry = Mapping::from_raw(self.frames.entries.get(frame, slot));
        if !entry.is_unmapped() {
            return self.load(request, child, entry);
        }
        match self.requests[request].purpose {
            Purpose::Read | Purpose::Discard => Step::NoPage,
            Purpose::Write if self.read_only => Step::Failed(RequestError::ReadOnly),
            Purpose::Write => self.allocate(request, frame, child),
        }
    }

    /// Queues a request for the page of a frame.
    pub(super) fn join(&mut self, request: u32, frame: u32) -> Step {
        self.frames.waiters(frame).push(&mut self.requests, request);
        Step::Waits
    }

    /// Handles the result of a walk.
    pub(super) fn settle(&mut self, request: u32, step: Step) {
        if self.requests[request].waiter == NONE {
            return self.settle_own(request, step);
        }
        match step {
            Step::Waits => {}
            Step::Starved(lack) => self.starve(request, lack),
            Step::Page(frame) => self.answer(request, |waiter| MapEvent::Ready { waiter, frame: Frame(frame) }),
            Step::NoPage => self.answer(request, |waiter| MapEvent::NoPage { waiter }),
            Step::Failed(error) => self.answer(request, |waiter| MapEvent::Failed { waiter, error }),
        }
    }

    /// Queues a request for the resource that it lacks.
    pub(super) fn starve(&mut self, request: u32, lack: Lack) {
        self.counts.cache_pressure += u64::from(lack == Lack::Frame);
        self.starved.of(lack).push(&mut self.requests, request);
    }

    fn answer(&mut self, request: u32, event: impl FnOnce(u32) -> MapEvent) {
        self.events.push_back(event(self.requests[request].waiter));
        self.requests.release(request);
    }

    /// The page of a frame has arrived: wakes up the requests that wait for it.
    pub(super) fn wake(&mut self, frame: u32) {
        // Pin the page: otherwise the first request could evict it for the next page that it needs.
        self.frames.pin(frame);
        let mut queue = self.frames.waiters(frame).take();
        while let Some(request) = queue.pop(&mut self.requests) {
            let step = self.step(request);
            self.settle(request, step);
        }
        self.let_go(frame);
    }

    /// The page of a frame cannot be loaded or created: fails the requests that wait for it, and frees the frame.
    pub(super) fn abandon(&mut self, frame: u32, error: RequestError) {
        let mut queue = self.frames.waiters(frame).take();
        self.frames.release(frame);
        while let Some(request) = queue.pop(&mut self.requests) {
            self.settle(request, Step::Failed(error));
        }
    }

    /// Resumes the requests that lacked a resource, oldest first, while the resource lasts. Returns whether any was
    /// resumed. A request that still lacks the resource goes to the end of the queue.
    pub(super) fn feed_starved(&mut self) -> bool {
        self.feed(Lack::Allocation) | self.feed(Lack::Frame)
    }

    fn feed(&mut self, lack: Lack) -> bool {
        let mut fed = false;
        while self.has(lack) {
            let Some(request) = self.starved.of(lack).pop(&mut self.requests) else { break };
            let step = self.step(request);
            if step == Step::Starved(lack) {
                self.starved.of(lack).push(&mut self.requests, request);
                break;
            }
            self.settle(request, step);
            fed = true;
        }
        fed
    }

    fn has(&self, lack: Lack) -> bool {
        match lack {
            Lack::Frame => self.frames.available() > 0,
            // In a read-only map no allocation will be released, and the waiting requests must get their answer.
            Lack::Allocation => self.allocations.available() > 0 || self.read_only,
        }
    }
}
