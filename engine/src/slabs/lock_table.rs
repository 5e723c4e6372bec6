// SPDX-License-Identifier: BSD-3-Clause

//! All PBN locks of a zone: pool and map in one.
//!
//! An open-addressing table with linear probing that holds the locks themselves. It has at least twice as many slots as
//! there may be locks, so probes are short. Removal shifts later entries back instead of leaving tombstones, so the
//! table never grows, rehashes or slows down, however long it runs. The limit on the number of locks replaces dm-vdo's
//! pool.
//!
//! Invariants: PBN 0, which is never a data block, marks an empty slot; no empty slot lies between an entry and its
//! home slot; an entry exists only while its lock has a holder (I2).
//!
//! Differs from dm-vdo: an existing lock is found even when the pool is exhausted.

use super::pbn_lock::{LockType, PbnLock};
use crate::home_slot::home_slot;
use crate::units::Pbn;

#[derive(Debug, Clone, Copy)]
struct Slot {
    pbn: Pbn,
    lock: PbnLock,
}

/// Marks an empty slot.
const NO_PBN: Pbn = Pbn::ZERO;

/// Keeps the table at most half full. Every write probes it, so it should fit the CPU cache.
const SLOTS_PER_LOCK: usize = 2;

const EMPTY: Slot = Slot { pbn: NO_PBN, lock: PbnLock::new(LockType::Read) };

/// The outcome of an attempt to lock a block.
#[derive(Debug)]
pub(super) enum Attempt<'a> {
    /// The block was not locked: this is its new lock, with one holder.
    New(&'a mut PbnLock),
    /// The block is locked already, by a lock of any type; no holder was added.
    Existing(&'a mut PbnLock),
}

/// Every lock of the zone is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

#[derive(Debug)]
pub(super) struct LockTable {
    slots: Box<[Slot]>,
    mask: usize,
    in_use: usize,
    capacity: usize,
}

impl LockTable {
    pub fn new(capacity: usize) -> LockTable {
        let slots = (capacity * SLOTS_PER_LOCK).next_power_of_two().max(SLOTS_PER_LOCK);
        LockTable { slots: vec![EMPTY; slots].into_boxed_slice(), mask: slots - 1, in_use: 0, capacity }
    }

    pub const fn in_use(&self) -> usize {
        self.in_use
    }

    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    const fn home(&self, pbn: Pbn) -> usize {
        home_slot(pbn, self.mask)
    }

    /// The slot of a PBN, or the empty slot where it belongs.
    #[inline]
    fn probe(&self, pbn: Pbn) -> usize {
        let mut slot = self.home(pbn);
        while self.slots[slot].pbn != pbn && self.slots[slot].pbn != NO_PBN {
            slot = (slot + 1) & self.mask;
        }
        slot
    }

    #[inline]
    pub fn get(&self, pbn: Pbn) -> Option<&PbnLock> {
        let slot = &self.slots[self.probe(pbn)];
        (slot.pbn == pbn && pbn != NO_PBN).then_some(&slot.lock)
    }

    #[inline]
    pub fn get_mut(&mut self, pbn: Pbn) -> Option<&mut PbnLock> {
        let slot = self.probe(pbn);
        let slot = &mut self.slots[slot];
        (slot.pbn == pbn && pbn != NO_PBN).then_some(&mut slot.lock)
    }

    /// Finds the lock on a data block, or makes `new` its lock.
    #[inline]
    pub fn attempt(&mut self, pbn: Pbn, new: PbnLock) -> Result<Attempt<'_>, Exhausted> {
        debug_assert_ne!(pbn, NO_PBN, "PBN 0 is not a data block");
        let slot = self.probe(pbn);
        let slot = &mut self.slots[slot];
        if slot.pbn == pbn {
            return Ok(Attempt::Existing(&mut slot.lock));
        }
        if self.in_use == self.capacity {
            return Err(Exhausted);
        }
        self.in_use += 1;
        *slot = Slot { pbn, lock: new };
        Ok(Attempt::New(&mut slot.lock))
    }

    #[inline]
    pub fn remove(&mut self, pbn: Pbn) {
        let mut hole = self.probe(pbn);
        if self.slots[hole].pbn == NO_PBN {
            return;
        }
        self.in_use -= 1;
        let mut slot = hole;
        loop {
            slot = (slot + 1) & self.mask;
            let entry = self.slots[slot];
            if entry.pbn == NO_PBN {
                break;
            }
            // An entry may move back to the hole unless that would put it before its home.
            let from_home = slot.wrapping_sub(self.home(entry.pbn)) & self.mask;
            let from_hole = slot.wrapping_sub(hole) & self.mask;
            if from_home >= from_hole {
                self.slots[hole] = entry;
                hole = slot;
            }
        }
        self.slots[hole] = EMPTY;
    }

    /// Iterates over all locks, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Pbn, &PbnLock)> {
        self.slots.iter().filter(|slot| slot.pbn != NO_PBN).map(|slot| (slot.pbn, &slot.lock))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// vdo-36: whatever type is attempted, a locked block answers with the lock that exists, of its own type.
    #[test]
    fn attempts_on_a_locked_block_return_the_existing_lock() {
        let types = [LockType::Read, LockType::Write, LockType::BlockMapWrite];
        for first in types {
            for second in types {
                let mut table = LockTable::new(4);
                assert!(matches!(table.attempt(Pbn(5), PbnLock::new(first)),
                    Ok(Attempt::New(lock)) if lock.lock_type() == first && lock.holder_count() == 1));
                assert!(matches!(table.attempt(Pbn(5), PbnLock::new(second)),
                    Ok(Attempt::Existing(lock)) if lock.lock_type() == first && lock.holder_count() == 1));
                assert_eq!(table.in_use(), 1);
            }
        }
    }

    /// vdo-37: one more lock than the pool has is refused; returned locks can be taken again.
    #[test]
    fn the_pool_is_bounded() {
        let mut table = LockTable::new(100);
        for round in 0..3u64 {
            let base = 1 + round * 1000;
            for pbn in base..base + 100 {
                assert!(matches!(table.attempt(Pbn(pbn), PbnLock::new(LockType::Write)), Ok(Attempt::New(_))));
            }
            let one_more = table.attempt(Pbn(base + 100), PbnLock::new(LockType::Write));
            assert_eq!(one_more.err(), Some(Exhausted));
            assert!(matches!(table.attempt(Pbn(base), PbnLock::new(LockType::Read)), Ok(Attempt::Existing(_))));
            assert!(table.get(Pbn(base + 100)).is_none());
            for pbn in base..base + 100 {
                table.remove(Pbn(pbn));
            }
            assert_eq!((table.in_use(), table.iter().count()), (0, 0));
        }
        assert!(LockTable::new(0).attempt(Pbn(1), PbnLock::new(LockType::Read)).is_err());
    }

    /// Removal keeps every other entry reachable, also in clusters and across the end of the table.
    #[test]
    fn table_agrees_with_a_map() {
        let mut table = LockTable::new(64);
        let mut model = HashMap::new();
        let mut random = 1u64;
        for _ in 0..200_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let pbn = Pbn(1 + (random >> 33) % 150);
            if random >> 63 == 0 {
                table.remove(pbn);
                model.remove(&pbn);
            } else if model.len() < 64 {
                let lock = PbnLock::new_read((random >> 40) as u8);
                let found = matches!(table.attempt(pbn, lock), Ok(Attempt::Existing(_)));
                assert_eq!(found, model.contains_key(&pbn));
                model.entry(pbn).or_insert(lock);
            }
            assert_eq!(table.in_use(), model.len());
            assert_eq!(table.get(pbn), model.get(&pbn));
            assert_eq!(table.get_mut(pbn), model.get_mut(&pbn));
        }
        for pbn in (0..200).map(Pbn) {
            assert_eq!(table.get(pbn), model.get(&pbn));
        }
        assert!(table.iter().all(|(pbn, lock)| model.get(&pbn) == Some(lock)));
        assert_eq!(table.iter().count(), model.len());
    }
}
