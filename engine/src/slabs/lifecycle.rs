// SPDX-License-Identifier: BSD-3-Clause

//! The zone's background work and administrative states.
//!
//! A save goes through dm-vdo's steps: the scrubber finishes its slab, then every slab writes what it has, ending with
//! its summary. Afterwards nothing is written until the zone is resumed (I14).
//!
//! Differs from dm-vdo: the only administrative states are running, saving (saved, when all is done) and read-only.
//! What dm-vdo's other states are for is done before a zone exists, or is not needed: a volume that is suspended
//! without a save writes nothing because it gets no requests.

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
    /// Starts all work that can be started. Returns whether there was any.
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

    /// Advances the scrubber.
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

    /// Serves the queued requests for blocks, in order, as far as there are blocks; a request that can never be met is
    /// answered too.
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
                // An error means that the lock pool is too small; the request gets no block either way.
                Verdict::Now => self.allocate_for(requester, claim).unwrap_or(None),
                Verdict::Elsewhere | Verdict::Never => None,
            };
            let answer = answer.map_or(Allocation::Again, Allocation::Block);
            self.depot.events.push_back(PhysicalEvent::Allocated { requester, answer });
        }
        self.depot.events.len() > events
    }

    /// Refuses every waiting request: the zone is read-only.
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

    /// Continues after a transfer or flush that the zone started, by its tag.
    ///
    /// # Panics
    /// If the tag is not one of an operation in flight.
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

    /// Takes the next event.
    pub fn pop_event(&mut self) -> Option<PhysicalEvent> {
        self.depot.events.pop_front()
    }

    /// Asks for all changes of a journal up to a point to be put on media; [`PhysicalEvent::JournalsCommitted`]
    /// follows, unless the zone becomes read-only.
    pub fn commit_journals(&mut self, journal: ShardId, up_to: Point) {
        self.depot.request_commit(journal, up_to);
    }

    /// True when every change has been made and no request is queued. Transfers may be in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let waiting = self.depot.updates.waiting() + self.waiters.len() + self.lock_waiters.len();
        waiting == 0 && self.depot.events.is_empty()
    }

    /// True while the counts of some slabs are not known.
    #[must_use]
    pub fn is_scrubbing(&self) -> bool {
        self.scrubber.unrecovered() > 0
    }

    /// Begins to write everything, so that the next load need not replay anything. Slabs whose counts are not known
    /// keep their journals. No operation but [`PhysicalZone::release`] may be called until [`PhysicalZone::resume`].
    pub fn begin_save(&mut self) {
        if self.depot.mode == Mode::Running {
            self.depot.mode = Mode::Stopping;
        }
    }

    /// Begins the second step of a save, when the scrubber has stopped.
    fn begin_saving_slabs(&mut self) -> bool {
        if self.depot.mode != Mode::Stopping || !self.scrubber.is_stopped(&self.depot) {
            return false;
        }
        self.depot.mode = Mode::Saving;
        self.depot.indices().for_each(|slab| self.depot.schedule(slab));
        true
    }

    /// True when the save is complete, or the zone is read-only: nothing is in flight, and nothing will be started.
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

    /// True when a slab has nothing left to write in a save.
    fn is_saved(&self, slab: SlabIndex) -> bool {
        let state = self.depot.slab(slab);
        let counts_are_saved = state.dirty.len() == 0 && state.round.is_none() && state.journal.length() == 0;
        state.is_settled() && state.summary.is_none() && (state.status != Status::Rebuilt || counts_are_saved)
    }

    /// Returns to normal operation after a save.
    pub fn resume(&mut self) {
        if matches!(self.depot.mode, Mode::Stopping | Mode::Saving) {
            self.depot.mode = Mode::Running;
        }
    }

    /// Ends all writing. Waiting increments are answered with a read-only error, waiting requests for blocks with
    /// [`Allocation::ReadOnly`]. Operations in flight complete.
    pub fn read_only(&mut self) {
        self.depot.mode = Mode::ReadOnly;
        self.refuse_all();
    }

    /// Adds the slabs by which the volume has grown. Allocates memory for them.
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

    /// Free blocks, plus those that the summaries promise for slabs whose counts are not known yet.
    #[must_use]
    pub fn free_blocks_expected(&self) -> u64 {
        let unknown = self.depot.slabs.iter().filter(|slab| slab.status != Status::Rebuilt);
        self.free_blocks() + unknown.map(|slab| u64::from(slab.recorded.free_blocks)).sum::<u64>()
    }

    /// Slabs opened for the first time, or loaded.
    #[must_use]
    pub const fn slabs_opened(&self) -> u64 {
        self.allocator.slabs_opened()
    }

    /// Slabs opened again.
    #[must_use]
    pub const fn slabs_reopened(&self) -> u64 {
        self.allocator.slabs_reopened()
    }

    /// Gauges and counters of the zone.
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

    /// Checks the invariants of slabs and their journals.
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
