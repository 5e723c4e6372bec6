// SPDX-License-Identifier: BSD-3-Clause

//! Unmaps of many leaf pages: skips pages that the block map knows not to exist, whole subtrees at a time.
//!
//! A sweep walks its trees one after the other. A page that may exist is unmapped as a piece of its own, a few at a
//! time. Pages created behind the sweep are left alone, as if the write came after the unmap. A flush does not wait for
//! a sweep, only for those of its pieces that are already in flight.
//!
//! Invariants: a sweep stops between two pages, for a pause ([`LogicalZone::set_sweeping`]) or for good
//! ([`LogicalZone::abort_sweeps`]); it is answered once, after its last piece; one poll visits at most [`STEPS`] pages
//! and subtrees.

use super::{LogicalZone, PieceState};
use crate::context::Context;
use crate::env::Env;
use crate::error::RequestError;
use crate::format::{PageId, ROOTS};
use crate::request::{Operation, Piece, Sweep};
use crate::units::{Lbn, ShardId, ENTRIES_PER_LEAF_PAGE};

/// Pages and subtrees that sweeps visit in one poll.
const STEPS: u32 = 4096;

/// Pieces of one sweep in flight at once.
const SWEEP_PIECES: u32 = 8;

/// A sweep in progress.
#[derive(Debug, Clone)]
pub(super) struct SweepState<Client> {
    sweep: Sweep<Client>,
    /// The current tree; [`ROOTS`] when the walk has ended.
    tree: u64,
    /// The next leaf page in the tree.
    next: u64,
    /// Pieces in flight.
    in_flight: u32,
    error: Option<RequestError>,
}

/// The first leaf page of a tree at or after page `from`.
const fn first_of_tree(tree: u64, from: u64) -> u64 {
    from + (tree + ROOTS - from % ROOTS) % ROOTS
}

/// The first leaf page of the same tree after the subtree of a page.
const fn behind(page: PageId) -> u64 {
    let leaves = ENTRIES_PER_LEAF_PAGE.pow(page.level as u32);
    (page.index / ROOTS + 1) * leaves * ROOTS + page.tree()
}

impl<Client> SweepState<Client> {
    fn new(sweep: Sweep<Client>, shard: ShardId) -> SweepState<Client> {
        let tree = u64::from(shard.0);
        let next = first_of_tree(tree, sweep.first);
        SweepState { sweep, tree, next, in_flight: 0, error: None }
    }

    /// The next leaf page to visit in the trees of this shard, one of `shards`; `None` at the end.
    fn page(&mut self, shards: usize) -> Option<PageId> {
        while self.tree < ROOTS && self.next >= self.sweep.end {
            self.tree += shards as u64;
            self.next = first_of_tree(self.tree, self.sweep.first);
        }
        (self.tree < ROOTS).then_some(PageId { level: 0, index: self.next })
    }

    fn stop(&mut self, error: RequestError) {
        self.tree = ROOTS;
        self.error.get_or_insert(error);
    }
}

impl<E: Env> LogicalZone<E> {
    /// True when a sweep can be accepted.
    pub fn can_accept_sweep(&self) -> bool {
        self.sweeps.available() > 0
    }

    /// Accepts a sweep.
    ///
    /// # Panics
    /// If there is no room ([`LogicalZone::can_accept_sweep`]).
    pub fn accept_sweep(&mut self, cx: &Context<'_, E>, sweep: Sweep<E::Client>) {
        let mut state = SweepState::new(sweep, cx.id);
        let first = Lbn(sweep.first * ENTRIES_PER_LEAF_PAGE);
        let blocks = sweep.end.saturating_sub(sweep.first) * ENTRIES_PER_LEAF_PAGE;
        if !cx.geometry.contains(first, blocks) {
            state.stop(RequestError::OutOfRange);
        } else if cx.is_read_only() {
            state.stop(RequestError::ReadOnly);
        }
        let index = self.sweeps.acquire(Some(state)).expect("the host asks before it submits");
        self.waiting_sweeps.push_back(index);
    }

    /// Continues or suspends all sweeps.
    pub fn set_sweeping(&mut self, sweeping: bool) {
        self.sweeping = sweeping;
    }

    /// Aborts all sweeps at their current page.
    pub fn abort_sweeps(&mut self) {
        for &index in &self.waiting_sweeps {
            self.sweeps[index].as_mut().expect("a sweep in use").stop(RequestError::Aborted);
        }
    }

    /// A poll begins: sweeps get new steps.
    pub fn begin_turn(&mut self) {
        self.sweep_steps = STEPS;
    }

    /// Advances all sweeps as far as possible now. Returns whether there was progress.
    pub(super) fn sweep(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        for _ in 0..self.waiting_sweeps.len() {
            let Some(index) = self.waiting_sweeps.pop_front() else { break };
            progress |= self.sweep_on(cx, index);
            let is_over = {
                let state = self.sweeps[index].as_ref().expect("a sweep in use");
                state.tree >= ROOTS && state.in_flight == 0
            };
            if is_over {
                let state = self.sweeps[index].take().expect("a sweep in use");
                self.sweeps.release(index);
                cx.env.complete(state.sweep.client, state.error.map_or(Ok(()), Err));
                progress = true;
            } else {
                self.waiting_sweeps.push_back(index);
            }
        }
        progress
    }

    fn sweep_on(&mut self, cx: &mut Context<'_, E>, index: u32) -> bool {
        let mut progress = false;
        while self.sweeping && self.sweep_steps > 0 {
            let state = self.sweeps[index].as_mut().expect("a sweep in use");
            let Some(page) = state.page(cx.geometry.shards()) else { break };
            if let Some(absent) = self.map.absent(page) {
                state.next = behind(absent);
            } else if state.in_flight < SWEEP_PIECES && self.pieces.available() > self.pieces.capacity() / 2 {
                state.next = behind(page);
                state.in_flight += 1;
                let client = state.sweep.client;
                self.unmap_page(cx, index, client, page);
            } else {
                break;
            }
            self.sweep_steps -= 1;
            progress = true;
        }
        progress
    }

    /// Starts the unmap of a whole leaf page for a sweep.
    fn unmap_page(&mut self, cx: &mut Context<'_, E>, sweep: u32, client: E::Client, page: PageId) {
        let blocks = ENTRIES_PER_LEAF_PAGE as u16;
        let piece = Piece { client, operation: Operation::Unmap, lbn: page.first_lbn(), blocks, skip: 0, cut: 0 };
        cx.stats.bios_in_discard += ENTRIES_PER_LEAF_PAGE;
        self.accepted += 1;
        let (generation, sequence) = (self.flushes.begin(), self.accepted);
        let state = PieceState { piece, next: 0, in_flight: 1, error: None, generation, sequence, sweep };
        let index = self.pieces.acquire(Some(state)).expect("room was asked for");
        self.waiting_discards.push_back(index);
    }

    /// A piece of a sweep has ended.
    pub(super) fn sweep_piece_done(&mut self, sweep: u32, error: Option<RequestError>) {
        let state = self.sweeps[sweep].as_mut().expect("a sweep in use");
        state.in_flight -= 1;
        if let Some(error) = error {
            state.stop(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each leaf page of a range is visited once, by the shard that owns it, in the order of the trees.
    #[test]
    fn pages_are_dealt_to_the_shards_that_own_them() {
        for shards in [1, 2, 7, 32] {
            let mut seen = Vec::new();
            for shard in 0..shards as u16 {
                let mut state = SweepState::new(Sweep { client: (), first: 130, end: 1000 }, ShardId(shard));
                while let Some(page) = state.page(shards) {
                    assert_eq!(page.tree() % shards as u64, u64::from(shard));
                    seen.push(page.index);
                    state.next = behind(page);
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, (130..1000).collect::<Vec<_>>(), "{shards} shards");
        }
    }

    #[test]
    fn behind_a_page_comes_the_first_leaf_that_is_not_below_it() {
        for leaf in [0, 59, 60 * 503 + 7, 60 * 504 * 504 * 3 + 60 * 17 + 5] {
            let mut page = PageId { level: 0, index: leaf };
            while let Some((parent, _)) = page.parent() {
                let next = PageId { level: 0, index: behind(page) };
                let mut above = next;
                while above.level < page.level {
                    above = above.parent().expect("no root").0;
                }
                assert_eq!((above.tree(), above.index), (page.tree(), page.index + ROOTS), "behind {page:?}");
                page = parent;
            }
        }
    }
}
