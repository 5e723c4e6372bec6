// SPDX-License-Identifier: BSD-3-Clause

//! Unmaps and zeroes of whole blocks, which are the same operation: one pass over a leaf page, one journal entry,
//! decrements by run. Without a leaf page there is nothing to do.
//!
//! A range operation owns its blocks from start to end: it takes only blocks that are not locked, and until it ends no
//! block of its leaf page can be locked. So it needs no lock for each block.

use super::{LogicalZone, RANGE_WAITER};
use crate::block_map::{Fetch, Frame, Purpose};
use crate::context::Context;
use crate::env::Env;
use crate::error::RequestError;
use crate::format::journal_record::{Entry, PbnRun, Point};
use crate::format::{Mapping, PageId};
use crate::journal::Waiter;
use crate::units::{Lbn, ENTRIES_PER_LEAF_PAGE};

/// One range operation. When it has ended, its list of runs is kept for the next operation.
#[derive(Debug, Clone, Default)]
pub(super) struct RangeOperation {
    piece: u32,
    first: Lbn,
    count: u32,
    frame: Option<Frame>,
    /// Number of mapped blocks in the range.
    mapped: u32,
    /// Whether any of these blocks is stored compressed.
    compressed: bool,
    /// Blocks that lose a reference when the entry is committed.
    runs: Vec<PbnRun>,
    active: bool,
}

impl RangeOperation {
    fn page(&self) -> u64 {
        PageId::leaf_of(self.first).index
    }
}

impl<E: Env> LogicalZone<E> {
    /// Whether a range operation owns a leaf page.
    pub(super) fn page_has_range(&self, page: u64) -> bool {
        self.ranges.in_use() > 0
            && (0..self.ranges.capacity() as u32).any(|index| {
                let range = &self.ranges[index];
                range.active && range.page() == page
            })
    }

    /// Starts the rest of an unmap or of zeroing by command: unlocked whole blocks as range operations, the others one
    /// by one. Returns whether all blocks are started.
    pub(super) fn begin_ranges(&mut self, cx: &mut Context<'_, E>, index: u32) -> bool {
        let piece = self.piece(index).piece;
        if !self.collector.has_room(cx) || self.page_has_range(PageId::leaf_of(piece.lbn).index) {
            return false;
        }
        while self.piece(index).next < piece.blocks {
            let next = self.piece(index).next;
            let is_free = |zone: &LogicalZone<E>, block: u16| {
                piece.part(block).is_whole() && !zone.locks.is_locked(piece.lbn.plus(u64::from(block)))
            };
            let end = (next..piece.blocks).find(|&block| !is_free(self, block)).unwrap_or(piece.blocks);
            if end > next {
                if self.ranges.available() == 0 {
                    return false;
                }
                self.piece(index).next = end;
                self.begin_range(cx, index, piece.lbn.plus(u64::from(next)), u32::from(end - next));
                // The rest of this page waits for the operation, unless it has already ended.
                if self.page_has_range(PageId::leaf_of(piece.lbn).index) {
                    return self.piece(index).next == piece.blocks;
                }
            } else {
                if !self.has_vio() || self.discards >= self.max_discards {
                    return false;
                }
                self.begin_one(cx, index);
            }
        }
        true
    }

    fn begin_range(&mut self, cx: &mut Context<'_, E>, piece: u32, first: Lbn, count: u32) {
        let index = self.ranges.acquire_kept().expect("availability was checked");
        let range = &mut self.ranges[index];
        let runs = std::mem::take(&mut range.runs);
        *range = RangeOperation { piece, first, count, frame: None, mapped: 0, compressed: false, runs, active: true };
        self.piece(piece).in_flight += 1;
        self.fetch_for_range(cx, index);
    }

    /// Gets the leaf page of a range operation.
    fn fetch_for_range(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let range = &self.ranges[index];
        match self.map.fetch(range.first, Purpose::Discard, index | RANGE_WAITER) {
            Fetch::Wait => {}
            // Nothing is mapped on a page that does not exist.
            Fetch::NoPage => self.end_range(cx, index, Ok(())),
            Fetch::Page(frame) => self.range_page_ready(cx, index, frame),
        }
    }

    /// The leaf page is in memory and pinned: collects the blocks that lose a reference, and journals that.
    pub(super) fn range_page_ready(&mut self, cx: &mut Context<'_, E>, index: u32, frame: Frame) {
        let range = &mut self.ranges[index];
        range.frame = Some(frame);
        let first = range.first.slot();
        range.runs.clear();
        range.mapped = 0;
        range.compressed = false;
        for slot in first..first + range.count as usize {
            let old = self.map.get(frame, slot);
            range.compressed |= old.is_compressed();
            range.mapped += u32::from(!old.is_unmapped());
            if old.has_block() {
                self.collector.add(cx.geometry, old.pbn(), &mut range.runs);
            }
        }
        self.collector.finish(&mut range.runs);
        if range.mapped == 0 {
            return self.end_range(cx, index, Ok(()));
        }
        if !self.journal_waiters.is_empty() || !self.try_record_range(cx, index) {
            self.journal_waiters.push_back(index | RANGE_WAITER);
        }
    }

    /// Journals a range operation if there is room now. Returns false if not.
    pub(super) fn try_record_range(&mut self, cx: &mut Context<'_, E>, index: u32) -> bool {
        if cx.is_read_only() {
            self.end_range(cx, index, Err(RequestError::ReadOnly));
            return true;
        }
        let range = &self.ranges[index];
        let entry = Entry::Range { first: range.first, count: range.count, runs: &range.runs };
        let mut counters = self.counters;
        counters.logical_blocks_used -= i64::from(range.mapped);
        let journaled = cx.append(&entry, Waiter::Range(index), counters);
        if journaled {
            self.counters = counters;
        }
        journaled
    }

    /// The entry is committed: the mappings change, and their blocks lose their references.
    pub(super) fn range_committed(&mut self, cx: &mut Context<'_, E>, index: u32, entry: u64) {
        let range = &self.ranges[index];
        let frame = range.frame.expect("a range that was journaled has a leaf page");
        let first = range.first.slot();
        for slot in first..first + range.count as usize {
            self.map.set(frame, slot, Mapping::UNMAPPED, entry);
        }
        for (part, run) in (0..).zip(&range.runs) {
            cx.decrement(run.first, run.count, range.compressed, Point::new(entry, part));
        }
        self.end_range(cx, index, Ok(()));
    }

    /// Ends a range operation. Blocks of its leaf page can be locked again.
    pub(super) fn end_range(&mut self, cx: &mut Context<'_, E>, index: u32, result: Result<(), RequestError>) {
        let range = &mut self.ranges[index];
        range.active = false;
        let piece = range.piece;
        if let Some(frame) = range.frame.take() {
            self.map.unpin(frame);
        }
        self.ranges.release(index);
        let mut waiters = self.range_waiters.take();
        while let Some(waiter) = waiters.pop(&mut self.vios) {
            self.mark_runnable(waiter);
            self.lock(cx, waiter);
        }
        self.block_done(cx, piece, result);
    }
}

const _: () = assert!(ENTRIES_PER_LEAF_PAGE <= 504, "a range has up to 504 runs, numbered by a point's 10 bits");
