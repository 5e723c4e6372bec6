// SPDX-License-Identifier: BSD-3-Clause

//! The physical zone's operations, feature row by feature row.

use super::*;
use crate::format::Geometry;
use crate::message::VioRef;
use crate::slabs::event::PhysicalEvent;
use crate::slabs::test_zone::{Setup, TestZone};
use crate::units::Blocks;

const FIRST: Pbn = Pbn(100);

/// A zone of `slabs` slabs of 8 blocks from PBN 100 on, the only one of its volume.
fn zone(slabs: u64) -> TestZone {
    zone_with_locks(slabs, 64)
}

fn zone_with_locks(slabs: u64, locks: usize) -> TestZone {
    let geometry = Geometry::new(1, Blocks(1), FIRST, FIRST.plus(8 * slabs), 8).expect("valid");
    TestZone::new(&geometry, ShardId(0), locks)
}

fn allocate(zone: &mut TestZone) -> Pbn {
    zone.allocate().expect("no error").expect("not full")
}

/// Allocates a block and gives it `references`, then releases its lock.
fn store(zone: &mut TestZone, references: u8) -> Pbn {
    let pbn = allocate(zone);
    for _ in 0..references {
        zone.increment(pbn).expect("claimed");
    }
    zone.release(pbn, 254 - references).expect("held");
    zone.audit().expect("consistent");
    pbn
}

fn granted(lease: u8) -> Result<ReadLock, PhysicalError> {
    Ok(ReadLock::Granted { lease })
}

const REFUSED: Result<ReadLock, PhysicalError> = Ok(ReadLock::Refused);

/// vdo-10: a read lock is refused while a writer holds the block, and granted once it has been downgraded and released.
#[test]
fn readers_do_not_wait_for_writers() {
    let mut zone = zone(1);
    let pbn = allocate(&mut zone);
    assert_eq!(zone.lock_for_read(pbn), REFUSED);
    let page = zone.allocate_for_block_map().expect("no error").expect("not full");
    assert_eq!(zone.lock_for_read(page), REFUSED);
    zone.increment(pbn).expect("written");
    zone.increment(page).expect("written");
    assert_eq!(zone.lock_for_read(pbn), REFUSED, "the writer owns every claim");
    zone.release(pbn, 253).expect("held");
    zone.release(page, 0).expect("held");
    assert_eq!(zone.lock_for_read(pbn), granted(253));
    assert_eq!(zone.lock_for_read(page), REFUSED, "block map pages are never shared");
    zone.audit().expect("consistent");
}

/// vdo-11: the lease is what the count leaves of 254, and a full block is refused, without a lock left behind.
#[test]
fn no_lock_on_a_full_block() {
    let mut zone = zone(2);
    for references in [1, 2, 100, 253] {
        let pbn = store(&mut zone, references);
        assert_eq!(zone.lock_for_read(pbn), granted(254 - references));
        zone.release(pbn, 254 - references).expect("held");
    }
    let full = store(&mut zone, 254);
    assert_eq!(zone.references(full), Some(254));
    assert_eq!(zone.lock_for_read(full), REFUSED);
    assert_eq!(zone.locks_in_use(), 0);
    // Removing one reference makes room for one.
    zone.decrement(full, 1).expect("referenced");
    assert_eq!(zone.lock_for_read(full), granted(1));
}

/// vdo-11: a PBN that is no data block of this zone is refused, without an error.
#[test]
fn no_lock_on_a_bad_pbn() {
    let geometry = Geometry::new(3, Blocks(1), FIRST, FIRST.plus(8 * 6), 8).expect("valid");
    let mut zone = TestZone::new(&geometry, ShardId(1), 8);
    assert_eq!((zone.slabs(), zone.data_blocks()), (2, 16));
    for pbn in [Pbn(0), Pbn(99), FIRST, FIRST.plus(16), FIRST.plus(48), Pbn(u64::MAX)] {
        assert_eq!(zone.lock_for_read(pbn), REFUSED);
        assert_eq!(zone.references(pbn), None);
        assert_eq!(zone.increment(pbn), Err(PhysicalError::NotOurs { pbn }));
        assert_eq!(zone.decrement(pbn, 1), Err(PhysicalError::NotOurs { pbn }));
        assert_eq!(zone.release(pbn, 0), Err(PhysicalError::NotOurs { pbn }));
        assert_eq!(zone.downgrade(pbn, true), Err(PhysicalError::NotOurs { pbn }));
    }
    assert_eq!(zone.lock_for_read(FIRST.plus(8)), granted(254));
    assert_eq!(zone.lock_for_read(FIRST.plus(39)), granted(254));
}

/// vdo-12: a free candidate is pinned: the allocator does not hand it out until the lock is released.
#[test]
fn a_free_candidate_is_not_allocated() {
    let mut zone = zone(1);
    let candidate = FIRST.plus(2);
    assert_eq!(zone.lock_for_read(candidate), granted(254));
    assert_eq!((zone.references(candidate), zone.free_blocks()), (Some(255), 7));
    zone.audit().expect("consistent");
    let others: Vec<_> = (0..7).map(|_| allocate(&mut zone)).collect();
    assert!(!others.contains(&candidate));
    assert_eq!(zone.allocate(), Ok(None));
    zone.release(candidate, 254).expect("held");
    zone.audit().expect("consistent");
    assert_eq!(allocate(&mut zone), candidate);
}

/// vdo-12: a pinned candidate that turns out to be right keeps its references.
#[test]
fn a_free_candidate_can_be_referenced() {
    let mut zone = zone(1);
    assert_eq!(zone.lock_for_read(FIRST), granted(254));
    zone.increment(FIRST).expect("claimed");
    zone.increment(FIRST).expect("claimed");
    zone.release(FIRST, 252).expect("held");
    assert_eq!(zone.references(FIRST), Some(2));
    zone.audit().expect("consistent");
}

/// vdo-37: an exhausted pool answers an error to both kinds of locking, leaks no count, and recovers.
#[test]
fn an_exhausted_pool_is_an_error() {
    let mut zone = zone_with_locks(2, 3);
    let held: Vec<_> = (0..3).map(|_| allocate(&mut zone)).collect();
    for _ in 0..20 {
        assert!(matches!(zone.allocate(), Err(PhysicalError::LockPoolExhausted { .. })));
        assert_eq!(zone.free_blocks(), 13);
        zone.audit().expect("consistent");
    }
    let pbn = FIRST.plus(12);
    assert_eq!(zone.lock_for_read(pbn), Err(PhysicalError::LockPoolExhausted { pbn }));
    assert_eq!((zone.references(pbn), zone.locks_in_use()), (Some(0), 3));
    zone.release(held[1], 0).expect("held");
    assert_eq!(zone.lock_for_read(pbn), granted(254));
    zone.audit().expect("consistent");
}

/// vdo-38: the first increment downgrades; the writer then has 253 claims, of which it returns what it did not use.
#[test]
fn an_increment_downgrades_a_plain_write() {
    let mut zone = zone(1);
    let pbn = allocate(&mut zone);
    for references in 1..=254 {
        zone.increment(pbn).expect("claimed");
        assert_eq!(zone.references(pbn), Some(references));
        zone.audit().expect("consistent");
    }
    let too_many = zone.increment(pbn);
    assert_eq!(too_many, Err(PhysicalError::ReferenceCount { pbn, operation: "increment" }));
    let returned = PhysicalError::LockMisused { pbn, operation: "release" };
    assert_eq!(zone.release(pbn, 254), Err(returned), "253 were leased");
    zone.release(pbn, 0).expect("held");
    assert_eq!(zone.references(pbn), Some(254));
}

/// vdo-38: after a compressed write all 254 can be leased; a plain downgrade leases 253; a block map lock refuses.
#[test]
fn explicit_downgrades() {
    let mut zone = zone(1);
    let compressed = allocate(&mut zone);
    assert_eq!(zone.downgrade(compressed, true), Ok(0));
    assert_eq!(zone.lock_for_read_sharing(compressed, 255), granted(254));
    zone.audit().expect("consistent");

    let plain = allocate(&mut zone);
    assert_eq!(zone.downgrade(plain, false), Ok(253));
    let again = PhysicalError::LockMisused { pbn: plain, operation: "downgrade" };
    assert_eq!(zone.downgrade(plain, false), Err(again));

    let page = zone.allocate_for_block_map().expect("no error").expect("not full");
    let refused = PhysicalError::LockMisused { pbn: page, operation: "downgrade" };
    assert_eq!(zone.downgrade(page, true), Err(refused));
    assert_eq!(zone.downgrade(page, false), Err(refused));
    zone.increment(page).expect("written");
    assert_eq!(zone.references(page), Some(254));
    zone.audit().expect("consistent");
    let unlocked = FIRST.plus(7);
    assert_eq!(zone.downgrade(unlocked, false), Err(PhysicalError::NotLocked { pbn: unlocked }));
}

/// vdo-20, vdo-38: the owners of a compressed block hold its lock with equal shares of 254 references, all of which can be
/// used; the lock goes with the last of them.
#[test]
fn a_compressed_block_is_shared_by_its_owners() {
    for holders in 1..=14u8 {
        let mut zone = zone(1);
        let pbn = allocate(&mut zone);
        let lease = zone.share_compressed(pbn, holders).expect("written");
        assert_eq!(lease, 254 / holders);
        assert_eq!(zone.references(pbn), Some(255), "provisional until the first increment");
        zone.audit().expect("consistent");
        for holder in 0..holders {
            let used = if holder == 0 { lease } else { 1 };
            for _ in 0..used {
                zone.increment(pbn).expect("leased");
            }
            zone.release(pbn, lease - used).expect("held");
            assert_eq!(zone.locks_in_use(), usize::from(holder + 1 < holders));
            zone.audit().expect("consistent");
        }
        assert_eq!(zone.references(pbn), Some(lease + holders - 1));
        assert_eq!(zone.release(pbn, 0), Err(PhysicalError::NotLocked { pbn }));
    }
}

/// vdo-20: owners that all give up leave the block free; only a write lock is shared, and only with holders.
#[test]
fn a_compressed_block_that_nobody_uses_is_free_again() {
    let mut zone = zone(1);
    let pbn = allocate(&mut zone);
    let refused = PhysicalError::LockMisused { pbn, operation: "share a compressed block" };
    for holders in [0, 255] {
        assert_eq!(zone.share_compressed(pbn, holders), Err(refused));
    }
    assert_eq!(zone.share_compressed(pbn, 3), Ok(84));
    assert!(zone.share_compressed(pbn, 3).is_err(), "it is a read lock now");
    for _ in 0..3 {
        zone.release(pbn, 84).expect("held");
    }
    assert_eq!((zone.references(pbn), zone.locks_in_use()), (Some(0), 0));
    zone.audit().expect("consistent");
}

/// vdo-39: holders in any number get leases that sum to the limit exactly, and can use all of them.
#[test]
fn leases_of_many_holders_sum_to_the_limit() {
    for share in [1, 7, 18, 200] {
        let mut zone = zone(1);
        let pbn = store(&mut zone, 4);
        let mut leases = vec![];
        while let ReadLock::Granted { lease } = zone.lock_for_read_sharing(pbn, share).expect("no error") {
            leases.push(lease);
        }
        assert_eq!(leases.iter().map(|&lease| u32::from(lease)).sum::<u32>(), 250);
        for _ in 0..250 {
            zone.increment(pbn).expect("leased");
        }
        zone.audit().expect("consistent");
        assert!(zone.increment(pbn).is_err());
        for _ in leases {
            assert_eq!(zone.locks_in_use(), 1);
            zone.release(pbn, 0).expect("held");
        }
        assert_eq!(zone.locks_in_use(), 0);
    }
}

/// vdo-39: what one holder returns, the next can have; what it used stays gone, even after a decrement.
#[test]
fn returned_claims_are_leased_again() {
    let mut zone = zone(1);
    let pbn = store(&mut zone, 1);
    assert_eq!(zone.lock_for_read_sharing(pbn, 10), granted(10));
    assert_eq!(zone.lock_for_read(pbn), granted(243));
    assert_eq!(zone.lock_for_read(pbn), REFUSED);
    for _ in 0..3 {
        zone.increment(pbn).expect("leased");
    }
    zone.release(pbn, 7).expect("held");
    zone.decrement(pbn, 1).expect("referenced");
    zone.audit().expect("consistent");
    assert_eq!(zone.lock_for_read(pbn), granted(7));
    assert_eq!(zone.lock_for_read(pbn), REFUSED);
    zone.release(pbn, 243).expect("held");
    zone.release(pbn, 7).expect("held");
    assert_eq!(zone.lock_for_read(pbn), granted(251), "a new lock counts afresh");
}

/// vdo-39: asking for nothing takes no lock.
#[test]
fn an_empty_lease_is_refused() {
    let mut zone = zone(1);
    assert_eq!(zone.lock_for_read_sharing(FIRST, 0), REFUSED);
    assert_eq!((zone.locks_in_use(), zone.references(FIRST)), (0, Some(0)));
}

/// vdo-40: released before its increment, a block is free again; after it, the block stays counted.
#[test]
fn provisional_references_go_with_the_lock() {
    let mut zone = zone(1);
    let aborted = allocate(&mut zone);
    assert_eq!((zone.references(aborted), zone.free_blocks(), zone.locks_in_use()), (Some(255), 7, 1));
    zone.release(aborted, 0).expect("held");
    assert_eq!((zone.references(aborted), zone.free_blocks(), zone.locks_in_use()), (Some(0), 8, 0));

    let kept = allocate(&mut zone);
    zone.increment(kept).expect("written");
    assert_eq!(zone.references(kept), Some(1));
    zone.release(kept, 253).expect("held");
    assert_eq!((zone.references(kept), zone.free_blocks(), zone.locks_in_use()), (Some(1), 7, 0));
    zone.audit().expect("consistent");
}

/// vdo-40: with several holders the provisional reference goes with the last of them.
#[test]
fn the_last_holder_drops_the_provisional_reference() {
    let mut zone = zone(1);
    assert_eq!(zone.lock_for_read_sharing(FIRST, 5), granted(5));
    assert_eq!(zone.lock_for_read_sharing(FIRST, 5), granted(5));
    zone.release(FIRST, 5).expect("held");
    assert_eq!(zone.references(FIRST), Some(255));
    zone.audit().expect("consistent");
    zone.release(FIRST, 5).expect("held");
    assert_eq!(zone.references(FIRST), Some(0));
    assert_eq!(zone.release(FIRST, 0), Err(PhysicalError::NotLocked { pbn: FIRST }));
}

/// vdo-41: the last reference of a locked block becomes provisional; the block is not reused until the lock goes.
#[test]
fn a_locked_block_outlives_its_last_reference() {
    let mut zone = zone(1);
    let pbn = store(&mut zone, 2);
    assert_eq!(zone.lock_for_read(pbn), granted(252));
    zone.decrement(pbn, 1).expect("referenced");
    assert_eq!(zone.references(pbn), Some(1));
    zone.decrement(pbn, 1).expect("referenced");
    assert_eq!((zone.references(pbn), zone.free_blocks()), (Some(255), 7));
    zone.audit().expect("consistent");
    while let Some(other) = zone.allocate().expect("no error") {
        assert_ne!(other, pbn);
    }
    zone.release(pbn, 252).expect("held");
    assert_eq!((zone.references(pbn), zone.free_blocks()), (Some(0), 1));
    assert_eq!(allocate(&mut zone), pbn);
    zone.audit().expect("consistent");
}

/// vdo-41: a reference added after the last one went makes the block stay.
#[test]
fn a_locked_block_can_be_referenced_again() {
    let mut zone = zone(1);
    let pbn = store(&mut zone, 1);
    assert_eq!(zone.lock_for_read(pbn), granted(253));
    zone.decrement(pbn, 1).expect("referenced");
    zone.increment(pbn).expect("leased");
    assert_eq!(zone.references(pbn), Some(1));
    zone.release(pbn, 252).expect("held");
    assert_eq!((zone.references(pbn), zone.free_blocks()), (Some(1), 7));
    zone.audit().expect("consistent");
    zone.decrement(pbn, 1).expect("referenced");
    assert_eq!((zone.references(pbn), zone.free_blocks()), (Some(0), 8), "unlocked, it is freed at once");
}

/// vdo-42: a free block that is locked already is not handed out, and its count does not leak.
#[test]
fn a_locked_free_block_is_not_allocated() {
    let mut zone = zone(1);
    // The zone's own operations cannot cause this.
    assert!(zone.locks.attempt(FIRST, PbnLock::new(LockType::Write)).is_ok());
    assert_eq!(zone.allocate(), Err(PhysicalError::SpuriouslyLocked { pbn: FIRST }));
    assert_eq!((zone.references(FIRST), zone.free_blocks()), (Some(0), 8));
    assert!(zone.audit().is_err_and(|error| error.starts_with("I5")), "the audit sees such a lock");
    assert_eq!(allocate(&mut zone), FIRST.plus(1), "allocation goes on");
    zone.locks.remove(FIRST);
    zone.audit().expect("consistent");
}

/// vdo-50: an unused allocation leaves nothing behind but the cursor: no count, no lock, no journaled change.
#[test]
fn an_unused_allocation_leaves_no_trace() {
    let mut zone = zone(4);
    let stored = store(&mut zone, 3);
    let before: Vec<_> = (0..32).map(|block| zone.references(FIRST.plus(block))).collect();
    for _ in 0..100 {
        let unused = allocate(&mut zone);
        assert_ne!(unused, stored);
        zone.release(unused, 0).expect("held");
    }
    let after: Vec<_> = (0..32).map(|block| zone.references(FIRST.plus(block))).collect();
    assert_eq!(before, after);
    assert_eq!((zone.locks_in_use(), zone.free_blocks(), zone.slabs_opened()), (0, 31, 1));
    zone.audit().expect("consistent");
}

/// vdo-47: a zone is full only when no slab has a free block, wherever the last one is.
#[test]
fn the_last_free_block_is_found() {
    let mut zone = zone_with_locks(5, 1);
    for _ in 0..40 {
        store(&mut zone, 1);
    }
    for block in (0..40).rev().chain(0..40) {
        assert_eq!(zone.allocate(), Ok(None));
        let pbn = FIRST.plus(block);
        zone.decrement(pbn, 1).expect("referenced");
        assert_eq!(store(&mut zone, 1), pbn);
    }
    assert_eq!(zone.free_blocks(), 0);
}

/// A range decrement processes every block that it can, and reports the first that it cannot.
#[test]
fn range_decrements_go_on_after_an_error() {
    let mut zone = zone(2);
    let blocks: Vec<_> = [2, 0, 1, 0, 3, 1, 1, 1].map(|references| store_or_skip(&mut zone, references)).to_vec();
    assert_eq!(blocks, (0..8).map(|block| FIRST.plus(block)).collect::<Vec<_>>());
    let first_error = PhysicalError::ReferenceCount { pbn: FIRST.plus(1), operation: "decrement" };
    assert_eq!(zone.decrement(FIRST, 6), Err(first_error));
    let counts: Vec<_> = (0..8).filter_map(|block| zone.references(FIRST.plus(block))).collect();
    assert_eq!(counts, [1, 0, 0, 0, 2, 0, 1, 1]);
    assert_eq!(zone.decrement(FIRST, 0), Ok(()));
    assert_eq!(zone.decrement(FIRST.plus(6), 3), Err(PhysicalError::NotOurs { pbn: FIRST.plus(8) }));
    assert_eq!(zone.references(FIRST.plus(7)), Some(0), "what is in the slab is done");
    assert_eq!(zone.decrement(FIRST.plus(4), u32::MAX), Err(error_after(FIRST.plus(5))));
    assert_eq!(zone.references(FIRST.plus(4)), Some(1));
    zone.audit().expect("consistent");
}

fn error_after(pbn: Pbn) -> PhysicalError {
    PhysicalError::ReferenceCount { pbn, operation: "decrement" }
}

/// The next block of the open slab with `references`, which stays free for none.
fn store_or_skip(zone: &mut TestZone, references: u8) -> Pbn {
    if references > 0 {
        return store(zone, references);
    }
    let pbn = allocate(zone);
    zone.release(pbn, 0).expect("held");
    pbn
}

/// An increment needs a lock, because only locks bound the count.
#[test]
fn no_increment_without_a_lock() {
    let mut zone = zone(1);
    let pbn = store(&mut zone, 1);
    assert_eq!(zone.increment(pbn), Err(PhysicalError::NotLocked { pbn }));
    assert_eq!(zone.references(pbn), Some(1));
}

/// Errors name the block and read well.
#[test]
fn errors_name_their_block() {
    let pbn = Pbn(7);
    let error = PhysicalError::ReferenceCount { pbn, operation: "decrement" };
    assert_eq!(error.to_string(), "cannot do decrement of PBN 7: its reference count does not allow it");
    assert_eq!(error.object(), (pbn, "decrement"));
    assert_eq!(PhysicalError::NotLocked { pbn }.object(), (pbn, "not locked"));
}

/// vdo-37: pages whose references wait for the slab journal keep their locks. When all page locks are in use, the next
/// request waits until one is released, whether the zone has free blocks or not.
#[test]
fn pages_wait_for_a_lock() {
    let geometry = Geometry::new(1, Blocks(1), FIRST, FIRST.plus(16), 8).expect("valid");
    let mut zone = Setup { page_locks: 2, ..Setup::new(&geometry) }.create();
    let pages: Vec<_> = (0..2).map(|_| zone.allocate_for_block_map().expect("no error").expect("not full")).collect();
    let third = Requester::Page(VioRef { shard: ShardId(0), index: 7 });
    assert_eq!(zone.zone.allocate(third, Claim::Upkeep, false), Ok(Allocation::Waiting));
    assert_eq!(zone.take_events(), []);
    assert!(!zone.is_idle() && zone.free_blocks() > 0);
    allocate(&mut zone);
    let source = zone.source();
    zone.reference_page(pages[0], source).expect("locked");
    let [PhysicalEvent::Allocated { requester, answer: Allocation::Block(pbn) }] = zone.take_events()[..] else {
        panic!("nobody got the lock");
    };
    assert!(requester == third && !pages.contains(&pbn));
    assert_eq!(zone.locks_in_use(), 3);
    zone.audit().expect("consistent");
    assert_eq!(zone.zone.allocate(third, Claim::Upkeep, false), Ok(Allocation::Waiting));
    zone.zone.read_only();
    assert_eq!(zone.take_events(), [PhysicalEvent::Allocated { requester: third, answer: Allocation::ReadOnly }]);
}

/// vdo-37: a read-only zone, whose locks are never released, grants no read locks.
#[test]
fn a_read_only_zone_locks_nothing_for_reading() {
    let mut zone = zone(1);
    let pbn = store(&mut zone, 1);
    zone.zone.read_only();
    assert_eq!(zone.lock_for_read(pbn), REFUSED);
    assert_eq!(zone.locks_in_use(), 0);
}
