// SPDX-License-Identifier: BSD-3-Clause

//! The physical zone's operations: PBN locks and reference counters, always changed together.
//!
//! Invariants: those listed in [`crate::slabs`]. Each operation upholds them whether it succeeds or not, and
//! [`PhysicalZone::audit`] checks them.

use std::collections::VecDeque;

use super::allocator::BlockAllocator;
use super::config::{PbnLocks, PhysicalConfig, MIN_METADATA_BUFS};
use super::depot::SlabDepot;
use super::error::PhysicalError;
use super::event::Requester;
use super::layout::{BlockIndex, SlabIndex, ZoneLayout};
use super::lock_table::{Attempt, LockTable};
use super::lock_waiters::LockWaiters;
use super::pbn_lock::{LockType, PbnLock, Written};
use super::reference_counts::{Balance, Change, FREE, PROVISIONAL};
use super::reserve::{Loan, Reserve, Verdict};
use super::scrubber::Scrubber;
use super::slab_state::Status;
use crate::message::{Allocation, Claim};
use crate::units::{Pbn, ShardId, MAX_REFERENCES};

/// The answer to a request for a read lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadLock {
    /// The caller is a holder, and must release the lock.
    Granted {
        /// References that the caller may add while it holds the lock; at least one.
        lease: u8,
    },
    /// No lock was taken: a writer holds the block, no more references fit, the block is not a data block of this zone,
    /// its count is not known yet, it is held back or about to be freed for a loan, or the zone is read-only.
    Refused,
}

/// The blocks and PBN locks that one shard owns.
#[derive(Debug)]
pub struct PhysicalZone<Buf> {
    pub(super) allocator: BlockAllocator,
    pub(super) locks: LockTable,
    /// Locks on new pages of the block map that are in use, and the limit.
    page_locks: usize,
    max_page_locks: usize,
    pub(super) depot: SlabDepot<Buf>,
    pub(super) scrubber: Scrubber<Buf>,
    pub(super) reserve: Reserve,
    /// Queued requests for a block, in order.
    pub(super) waiters: VecDeque<(Requester, Claim)>,
    /// Whether something has changed that queued requests may wait for.
    pub(super) stirred: bool,
    /// Hash locks that wait for a slab to be loaded.
    pub(super) lock_waiters: LockWaiters,
    pub(super) shard: ShardId,
}

impl<Buf: Copy> PhysicalZone<Buf> {
    /// The zone of all slabs of the geometry that the shard owns. Slabs that were never used can be allocated from at
    /// once; the scrubber loads the counts of the others in the background.
    ///
    /// Takes one byte for each block, some 10 KiB for each slab, 32 to 64 bytes for each lock, and half a MiB.
    /// Afterwards the zone allocates only for a slab being scrubbed, and when more updates than usual wait for slabs
    /// (module `updates`).
    ///
    /// # Panics
    /// If the volume has no such shard, a zone would have 2^32 slabs or more, there is not one summary for each slab,
    /// there are fewer than [`MIN_METADATA_BUFS`] buffers, or there is no lock for pages.
    #[must_use]
    pub fn new(mut config: PhysicalConfig<Buf>) -> PhysicalZone<Buf> {
        assert!(config.bufs.len() >= MIN_METADATA_BUFS, "{} blocks of memory for slab metadata", config.bufs.len());
        let PbnLocks { data, pages } = config.locks;
        assert!(pages > 0, "without a lock for pages whoever needs one would wait for ever");
        let layout = ZoneLayout::new(&config.geometry, config.shard);
        let depot = SlabDepot::new(&mut config, &layout);
        let mut scrubber = Scrubber::new();
        scrubber.add_slabs(&depot, SlabIndex(0));
        let is_unused = |slab| depot.slab(slab).status == Status::Rebuilt;
        PhysicalZone {
            reserve: Reserve::new(layout.blocks() as u64, config.reserve),
            allocator: BlockAllocator::new(layout, is_unused),
            locks: LockTable::new(data + pages),
            page_locks: 0,
            max_page_locks: pages,
            // One for each member of a hash zone anywhere in the volume, and one for each page lock.
            waiters: VecDeque::with_capacity(data + pages),
            stirred: false,
            lock_waiters: LockWaiters::new(data),
            shard: config.shard,
            depot,
            scrubber,
        }
    }

    /// Takes a free block and locks it for the caller.
    ///
    /// The block counts as provisionally referenced until [`PhysicalZone::increment`] or
    /// [`PhysicalZone::reference_page`]. The caller must release the lock of a data block. Module `reserve` says what
    /// is held back from which claim. With `wait`, a zone that has no block for the claim answers later if one may be
    /// freed: a block of a slab whose counts are not known yet, or one that is lent. A page waits in any case while all
    /// page locks are in use.
    ///
    /// # Errors
    /// [`PhysicalError::LockPoolExhausted`] and [`PhysicalError::SpuriouslyLocked`]; the block is free again then.
    pub fn allocate(&mut self, requester: Requester, claim: Claim, wait: bool) -> Result<Allocation, PhysicalError> {
        if self.depot.is_read_only() {
            return Ok(Allocation::ReadOnly);
        }
        if self.must_wait_for_page_lock(requester) {
            self.waiters.push_back((requester, claim));
            return Ok(Allocation::Waiting);
        }
        Ok(match self.judge(claim) {
            Verdict::Now => self.allocate_for(requester, claim)?.map_or(Allocation::Full, Allocation::Block),
            Verdict::Later if wait => {
                self.promote_for(claim);
                self.waiters.push_back((requester, claim));
                Allocation::Waiting
            }
            Verdict::Later | Verdict::Never => Allocation::Full,
            Verdict::Elsewhere => Allocation::Elsewhere,
        })
    }

    /// Whether the request is for a page and all page locks are in use.
    pub(super) fn must_wait_for_page_lock(&self, requester: Requester) -> bool {
        matches!(requester, Requester::Page(_)) && self.page_locks >= self.max_page_locks
    }

    /// Whether a claim can be met now, or later.
    #[inline]
    pub(super) fn judge(&self, claim: Claim) -> Verdict {
        let (free, more) = (self.free_blocks(), self.is_scrubbing());
        match claim {
            Claim::New | Claim::Upkeep if self.reserve.allows(claim, free) => Verdict::Now,
            Claim::New | Claim::Upkeep if more => Verdict::Later,
            Claim::New | Claim::Upkeep => Verdict::Never,
            Claim::Instead(pbn) => self.judge_instead(pbn, 1),
            Claim::Replace { pbn, references } => self.judge_instead(pbn, references),
            Claim::Abroad(_) => match self.reserve.lends(free, more || self.depot.updates.waiting() > 0) {
                Verdict::Elsewhere => Verdict::Never,
                verdict => verdict,
            },
        }
    }

    /// Whether a block can be lent to a write that replaces a block of this zone, to which the writer holds `held`
    /// references.
    fn judge_instead(&self, pbn: Pbn, held: u8) -> Verdict {
        let Some(block) = self.layout().locate(pbn) else { return Verdict::Never };
        let slab = self.depot.slab(self.layout().slab(block));
        if slab.status != Status::Rebuilt {
            return Verdict::Later;
        }
        let references = self.allocator.references(block);
        if references != held {
            // The block of a swap may be about to lose references that no mapping has any more.
            let is_due = held < references && references <= MAX_REFERENCES && !slab.waiting.is_empty();
            return if is_due { Verdict::Later } else { Verdict::Never };
        }
        // The holder of a lock may add references, or is about to release it.
        if self.locks.get(pbn).is_some() || self.reserve.awaits(block) {
            return Verdict::Later;
        }
        self.reserve.lends(self.free_blocks(), self.is_scrubbing() || self.depot.updates.waiting() > 0)
    }

    /// Moves the slab of a block whose count must be known ahead in the scrubber's queue.
    fn promote_for(&mut self, claim: Claim) {
        let (Claim::Instead(pbn) | Claim::Replace { pbn, .. }) = claim else { return };
        let Some(slab) = self.layout().locate(pbn).map(|block| self.layout().slab(block)) else { return };
        if self.depot.slab(slab).status == Status::Unloaded {
            self.scrubber.promote(slab);
        }
    }

    /// Allocates and locks a block for a claim that can be met, and records the loan; none when no block is free.
    pub(super) fn allocate_for(&mut self, requester: Requester, claim: Claim) -> Result<Option<Pbn>, PhysicalError> {
        let pbn = self.allocate_locked(match requester {
            Requester::Data(_) => LockType::Write,
            Requester::Page(_) => LockType::BlockMapWrite,
        })?;
        let given = pbn.and_then(|pbn| self.layout().locate(pbn));
        match (given, claim) {
            (Some(given), Claim::Instead(old)) => {
                let instead = self.layout().locate(old);
                self.reserve.lend(Loan { given, instead, references: 1 });
            }
            (Some(given), Claim::Replace { pbn: old, references }) => {
                let instead = self.layout().locate(old);
                self.reserve.lend(Loan { given, instead, references });
            }
            (Some(given), Claim::Abroad(_)) => self.reserve.lend(Loan { given, instead: None, references: 0 }),
            _ => {}
        }
        Ok(pbn)
    }

    #[inline]
    fn allocate_locked(&mut self, lock_type: LockType) -> Result<Option<Pbn>, PhysicalError> {
        let Some(block) = self.allocator.allocate() else { return Ok(None) };
        let pbn = self.layout().pbn(block);
        let mut lock = PbnLock::new(lock_type);
        lock.assign_provisional_reference();
        let error = match self.locks.attempt(pbn, lock) {
            Ok(Attempt::New(_)) => {
                self.page_locks += usize::from(lock_type == LockType::BlockMapWrite);
                return Ok(Some(pbn));
            }
            Ok(Attempt::Existing(_)) => PhysicalError::SpuriouslyLocked { pbn },
            Err(_) => PhysicalError::LockPoolExhausted { pbn },
        };
        // Without a lock that owns it the provisional reference would never go.
        self.change(block, Change::Decrement { locked: false }, "undo of an allocation")?;
        Err(error)
    }

    /// Requests a read lock with all the references that can still be added.
    ///
    /// Never waits for a writer. A read-only zone refuses, because its locks are no longer released. A free block is
    /// taken provisionally, so that it is not allocated while the caller compares it. The caller must release a granted
    /// lock.
    ///
    /// # Errors
    /// [`PhysicalError::LockPoolExhausted`].
    pub fn lock_for_read(&mut self, pbn: Pbn) -> Result<ReadLock, PhysicalError> {
        self.lock_for_read_sharing(pbn, MAX_REFERENCES)
    }

    /// As [`PhysicalZone::lock_for_read`], but leases at most `at_most` references, so that other holders can share the
    /// lock.
    ///
    /// # Errors
    /// [`PhysicalError::LockPoolExhausted`].
    pub fn lock_for_read_sharing(&mut self, pbn: Pbn, at_most: u8) -> Result<ReadLock, PhysicalError> {
        let Some(block) = self.layout().locate(pbn) else { return Ok(ReadLock::Refused) };
        if self.depot.slab(self.layout().slab(block)).status != Status::Rebuilt {
            return Ok(ReadLock::Refused);
        }
        let counter = self.allocator.references(block);
        let increment_limit = match counter {
            PROVISIONAL => MAX_REFERENCES - 1,
            references => MAX_REFERENCES - references,
        };
        let is_refused = increment_limit == 0 || at_most == 0;
        // A block that is held back cannot be compared with: a write that is lent one of the last blocks must find it.
        let is_kept = counter == FREE && !self.reserve.allows(Claim::New, self.free_blocks());
        if is_refused || is_kept || self.depot.is_read_only() || self.reserve.awaits(block) {
            return Ok(ReadLock::Refused);
        }
        match self.locks.attempt(pbn, PbnLock::new_read(increment_limit)) {
            Ok(Attempt::Existing(lock)) => match lock.share(at_most) {
                Ok(lease) => Ok(ReadLock::Granted { lease }),
                Err(_) => Ok(ReadLock::Refused),
            },
            Ok(Attempt::New(lock)) => {
                let lease = lock.lease(at_most);
                if counter == FREE {
                    lock.assign_provisional_reference();
                    // Cannot fail: the counter was just found to be free.
                    self.change(block, Change::Reserve, "provisional reference")?;
                }
                Ok(ReadLock::Granted { lease })
            }
            Err(_) => Err(PhysicalError::LockPoolExhausted { pbn }),
        }
    }

    /// Turns the caller's write lock into a read lock that others can share, before any increment.
    ///
    /// After a compressed write none of the 254 references is leased to the caller: each fragment's owner takes its own
    /// with [`PhysicalZone::lock_for_read_sharing`]. After a plain write all 253 that follow the caller's own are
    /// leased to the caller; [`PhysicalZone::increment`] does that itself. Returns the lease.
    ///
    /// # Errors
    /// [`PhysicalError::NotOurs`], [`PhysicalError::NotLocked`]; [`PhysicalError::LockMisused`] when the lock is not a
    /// write lock for data.
    pub fn downgrade(&mut self, pbn: Pbn, compressed: bool) -> Result<u8, PhysicalError> {
        self.locate(pbn)?;
        let lock = self.locks.get_mut(pbn).ok_or(PhysicalError::NotLocked { pbn })?;
        let written = if compressed { Written::Compressed } else { Written::Plain };
        lock.downgrade(written).map_err(|_| PhysicalError::LockMisused { pbn, operation: "downgrade" })
    }

    /// Shares the lock of a compressed block that has been written: the caller's write lock becomes a read lock with
    /// `holders` holders, one for each fragment, before any increment. Returns the lease of each, an equal share of the
    /// 254 references.
    ///
    /// # Errors
    /// As [`PhysicalZone::downgrade`]; [`PhysicalError::LockMisused`] also without holders, or with more than 254.
    pub fn share_compressed(&mut self, pbn: Pbn, holders: u8) -> Result<u8, PhysicalError> {
        let misused = PhysicalError::LockMisused { pbn, operation: "share a compressed block" };
        let lease = MAX_REFERENCES.checked_div(holders).filter(|lease| *lease > 0).ok_or(misused)?;
        self.downgrade(pbn, true)?;
        let lock = self.locks.get_mut(pbn).ok_or(PhysicalError::NotLocked { pbn })?;
        lock.lease(lease);
        for _ in 1..holders {
            lock.share(lease).map_err(|_| misused)?;
        }
        Ok(lease)
    }

    /// Removes one holder from a lock and returns the `unused` part of its lease.
    ///
    /// The last holder removes the lock, and frees the block if its reference is still provisional: the block was
    /// allocated or read-locked, and in the end not needed. That is not journaled. The holder of a write lock returns
    /// nothing, unless an increment has downgraded the lock: then it returns 253 less what it used.
    ///
    /// # Errors
    /// [`PhysicalError::NotOurs`], [`PhysicalError::NotLocked`]; [`PhysicalError::LockMisused`] when more is returned
    /// than was leased: the lock is not released then.
    pub fn release(&mut self, pbn: Pbn, unused: u8) -> Result<(), PhysicalError> {
        let operation = "release";
        let block = self.locate(pbn)?;
        let lock = self.locks.get_mut(pbn).ok_or(PhysicalError::NotLocked { pbn })?;
        if !lock.release(unused).map_err(|_| PhysicalError::LockMisused { pbn, operation })? {
            return Ok(());
        }
        let provisional = lock.has_provisional_reference();
        self.page_locks -= usize::from(lock.lock_type() == LockType::BlockMapWrite);
        self.locks.remove(pbn);
        self.stirred = true;
        self.reserve.written(block);
        if provisional {
            self.change(block, Change::Decrement { locked: false }, operation)?;
            self.reserve.freed(block);
        }
        Ok(())
    }

    /// The counter of a block, for audits: 0 free, 255 provisional; none when the block is not a data block of this
    /// zone, or its count is not known yet.
    #[must_use]
    pub fn references(&self, pbn: Pbn) -> Option<u8> {
        let block = self.layout().locate(pbn)?;
        let is_known = self.depot.slab(self.layout().slab(block)).status == Status::Rebuilt;
        is_known.then(|| self.allocator.references(block))
    }

    /// The number of PBN locks in use, for data and for pages.
    #[must_use]
    pub const fn locks_in_use(&self) -> usize {
        self.locks.in_use()
    }

    /// The size of the PBN lock pool, for data and for pages.
    #[must_use]
    pub const fn locks_at_most(&self) -> usize {
        self.locks.capacity()
    }

    /// Blocks that can be allocated now: those of slabs whose counts are known.
    #[must_use]
    pub const fn free_blocks(&self) -> u64 {
        self.allocator.free_blocks()
    }

    /// Data blocks in all slabs of the zone, free or not.
    #[must_use]
    pub const fn data_blocks(&self) -> u64 {
        self.layout().blocks() as u64
    }

    /// The number of slabs that the zone owns.
    #[must_use]
    pub const fn slabs(&self) -> u64 {
        self.layout().slabs() as u64
    }

    /// Recounts invariants I2, I4, I5, I6, I8, I10 and I11.
    ///
    /// Reads every counter, and takes accordingly long. It may be called between any two operations.
    ///
    /// # Errors
    /// The invariant that does not hold, and where.
    pub fn audit(&self) -> Result<(), String> {
        self.allocator.audit()?;
        self.audit_slabs()?;
        let mut locks = 0;
        let mut pages = 0;
        let mut provisional = 0;
        for (pbn, lock) in self.locks.iter() {
            self.audit_lock(pbn, lock).map_err(|broken| format!("{broken}: {pbn}, {lock:?}"))?;
            locks += 1;
            pages += usize::from(lock.lock_type() == LockType::BlockMapWrite);
            provisional += usize::from(lock.has_provisional_reference());
        }
        if locks != self.locks.in_use() {
            return Err(format!("I2: {} locks are said to be in use, but {locks} are", self.locks.in_use()));
        }
        if pages != self.page_locks {
            return Err(format!("I2: {} pages are said to be locked, but {pages} are", self.page_locks));
        }
        let counters = self.allocator.provisional();
        if counters != provisional {
            return Err(format!("I5: {counters} provisional blocks, but {provisional} locks own one"));
        }
        self.audit_loans()
    }

    /// Checks that every block on loan is in use, and that the old block of each loan can still be freed.
    fn audit_loans(&self) -> Result<(), String> {
        for loan in self.reserve.loans() {
            let can_come_free = |old: BlockIndex| {
                let references = self.allocator.references(old);
                (1..=loan.references).contains(&references) && self.locks.get(self.layout().pbn(old)).is_none()
            };
            if self.allocator.references(loan.given) == FREE || !loan.instead.is_none_or(can_come_free) {
                return Err(format!("{loan:?} cannot come back"));
            }
        }
        Ok(())
    }

    /// The blocks kept for overwrites, and those kept until the operator releases them.
    #[must_use]
    pub const fn reserved_blocks(&self) -> (u64, u64) {
        (self.reserve.blocks(), self.reserve.operator_blocks())
    }

    /// Loans given since the zone was made.
    #[must_use]
    pub const fn blocks_lent(&self) -> u64 {
        self.reserve.count()
    }

    /// Changes the operator's reserve, in percent of the zone's blocks; 0 releases it.
    pub fn set_reserve(&mut self, percent: u8) {
        self.reserve.set_operator_percent(percent);
        self.stirred = true;
    }

    /// Checks the invariants of one lock; the error names the broken one.
    fn audit_lock(&self, pbn: Pbn, lock: &PbnLock) -> Result<(), &'static str> {
        let Some(counter) = self.references(pbn) else { return Err("I2: lock on a block of another zone") };
        let found = self.locks.get(pbn).is_some();
        if lock.holder_count() == 0 || !found {
            return Err("I2: lock without holder, or one that cannot be found");
        }
        if counter == FREE || lock.has_provisional_reference() != (counter == PROVISIONAL) {
            return Err("I5: lock does not agree with the counter");
        }
        let counted = if counter == PROVISIONAL { 0 } else { counter };
        match lock.lock_type() {
            // Leased claims may be counted already; the others must still fit.
            LockType::Read if u32::from(counted) + u32::from(lock.unleased()) > u32::from(MAX_REFERENCES) => {
                Err("I4: more references can be leased than fit")
            }
            LockType::Write | LockType::BlockMapWrite if lock.increment_limit() != 0 || lock.holder_count() != 1 => {
                Err("I4: writer's lock is shared")
            }
            LockType::Write if counter != PROVISIONAL => Err("I5: block is referenced while it is being written"),
            _ => Ok(()),
        }
    }

    #[inline]
    pub(super) const fn layout(&self) -> &ZoneLayout {
        self.allocator.layout()
    }

    #[inline]
    pub(super) fn locate(&self, pbn: Pbn) -> Result<BlockIndex, PhysicalError> {
        self.layout().locate(pbn).ok_or(PhysicalError::NotOurs { pbn })
    }

    /// Changes a counter that the caller knows to allow the change.
    #[inline]
    fn change(&mut self, block: BlockIndex, change: Change, operation: &'static str) -> Result<Balance, PhysicalError> {
        let changed = self.allocator.change(block, change);
        changed.ok_or_else(|| PhysicalError::ReferenceCount { pbn: self.layout().pbn(block), operation })
    }
}

#[cfg(test)]
#[path = "zone_tests.rs"]
mod tests;
