// SPDX-License-Identifier: BSD-3-Clause

//! The way of a request down a tree, page by page.
//!
//! Each time the page that it waited for has come, a request looks again from its leaf upwards for the nearest page in
//! the cache. So nothing needs to be remembered of the way, and no page on it needs to stay for the request.

use super::frame::FrameState;
use super::requests::{Lack, Request};
use super::{BlockMap, Fetch, Frame, MapEvent, Purpose};
use crate::arena::NONE;
use crate::error::RequestError;
use crate::format::{Mapping, PageId};

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// At its leaf page, pinned.
    Page(u32),
    /// At an entry that says that there is no page further down.
    NoPage,
    /// It cannot go on.
    Failed(RequestError),
    /// It waits in the queue of a frame.
    Waits,
    /// It lacks something, and waits in no queue.
    Starved(Lack),
}

impl<Buf: Copy> BlockMap<Buf> {
    /// [`BlockMap::fetch`] of a page that is not in the cache, or not yet.
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

    /// The topmost page on the way to a leaf that is not there, as far as pages in the cache tell.
    #[must_use]
    pub fn absent(&self, leaf: PageId) -> Option<PageId> {
        let mut page = leaf;
        loop {
            let (parent, slot) = page.parent()?;
            match self.frames.find(page).map(|frame| self.frames.info(frame).state) {
                // What is being made, or goes, is nothing yet, or nothing any more.
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

    /// Takes a request as far as it can go now.
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
            // Until the allocation is committed there is no page for those who do not make one; one that leaves is a hole.
            (FrameState::Allocating | FrameState::Leaving, _) if purpose != Purpose::Write => Step::NoPage,
            (FrameState::Allocating | FrameState::Leaving, _) => {
                self.counts.wait_for_page += 1;
                self.join(request, frame)
            }
            (FrameState::Free, _) => unreachable!("the table names no free frames"),
        }
    }

    /// Takes a request from a page in the cache to the page below it that is not there.
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

    /// Lets a request wait for the page of a frame.
    pub(super) fn join(&mut self, request: u32, frame: u32) -> Step {
        self.frames.waiters(frame).push(&mut self.requests, request);
        Step::Waits
    }

    /// Acts on how far a request has come.
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

    /// Lets a request wait for what it lacks.
    pub(super) fn starve(&mut self, request: u32, lack: Lack) {
        self.counts.cache_pressure += u64::from(lack == Lack::Frame);
        self.starved.of(lack).push(&mut self.requests, request);
    }

    fn answer(&mut self, request: u32, event: impl FnOnce(u32) -> MapEvent) {
        self.events.push_back(event(self.requests[request].waiter));
        self.requests.release(request);
    }

    /// The page of a frame has come: those who wait for it go on.
    pub(super) fn wake(&mut self, frame: u32) {
        // It must not go for the sake of the page that the first of them needs next.
        self.frames.pin(frame);
        let mut queue = self.frames.waiters(frame).take();
        while let Some(request) = queue.pop(&mut self.requests) {
            let step = self.step(request);
            self.settle(request, step);
        }
        self.let_go(frame);
    }

    /// The page of a frame will not come: those who wait for it have failed, and the frame is free.
    pub(super) fn abandon(&mut self, frame: u32, error: RequestError) {
        let mut queue = self.frames.waiters(frame).take();
        self.frames.release(frame);
        while let Some(request) = queue.pop(&mut self.requests) {
            self.settle(request, Step::Failed(error));
        }
    }

    /// Lets requests that lacked something go on, the first first, as far as there is of it. Returns whether any did.
    /// One that finds that it is still lacking gives way to the others.
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
            // Without allocations there is nobody to give way, and whoever waits is to be told.
            Lack::Allocation => self.allocations.available() > 0 || self.read_only,
        }
    }
}
