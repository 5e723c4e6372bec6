// SPDX-License-Identifier: BSD-3-Clause

//! What the zones of a shard share while one of them runs.
//!
//! The logical and the hash zone hand work to each other through the queues of [`Handoff`], never by a call, so neither
//! is ever entered from inside the other. The physical zone and the I/O submitter answer at once and are called
//! directly. This module also chooses between call, queue and message: by where the other end lives, never by load, so
//! the order between two parties is kept.

pub mod swap;

use std::collections::VecDeque;

use crate::env::{Env, Event, ReadOnlyReason};
use crate::error::RequestError;
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::format::journal_record::{Entry, Point};
use crate::format::{Geometry, Mapped};
use crate::io::{MetadataIo, Submitter};
use crate::journal::{Counters, Journal, Waiter};
use crate::message::{swap_of, Allocation, Arrival, Awaited, Claim, MemberRef, Message, ToLogical, ToSwapper, VioRef};
use crate::packing::relocator::{Relocator, MAX_MOVING};
use crate::report::Reporter;
use crate::slabs::{Applied, PhysicalError, PhysicalZone, ReadLock, Requester, Source};
use crate::statistics::Statistics;
use crate::timers::{TimerUser, Timers};
use crate::units::{Lbn, Pbn, ShardId};
use swap::HOLDS;

/// Who gets the result of a transfer.
#[derive(Debug, Clone, Copy)]
pub enum Owner {
    /// A data_vio that reads its block.
    Vio(u32),
    /// A hash-lock member that writes its block.
    Write(u32),
    /// A hash-lock member that reads a candidate in order to compare it.
    Verify(u32),
    /// A compressed block that the hash zone writes.
    Container(u32),
    /// A compressed block that the relocator reads.
    Relocation(u32),
    /// A compressed block that the swapper reads or writes.
    Swap(u32),
}

/// The queues between the zones of one shard.
#[derive(Debug)]
pub struct Handoff<Buf> {
    /// Blocks queued for the hash zone.
    pub arrivals: VecDeque<Arrival<Buf>>,
    /// Blocks whose LBN a request waits for; the hash zone is to be told.
    pub hastened: VecDeque<Awaited>,
    /// Results of remaps, queued for the hash zone.
    pub finished: VecDeque<(u32, Result<(), RequestError>)>,
    /// Messages queued for the logical zone.
    pub to_logical: VecDeque<ToLogical>,
    /// Messages queued for the swapper.
    pub to_swapper: VecDeque<ToSwapper<Buf>>,
    /// Fingerprints and locations to be recorded in the index.
    pub advice: VecDeque<(Fingerprint, Mapped)>,
}

impl<Buf> Handoff<Buf> {
    /// Queues with room for `capacity` entries each; the swapper's queue has room for `swaps`.
    pub fn new(capacity: usize, swaps: usize) -> Handoff<Buf> {
        Handoff {
            arrivals: VecDeque::with_capacity(capacity),
            hastened: VecDeque::with_capacity(capacity),
            finished: VecDeque::with_capacity(capacity),
            to_logical: VecDeque::with_capacity(capacity + MAX_MOVING + 2 * HOLDS),
            to_swapper: VecDeque::with_capacity(swaps),
            advice: VecDeque::with_capacity(2 * HOLDS),
        }
    }

    /// True when no message is queued.
    pub fn is_empty(&self) -> bool {
        let is_told = self.hastened.is_empty() && self.advice.is_empty() && self.to_swapper.is_empty();
        is_told && self.arrivals.is_empty() && self.finished.is_empty() && self.to_logical.is_empty()
    }
}

/// The parts of a shard that its zones use, and the environment.
pub struct Context<'a, E: Env> {
    pub env: &'a mut E,
    pub id: ShardId,
    pub geometry: &'a Geometry,
    /// Computes fingerprints with the volume's secret.
    pub fingerprinter: &'a Fingerprinter,
    pub physical: &'a mut PhysicalZone<E::Buf>,
    pub journal: &'a mut Journal<E::Buf>,
    pub metadata: &'a mut MetadataIo<E::Buf>,
    /// Why the shard is read-only; `None` while it takes writes.
    pub read_only: &'a mut Option<ReadOnlyReason>,
    pub io: &'a mut Submitter<E::Buf, Owner>,
    pub relocator: &'a mut Relocator<E::Buf>,
    pub handoff: &'a mut Handoff<E::Buf>,
    /// Rate limit of the operator's log.
    pub reporter: &'a mut Reporter,
    pub timers: &'a mut Timers,
    pub stats: &'a mut Statistics,
}

impl<E: Env> Context<'_, E> {
    pub fn send(&mut self, to: ShardId, message: Message<E::Buf>) {
        debug_assert_ne!(to, self.id, "a shard does not send messages to itself");
        self.stats.messages_sent += 1;
        self.env.send(to, message);
    }

    /// Reports an event, or counts it when the rate limit is reached.
    pub fn report(&mut self, event: Event) {
        self.reporter.report(self.env, self.timers, event);
    }

    /// Counts index queries that were given up, and reports them now or together with later ones.
    pub fn queries_timed_out(&mut self, count: u64) {
        if count > 0 {
            self.stats.dedupe_advice_timeouts += count;
            self.reporter.queries_timed_out(self.env, self.timers, count);
        }
    }

    /// True when the shard takes no writes any more.
    pub fn is_read_only(&self) -> bool {
        self.read_only.is_some()
    }

    /// Makes the volume read-only: this shard at once, every other shard by message. Only the first reason is kept.
    pub fn enter_read_only(&mut self, reason: ReadOnlyReason) {
        if self.read_only.is_some() {
            return;
        }
        *self.read_only = Some(reason);
        self.stats.read_only_error_count += 1;
        self.physical.read_only();
        self.journal.fail(reason);
        self.env.report(Event::ReadOnly(reason));
        let (geometry, id) = (self.geometry, self.id);
        for shard in geometry.shard_ids().filter(|&shard| shard != id) {
            self.send(shard, Message::ReadOnly);
        }
    }

    /// Counts and reports an error of the physical zone, and returns the error for the client. Reference counts that
    /// contradict the mappings make the volume read-only; a lock that merely could not be taken does not.
    pub fn physical_error(&mut self, error: &PhysicalError) -> RequestError {
        let (pbn, operation) = error.object();
        if matches!(error, PhysicalError::ReferenceCount { .. } | PhysicalError::NotOurs { .. }) {
            self.inconsistent(pbn, operation);
        } else {
            self.stats.lock_error_count += 1;
            self.report(Event::Inconsistent { pbn, operation });
        }
        RequestError::Lock
    }

    /// Reports that reference counts contradict the mappings, and makes the volume read-only.
    pub fn inconsistent(&mut self, pbn: Pbn, operation: &'static str) {
        self.stats.lock_error_count += 1;
        self.report(Event::Inconsistent { pbn, operation });
        self.enter_read_only(ReadOnlyReason::Inconsistent(pbn));
    }

    /// Appends an entry to the journal if there is room; `counters` are the values after the entry. Returns false if
    /// there is no room.
    pub fn append(&mut self, entry: &Entry<'_>, waiter: Waiter, counters: Counters) -> bool {
        let fits = self.journal.fits(entry);
        if fits {
            // Set the counters first: the entry may complete a record.
            self.journal.set_counters(counters);
            self.journal.append(entry, waiter);
        }
        fits
    }

    /// Delivers a message to a zone: of this shard through a queue, of another shard as a message.
    #[inline]
    pub fn tell(&mut self, shard: ShardId, message: Message<E::Buf>) {
        if shard != self.id {
            return self.send(shard, message);
        }
        let left = self.take(message);
        debug_assert!(left.is_none(), "no queue of this shard takes {left:?}");
    }

    /// Puts a message into the queue of the zone that it is for. Returns a message that is for no queue.
    #[inline]
    pub fn take(&mut self, message: Message<E::Buf>) -> Option<Message<E::Buf>> {
        match message {
            Message::Dedupe(arrival) => self.handoff.arrivals.push_back(arrival),
            Message::Hasten(awaited) => self.handoff.hastened.push_back(awaited),
            Message::Advise { fingerprint, location } => self.handoff.advice.push_back((fingerprint, location)),
            Message::Finished { member, result } => match swap_of(member) {
                Some(swap) => self.handoff.to_swapper.push_back(ToSwapper::Finished { swap, result }),
                None => self.handoff.finished.push_back((member, result)),
            },
            Message::Logical(message) => self.handoff.to_logical.push_back(message),
            Message::Swapper(message) => self.handoff.to_swapper.push_back(message),
            other => return Some(other),
        }
        None
    }

    /// Logical to hash: hands over a block to be deduplicated.
    pub fn dedupe(&mut self, block: Arrival<E::Buf>) {
        let to = self.geometry.hash_shard(block.fingerprint.first_byte());
        self.tell(to, Message::Dedupe(block));
    }

    /// Logical to hash: a request now waits for a block that was handed over.
    pub fn hasten(&mut self, awaited: Awaited) {
        let to = self.geometry.hash_shard(awaited.fingerprint.first_byte());
        self.tell(to, Message::Hasten(awaited));
    }

    /// Logical to hash or to the swapper: the result of a remap.
    pub fn finished(&mut self, member: MemberRef, result: Result<(), RequestError>) {
        self.tell(member.shard, Message::Finished { member: member.index, result });
    }

    /// Hash to logical: asks for a remap.
    pub fn remap(&mut self, vio: VioRef, member: u32, location: Mapped) {
        let member = MemberRef { shard: self.id, index: member };
        self.tell(vio.shard, Message::Logical(ToLogical::Remap { vio: vio.index, member, location }));
    }

    /// Hash to logical: a block could not be stored.
    pub fn write_failed(&mut self, vio: VioRef, error: RequestError) {
        self.tell(vio.shard, Message::Logical(ToLogical::WriteFailed { vio: vio.index, error }));
    }

    /// Logical to physical: adds one reference. `None` when the answer comes later.
    pub fn increment(&mut self, vio: u32, pbn: Pbn, point: Point) -> Option<Result<(), RequestError>> {
        let vio = VioRef { shard: self.id, index: vio };
        match self.owner(pbn) {
            Err(error) => Some(Err(error)),
            Ok(owner) if owner == self.id => self.increment_here(self.id, vio, pbn, point),
            Ok(owner) => {
                self.send(owner, Message::Increment { vio, pbn, point });
                None
            }
        }
    }

    /// Adds one reference to a block of this shard. `None` when the answer comes as an event of the zone.
    pub fn increment_here(
        &mut self,
        journal: ShardId,
        vio: VioRef,
        pbn: Pbn,
        point: Point,
    ) -> Option<Result<(), RequestError>> {
        match self.physical.increment(pbn, Source { journal, point }, vio) {
            Ok(Applied::Now) => Some(Ok(())),
            Ok(Applied::Later) => None,
            Err(error) => Some(Err(self.physical_error(&error))),
        }
    }

    /// Logical to physical: drops one reference of each of `count` blocks of one slab; `compressed`: some may hold
    /// fragments.
    pub fn decrement(&mut self, first: Pbn, count: u32, compressed: bool, point: Point) {
        match self.owner(first) {
            Err(_) => {}
            Ok(owner) if owner == self.id => self.decrement_here(self.id, first, count, compressed, point),
            Ok(owner) => self.send(owner, Message::Decrement { first, count, compressed, point }),
        }
    }

    /// Drops one reference of each of `count` blocks of one of this shard's slabs.
    pub fn decrement_here(&mut self, journal: ShardId, first: Pbn, count: u32, compressed: bool, point: Point) {
        if let Err(error) = self.physical.decrement(first, count, Source { journal, point }) {
            self.physical_error(&error);
        } else if compressed {
            for pbn in (0..u64::from(count)).map(|block| first.plus(block)) {
                // A decrement that is queued for its slab's journal is not seen here; the next decrement of the block
                // is.
                let references = self.physical.references(pbn).unwrap_or(0);
                self.stats.relocations_skipped += u64::from(!self.relocator.thinned(pbn, references));
            }
        }
    }

    /// To logical: store a block in another place if it still is at `location`, which belongs to this shard.
    pub fn relocate(&mut self, lbn: Lbn, location: Mapped) {
        self.relocator.moves();
        let owner = self.geometry.logical_shard(lbn);
        self.tell(owner, Message::Logical(ToLogical::Relocate { lbn, location }));
    }

    /// Logical to physical: a [`ToLogical::Relocate`] has ended, whatever its result.
    pub fn relocated(&mut self, from: Pbn) {
        match self.owner(from) {
            Err(_) => {}
            Ok(owner) if owner == self.id => self.relocator.moved(from),
            Ok(owner) => self.send(owner, Message::Relocated { from }),
        }
    }

    /// Logical to physical: a block-map page is journaled; its block gets the reference that it keeps.
    pub fn reference_page(&mut self, pbn: Pbn, point: Point) {
        match self.owner(pbn) {
            Err(_) => {}
            Ok(owner) if owner == self.id => self.reference_page_here(self.id, pbn, point),
            Ok(owner) => self.send(owner, Message::ReferencePage { pbn, point }),
        }
    }

    /// Gives the block of a journaled block-map page, in one of this shard's slabs, the reference that it keeps.
    pub fn reference_page_here(&mut self, journal: ShardId, pbn: Pbn, point: Point) {
        if let Err(error) = self.physical.reference_page(pbn, Source { journal, point }) {
            self.physical_error(&error);
        }
    }

    /// Logical to physical: the journal records that a block-map page is gone; its block is freed.
    pub fn free_page(&mut self, pbn: Pbn, point: Point) {
        match self.owner(pbn) {
            Err(_) => {}
            Ok(owner) if owner == self.id => self.free_page_here(self.id, pbn, point),
            Ok(owner) => self.send(owner, Message::FreePage { pbn, point }),
        }
    }

    /// Frees the block of a block-map page that is gone, in one of this shard's slabs.
    pub fn free_page_here(&mut self, journal: ShardId, pbn: Pbn, point: Point) {
        if let Err(error) = self.physical.free_page(pbn, Source { journal, point }) {
            self.physical_error(&error);
        }
    }

    /// Allocates a free block of this shard. An error counts as a full zone.
    pub fn allocate(&mut self, requester: Requester, claim: Claim, wait: bool) -> Allocation {
        self.physical.allocate(requester, claim, wait).unwrap_or_else(|error| {
            self.physical_error(&error);
            Allocation::Full
        })
    }

    /// Takes a read lock on a block of this shard and leases up to `at_most` increments with it; `None` when the lock
    /// is refused.
    pub fn lock_for_read(&mut self, pbn: Pbn, at_most: u8) -> Option<u8> {
        match self.physical.lock_for_read_sharing(pbn, at_most) {
            Ok(ReadLock::Granted { lease }) => Some(lease),
            Ok(ReadLock::Refused) => None,
            Err(error) => {
                self.physical_error(&error);
                None
            }
        }
    }

    /// Takes a read lock on a candidate in this shard, like [`Context::lock_for_read`]. `None` when the slab has to be
    /// loaded first; the answer then comes as an event of the zone.
    pub fn lock_candidate(&mut self, member: MemberRef, pbn: Pbn, at_most: u8) -> Option<Option<u8>> {
        let now = self.env.now();
        match self.physical.lock_candidate(member, pbn, at_most, now) {
            Ok(Some(ReadLock::Granted { lease })) => Some(Some(lease)),
            Ok(Some(ReadLock::Refused)) => Some(None),
            Ok(None) => {
                self.set_slab_timer();
                None
            }
            Err(error) => {
                self.physical_error(&error);
                Some(None)
            }
        }
    }

    /// Arms the timer of the members that wait for slabs to be loaded, if it is not armed.
    fn set_slab_timer(&mut self) {
        if let Some(at) = self.physical.set_lock_timer() {
            self.timers.arm(self.env, TimerUser::Slab, at);
        }
    }

    /// The slab timer fired: members that have waited too long for a slab go on without its block.
    pub fn slab_timer(&mut self) {
        let now = self.env.now();
        let given_up = self.physical.lock_timer_fired(now);
        self.queries_timed_out(given_up);
        self.set_slab_timer();
    }

    /// Hash to physical: leases up to `at_most` more increments for a read lock that is held. `None` when the answer
    /// comes as a message to `member`.
    pub fn extend_lease(&mut self, member: u32, pbn: Pbn, at_most: u8) -> Option<u8> {
        match self.owner(pbn) {
            Err(_) => Some(0),
            Ok(owner) if owner == self.id => Some(self.extend_lease_here(pbn, at_most)),
            Ok(owner) => {
                let member = MemberRef { shard: self.id, index: member };
                self.send(owner, Message::ExtendLease { member, pbn, at_most });
                None
            }
        }
    }

    /// Leases more increments for a read lock on a block of this shard; 0 when there are no more.
    pub fn extend_lease_here(&mut self, pbn: Pbn, at_most: u8) -> u8 {
        match self.physical.extend_lease(pbn, at_most) {
            Ok(lease) => lease,
            Err(error) => {
                self.physical_error(&error);
                0
            }
        }
    }

    /// Hash to physical: a compressed block is written, and the owners of its fragments become holders of its lock.
    /// `None` when the answer, the increments leased to each holder, comes as a message.
    pub fn share_compressed(&mut self, container: u32, pbn: Pbn, holders: u8) -> Option<Option<u8>> {
        match self.owner(pbn) {
            Err(_) => Some(None),
            Ok(owner) if owner == self.id => Some(self.share_compressed_here(pbn, holders)),
            Ok(owner) => {
                self.send(owner, Message::ShareCompressed { container, pbn, holders });
                None
            }
        }
    }

    /// Makes the owners of a compressed block of this shard holders of its lock; `None` when the lock is in an
    /// impossible state.
    pub fn share_compressed_here(&mut self, pbn: Pbn, holders: u8) -> Option<u8> {
        match self.physical.share_compressed(pbn, holders) {
            Ok(lease) => Some(lease),
            Err(error) => {
                self.physical_error(&error);
                None
            }
        }
    }

    /// Hash to physical: one holder releases a lock. True when this is done, false when `waiting` gets a message.
    ///
    /// In a read-only shard no lock is released: a journal entry whose write failed may be on media nevertheless, and
    /// its block must keep its content until the volume is loaded again, which finds out.
    pub fn release(&mut self, pbn: Pbn, unused: u8, waiting: Option<u32>) -> bool {
        if self.is_read_only() {
            return true;
        }
        match self.owner(pbn) {
            Err(_) => true,
            Ok(owner) if owner == self.id => {
                if let Err(error) = self.physical.release(pbn, unused) {
                    self.physical_error(&error);
                }
                true
            }
            Ok(owner) => {
                let waiting = waiting.map(|index| MemberRef { shard: self.id, index });
                self.send(owner, Message::Release { pbn, unused, waiting });
                waiting.is_none()
            }
        }
    }

    /// The shard that owns `pbn`, which must be a data block.
    fn owner(&mut self, pbn: Pbn) -> Result<ShardId, RequestError> {
        match self.geometry.physical_shard(pbn) {
            Some(owner) => Ok(owner),
            None => Err(self.physical_error(&PhysicalError::NotOurs { pbn })),
        }
    }
}
