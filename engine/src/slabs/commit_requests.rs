// SPDX-License-Identifier: BSD-3-Clause

//! Requests of recovery journals to commit their slab journal entries.
//!
//! A recovery journal can drop an entry when every slab journal has the entry's changes on media. The journal asks, and
//! each slab that holds such changes closes its block. Invariant: a request is answered when no slab holds a change up
//! to the requested point; requests of one journal are answered in order.
//!
//! Differs from dm-vdo: a request names a point instead of a journal block, and slabs are not ordered by age.

use std::collections::VecDeque;

use super::depot::SlabDepot;
use super::event::PhysicalEvent;
use super::layout::SlabIndex;
use crate::format::journal_record::Point;
use crate::units::{ShardId, MAX_SHARDS};

/// Requests of one journal that can queue without an allocation.
const REQUESTS: usize = 2;

/// The open requests of all recovery journals.
#[derive(Debug)]
pub(super) struct CommitRequests {
    /// Requested points of each journal, in order; only the first is being served.
    points: [VecDeque<Point>; MAX_SHARDS],
    /// For each journal, the number of slabs that its first request waits for.
    left: [u32; MAX_SHARDS],
}

impl CommitRequests {
    pub fn new() -> CommitRequests {
        CommitRequests { points: core::array::from_fn(|_| VecDeque::with_capacity(REQUESTS)), left: [0; MAX_SHARDS] }
    }
}

impl<Buf: Copy> SlabDepot<Buf> {
    /// Queues a journal's request to commit its changes up to a point.
    pub fn request_commit(&mut self, journal: ShardId, up_to: Point) {
        let points = &mut self.requests.points[journal.index()];
        points.push_back(up_to);
        if points.len() == 1 {
            self.begin_request(journal, up_to);
        }
        self.answer_requests(journal);
    }

    /// Finds the slabs that a request waits for.
    fn begin_request(&mut self, journal: ShardId, up_to: Point) {
        let mut at = 0;
        while let Some(&slab) = self.unsettled.get(at) {
            let state = &mut self.slabs[slab.0 as usize];
            if state.is_settled() {
                state.journal.settle();
                state.unsettled = false;
                self.unsettled.swap_remove(at);
                continue;
            }
            at += 1;
            if state.journal.holds(journal, up_to) {
                state.awaited |= 1 << journal.0;
                self.requests.left[journal.index()] += 1;
                self.schedule(slab);
            }
        }
    }

    /// Answers the requests that wait for no slab.
    fn answer_requests(&mut self, journal: ShardId) {
        let number = journal.index();
        while self.requests.left[number] == 0 {
            let Some(up_to) = self.requests.points[number].pop_front() else { break };
            self.events.push_back(PhysicalEvent::JournalsCommitted { journal, up_to });
            if let Some(&next) = self.requests.points[number].front() {
                self.begin_request(journal, next);
            }
        }
    }

    /// Whether a commit request waits for changes in the block that a slab is filling.
    pub fn is_commit_wanted(&self, slab: SlabIndex) -> bool {
        let state = self.slab(slab);
        if state.awaited == 0 {
            return false;
        }
        (0..MAX_SHARDS as u16).map(ShardId).filter(|journal| state.awaited & 1 << journal.0 != 0).any(|journal| {
            let up_to = self.requests.points[journal.index()].front();
            up_to.is_some_and(|&up_to| state.journal.open_holds(&self.tails, journal, up_to))
        })
    }

    /// Checks which requests a slab no longer holds up, and answers those that are complete.
    pub fn confirm_commits(&mut self, slab: SlabIndex) {
        let state = &mut self.slabs[slab.0 as usize];
        let awaited = state.awaited;
        if awaited == 0 {
            return;
        }
        let settled = state.is_settled();
        for journal in (0..MAX_SHARDS as u16).map(ShardId).filter(|journal| awaited & 1 << journal.0 != 0) {
            let state = &mut self.slabs[slab.0 as usize];
            let up_to = self.requests.points[journal.index()].front();
            if settled || up_to.is_none_or(|&up_to| !state.journal.holds(journal, up_to)) {
                state.awaited &= !(1 << journal.0);
                self.requests.left[journal.index()] -= 1;
                self.answer_requests(journal);
            }
        }
    }
}
