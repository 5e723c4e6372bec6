// SPDX-License-Identifier: BSD-3-Clause

//! Readahead: reads pages that a client will need soon, in batches.
//!
//! A request is cut into batches of at most 8 pages that end at multiples of 8. Of each batch, the pages that are
//! neither resident nor being read are read, contiguous ones with one transfer. All batches share one queue.

use core::cell::{Cell, RefCell};
use core::ops::Range;
use std::collections::VecDeque;
use std::rc::Rc;

use super::frames::BufferPool;
use super::map::Map;
use super::page_cache::PageCache;
use super::read::Read;
use super::source::MblockSource;
use crate::ids::PAGE_BYTES;

/// The most pages in a batch, and the boundary at which batches end.
pub const BATCH_PAGES: u32 = 8;

/// The most pages of a request under duress.
pub const DURESS_PAGES: u32 = 8;

/// The most batches in flight: four queues of 16 in mpool.
const ACTIVE_MAX: usize = 64;

/// The most batches queued; further ones are dropped.
const QUEUED_MAX: usize = 256;

/// The queued batches, and bounce buffers for those in flight.
#[derive(Debug)]
pub struct ReadaheadQueue {
    queued: RefCell<VecDeque<Batch>>,
    active: Cell<usize>,
    /// Bounce buffers for batches of several pages.
    passages: Rc<BufferPool>,
}

#[derive(Debug)]
struct Batch {
    map: Rc<Map>,
    mblock: usize,
    pages: Range<u32>,
}

/// The number of pages of a budget that are set aside for bounce buffers: an eighth at most.
pub fn passage_pages(budget_pages: usize) -> usize {
    passages(budget_pages) * BATCH_PAGES as usize
}

fn passages(budget_pages: usize) -> usize {
    (budget_pages / 64).min(ACTIVE_MAX)
}

/// Cuts `pages` into batches.
pub fn batches(pages: Range<u32>) -> impl Iterator<Item = Range<u32>> {
    let mut first = pages.start;
    core::iter::from_fn(move || {
        let boundary = (first / BATCH_PAGES + 1).saturating_mul(BATCH_PAGES);
        let batch = first..boundary.min(pages.end);
        first = batch.end;
        (!batch.is_empty()).then_some(batch)
    })
}

impl ReadaheadQueue {
    /// An empty queue, with the bounce buffers of a budget of `budget_pages`.
    pub fn new(source: Rc<dyn MblockSource>, budget_pages: usize) -> ReadaheadQueue {
        let bytes = BATCH_PAGES as usize * PAGE_BYTES;
        let passages = BufferPool::new(source, bytes, passages(budget_pages));
        ReadaheadQueue { queued: RefCell::default(), active: Cell::new(0), passages }
    }

    fn next(&self) -> Option<Batch> {
        // With a budget too small for bounce buffers, one page is read at a time.
        let room = self.active.get() < self.passages.limit().max(1);
        room.then(|| self.queued.borrow_mut().pop_front()).flatten()
    }
}

impl PageCache {
    /// Queues pages of an mblock for readahead.
    pub fn read_ahead(self: &Rc<Self>, map: &Rc<Map>, mblock: usize, pages: Range<u32>) {
        for pages in batches(pages) {
            if self.readahead.queued.borrow().len() < QUEUED_MAX {
                self.readahead.queued.borrow_mut().push_back(Batch { map: Rc::clone(map), mblock, pages });
            } else {
                self.count(|counters| counters.readahead_dropped += 1);
            }
        }
        self.start_batches();
    }

    fn start_batches(self: &Rc<Self>) {
        while let Some(batch) = self.readahead.next() {
            if !batch.map.is_dying() {
                self.start_batch(batch);
            }
        }
    }

    /// Starts to read the first missing pages of a batch; the rest returns to the head of the queue.
    fn start_batch(self: &Rc<Self>, batch: Batch) {
        let Some(mut run) = missing(&batch) else { return };
        let passage = if run.len() > 1 { self.readahead.passages.take() } else { None };
        if passage.is_none() {
            run.end = run.start + 1;
        }
        let frames: Vec<_> = run.clone().map_while(|_| self.frame_now()).collect();
        if frames.is_empty() {
            self.count(|counters| counters.readahead_dropped += 1);
            return;
        }
        // The frames came from eviction, which does not add pages: the run is still missing.
        run.end = run.start + frames.len() as u32;
        self.count(|counters| counters.readahead_pages += frames.len() as u64);
        let passage = if frames.len() > 1 { passage } else { None };
        let read = Read::enter(self, &batch.map, batch.mblock, run.start, frames, passage);
        if run.end < batch.pages.end {
            let pages = run.end..batch.pages.end;
            self.readahead.queued.borrow_mut().push_front(Batch { pages, ..batch });
        }
        self.readahead.active.set(self.readahead.active.get() + 1);
        let cache = Rc::clone(self);
        self.tasks.spawn(async move {
            read.carry_out().await;
            cache.readahead.active.set(cache.readahead.active.get() - 1);
            cache.start_batches();
        });
    }
}

/// The first contiguous pages of a batch that are neither resident nor being read.
fn missing(batch: &Batch) -> Option<Range<u32>> {
    let entries = batch.map.mblocks[batch.mblock].pages.borrow();
    let start = batch.pages.clone().find(|page| !entries.contains_key(page))?;
    let end = entries.range(start..batch.pages.end).next().map_or(batch.pages.end, |(page, _)| *page);
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mpool-124, partly: batches end at 8-page boundaries and cover the request once.
    #[test]
    fn batches_end_at_boundaries() {
        assert_eq!(batches(0..32).collect::<Vec<_>>(), [0..8, 8..16, 16..24, 24..32]);
        assert_eq!(batches(5..18).collect::<Vec<_>>(), [5..8, 8..16, 16..18]);
        assert_eq!((batches(7..8).next(), batches(7..8).count()), (Some(7..8), 1));
        assert_eq!(batches(3..3).count(), 0);
    }

    #[test]
    fn passages_take_at_most_an_eighth() {
        assert_eq!([63, 64, 256, 1 << 20].map(passage_pages), [0, 8, 32, 512]);
    }
}
