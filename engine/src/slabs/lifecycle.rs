// SPDX-License-Identifier: BSD-3-Clause

//! The zone and its media: what goes on in the background, and the zone's administrative states.
//!
//! A save goes through dm-vdo's steps: the scrubber finishes its slab, then all slabs write what they have,
//! each ending with its summary. Afterwards nothing is written until the zone is resumed (I14).
//!
//! Differs from dm-vdo: of the administrative states there are running, saving (saved, when all is done) and
//! read-only. What the others are for is done before a zone exists, or is not needed: a suspended volume without save
//! writes nothing because nobody asks for anything.

use super::depot::{Mode, Operation};
use super::event::PhysicalEvent;
use super::layout::{SlabIndex, ZoneLayout};
use super::reserve::Verdict;
use super::scrubber::Turn;
use super::slab_state::Status;
use super::statistics::PhysicalStatistics;
use super::zone::PhysicalZone;
use crate::env::Env;
use crate::error::RequestError;
use crate::format::journal_record::Point;
use crate::format::slab_summary::SlabSummary;
use crate::format::Geometry;
use crate::io::MetadataIo;
use crate::message::Allocation;
use crate::units::ShardId;

impl<Buf: Copy> PhysicalZone<Buf> {
    /// Starts what can be started. Returns whether there was anything.
    pub fn advance<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>) -> bool {
        let mut progress = false;
        if self.depot.is_read_only() {
            return self.refuse_all();
        }
        for _ in 0..self.depot.scheduled() {
            let Some(slab) = self.depot.take_scheduled() else { break };
            progress |= self.apply_waiting(slab);
            progress |= self.depot.process(env, io, &self.allocator, slab);
        }
        progress |= self.scrub(env, io);
        progress |= self.begin_saving_slabs();
        progress | self.serve_waiters()
    }

    /// Takes the scrubber further.
    fn scrub<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>) -> bool {
        let was_busy = self.scrubber.is_busy();
        let turn = self.scrubber.advance(env, io, &mut self.depot, &mut self.allocator);
        if let Turn::Loaded(slab) = turn {
            self.stirred = true;
            self.apply_waiting(slab);
            self.lock_candidates_of(slab);
            if !self.is_scrubbing() {
                self.depot.events.push_back(PhysicalEvent::ScrubbingDone);
            }
        }
        turn != Turn::Idle || was_busy != self.scrubber.is_busy()
    }

    /// Answers those who wait for blocks, in order, as far as there are any; those for whom none can come are told so.
    fn serve_waiters(&mut self) -> bool {
        if !std::mem::take(&mut self.stirred) || self.waiters.is_empty() {
            return false;
        }
        let events = self.depot.events.len();
        for _ in 0..self.waiters.len() {
            let Some((requester, claim)) = self.waiters.pop_front() else { break };
            let judged = if self.must_wait_for_page_lock(requester) { Verdict::Later } else { self.judge(claim) };
            let answer = match judged {
                Verdict::Later => {
                    self.waiters.push_back((requester, claim));
                    continue;
                }
                // An error means that the pool of locks is too small; there is no block to be had either way.
                Verdict::Now => self.allocate_for(requester, claim).unwrap_or(None),
                Verdict::Elsewhere | Verdict::Never => None,
            };
            let answer = answer.map_or(Allocation::Again, Allocation::Block);
            self.depot.events.push_back(PhysicalEvent::Allocated { requester, answer });
        }
        self.depot.events.len() > events
    }

    /// Ends every wait: nothing is written any more.
    fn refuse_all(&mut self) -> bool {
        let events = self.depot.events.len();
        if self.depot.updates.waiting() > 0 {
            self.depot.indices().for_each(|slab| self.refuse_waiting(slab));
        }
        while let Some((requester, _)) = self.waiters.pop_front() {
            self.depot.events.push_back(PhysicalEvent::Allocated { requester, answer: Allocation::ReadOnly });
        }
        self.refuse_locks();
        self.depot.events.len() > events
    }

    /// Takes the outcome of a transfer or flush that the zone has started, by its tag.
    ///
    /// # Panics
    /// If the tag is not one that the zone has given.
    pub fn io_done<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        io: &mut MetadataIo<Buf>,
        tag: u32,
        result: Result<(), RequestError>,
    ) {
        match self.depot.ended(tag) {
            Operation::Scrub { place } => self.scrubber.read_done(&mut self.depot, place, result),
            operation => self.depot.operation_done(env, io, operation, result),
        }
        if self.depot.is_read_only() {
            self.refuse_all();
        }
    }

    /// The next piece of news.
    pub fn pop_event(&mut self) -> Option<PhysicalEvent> {
        self.depot.events.pop_front()
    }

    /// Asks for all changes of a journal up to a point to be put on media;
    /// [`PhysicalEvent::JournalsCommitted`] follows, unless the zone becomes read-only.
    pub fn commit_journals(&mut self, journal: ShardId, up_to: Point) {
        self.depot.request_commit(journal, up_to);
    }

    /// True when every change has been made, and nobody waits for an answer. Transfers may be under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let waiting = self.depot.updates.waiting() + self.waiters.len() + self.lock_waiters.len();
        waiting == 0 && self.depot.events.is_empty()
    }

    /// True while there are slabs whose counts are not known.
    #[must_use]
    pub fn is_scrubbing(&self) -> bool {
        self.scrubber.unrecovered() > 0
    }

    /// Begins to put everything on media, so that the next load finds nothing to replay. Slabs whose counts are not known
    /// keep their journals. No operation but [`PhysicalZone::release`] may be called until [`PhysicalZone::resume`].
    pub fn begin_save(&mut self) {
        if self.depot.mode == Mode::Running {
            self.depot.mode = Mode::Stopping;
        }
    }

    /// The second step of a save, when the scrubber has stopped.
    fn begin_saving_slabs(&mut self) -> bool {
        if self.depot.mode != Mode::Stopping || !self.scrubber.is_stopped(&self.depot) {
            return false;
        }
        self.depot.mode = Mode::Saving;
        self.depot.indices().for_each(|slab| self.depot.schedule(slab));
        true
    }

    /// True when the save that was begun is done, or the zone read-only: nothing is under way, and nothing will be
    /// started.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let depot = &self.depot;
        depot.is_quiet()
            && match depot.mode {
                Mode::Running | Mode::Stopping => false,
                Mode::ReadOnly => true,
                Mode::Saving => depot.scheduled() == 0 && depot.indices().all(|slab| self.is_saved(slab)),
            }
    }

    /// True when a slab has nothing more to write in a save.
    fn is_saved(&self, slab: SlabIndex) -> bool {
        let state = self.depot.slab(slab);
        let counts_are_saved = state.dirty.len() == 0 && state.round.is_none() && state.journal.length() == 0;
        state.is_settled() && state.summary.is_none() && (state.status != Status::Rebuilt || counts_are_saved)
    }

    /// Goes on after a save.
    pub fn resume(&mut self) {
        if matches!(self.depot.mode, Mode::Stopping | Mode::Saving) {
            self.depot.mode = Mode::Running;
        }
    }

    /// Ends all writing. Whoever waits for an increment is told that the volume is read-only, who waits for a block gets
    /// none; what is under way ends.
    pub fn read_only(&mut self) {
        self.depot.mode = Mode::ReadOnly;
        self.refuse_all();
    }

    /// Adds the slabs by which the volume has grown; allocates memory for them.
    ///
    /// # Panics
    /// If the geometry is not the old one with more slabs, or there is not one summary for each new slab of the zone.
    pub fn add_slabs(&mut self, geometry: &Geometry, summaries: Vec<SlabSummary>) {
        let first = SlabIndex(self.layout().slabs());
        let layout = ZoneLayout::new(geometry, self.shard);
        assert!(self.layout().is_part_of(&layout), "a volume grows by whole slabs behind its last");
        self.depot.add_slabs(&layout, summaries);
        self.scrubber.add_slabs(&self.depot, first);
        let depot = &self.depot;
        self.allocator.grow(layout, |slab| depot.slab(slab).status == Status::Rebuilt);
        self.reserve.resize(self.data_blocks());
        self.stirred = true;
    }

    /// Blocks that are free or will turn out to be, as the summaries of slabs say whose counts are not known.
    #[must_use]
    pub fn free_blocks_expected(&self) -> u64 {
        let unknown = self.depot.slabs.iter().filter(|slab| slab.status != Status::Rebuilt);
        self.free_blocks() + unknown.map(|slab| u64::from(slab.recorded.free_blocks)).sum::<u64>()
    }

    /// How often a slab was opened for the first time, or loaded.
    #[must_use]
    pub const fn slabs_opened(&self) -> u64 {
        self.allocator.slabs_opened()
    }

    /// How often a slab was opened again.
    #[must_use]
    pub const fn slabs_reopened(&self) -> u64 {
        self.allocator.slabs_reopened()
    }

    /// What the zone has counted.
    #[must_use]
    pub fn statistics(&self) -> PhysicalStatistics {
        let counts = &self.depot.counts;
        PhysicalStatistics {
            slabs: self.slabs(),
            slabs_opened: self.allocator.slabs_opened(),
            slabs_reopened: self.allocator.slabs_reopened(),
            slabs_unrecovered: self.scrubber.unrecovered() as u64,
            slabs_scrubbed: self.scrubber.scrubbed(),
            slab_journal_disk_full: counts.disk_full,
            slab_journal_flushes: counts.flush,
            slab_journal_blocked: counts.blocked,
            slab_journal_blocks_written: counts.journal_blocks_written,
            slab_journal_tail_busy: counts.tail_busy,
            reference_blocks_written: counts.reference_blocks_written,
            slab_summaries_written: counts.summaries_written,
        }
    }

    /// The invariants of slabs and their journals.
    pub(super) fn audit_slabs(&self) -> Result<(), String> {
        for slab in self.depot.indices() {
            let state = self.depot.slab(slab);
            let named = |error| format!("{error} (slab {})", state.number);
            state.journal.audit().map_err(named)?;
            state.dirty.audit().map_err(named)?;
            if !state.waiting.is_empty() && !state.unsettled {
                return Err(named("I10: updates wait for a slab that is not said to be unsettled".into()));
            }
        }
        let unknown = self.depot.slabs.iter().filter(|slab| slab.status != Status::Rebuilt).count();
        if unknown != self.scrubber.unrecovered() && !self.depot.is_read_only() {
            let queued = self.scrubber.unrecovered();
            return Err(format!("I10: {unknown} slabs are not loaded, {queued} are to be scrubbed"));
        }
        Ok(())
    }
}
