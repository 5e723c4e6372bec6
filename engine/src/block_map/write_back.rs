// SPDX-License-Identifier: BSD-3-Clause

//! Writes dirty pages to media, the one that has been dirty longest first.
//!
//! Pages are written in batches: first their images, then one flush; only after the flush their need of the journal
//! ends. A page is written when its era has ended, when evictable pages become scarce, or when everything is saved. At
//! most two batches are in flight, so with a slow flush batches become larger, not more numerous.
//!
//! Invariant: at most one image of a page is in flight, so the image on media is always that of the last completed
//! write.

use super::buffers::Use;
use super::load::place;
use super::{BlockMap, EraInput};
use crate::arena::NONE;
use crate::env::{Direction, Env, ReadOnlyReason};
use crate::error::RequestError;
use crate::format::map_page;
use crate::io::{MetadataIo, MetadataOwner};

/// Maximum number of batches in flight: one that writes, one that flushes.
pub(super) const MAX_BATCHES: usize = 2;

/// Set in the tags of flushes; the other tags are numbers of buffers.
const FLUSH: u32 = 1 << 31;

/// Keep 1/N of the pages evictable, so that a load never waits for a write.
const READY_PART: usize = 8;

/// Name of a page in reports to the operator.
const WHAT: &str = "block map page";

/// Pages that share one flush.
#[derive(Debug)]
pub(super) struct Batch {
    /// Frames, and the oldest entry that the image of each needs, in ascending order of the entries. Failed pages are
    /// removed.
    pages: Vec<(u32, u64)>,
    /// Number of writes in flight.
    writing: usize,
    flushing: bool,
}

impl Batch {
    /// A free batch with room for `pages` pages.
    pub fn new(pages: usize) -> Batch {
        Batch { pages: Vec::with_capacity(pages), writing: 0, flushing: false }
    }

    /// True when no write or flush of the batch is in flight.
    pub fn is_free(&self) -> bool {
        self.writing == 0 && !self.flushing
    }

    /// The batch whose flush has this tag.
    pub const fn flushed_by(tag: u32) -> Option<u32> {
        if tag & FLUSH == 0 {
            None
        } else {
            Some(tag & !FLUSH)
        }
    }
}

impl<Buf: Copy> BlockMap<Buf> {
    /// The oldest journal entry that a dirty or not yet durable page needs. `None`: all changes given to pages are on
    /// media.
    #[must_use]
    pub fn oldest_need(&self) -> Option<u64> {
        let dirty = self.frames.dirty_head();
        let dirty = (dirty != NONE).then(|| self.frames.info(dirty).oldest);
        let outgoing = self.batches.iter().filter_map(|batch| batch.pages.first()).map(|&(_, oldest)| oldest);
        outgoing.chain(dirty).min()
    }

    /// Starts to write all dirty pages, and continues until [`BlockMap::is_clean`].
    pub fn begin_save(&mut self) {
        self.saving = !self.is_clean();
    }

    /// True when every change is durable on its page.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.frames.dirty() == 0 && self.frames.outgoing() == 0
    }

    /// Starts the writes that are due, while there is room. Returns whether any started.
    pub(super) fn write_back<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        era: EraInput,
    ) -> bool {
        if self.read_only || self.frames.dirty() == 0 {
            return false;
        }
        let Some(batch) = self.batches.iter().position(Batch::is_free) else { return false };
        let whole = self.batches[batch].pages.capacity();
        let room = whole.min(self.buffers.room_for_writes()).min(io.room());
        let any_age = self.saving || self.frames.is_shrinking() || self.is_pressed();
        let mut next = self.frames.dirty_head();
        while self.batches[batch].writing < room {
            let Some(frame) = self.frames.first_to_write(next) else { break };
            if !any_age && self.frames.info(frame).oldest >= era.write_before {
                break;
            }
            next = self.frames.info(frame).next;
            self.write(env, io, (frame, batch as u32));
        }
        self.batches[batch].writing > 0
    }

    /// Whether evictable pages are becoming scarce.
    fn is_pressed(&self) -> bool {
        let ready = self.frames.available() + self.frames.outgoing();
        !self.starved.frames_suffice() || ready < self.pages.div_ceil(READY_PART)
    }

    /// Starts the write of a page.
    fn write<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>, (frame, batch): (u32, u32)) {
        let (tag, buf) = self.buffers.take(Use::Write { frame, batch });
        let oldest = self.frames.begin_write(frame);
        let stamp = self.latest as u32;
        map_page::encode(self.name(frame), stamp, self.frames.entries.page(frame), env.block_mut(buf));
        let batch = &mut self.batches[batch as usize];
        batch.pages.push((frame, oldest));
        batch.writing += 1;
        io.submit(env, (Direction::Write, place(self.frames.info(frame))), &[buf], MetadataOwner::Map(tag));
    }

    /// A write of a batch has ended.
    pub(super) fn write_done<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        (frame, number): (u32, u32),
        result: Result<(), RequestError>,
    ) {
        let batch = &mut self.batches[number as usize];
        batch.writing -= 1;
        if result.is_err() {
            let at = batch.pages.iter().position(|&(other, _)| other == frame).expect("each page is in its batch");
            let (frame, oldest) = batch.pages.remove(at);
            self.write_failed(frame, oldest);
        }
        let batch = &mut self.batches[number as usize];
        if batch.writing == 0 && !batch.pages.is_empty() {
            batch.flushing = true;
            self.counts.flush_count += u64::from(io.volatile_cache());
            io.flush(env, MetadataOwner::Map(FLUSH | number));
        }
    }

    /// The flush of a batch has ended.
    pub(super) fn flush_done(&mut self, batch: u32, result: Result<(), RequestError>) {
        self.batches[batch as usize].flushing = false;
        while let Some((frame, oldest)) = self.batches[batch as usize].pages.pop() {
            if result.is_ok() {
                self.counts.pages_saved += 1;
                self.frames.end_write(frame);
            } else {
                self.write_failed(frame, oldest);
            }
        }
        self.saving &= !self.is_clean();
    }

    /// The image of a page is not on media. The page stays dirty and readable.
    fn write_failed(&mut self, frame: u32, oldest: u64) {
        self.counts.failed_writes += 1;
        self.frames.fail_write(frame, oldest);
        self.fail(ReadOnlyReason::WriteFailed(WHAT));
    }
}
