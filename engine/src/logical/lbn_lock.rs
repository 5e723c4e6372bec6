// SPDX-License-Identifier: BSD-3-Clause

//! Locks on logical blocks: writes to one LBN are ordered, reads share.
//!
//! Invariant: an LBN has either one active writer or any number of active readers; everyone else waits in order of
//! arrival. A reader never overtakes a waiting writer, so neither starves.
//!
//! Differs from dm-vdo: readers do not copy from a writer's buffer. A write is acknowledged only after its mapping is
//! recorded (acknowledged means durable), and a read must not return data of a write that may still fail.

use hashbrown::hash_table::Entry;
use hashbrown::HashTable;

use crate::arena::{Arena, NONE};
use crate::units::Lbn;
use crate::wait_queue::{Linked, WaitQueue};

/// How a data_vio locks its LBN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Together with other readers.
    Shared,
    /// Exclusively.
    Exclusive,
}

/// An object that locks an LBN.
pub trait Locker: Linked {
    /// How the object locks its LBN.
    fn access(&self) -> Access;
}

#[derive(Debug)]
struct LbnLock {
    lbn: Lbn,
    /// Number of readers that hold the lock; 0 while a writer does.
    readers: u32,
    /// The writer that holds the lock, or [`NONE`].
    writer: u32,
    waiters: WaitQueue,
}

/// All locked LBNs of a zone.
#[derive(Debug)]
pub struct LbnLocks {
    locks: HashTable<LbnLock>,
}

fn hash(lbn: Lbn) -> u64 {
    // LBNs come in runs; a multiplication by an odd constant spreads them over high and low bits alike.
    let product = lbn.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

impl LbnLocks {
    /// Room for `capacity` locks. The table has twice the capacity, so that it is rehashed in place and never grows.
    pub fn new(capacity: usize) -> LbnLocks {
        LbnLocks { locks: HashTable::with_capacity(capacity * 2) }
    }

    /// True when no LBN is locked.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.locks.is_empty()
    }

    /// True when `lbn` is locked.
    pub fn is_locked(&self, lbn: Lbn) -> bool {
        !self.locks.is_empty() && self.locks.find(hash(lbn), |lock| lock.lbn == lbn).is_some()
    }

    /// The writer that holds `lbn`, if one does.
    pub fn writer(&self, lbn: Lbn) -> Option<u32> {
        let lock = self.locks.find(hash(lbn), |lock| lock.lbn == lbn)?;
        Some(lock.writer).filter(|writer| *writer != NONE)
    }

    /// True when an object waits for `lbn`.
    pub fn is_awaited(&self, lbn: Lbn) -> bool {
        self.locks.find(hash(lbn), |lock| lock.lbn == lbn).is_some_and(|lock| !lock.waiters.is_empty())
    }

    /// Locks `lbn` for an object, or queues the object. Returns whether it has the lock now.
    pub fn acquire<T: Locker>(&mut self, lbn: Lbn, pool: &mut Arena<T>, index: u32) -> bool {
        let access = pool[index].access();
        match self.locks.entry(hash(lbn), |lock| lock.lbn == lbn, |lock| hash(lock.lbn)) {
            Entry::Vacant(vacant) => {
                let readers = u32::from(access == Access::Shared);
                let writer = if access == Access::Shared { NONE } else { index };
                vacant.insert(LbnLock { lbn, readers, writer, waiters: WaitQueue::new() });
                true
            }
            Entry::Occupied(mut occupied) => {
                let lock = occupied.get_mut();
                if access == Access::Shared && lock.readers > 0 && lock.waiters.is_empty() {
                    lock.readers += 1;
                    return true;
                }
                lock.waiters.push(pool, index);
                false
            }
        }
    }

    /// Releases `lbn`; calls `granted` with each waiting object that has the lock now.
    ///
    /// # Panics
    /// If the lock is not held.
    pub fn release<T: Locker>(&mut self, lbn: Lbn, pool: &mut Arena<T>, mut granted: impl FnMut(u32)) {
        let Ok(mut entry) = self.locks.find_entry(hash(lbn), |lock| lock.lbn == lbn) else {
            panic!("{lbn} is released but not locked");
        };
        let lock = entry.get_mut();
        lock.readers = lock.readers.saturating_sub(1);
        if lock.readers > 0 {
            return;
        }
        let Some(first) = lock.waiters.pop(pool) else {
            entry.remove();
            return;
        };
        granted(first);
        if pool[first].access() == Access::Exclusive {
            lock.writer = first;
            return;
        }
        lock.writer = NONE;
        lock.readers = 1;
        while let Some(next) = lock.waiters.first() {
            if pool[next].access() == Access::Exclusive {
                break;
            }
            lock.waiters.pop(pool);
            lock.readers += 1;
            granted(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Vio {
        next: u32,
        access: Access,
    }

    impl Linked for Vio {
        fn link(&mut self) -> &mut u32 {
            &mut self.next
        }

        fn next(&self) -> u32 {
            self.next
        }
    }

    impl Locker for Vio {
        fn access(&self) -> Access {
            self.access
        }
    }

    fn vio(pool: &mut Arena<Vio>, access: Access) -> u32 {
        pool.acquire(Vio { next: NONE, access }).unwrap()
    }

    /// vdo-86: writers of one LBN take turns in order of arrival, readers share and do not overtake a waiting writer.
    #[test]
    fn writers_alone_readers_together_in_order() {
        let mut pool = Arena::new(8, Vio { next: NONE, access: Access::Shared });
        let mut locks = LbnLocks::new(8);
        let (read1, read2) = (vio(&mut pool, Access::Shared), vio(&mut pool, Access::Shared));
        let (write1, write2) = (vio(&mut pool, Access::Exclusive), vio(&mut pool, Access::Exclusive));
        let (read3, read4) = (vio(&mut pool, Access::Shared), vio(&mut pool, Access::Shared));
        let lbn = Lbn(9);
        let mut acquire = |locks: &mut LbnLocks, index| locks.acquire(lbn, &mut pool, index);
        assert!(acquire(&mut locks, read1) && acquire(&mut locks, read2));
        assert!(!acquire(&mut locks, write1) && !acquire(&mut locks, write2));
        assert!(!acquire(&mut locks, read3), "a reader must not overtake a waiting writer");
        assert!(!acquire(&mut locks, read4));
        let mut release = |locks: &mut LbnLocks| {
            let mut granted = Vec::new();
            locks.release(lbn, &mut pool, |index| granted.push(index));
            granted
        };
        assert_eq!(release(&mut locks), []);
        assert_eq!(release(&mut locks), [write1]);
        assert_eq!(release(&mut locks), [write2]);
        assert_eq!(release(&mut locks), [read3, read4]);
        assert_eq!(release(&mut locks), []);
        assert!(locks.is_locked(lbn) && !locks.is_locked(Lbn(1)));
        assert_eq!(release(&mut locks), []);
        assert!(locks.is_empty());
    }

    #[test]
    #[should_panic(expected = "not locked")]
    fn releasing_what_nobody_holds_is_caught() {
        let mut pool = Arena::new(1, Vio { next: NONE, access: Access::Shared });
        LbnLocks::new(1).release(Lbn(1), &mut pool, |_| {});
    }
}
