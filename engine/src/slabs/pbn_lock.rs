// SPDX-License-Identifier: BSD-3-Clause

//! One lock on a physical block.
//!
//! A lock keeps others from changing or reusing a block while its holders depend on it, and bounds the references that
//! may be added meanwhile. Invariants: a lock has a holder; only a read lock has a limit; `leased <= limit`.
//!
//! Differs from dm-vdo: `leased`, the claims that are out with holders, replaces an atomic count of claims; see the
//! module documentation of [`crate::slabs`].

use crate::units::MAX_REFERENCES;

/// What the holder of a lock is doing with the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockType {
    /// Compares with the block or adds references to it.
    Read,
    /// Writes data to a newly allocated block.
    Write,
    /// Writes a block map page to a newly allocated block.
    BlockMapWrite,
}

/// What the holder of a write lock wrote, which decides the limit after the downgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// One uncompressed block; the writer's increment is in flight.
    Plain,
    /// Compressed fragments; no increment is in flight.
    Compressed,
}

/// The lock refused an operation, and is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PbnLock {
    lock_type: LockType,
    has_provisional_reference: bool,
    increment_limit: u8,
    leased: u8,
    /// Cannot overflow: every holder but the first took at least one claim, and there are at most 254.
    holder_count: u16,
}

impl PbnLock {
    /// A new lock with one holder and no claims.
    pub const fn new(lock_type: LockType) -> PbnLock {
        PbnLock { lock_type, has_provisional_reference: false, increment_limit: 0, leased: 0, holder_count: 1 }
    }

    /// A new read lock on a block that can take `increment_limit` more references.
    pub const fn new_read(increment_limit: u8) -> PbnLock {
        PbnLock { increment_limit, ..PbnLock::new(LockType::Read) }
    }

    pub const fn lock_type(&self) -> LockType {
        self.lock_type
    }

    pub const fn holder_count(&self) -> u16 {
        self.holder_count
    }

    /// The number of references that may be added in the lock's lifetime.
    pub const fn increment_limit(&self) -> u8 {
        self.increment_limit
    }

    /// Claims that are neither leased nor used.
    pub const fn unleased(&self) -> u8 {
        self.increment_limit - self.leased
    }

    /// True when only this lock keeps the block in use.
    pub const fn has_provisional_reference(&self) -> bool {
        self.has_provisional_reference
    }

    /// Makes the lock responsible for the block's provisional reference.
    pub fn assign_provisional_reference(&mut self) {
        self.has_provisional_reference = true;
    }

    /// Notes that the block's reference is now counted.
    pub fn unassign_provisional_reference(&mut self) {
        self.has_provisional_reference = false;
    }

    /// Leases up to `at_most` of the remaining claims to a holder that is counted already: the first of a new lock, or
    /// one that extends its lease.
    pub fn lease(&mut self, at_most: u8) -> u8 {
        let lease = self.unleased().min(at_most);
        self.leased += lease;
        lease
    }

    /// Adds a holder with a lease of up to `at_most` claims.
    ///
    /// Refused when no claim is left. A writer's lock never has any, so it is never shared.
    pub fn share(&mut self, at_most: u8) -> Result<u8, Refused> {
        match self.lease(at_most) {
            0 => Err(Refused),
            lease => {
                self.holder_count += 1;
                Ok(lease)
            }
        }
    }

    /// Turns a write lock into a read lock, in place; the holder keeps it. Returns the claims leased to the holder: all
    /// 253 after a plain write, none of the 254 after a compressed one.
    ///
    /// Refused when the lock is not a write lock for data, or has more than one holder.
    pub fn downgrade(&mut self, written: Written) -> Result<u8, Refused> {
        if self.lock_type != LockType::Write || self.holder_count != 1 {
            return Err(Refused);
        }
        self.lock_type = LockType::Read;
        (self.increment_limit, self.leased) = match written {
            Written::Plain => (MAX_REFERENCES - 1, MAX_REFERENCES - 1),
            Written::Compressed => (MAX_REFERENCES, 0),
        };
        Ok(self.leased)
    }

    /// Removes one holder and takes its `unused` claims back. True when it was the last holder, so that the lock must
    /// be removed.
    ///
    /// Refused when more claims are returned than are leased.
    pub fn release(&mut self, unused: u8) -> Result<bool, Refused> {
        self.leased = self.leased.checked_sub(unused).ok_or(Refused)?;
        self.holder_count -= 1;
        Ok(self.holder_count == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// vdo-38: the limit is 253 after a plain write, all of it the writer's, and 254 after a compressed one.
    #[test]
    fn downgrade_sets_the_limit() {
        let mut plain = PbnLock::new(LockType::Write);
        assert_eq!(plain.downgrade(Written::Plain), Ok(253));
        assert_eq!((plain.lock_type(), plain.increment_limit(), plain.unleased()), (LockType::Read, 253, 0));
        assert_eq!(plain.holder_count(), 1, "the holder keeps the lock");

        let mut compressed = PbnLock::new(LockType::Write);
        assert_eq!(compressed.downgrade(Written::Compressed), Ok(0));
        assert_eq!((compressed.increment_limit(), compressed.unleased()), (254, 254));
    }

    /// vdo-38: block map locks are never downgraded, nor is a read lock.
    #[test]
    fn only_data_write_locks_are_downgraded() {
        for lock in [PbnLock::new(LockType::BlockMapWrite), PbnLock::new_read(7)] {
            for written in [Written::Plain, Written::Compressed] {
                let mut tried = lock;
                assert_eq!(tried.downgrade(written), Err(Refused));
                assert_eq!(tried, lock, "unchanged");
            }
        }
    }

    /// vdo-39: the leases of many holders sum to the limit exactly, and claims returned can be leased again.
    #[test]
    fn leases_sum_to_the_limit() {
        for limit in 1..=254u8 {
            for share in [1, 2, 7, 18, 100, 255] {
                let mut lock = PbnLock::new_read(limit);
                let mut leases = vec![lock.lease(share)];
                while let Ok(lease) = lock.share(share) {
                    leases.push(lease);
                }
                assert_eq!(leases.iter().map(|&lease| u32::from(lease)).sum::<u32>(), u32::from(limit));
                assert_eq!(usize::from(lock.holder_count()), leases.len());
                assert_eq!(lock.share(1), Err(Refused));

                let Some(&returned) = leases.get(1) else { continue };
                assert_eq!(lock.release(returned), Ok(false));
                assert_eq!(lock.share(255), Ok(returned));
                assert_eq!(lock.share(1), Err(Refused));
            }
        }
    }

    /// vdo-39: a lease is never given back twice.
    #[test]
    fn more_claims_than_leased_do_not_come_back() {
        let mut lock = PbnLock::new_read(10);
        assert_eq!(lock.lease(4), 4);
        let before = lock;
        assert_eq!(lock.release(5), Err(Refused));
        assert_eq!(lock, before);
        assert_eq!(lock.release(4), Ok(true));
    }
}
