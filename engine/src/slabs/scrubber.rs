// SPDX-License-Identifier: BSD-3-Clause

//! The scrubber: loads the counts of slabs, one slab at a time.
//!
//! Awaited slabs come first: those for which updates wait because their journal is full, or hash locks for a block that
//! may be a duplicate. Next come slabs whose journal is so long that updates would wait. Of the others, clean slabs
//! come first, whose counts need only be read; then the slabs with most free blocks. All this happens in the
//! background: a zone serves requests from its first moment, and only a request that finds no free block waits.
//!
//! ```text
//!  Committing ---- all that has come is on media ----> Reading, a window at a time: reference blocks, then journal ----> Rebuilt
//! ```
//! While the scrubber works on a slab, updates of that slab wait. So its journal does not change meanwhile, and what
//! the scrubber reads is complete.
//!
//! Invariants (I10): a slab that is not loaded is in exactly one list, or being scrubbed; each is scrubbed once.
//!
//! Differs from dm-vdo: the zone is online before its first slab is scrubbed; the dirty reference blocks of a scrubbed
//! slab are written back when any others would be.

use std::collections::VecDeque;
use std::ops::Range;

use super::allocator::BlockAllocator;
use super::depot::{Mode, Operation, SlabDepot};
use super::layout::SlabIndex;
use super::slab_state::Status;
use crate::dump::ScrubberDump;
use crate::env::{Direction, Env, ReadOnlyReason};
use crate::error::RequestError;
use crate::format::journal_record::Point;
use crate::format::reference_block::COUNTS_PER_BLOCK;
use crate::format::slab_journal_block;
use crate::format::slab_rebuild::SlabRebuild;
use crate::format::slab_summary::SlabSummary;
use crate::io::MetadataIo;
use crate::units::MAX_SHARDS;

/// Blocks read at a time, if there are buffers for them.
const WINDOW: usize = 64;

/// A read in flight, or completed but not yet used.
#[derive(Debug, Clone, Copy)]
struct Read<Buf> {
    what: Wanted,
    buf: Buf,
    done: bool,
}

/// Which block of the slab's area is read.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// A reference block.
    Counts(u32),
    /// A block of the journal.
    Journal(u64),
}

/// The progress of the slab being scrubbed.
#[derive(Debug)]
enum Stage {
    /// Updates that have arrived are being committed.
    Committing,
    /// Its reference blocks and journal are being read.
    Reading {
        rebuild: SlabRebuild,
        /// Reference blocks still to be read.
        counts: Range<u32>,
        /// Journal blocks still to be read.
        journal: Range<u64>,
    },
}

/// The outcome of one call of [`Scrubber::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing to do now.
    Idle,
    Started,
    Loaded(SlabIndex),
}

#[derive(Debug)]
pub(super) struct Scrubber<Buf> {
    /// Awaited slabs, in order: they come first.
    awaited: VecDeque<SlabIndex>,
    /// Slabs with long journals, in order: they come next.
    urgent: VecDeque<SlabIndex>,
    /// The other slabs; the last is next.
    queue: Vec<SlabIndex>,
    current: Option<(SlabIndex, Stage)>,
    window: Vec<Read<Buf>>,
    scrubbed: u64,
}

impl<Buf: Copy> Scrubber<Buf> {
    pub fn new() -> Scrubber<Buf> {
        Scrubber {
            awaited: VecDeque::new(),
            urgent: VecDeque::new(),
            queue: Vec::new(),
            current: None,
            window: Vec::with_capacity(WINDOW),
            scrubbed: 0,
        }
    }

    /// Queues the slabs from `first` on that are not loaded. Allocates memory for the lists.
    pub fn add_slabs(&mut self, depot: &SlabDepot<Buf>, first: SlabIndex) {
        for slab in depot.indices().skip(first.0 as usize) {
            let state = depot.slab(slab);
            if state.status != Status::Unloaded {
            } else if state.journal.length() >= depot.thresholds.scrubbing {
                self.urgent.push_back(slab);
            } else {
                self.queue.push(slab);
            }
        }
        // The last element is taken first.
        self.queue.sort_by_key(|&slab| {
            let state = depot.slab(slab);
            let is_clean = state.journal.length() == 0;
            (is_clean, state.recorded.free_blocks, std::cmp::Reverse(slab.0))
        });
        self.awaited.reserve(self.unrecovered());
    }

    /// The number of slabs that are not loaded.
    pub fn unrecovered(&self) -> usize {
        self.awaited.len() + self.urgent.len() + self.queue.len() + usize::from(self.current.is_some())
    }

    /// Slabs that were scrubbed.
    pub const fn scrubbed(&self) -> u64 {
        self.scrubbed
    }

    /// The slab being scrubbed, and the awaited ones.
    pub fn foremost(&self) -> impl Iterator<Item = SlabIndex> + '_ {
        let current = self.current.as_ref().map(|(slab, _)| *slab);
        current.into_iter().chain(self.awaited.iter().copied())
    }

    pub fn dump(&self, depot: &SlabDepot<Buf>) -> ScrubberDump {
        let stage = match &self.current {
            None => "idle",
            Some((_, Stage::Committing)) => "committing",
            Some((_, Stage::Reading { .. })) => "reading",
        };
        ScrubberDump {
            slab: self.current.as_ref().map(|(slab, _)| depot.slab(*slab).number),
            stage,
            reads: self.window.iter().filter(|read| !read.done).count(),
            awaited: self.awaited.len(),
            urgent: self.urgent.len(),
            queued: self.queue.len(),
            scrubbed: self.scrubbed,
        }
    }

    /// True while a slab is being scrubbed.
    pub const fn is_busy(&self) -> bool {
        self.current.is_some()
    }

    /// Moves a slab that updates, hash locks or allocations wait for to the awaited list.
    pub fn promote(&mut self, slab: SlabIndex) {
        if self.awaited.contains(&slab) {
            return;
        }
        let is_it = |&queued: &SlabIndex| queued == slab;
        if let Some(at) = self.urgent.iter().position(is_it) {
            self.urgent.remove(at);
        } else if let Some(at) = self.queue.iter().position(is_it) {
            self.queue.remove(at);
        } else {
            return;
        }
        self.awaited.push_back(slab);
    }

    /// The next slab to scrub. During a save, only a slab whose updates cannot be written otherwise.
    fn next(&mut self, depot: &SlabDepot<Buf>) -> Option<SlabIndex> {
        if depot.mode == Mode::Running {
            let first = self.awaited.pop_front().or_else(|| self.urgent.pop_front());
            return first.or_else(|| self.queue.pop());
        }
        let at = self.awaited.iter().position(|&slab| !depot.slab(slab).waiting.is_empty())?;
        self.awaited.remove(at)
    }

    /// True when the scrubber starts nothing more before the zone is resumed.
    pub fn is_stopped(&self, depot: &SlabDepot<Buf>) -> bool {
        self.current.is_none() && self.awaited.iter().all(|&slab| depot.slab(slab).waiting.is_empty())
    }

    /// Advances the slab being scrubbed, or takes the next.
    pub fn advance<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        depot: &mut SlabDepot<Buf>,
        allocator: &mut BlockAllocator,
    ) -> Turn {
        if depot.is_read_only() {
            return Turn::Idle;
        }
        if self.current.is_none() {
            let Some(slab) = self.next(depot) else { return Turn::Idle };
            let state = depot.slab_mut(slab);
            state.status = Status::Rebuilding;
            state.commit_wanted = true;
            depot.schedule(slab);
            self.current = Some((slab, Stage::Committing));
        }
        let Some((slab, stage)) = &mut self.current else { return Turn::Idle };
        let slab = *slab;
        if let Stage::Committing = stage {
            let state = depot.slab(slab);
            if !state.journal.is_committed() || state.summary.is_some() {
                return Turn::Idle;
            }
            *stage = Self::begin_reading(depot, allocator, slab);
        }
        if self.window.iter().any(|read| !read.done) {
            return Turn::Idle;
        }
        match self.take_window(env, depot, allocator) {
            Ok(()) => self.fill_window(env, io, depot, allocator),
            Err(reason) => {
                depot.fail(reason);
                Turn::Idle
            }
        }
    }

    fn begin_reading(depot: &mut SlabDepot<Buf>, allocator: &mut BlockAllocator, slab: SlabIndex) -> Stage {
        let state = depot.slab_mut(slab);
        if state.first_writes > 0 {
            // The whole journal is needed until every reference block has been written once.
            state.dirty.mark_all(state.journal.head);
        }
        let state = depot.slab(slab);
        let summary = SlabSummary {
            head: state.journal.head,
            tail: state.journal.tail,
            next_entry: state.journal.next_entry,
            free_blocks: state.recorded.free_blocks,
            counts_written: state.recorded.counts_written,
            opened: true,
            generation: 0,
            points: [Point(0); MAX_SHARDS],
        };
        let counters = allocator.counters_to_load(slab);
        let rebuild = SlabRebuild::new(depot.nonce, state.number, &summary, counters);
        let counts = if rebuild.needs_reference_blocks() { 0..depot.area.reference_blocks } else { 0..0 };
        let journal = rebuild.journal_blocks();
        Stage::Reading { rebuild, counts, journal }
    }

    /// Applies the blocks of a window that has been read.
    fn take_window<E: Env<Buf = Buf>>(
        &mut self,
        env: &E,
        depot: &mut SlabDepot<Buf>,
        allocator: &mut BlockAllocator,
    ) -> Result<(), ReadOnlyReason> {
        let Some((slab, Stage::Reading { rebuild, .. })) = &mut self.current else { return Ok(()) };
        let counters = allocator.counters_to_load(*slab);
        let mut result = Ok(());
        for Read { what, buf, .. } in self.window.drain(..) {
            depot.return_buf(buf);
            if result.is_err() {
                continue;
            }
            let block = env.block(buf);
            result = match what {
                Wanted::Counts(number) => rebuild
                    .load_reference_block(number, block, counters)
                    .map_err(|_| ReadOnlyReason::Damaged("a slab's reference block")),
                Wanted::Journal(sequence) => rebuild
                    .apply_journal_block(sequence, block, counters)
                    .map_err(|_| ReadOnlyReason::Damaged("a slab journal")),
            };
            if let (Wanted::Journal(sequence), Ok(())) = (what, result) {
                let place = depot.area_block(*slab, depot.area.journal_block(sequence));
                // The block was just decoded by `rebuild`; the reference blocks that it changes must be written back.
                let Ok((_, entries)) = slab_journal_block::decode(place, block) else { continue };
                let dirty = &mut depot.slab_mut(*slab).dirty;
                for entry in entries {
                    let last = entry.offset + u32::from(entry.count) - 1;
                    (entry.offset / COUNTS_PER_BLOCK..=last / COUNTS_PER_BLOCK)
                        .for_each(|block| dirty.mark(block, sequence));
                }
            }
        }
        result
    }

    /// Reads the next window; when nothing is left to read, the slab is loaded.
    fn fill_window<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        depot: &mut SlabDepot<Buf>,
        allocator: &mut BlockAllocator,
    ) -> Turn {
        let Some((slab, Stage::Reading { counts, journal, .. })) = &mut self.current else { return Turn::Idle };
        let slab = *slab;
        while self.window.len() < WINDOW {
            if Range::is_empty(counts) && Range::is_empty(journal) {
                break;
            }
            let Some(buf) = depot.take_buf(io) else { break };
            let (what, block) = match counts.next() {
                Some(number) => (Wanted::Counts(number), depot.area.reference_block(number)),
                None => {
                    let sequence = journal.start;
                    journal.start += 1;
                    (Wanted::Journal(sequence), depot.area.journal_block(sequence))
                }
            };
            let place = depot.area_block(slab, block);
            let operation = Operation::Scrub { place: self.window.len() as u32 };
            self.window.push(Read { what, buf, done: false });
            depot.transfer(env, io, Direction::Read, place, (buf, operation));
        }
        match self.window.is_empty() && Range::is_empty(counts) && Range::is_empty(journal) {
            true => self.finish(depot, allocator),
            false if self.window.is_empty() => Turn::Idle,
            false => Turn::Started,
        }
    }

    /// Ends the scrubbing of a slab whose blocks have all been read.
    fn finish(&mut self, depot: &mut SlabDepot<Buf>, allocator: &mut BlockAllocator) -> Turn {
        let Some((slab, Stage::Reading { rebuild, .. })) = self.current.take() else { return Turn::Idle };
        if rebuild.finish().is_err() {
            depot.fail(ReadOnlyReason::Damaged("a slab journal"));
            return Turn::Idle;
        }
        allocator.load(slab);
        depot.slab_mut(slab).status = Status::Rebuilt;
        depot.schedule(slab);
        self.scrubbed += 1;
        Turn::Loaded(slab)
    }

    /// Notes that a read has ended.
    pub fn read_done(&mut self, depot: &mut SlabDepot<Buf>, place: u32, result: Result<(), RequestError>) {
        if let Some(read) = self.window.get_mut(place as usize) {
            read.done = true;
        }
        if result.is_err() {
            depot.fail(ReadOnlyReason::ReadFailed("slab metadata"));
        }
    }
}
