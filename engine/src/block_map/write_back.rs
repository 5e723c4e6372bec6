// SPDX-License-Identifier: BSD-3-Clause

//! Dirty pages to media, the one that has been dirty longest first.
//!
//! Pages are written in batches: images of them, then one flush, and only then their need of the journal ends. A page
//! is written when its era has ended, when pages that can go are becoming few, or when everything is to be saved. While
//! two batches are under way no other begins, so with a slow flush batches become larger, not more.
//!
//! Invariant: there is at most one image of a page under way, so the one on media is always the latest that ended.

use super::buffers::Use;
use super::load::place;
use super::{BlockMap, EraInput};
use crate::arena::NONE;
use crate::env::{Direction, Env, ReadOnlyReason};
use crate::error::RequestError;
use crate::format::map_page;
use crate::io::{MetadataIo, MetadataOwner};

/// Batches under way together: one that writes, one that flushes.
pub(super) const MAX_BATCHES: usize = 2;

/// Set in the tags of flushes; the others are numbers of blocks of memory.
const FLUSH: u32 = 1 << 31;

/// One in so many pages is kept ready to go, so that a load need not wait for a write.
const READY_PART: usize = 8;

/// What the operator is told that could not be written.
const WHAT: &str = "block map page";

/// Pages that are written together.
#[derive(Debug)]
pub(super) struct Batch {
    /// Frames and the oldest entry that the image of each needs, in ascending order of that. Those that failed are
    /// taken out.
    pages: Vec<(u32, u64)>,
    /// Writes that have not ended.
    writing: usize,
    flushing: bool,
}

impl Batch {
    /// Room for `pages` pages.
    pub fn new(pages: usize) -> Batch {
        Batch { pages: Vec::with_capacity(pages), writing: 0, flushing: false }
    }

    /// True when nothing of it is under way.
    pub fn is_free(&self) -> bool {
        self.writing == 0 && !self.flushing
    }

    /// The batch whose flush has a tag.
    pub const fn flushed_by(tag: u32) -> Option<u32> {
        if tag & FLUSH == 0 {
            None
        } else {
            Some(tag & !FLUSH)
        }
    }
}

impl<Buf: Copy> BlockMap<Buf> {
    /// The oldest journal entry that a page needs which is dirty or not durable yet. None: all entries up to the last
    /// that pages were given are on media.
    #[must_use]
    pub fn oldest_need(&self) -> Option<u64> {
        let dirty = self.frames.dirty_head();
        let dirty = (dirty != NONE).then(|| self.frames.info(dirty).oldest);
        let outgoing = self.batches.iter().filter_map(|batch| batch.pages.first()).map(|&(_, oldest)| oldest);
        outgoing.chain(dirty).min()
    }

    /// Writes everything that is dirty, and goes on until [`BlockMap::is_clean`].
    pub fn begin_save(&mut self) {
        self.saving = !self.is_clean();
    }

    /// True when every change is durable on its page.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.frames.dirty() == 0 && self.frames.outgoing() == 0
    }

    /// Begins to write what is to be written, as far as there is room. Returns whether anything was begun.
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

    /// Pages that can go are becoming few.
    fn is_pressed(&self) -> bool {
        let ready = self.frames.available() + self.frames.outgoing();
        !self.starved.frames_suffice() || ready < self.pages.div_ceil(READY_PART)
    }

    /// Begins to write a page.
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

    /// The image of a page is not on media. The page stays dirty, and readable.
    fn write_failed(&mut self, frame: u32, oldest: u64) {
        self.counts.failed_writes += 1;
        self.frames.fail_write(frame, oldest);
        self.fail(ReadOnlyReason::WriteFailed(WHAT));
    }
}
