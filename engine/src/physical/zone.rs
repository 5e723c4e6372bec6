// SPDX-License-Identifier: BSD-3-Clause

//! The physical zone's operations: PBN locks and reference counters, always changed together (vdo.md section 3).
//!
//! Invariants: those listed in [`crate::physical`]; each operation upholds them whether it succeeds or not, and
//! [`PhysicalZone::audit`] checks them.

use super::allocator::BlockAllocator;
use super::error::PhysicalError;
use super::layout::{BlockIndex, ZoneLayout};
use super::lock_table::{Attempt, LockTable};
use super::pbn_lock::{LockType, PbnLock, Written};
use super::reference_counts::{Balance, Change, Mode, FREE, PROVISIONAL};
use crate::units::{Pbn, ShardId, MAX_REFERENCES};
use crate::volume::Geometry;

/// Result of trying for a read lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadLock {
    /// The caller is a holder now, and must release the lock.
    Granted {
        /// References that the caller may add while it holds the lock; at least one.
        lease: u8,
    },
    /// No lock was taken: a writer holds the block, no more references fit, or it is no data block of this zone.
    Refused,
}

/// The blocks and PBN locks that one shard owns.
#[derive(Debug)]
pub struct PhysicalZone {
    allocator: BlockAllocator,
    locks: LockTable,
}

impl PhysicalZone {
    /// A zone of free blocks: all slabs of `geometry` that `shard` owns, with up to `locks` PBN locks in use at once.
    ///
    /// Takes one byte a block, and 64 to 128 bytes a lock; nothing is allocated later. A lock is needed for each block
    /// that is being written and each candidate that is being compared: two for each data_vio suffice (vdo.md section
    /// 0).
    ///
    /// # Panics
    /// If the volume has no such shard, or a zone would have 2^32 slabs or more.
    #[must_use]
    pub fn new(geometry: &Geometry, shard: ShardId, locks: usize) -> PhysicalZone {
        let layout = ZoneLayout::new(geometry, shard);
        PhysicalZone { allocator: BlockAllocator::new(layout), locks: LockTable::new(locks) }
    }

    /// Takes a free block for data and write-locks it for the caller (vdo.md 3.3); none when the zone is full.
    ///
    /// The block counts as provisionally referenced until [`PhysicalZone::increment`]. The caller must release the
    /// lock.
    ///
    /// # Errors
    /// [`PhysicalError::LockPoolExhausted`] and [`PhysicalError::SpuriouslyLocked`]; the block is free again then.
    pub fn allocate(&mut self) -> Result<Option<Pbn>, PhysicalError> {
        self.allocate_locked(LockType::Write)
    }

    /// Takes a free block for a page of the block map and locks it for the caller (vdo.md 3.5); none when the zone is
    /// full.
    ///
    /// As [`PhysicalZone::allocate`], but the lock is never shared, and the increment sets the count to its maximum.
    ///
    /// # Errors
    /// As [`PhysicalZone::allocate`].
    pub fn allocate_for_block_map(&mut self) -> Result<Option<Pbn>, PhysicalError> {
        self.allocate_locked(LockType::BlockMapWrite)
    }

    #[inline]
    fn allocate_locked(&mut self, lock_type: LockType) -> Result<Option<Pbn>, PhysicalError> {
        let Some(block) = self.allocator.allocate() else { return Ok(None) };
        let pbn = self.layout().pbn(block);
        let mut lock = PbnLock::new(lock_type);
        lock.assign_provisional_reference();
        let error = match self.locks.attempt(pbn, lock) {
            Ok(Attempt::New(_)) => return Ok(Some(pbn)),
            Ok(Attempt::Existing(_)) => PhysicalError::SpuriouslyLocked { pbn },
            Err(_) => PhysicalError::LockPoolExhausted { pbn },
        };
        // Without a lock that owns it the provisional reference would never go (TRAP in vdo.md 3.3).
        self.change(block, Change::Decrement { locked: false }, "undo of an allocation")?;
        Err(error)
    }

    /// Tries for a read lock with all the references that can still be added (vdo.md 2.5).
    ///
    /// Never waits for a writer. A free block is taken provisionally, so that nobody allocates it while the caller
    /// compares it. The caller must release the lock if it was granted.
    ///
    /// # Errors
    /// [`PhysicalError::LockPoolExhausted`].
    pub fn lock_for_read(&mut self, pbn: Pbn) -> Result<ReadLock, PhysicalError> {
        self.lock_for_read_sharing(pbn, MAX_REFERENCES)
    }

    /// As [`PhysicalZone::lock_for_read`], but leases at most `at_most` references, and leaves others for others.
    ///
    /// # Errors
    /// [`PhysicalError::LockPoolExhausted`].
    pub fn lock_for_read_sharing(&mut self, pbn: Pbn, at_most: u8) -> Result<ReadLock, PhysicalError> {
        let Some(block) = self.layout().locate(pbn) else { return Ok(ReadLock::Refused) };
        let counter = self.allocator.references(block);
        let increment_limit = match counter {
            PROVISIONAL => MAX_REFERENCES - 1,
            references => MAX_REFERENCES - references,
        };
        if increment_limit == 0 || at_most == 0 {
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
                    // Cannot fail: the counter was just seen to be free.
                    self.change(block, Change::Reserve, "provisional reference")?;
                }
                Ok(ReadLock::Granted { lease })
            }
            Err(_) => Err(PhysicalError::LockPoolExhausted { pbn }),
        }
    }

    /// Adds one reference to a locked block, on behalf of a holder's claim (vdo.md 4.2, data increment).
    ///
    /// The first increment under a write lock downgrades it to a read lock whose 253 further references are the
    /// writer's. The block's reference is not provisional any more. Under a block map lock the count becomes 254 at
    /// once.
    ///
    /// # Errors
    /// [`PhysicalError::NotOurs`], [`PhysicalError::NotLocked`]; [`PhysicalError::ReferenceCount`] at 254 references.
    pub fn increment(&mut self, pbn: Pbn) -> Result<(), PhysicalError> {
        let operation = "increment";
        let block = self.locate(pbn)?;
        let lock = self.locks.get_mut(pbn).ok_or(PhysicalError::NotLocked { pbn })?;
        let change = match lock.lock_type() {
            LockType::Read => Change::Increment(Mode::Online),
            LockType::Write => {
                lock.downgrade(Written::Plain).map_err(|_| PhysicalError::LockMisused { pbn, operation })?;
                Change::Increment(Mode::Online)
            }
            LockType::BlockMapWrite => Change::BlockMapIncrement(Mode::Online),
        };
        self.allocator.change(block, change).ok_or(PhysicalError::ReferenceCount { pbn, operation })?;
        lock.unassign_provisional_reference();
        Ok(())
    }

    /// Turns the caller's write lock into a read lock that others can share, before any increment (vdo.md 3.1).
    ///
    /// After a compressed write none of the 254 references is leased to the caller: each fragment's owner takes its own
    /// with [`PhysicalZone::lock_for_read_sharing`]. After a plain write all 253 that follow the caller's own are
    /// leased to it, which [`PhysicalZone::increment`] does by itself. Returns the lease.
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

    /// Takes one reference from each of `count` blocks from `first` on, all in one slab (vdo.md 4.2, decrement).
    ///
    /// A locked block whose last reference goes stays in use until its lock is released (vdo.md 3.2).
    ///
    /// # Errors
    /// Of the first block that has one; all others are done nevertheless. [`PhysicalError::ReferenceCount`] when the
    /// block was free; [`PhysicalError::NotOurs`] of a range that is not in one slab of this zone.
    pub fn decrement(&mut self, first: Pbn, count: u32) -> Result<(), PhysicalError> {
        let block = self.locate(first)?;
        let to_slab_end = self.layout().slab_blocks() - self.layout().offset(block);
        let mut result = Ok(());
        for distance in 0..count.min(to_slab_end) {
            let each = self.decrement_one(BlockIndex(block.0 + distance as usize), first.plus(u64::from(distance)));
            result = result.and(each);
        }
        if count > to_slab_end {
            result = result.and(Err(PhysicalError::NotOurs { pbn: first.plus(u64::from(to_slab_end)) }));
        }
        result
    }

    #[inline]
    fn decrement_one(&mut self, block: BlockIndex, pbn: Pbn) -> Result<(), PhysicalError> {
        let lock = match self.allocator.references(block) {
            // Only the last reference can pass to a lock; of others the lock need not know.
            1 | PROVISIONAL => self.locks.get_mut(pbn),
            _ => None,
        };
        let change = Change::Decrement { locked: lock.is_some() };
        self.allocator.change(block, change).ok_or(PhysicalError::ReferenceCount { pbn, operation: "decrement" })?;
        if let Some(lock) = lock {
            lock.assign_provisional_reference();
        }
        Ok(())
    }

    /// One holder lets go of a lock and returns the `unused` part of its lease (vdo.md 3.1).
    ///
    /// With the last holder the lock goes, and so does the block if its reference is still provisional: it was
    /// allocated or read-locked, and in the end not needed. No record is made of that (vdo.md 4.2). The holder of a
    /// write lock returns nothing, unless an increment has downgraded it: then it returns 253 less what it used.
    ///
    /// # Errors
    /// [`PhysicalError::NotOurs`], [`PhysicalError::NotLocked`]; [`PhysicalError::LockMisused`] when more comes back
    /// than was leased: the lock is not released then.
    pub fn release(&mut self, pbn: Pbn, unused: u8) -> Result<(), PhysicalError> {
        let operation = "release";
        let block = self.locate(pbn)?;
        let lock = self.locks.get_mut(pbn).ok_or(PhysicalError::NotLocked { pbn })?;
        if !lock.release(unused).map_err(|_| PhysicalError::LockMisused { pbn, operation })? {
            return Ok(());
        }
        let provisional = lock.has_provisional_reference();
        self.locks.remove(pbn);
        if provisional {
            self.change(block, Change::Decrement { locked: false }, operation)?;
        }
        Ok(())
    }

    /// The counter of a block, for audits: 0 free, 255 provisional; none when it is no data block of this zone.
    #[must_use]
    pub fn references(&self, pbn: Pbn) -> Option<u8> {
        self.layout().locate(pbn).map(|block| self.allocator.references(block))
    }

    /// PBN locks in use now.
    #[must_use]
    pub const fn locks_in_use(&self) -> usize {
        self.locks.in_use()
    }

    /// Blocks that can be allocated now.
    #[must_use]
    pub const fn free_blocks(&self) -> u64 {
        self.allocator.free_blocks()
    }

    /// Data blocks of the zone.
    #[must_use]
    pub const fn data_blocks(&self) -> u64 {
        self.layout().blocks() as u64
    }

    /// Slabs of the zone.
    #[must_use]
    pub const fn slabs(&self) -> u64 {
        self.layout().slabs() as u64
    }

    /// How often a slab was opened for the first time.
    #[must_use]
    pub const fn slabs_opened(&self) -> u64 {
        self.allocator.slabs_opened()
    }

    /// How often a slab was opened again.
    #[must_use]
    pub const fn slabs_reopened(&self) -> u64 {
        self.allocator.slabs_reopened()
    }

    /// Recounts everything that can be recounted: invariants I2, I4, I5, I6 and I10 (vdo.md section 10).
    ///
    /// Reads every counter, so it takes as long as that; it may be called between any two operations.
    ///
    /// # Errors
    /// Which invariant does not hold, and where.
    pub fn audit(&self) -> Result<(), String> {
        self.allocator.audit()?;
        let mut locks = 0;
        let mut provisional = 0;
        for (pbn, lock) in self.locks.iter() {
            self.audit_lock(pbn, lock).map_err(|broken| format!("{broken}: {pbn}, {lock:?}"))?;
            locks += 1;
            provisional += usize::from(lock.has_provisional_reference());
        }
        if locks != self.locks.in_use() {
            return Err(format!("I2: {} locks are said to be in use, but {locks} are", self.locks.in_use()));
        }
        let counters = self.allocator.provisional();
        if counters != provisional {
            return Err(format!("I5: {counters} provisional blocks, but {provisional} locks own one"));
        }
        Ok(())
    }

    /// The invariants of one lock; the error names the one that is broken.
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
            // What has been leased may be counted already; what has not must still fit.
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
    const fn layout(&self) -> &ZoneLayout {
        self.allocator.layout()
    }

    #[inline]
    fn locate(&self, pbn: Pbn) -> Result<BlockIndex, PhysicalError> {
        self.layout().locate(pbn).ok_or(PhysicalError::NotOurs { pbn })
    }

    /// Changes a counter whose state the caller knows to allow it.
    #[inline]
    fn change(&mut self, block: BlockIndex, change: Change, operation: &'static str) -> Result<Balance, PhysicalError> {
        let changed = self.allocator.change(block, change);
        changed.ok_or_else(|| PhysicalError::ReferenceCount { pbn: self.layout().pbn(block), operation })
    }
}

#[cfg(test)]
#[path = "zone_tests.rs"]
mod tests;
