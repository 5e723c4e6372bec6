// SPDX-License-Identifier: BSD-3-Clause

//! The slab depot of one zone: the metadata of its slabs, and which of it is in flight to media.
//!
//! Operations change memory and schedule slabs. [`SlabDepot::process`] starts the writes of a scheduled slab, in the
//! order that makes a power cut harmless (rule 4 of the write order):
//!
//! ```text
//!  journal block -> flush -> summary -> flush = committed -> reference blocks -> flush -> head moves with a later summary
//! ```
//! A buffer is held only while its transfer runs, so no wait for one can be circular. A slab's steps are in `commit`
//! (journal blocks), `summary_update` and `rounds` (reference blocks).
//!
//! Invariants: a slab that can make progress is scheduled; after [`SlabDepot::fail`] nothing is started.

use std::collections::VecDeque;

use super::allocator::BlockAllocator;
use super::commit_requests::CommitRequests;
use super::config::PhysicalConfig;
use super::event::PhysicalEvent;
use super::layout::{SlabIndex, ZoneLayout};
use super::slab_state::SlabState;
use super::summary_update::SummaryUpdate;
use super::tail_block::TailPool;
use super::thresholds::Thresholds;
use super::updates::UpdatePool;
use super::write_back::RoundPool;
use crate::arena::Arena;
use crate::env::{Direction, Env, ReadOnlyReason};
use crate::error::RequestError;
use crate::format::area::{AreaBlock, AreaLayout};
use crate::format::slab_journal_block::ENTRIES_PER_BLOCK;
use crate::format::slab_summary::SlabSummary;
use crate::format::Place;
use crate::io::{MetadataIo, MetadataOwner};

/// Slab journal blocks beyond one for each slab, so that closed blocks can be written while the next is filled.
const SPARE_TAILS: usize = 32;

/// Updates that can queue without an allocation.
const WAITING_UPDATES: usize = 1024;

/// A transfer or flush in flight.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation<Buf> {
    /// Write of a slab journal block.
    Tail { slab: SlabIndex, tail: u32, buf: Buf },
    /// Flush that makes durable what a summary is to name.
    SummaryFlush { slab: SlabIndex },
    /// Write of a summary.
    SummaryWrite { slab: SlabIndex, buf: Buf },
    /// Flush that makes a summary durable.
    SummarySettle { slab: SlabIndex },
    /// Write of a reference block.
    Image { slab: SlabIndex, buf: Buf },
    /// Flush that makes the reference blocks of a round durable.
    RoundFlush { slab: SlabIndex },
    /// Read of the scrubber; `place` is the index in its window.
    Scrub { place: u32 },
}

/// The administrative state of the zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Running,
    /// A save has begun: the scrubber finishes its slab.
    Stopping,
    /// Everything is written, so that a load need not replay anything.
    Saving,
    /// Nothing is written any more.
    ReadOnly,
}

/// Statistics of the depot.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DepotCounts {
    pub disk_full: u64,
    pub flush: u64,
    pub blocked: u64,
    pub tail_busy: u64,
    pub journal_blocks_written: u64,
    pub reference_blocks_written: u64,
    pub summaries_written: u64,
}

/// The metadata of a zone's slabs.
#[derive(Debug)]
pub(super) struct SlabDepot<Buf> {
    pub nonce: u64,
    pub generation: u64,
    pub area: AreaLayout,
    pub thresholds: Thresholds,
    pub slabs: Vec<SlabState>,
    pub tails: TailPool,
    pub rounds: RoundPool,
    pub summaries: Arena<SummaryUpdate>,
    /// Stamp of the summary written last.
    pub summary_stamp: u32,
    pub updates: UpdatePool,
    pub requests: CommitRequests,
    /// Slabs that may have changes which are not on media.
    pub unsettled: Vec<SlabIndex>,
    pub events: VecDeque<PhysicalEvent>,
    pub counts: DepotCounts,
    pub mode: Mode,
    /// The slab being processed could not start something for want of a buffer or of queue room.
    pub starved: bool,
    bufs: Vec<Buf>,
    all_bufs: usize,
    operations: Arena<Operation<Buf>>,
    /// Scheduled slabs.
    work: VecDeque<SlabIndex>,
}

impl<Buf: Copy> SlabDepot<Buf> {
    pub fn new(config: &mut PhysicalConfig<Buf>, layout: &ZoneLayout) -> SlabDepot<Buf> {
        let area = AreaLayout::of(u64::from(layout.slab_blocks()));
        let bufs = std::mem::take(&mut config.bufs);
        let all_bufs = bufs.len();
        let mut depot = SlabDepot {
            nonce: config.nonce,
            generation: config.generation,
            area,
            thresholds: Thresholds::new(u64::from(area.journal_blocks), ENTRIES_PER_BLOCK as u64),
            slabs: Vec::new(),
            tails: TailPool::new(SPARE_TAILS),
            rounds: RoundPool::new(),
            summaries: Arena::new(all_bufs, SummaryUpdate::NONE),
            summary_stamp: 0,
            updates: UpdatePool::new(WAITING_UPDATES),
            requests: CommitRequests::new(),
            unsettled: Vec::new(),
            events: VecDeque::with_capacity(WAITING_UPDATES),
            counts: DepotCounts::default(),
            mode: Mode::Running,
            starved: false,
            // Each transfer has a buffer, each flush belongs to a summary or to a round.
            operations: Arena::new(
                2 * all_bufs + RoundPool::capacity(),
                Operation::SummaryFlush { slab: SlabIndex(0) },
            ),
            bufs,
            all_bufs,
            work: VecDeque::new(),
        };
        depot.add_slabs(layout, std::mem::take(&mut config.summaries));
        depot
    }

    /// Adds the new slabs of a zone that has grown, or all slabs of a new one. Allocates memory for them.
    ///
    /// An implausible summary ends all writing.
    pub fn add_slabs(&mut self, layout: &ZoneLayout, summaries: Vec<SlabSummary>) {
        let first = self.slabs.len() as u32;
        let new = layout.slabs() - first;
        assert!(new as usize == summaries.len(), "{new} slabs with {} summaries", summaries.len());
        self.slabs.reserve_exact(new as usize);
        for (slab, summary) in (first..).map(SlabIndex).zip(summaries) {
            if !is_plausible(&summary, &self.area, layout.slab_blocks()) {
                self.fail(ReadOnlyReason::Damaged("a slab summary"));
            }
            self.slabs.push(SlabState::load(layout.slab_number(slab), &summary, self.generation, &self.area));
        }
        self.tails.grow(new as usize);
        self.work.reserve(self.slabs.len());
        self.unsettled.reserve(self.slabs.len());
    }

    #[inline]
    pub fn slab(&self, slab: SlabIndex) -> &SlabState {
        &self.slabs[slab.0 as usize]
    }

    #[inline]
    pub fn slab_mut(&mut self, slab: SlabIndex) -> &mut SlabState {
        &mut self.slabs[slab.0 as usize]
    }

    pub fn indices(&self) -> impl Iterator<Item = SlabIndex> + use<Buf> {
        (0..self.slabs.len() as u32).map(SlabIndex)
    }

    /// Schedules a slab that may have work.
    pub fn schedule(&mut self, slab: SlabIndex) {
        if !std::mem::replace(&mut self.slab_mut(slab).scheduled, true) {
            self.work.push_back(slab);
        }
    }

    pub fn scheduled(&self) -> usize {
        self.work.len()
    }

    /// Takes the next scheduled slab.
    pub fn take_scheduled(&mut self) -> Option<SlabIndex> {
        let slab = self.work.pop_front()?;
        self.slab_mut(slab).scheduled = false;
        Some(slab)
    }

    /// True when no transfer and no flush is in flight.
    pub fn is_quiet(&self) -> bool {
        self.operations.in_use() == 0
    }

    /// True when nothing is written any more.
    pub fn is_read_only(&self) -> bool {
        self.mode == Mode::ReadOnly
    }

    /// Ends all writing, and tells the shard why.
    pub fn fail(&mut self, reason: ReadOnlyReason) {
        if self.is_read_only() {
            return;
        }
        self.mode = Mode::ReadOnly;
        self.events.push_back(PhysicalEvent::ReadOnly(reason));
    }

    /// Starts the writes that a slab is ready for. Returns whether there were any.
    pub fn process<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        allocator: &BlockAllocator,
        slab: SlabIndex,
    ) -> bool {
        if self.is_read_only() {
            return false;
        }
        self.starved = false;
        let mut progress = self.close_if_wanted(allocator, slab);
        progress |= self.write_tails(env, io, slab);
        progress |= self.advance_round(env, io, allocator, slab);
        progress |= self.advance_summary(env, io, allocator, slab);
        self.confirm_commits(slab);
        if self.starved {
            self.schedule(slab);
        }
        progress
    }

    /// Takes a buffer for a transfer, if one can be started now.
    pub fn take_buf(&mut self, io: &MetadataIo<Buf>) -> Option<Buf> {
        let buf = if io.room() > 0 { self.bufs.pop() } else { None };
        self.starved |= buf.is_none();
        buf
    }

    pub fn return_buf(&mut self, buf: Buf) {
        self.bufs.push(buf);
        debug_assert!(self.bufs.len() <= self.all_bufs, "memory came back twice");
    }

    pub fn area_block(&self, slab: SlabIndex, block: u32) -> AreaBlock {
        AreaBlock { nonce: self.nonce, slab: self.slab(slab).number, block }
    }

    pub fn transfer<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        direction: Direction,
        AreaBlock { slab, block, .. }: AreaBlock,
        (buf, operation): (Buf, Operation<Buf>),
    ) {
        let tag = self.operations.acquire(operation).expect("each operation has memory of its own");
        io.submit(env, (direction, Place::SlabMetadata { slab, block }), &[buf], MetadataOwner::Physical(tag));
    }

    pub fn flush<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>, operation: Operation<Buf>) {
        let tag = self.operations.acquire(operation).expect("each flush belongs to a summary or to a round");
        io.flush(env, MetadataOwner::Physical(tag));
    }

    /// Ends an operation, and returns it.
    pub fn ended(&mut self, tag: u32) -> Operation<Buf> {
        let operation = self.operations[tag];
        self.operations.release(tag);
        operation
    }

    /// Continues after an operation of a slab.
    pub fn operation_done<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        operation: Operation<Buf>,
        result: Result<(), RequestError>,
    ) {
        let (slab, what) = match operation {
            Operation::Tail { slab, buf, .. } => (slab, (Some(buf), "a slab journal block")),
            Operation::SummaryWrite { slab, buf } => (slab, (Some(buf), "a slab summary")),
            Operation::Image { slab, buf } => (slab, (Some(buf), "a reference block")),
            Operation::SummaryFlush { slab } | Operation::SummarySettle { slab } | Operation::RoundFlush { slab } => {
                (slab, (None, "slab metadata into the base (flush)"))
            }
            Operation::Scrub { .. } => return,
        };
        if let Some(buf) = what.0 {
            self.return_buf(buf);
        }
        if result.is_err() {
            return self.fail(ReadOnlyReason::WriteFailed(what.1));
        }
        if self.is_read_only() {
            return;
        }
        match operation {
            Operation::Tail { tail, .. } => self.tail_written(slab, tail),
            Operation::SummaryFlush { .. } => self.summary_covered(slab),
            Operation::SummaryWrite { .. } => self.summary_written(env, io, slab),
            Operation::SummarySettle { .. } => self.summary_settled(slab),
            Operation::Image { .. } => self.image_written(env, io, slab),
            Operation::RoundFlush { .. } => self.round_flushed(slab),
            Operation::Scrub { .. } => {}
        }
        self.schedule(slab);
    }
}

/// Whether a summary fits its slab; the decoder does not know the slab's size.
fn is_plausible(summary: &SlabSummary, area: &AreaLayout, slab_blocks: u32) -> bool {
    let length = summary.tail.checked_sub(summary.head);
    let fits = length.is_some_and(|length| length <= u64::from(area.journal_blocks));
    fits && summary.free_blocks <= slab_blocks
}
