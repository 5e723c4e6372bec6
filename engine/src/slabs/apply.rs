// SPDX-License-Identifier: BSD-3-Clause

//! Changes of reference counts: first to the slab journal, then to the counter.
//!
//! A change is made at once if the slab's journal has room, else it queues behind all earlier changes of its slab.
//! While the slab's counts are not known, only the journal changes. A change that the counter does not allow is not
//! journaled.
//!
//! Differs from dm-vdo: a decrement of a provisional counter is refused. A provisional counter holds no reference that
//! a mapping could lose; a lock that gives up its block frees it with [`PhysicalZone::release`].

use super::error::PhysicalError;
use super::event::{Applied, PhysicalEvent, Source};
use super::layout::{BlockIndex, SlabIndex};
use super::pbn_lock::{LockType, PbnLock, Written};
use super::reference_counts::{transition, Balance, Change, Mode, FREE, PROVISIONAL};
use super::slab_state::{Obstacle, Status};
use super::updates::Update;
use super::zone::PhysicalZone;
use crate::error::RequestError;
use crate::format::slab_journal_block::{SlabChange, SlabEntry, ENTRIES_PER_BLOCK};
use crate::message::VioRef;
use crate::units::Pbn;

/// Outer error: the change has to wait. Inner result: the outcome of a change that need not.
type Attempt = Result<Result<(), PhysicalError>, Obstacle>;

impl<Buf: Copy> PhysicalZone<Buf> {
    /// Adds one reference to a locked block, on behalf of a holder's claim.
    ///
    /// The first increment under a write lock downgrades it to a read lock, and leases the 253 further references to
    /// the writer. The block's reference is no longer provisional. Under a block map lock the count becomes 254 at
    /// once. The caller must not release the lock while a [`PhysicalEvent::Incremented`] is outstanding.
    ///
    /// # Errors
    /// [`PhysicalError::NotOurs`], [`PhysicalError::NotLocked`]; [`PhysicalError::ReferenceCount`] at 254 references.
    #[inline]
    pub fn increment(&mut self, pbn: Pbn, source: Source, vio: VioRef) -> Result<Applied, PhysicalError> {
        self.update(pbn, Update::Increment { pbn, vio }, source)
    }

    /// Counts a block map page that the recovery journal has recorded: the block's count becomes 254, and its lock is
    /// released.
    ///
    /// # Errors
    /// As [`PhysicalZone::increment`].
    pub fn reference_page(&mut self, pbn: Pbn, source: Source) -> Result<(), PhysicalError> {
        self.update(pbn, Update::Page { pbn }, source).map(|_| ())
    }

    /// Frees the block of a block map page whose removal the recovery journal has recorded.
    ///
    /// # Errors
    /// [`PhysicalError::NotOurs`]; [`PhysicalError::ReferenceCount`] when the block is not a page's. As with
    /// decrements, a change that has to wait fails later.
    pub fn free_page(&mut self, pbn: Pbn, source: Source) -> Result<(), PhysicalError> {
        self.update(pbn, Update::FreePage { pbn }, source).map(|_| ())
    }

    /// Takes one reference from each of `count` blocks from `first` on, all in one slab.
    ///
    /// A locked block that loses its last reference stays in use until its lock is released.
    ///
    /// # Errors
    /// The first block's error is returned; all other blocks are decremented nevertheless.
    /// [`PhysicalError::ReferenceCount`] when a block had no reference; [`PhysicalError::NotOurs`] of a range that is
    /// not in one slab of this zone. A change that has to wait fails later, by [`PhysicalEvent::Inconsistent`].
    #[inline]
    pub fn decrement(&mut self, first: Pbn, count: u32, source: Source) -> Result<(), PhysicalError> {
        self.update(first, Update::Decrement { first, count }, source).map(|_| ())
    }

    /// Makes a change now, or queues it.
    #[inline]
    fn update(&mut self, pbn: Pbn, update: Update, source: Source) -> Result<Applied, PhysicalError> {
        let slab = self.layout().slab(self.locate(pbn)?);
        // A read-only volume does not change, nor does one whose journal order was just found to be wrong.
        if self.depot.is_read_only() || self.depot.arrive(slab, source).is_err() {
            self.refuse(update);
            return Ok(Applied::Later);
        }
        if self.depot.slab(slab).waiting.is_empty() {
            if let Ok(result) = self.apply(slab, update, source) {
                return result.map(|()| Applied::Now);
            }
        }
        self.promote_if_blocked(slab);
        let state = &mut self.depot.slabs[slab.0 as usize];
        state.waiting.push(&mut self.depot.updates, update, source);
        Ok(Applied::Later)
    }

    /// If updates wait for a journal that only the scrubber can shorten, moves the slab ahead of others in the
    /// scrubber's queue.
    fn promote_if_blocked(&mut self, slab: SlabIndex) {
        let state = self.depot.slab(slab);
        let is_blocked = matches!(state.obstacle, Some(Obstacle::Blocked | Obstacle::RingFull));
        if is_blocked && state.status == Status::Unloaded {
            self.scrubber.promote(slab);
        }
    }

    /// Applies the queued changes of a slab until one has to wait. Returns whether any was applied.
    pub(super) fn apply_waiting(&mut self, slab: SlabIndex) -> bool {
        let mut progress = false;
        while let Some((update, source)) = self.depot.slab(slab).waiting.front(&self.depot.updates) {
            let Ok(result) = self.apply(slab, update, source) else {
                self.promote_if_blocked(slab);
                break;
            };
            self.depot.slabs[slab.0 as usize].waiting.pop(&mut self.depot.updates);
            self.tell(update, result);
            self.stirred = true;
            progress = true;
        }
        progress
    }

    /// Refuses every queued change of a slab: the zone is read-only.
    pub(super) fn refuse_waiting(&mut self, slab: SlabIndex) {
        while let Some((update, _)) = self.depot.slabs[slab.0 as usize].waiting.pop(&mut self.depot.updates) {
            self.refuse(update);
        }
    }

    /// Refuses a change in a read-only zone and tells the requester. A page that is recorded keeps its block and lock:
    /// its entry is on media, and another shard that does not know that yet must not be given the block.
    fn refuse(&mut self, update: Update) {
        if let Update::Increment { vio, .. } = update {
            let result = Err(RequestError::ReadOnly);
            self.depot.events.push_back(PhysicalEvent::Incremented { vio, result });
        }
    }

    /// Reports the outcome of a change that had to wait.
    fn tell(&mut self, update: Update, result: Result<(), PhysicalError>) {
        if let Err(error) = &result {
            self.report(error);
        }
        if let Update::Increment { vio, .. } = update {
            let result = result.map_err(|_| RequestError::Lock);
            self.depot.events.push_back(PhysicalEvent::Incremented { vio, result });
        }
    }

    /// Reports that counts and mappings disagree.
    pub(super) fn report(&mut self, error: &PhysicalError) {
        let (pbn, operation) = error.object();
        self.depot.events.push_back(PhysicalEvent::Inconsistent { pbn, operation });
    }

    #[inline]
    fn apply(&mut self, slab: SlabIndex, update: Update, source: Source) -> Attempt {
        let result = match update {
            Update::Increment { pbn, .. } => self.apply_increment(slab, pbn, source),
            Update::Decrement { first, count } => self.apply_decrement(slab, (first, count), source),
            Update::Page { pbn } => {
                let result = self.apply_increment(slab, pbn, source)?;
                Ok(result.and_then(|()| self.release(pbn, 0)))
            }
            Update::FreePage { pbn } => self.apply_free_page(slab, pbn, source),
        };
        if let Ok(Err(_)) = result {
            // A refused change is never journaled, so no commit request need wait for it.
            self.depot.slabs[slab.0 as usize].journal.appended(source);
        }
        result
    }

    #[inline]
    fn apply_increment(&mut self, slab: SlabIndex, pbn: Pbn, source: Source) -> Attempt {
        let Ok(block) = self.locate(pbn) else { return Ok(Err(PhysicalError::NotOurs { pbn })) };
        let Some(lock) = self.locks.get_mut(pbn) else { return Ok(Err(PhysicalError::NotLocked { pbn })) };
        let (change, recorded) = match lock.lock_type() {
            LockType::Read | LockType::Write => (Change::Increment(Mode::Online), SlabChange::Increment),
            LockType::BlockMapWrite => (Change::BlockMapIncrement(Mode::Online), SlabChange::BlockMapIncrement),
        };
        let refused = PhysicalError::ReferenceCount { pbn, operation: "increment" };
        if transition(self.allocator.references(block), change).is_none() {
            return Ok(Err(refused));
        }
        self.depot.make_room(slab, 1, &self.allocator)?;
        let offset = self.allocator.layout().offset(block);
        self.depot.record(slab, source, std::iter::once(SlabEntry { offset, count: 1, change: recorded }));
        let changed = self.allocator.change(block, change).ok_or(refused);
        incremented(lock, pbn);
        self.depot.entries_added(slab, &self.allocator);
        Ok(changed.map(|_| ()))
    }

    fn apply_decrement(&mut self, slab: SlabIndex, (first, count): (Pbn, u32), source: Source) -> Attempt {
        let Ok(block) = self.locate(first) else { return Ok(Err(PhysicalError::NotOurs { pbn: first })) };
        let offset = self.layout().offset(block);
        let to_slab_end = self.layout().slab_blocks() - offset;
        let in_slab = count.min(to_slab_end);
        let rebuilt = self.depot.slab(slab).status == Status::Rebuilt;
        let counters = rebuilt.then(|| self.allocator.counters(slab));
        let changed = || {
            let runs = referenced_runs(counters, offset, in_slab);
            runs.flat_map(|(at, blocks)| SlabEntry::runs(at, blocks, SlabChange::Decrement))
        };
        let entries = changed().count();
        if entries > ENTRIES_PER_BLOCK {
            let operation = "decrement of too many blocks at once";
            return Ok(Err(PhysicalError::ReferenceCount { pbn: first, operation }));
        }
        if entries > 0 {
            self.depot.make_room(slab, entries, &self.allocator)?;
            self.depot.record(slab, source, changed());
        }
        let mut result = Ok(());
        if rebuilt {
            for distance in 0..in_slab {
                let each = self.decrement_one(BlockIndex(block.0 + distance as usize), first.plus(u64::from(distance)));
                result = result.and(each);
            }
        }
        if entries > 0 {
            self.depot.entries_added(slab, &self.allocator);
        }
        if count > to_slab_end {
            result = result.and(Err(PhysicalError::NotOurs { pbn: first.plus(u64::from(to_slab_end)) }));
        }
        Ok(result)
    }

    fn apply_free_page(&mut self, slab: SlabIndex, pbn: Pbn, source: Source) -> Attempt {
        let Ok(block) = self.locate(pbn) else { return Ok(Err(PhysicalError::NotOurs { pbn })) };
        let rebuilt = self.depot.slab(slab).status == Status::Rebuilt;
        let change = Change::BlockMapDecrement { locked: self.locks.get_mut(pbn).is_some() };
        let refused = PhysicalError::ReferenceCount { pbn, operation: "freeing of a map page" };
        if rebuilt && transition(self.allocator.references(block), change).is_none() {
            return Ok(Err(refused));
        }
        self.depot.make_room(slab, 1, &self.allocator)?;
        let offset = self.allocator.layout().offset(block);
        let entry = SlabEntry { offset, count: 1, change: SlabChange::BlockMapDecrement };
        self.depot.record(slab, source, std::iter::once(entry));
        if rebuilt {
            self.allocator.change(block, change).expect("the change was just seen to be possible");
            self.stirred = true;
            if let Some(lock) = self.locks.get_mut(pbn) {
                lock.assign_provisional_reference();
            }
        }
        self.depot.entries_added(slab, &self.allocator);
        Ok(Ok(()))
    }

    #[inline]
    fn decrement_one(&mut self, block: BlockIndex, pbn: Pbn) -> Result<(), PhysicalError> {
        let refused = PhysicalError::ReferenceCount { pbn, operation: "decrement" };
        let lock = match self.allocator.references(block) {
            PROVISIONAL => return Err(refused),
            // Only the last reference can pass to a lock, so other decrements need not look for one.
            1 => self.locks.get_mut(pbn),
            _ => None,
        };
        let balance = self.allocator.change(block, Change::Decrement { locked: lock.is_some() }).ok_or(refused)?;
        if let Some(lock) = lock {
            lock.assign_provisional_reference();
        }
        if balance == Balance::Freed {
            self.reserve.freed(block);
        }
        self.stirred = true;
        Ok(())
    }
}

/// Updates the lock of a block that has been incremented: a write lock is downgraded, and the reference is no longer
/// provisional.
#[inline]
fn incremented(lock: &mut PbnLock, pbn: Pbn) {
    if lock.lock_type() == LockType::Write {
        let downgraded = lock.downgrade(Written::Plain);
        assert!(downgraded.is_ok(), "a write lock has one holder: {pbn}");
    }
    lock.unassign_provisional_reference();
}

/// The runs (first, number) of referenced blocks among `blocks` from `offset` on. Where the slab's counts are not
/// known, every block is taken to be referenced.
fn referenced_runs(counters: Option<&[u8]>, offset: u32, blocks: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
    let end = offset + blocks;
    let has_reference =
        move |at: u32| counters.is_none_or(|counters| !matches!(counters[at as usize], FREE | PROVISIONAL));
    let mut at = offset;
    std::iter::from_fn(move || {
        let first = (at..end).find(|&at| has_reference(at))?;
        at = (first..end).find(|&at| !has_reference(at)).unwrap_or(end);
        Some((first, at - first))
    })
}
