// SPDX-License-Identifier: BSD-3-Clause

//! What a shard tells of itself while transfers are held back: who holds which lock, and who waits for what.

#![forbid(unsafe_code)]

use engine::dump::{ByState, DumpScope, ShardDump};
use engine::format::Geometry;
use engine::{Blocks, Direction, Pbn, Place, ShardId};
use tests::sim::chapters::ChapterPlan;
use tests::sim::cluster::Cluster;
use tests::sim::directed::Pending;
use tests::sim::faults::Faults;
use tests::sim::rig::{nothing, transfers, Rig};
use tests::sim::sizes::Sizes;

const SLAB_BLOCKS: u64 = 64;
const SLABS: u64 = 8;
const FIRST: u64 = 9;

fn geometry() -> Geometry {
    let end = Pbn(FIRST + SLABS * SLAB_BLOCKS);
    Geometry::new(1, Blocks(4096), Pbn(FIRST), end, SLAB_BLOCKS).expect("valid")
}

/// A volume of one shard whose first leaf page is there.
fn volume() -> Rig {
    let mut rig = Rig::new(Cluster::new(geometry(), &Sizes::default(), Faults::none()));
    rig.write(0, 1);
    rig
}

fn dump_of(rig: &Rig, scope: DumpScope) -> ShardDump {
    rig.shard(ShardId(0)).dump(&scope)
}

fn dump(rig: &Rig) -> ShardDump {
    dump_of(rig, DumpScope { most: 100, first_slab: None })
}

/// The states that something is in.
fn occupied(states: &ByState) -> Vec<(&'static str, u64)> {
    states.iter().copied().filter(|(_, count)| *count > 0).collect()
}

/// vdo-35, vdo-69: of a write that is held back one sees its hash lock with the one that waits for it, the lock on the new
/// block, and the slab that it was taken from.
#[test]
fn held_writes_show_their_locks_and_who_waits() {
    let mut rig = volume();
    for (lbn, value) in [(4, 3), (5, 3), (4, 9)] {
        rig.begin_write(lbn, value);
    }
    rig.settle(transfers);
    let dumped = dump(&rig);
    assert_eq!(occupied(&dumped.logical.vios_by_stage), [("lbn_lock", 1), ("deduping", 2)]);
    assert_eq!((dumped.logical.requests, dumped.logical.vios.total, dumped.transfers), (3, 3, 1));

    assert_eq!(occupied(&dumped.hash.locks_by_state), [("writing", 1)]);
    assert_eq!((dumped.hash.locks.total, dumped.hash.members), (1, 2));
    let lock = dumped.hash.locks.shown[0];
    assert_eq!((lock.state, lock.registered, lock.members, lock.waiters), ("writing", true, 2, 1));
    assert_eq!((lock.fingerprint, lock.holds_duplicate), (rig.fingerprint(3).0, false));
    let agent = lock.agent.expect("who writes");
    let vio = dumped.logical.vios.shown.iter().find(|vio| vio.index == agent.index).expect("a data_vio");
    assert_eq!((vio.stage, vio.operation, vio.lbn.0, vio.stored_at), ("deduping", "write", 4, None));

    let written = rig.world.disk.transfers[0].pbn().expect("a write of data");
    assert_eq!(dumped.physical.locks.total, 1);
    let lock = dumped.physical.locks.shown[0];
    assert_eq!((lock.pbn, lock.kind, lock.holders, lock.provisional), (written, "write", 1, true));
    assert_eq!((lock.increment_limit, lock.leased), (0, 0));

    assert_eq!(dumped.physical.slabs.total as u64, SLABS);
    let slab = &dumped.physical.slabs.shown[0];
    assert_eq!(slab.number, (written.0 - FIRST) / SLAB_BLOCKS);
    assert_eq!((slab.status, slab.is_open, slab.priority), ("rebuilt", true, None));
    let used = rig.statistics().data_blocks_used;
    assert_eq!(u64::from(slab.free_blocks), SLAB_BLOCKS - used);
    assert!(slab.journal_head <= slab.journal_committed && slab.journal_committed <= slab.journal_tail);

    rig.settle(nothing);
    let dumped = dump(&rig);
    assert_eq!((occupied(&dumped.logical.vios_by_stage), dumped.logical.requests), (vec![], 0));
    assert_eq!((dumped.hash.locks.total, dumped.physical.locks.total, dumped.transfers), (0, 0, 0));
    assert!(dumped.hash.locks.shown.is_empty() && dumped.physical.locks.shown.is_empty());
}

/// vdo-69: a candidate that is read to be compared is held by a read lock with a lease of references.
#[test]
fn a_verify_read_shows_the_lock_on_the_candidate() {
    let mut rig = volume();
    rig.write(4, 3);
    let (held, candidate) = (rig.begin_write(5, 3), rig.pbn(4));
    rig.settle(transfers);
    let dumped = dump(&rig);
    let lock = dumped.hash.locks.shown[0];
    assert_eq!((lock.state, lock.duplicate, lock.holds_duplicate), ("verifying", Some(candidate), true));
    let pbn_lock = dumped.physical.locks.shown[0];
    assert_eq!((pbn_lock.pbn, pbn_lock.kind, pbn_lock.holders), (candidate, "read", 1));
    assert!(lock.lease > 0 && pbn_lock.leased == lock.lease, "{lock:?} {pbn_lock:?}");
    assert_eq!((pbn_lock.increment_limit, pbn_lock.provisional), (253, false));
    rig.settle(nothing);
    assert_eq!(rig.outcome(held), Some(Ok(())));
}

/// What the scrubber reads.
fn slab_reads(pending: &Pending<'_>) -> bool {
    let Pending::Metadata(transfer) = pending else { return false };
    transfer.direction == Direction::Read && matches!(transfer.place, Place::SlabMetadata { .. })
}

/// vdo-69: while a slab is loaded one sees the scrubber at it, and who waits for the slab.
#[test]
fn a_slab_that_is_loaded_shows_the_scrubber_and_who_waits() {
    let sizes = Sizes { history: Some(ChapterPlan::SOUND), ..Sizes::default() };
    let mut cluster = Cluster::new(geometry(), &sizes, Faults::none());
    cluster.write(4, 3);
    cluster.save_all();
    cluster.save_index();
    let candidate = cluster.pbn(4);
    let mut rig = Rig::new(cluster.restart(&sizes));
    // The index is filled from its history, while the slabs' reads wait.
    rig.settle(slab_reads);
    let held = rig.begin_write(5, 3);
    rig.settle(slab_reads);
    let dumped = dump(&rig).physical;
    let number = (candidate.0 - FIRST) / SLAB_BLOCKS;
    assert_eq!((dumped.scrubber.slab, dumped.scrubber.stage), (Some(number), "reading"));
    assert!(dumped.scrubber.reads > 0 && dumped.scrubber.scrubbed == 0);
    assert_eq!(dumped.slabs.shown.len(), 1);
    let slab = &dumped.slabs.shown[0];
    assert_eq!((slab.number, slab.status, slab.free_blocks, slab.priority), (number, "rebuilding", 0, None));
    assert_eq!((slab.lock_waiters, dumped.waiting_for_slab.total), (1, 1));
    assert_eq!(dumped.waiting_for_slab.shown[0].pbn, candidate);
    rig.settle(nothing);
    assert_eq!(rig.outcome(held), Some(Ok(())));
    let scrubber = dump(&rig).physical.scrubber;
    assert_eq!((scrubber.slab, scrubber.stage, scrubber.scrubbed), (None, "idle", 1));
}

/// vdo-69: lists are bounded, and say of how many they are a part; slabs can be walked through.
#[test]
fn a_dump_is_bounded() {
    let mut rig = volume();
    for block in 0..12 {
        rig.begin_write(block, 100 + block);
    }
    rig.settle(transfers);
    let dumped = dump_of(&rig, DumpScope { most: 3, first_slab: Some(6) });
    let physical = &dumped.physical;
    let totals = [dumped.logical.vios.total, dumped.hash.locks.total, physical.locks.total, physical.slabs.total];
    assert_eq!(totals, [12, 12, 12, SLABS as usize]);
    let shown = [dumped.logical.vios.shown.len(), dumped.hash.locks.shown.len(), physical.locks.shown.len()];
    assert_eq!(shown, [3, 3, 3]);
    let numbers: Vec<_> = physical.slabs.shown.iter().map(|slab| (slab.number, slab.is_open)).collect();
    assert_eq!(numbers, [(6, false), (7, false)]);
    assert!(physical.slabs.shown.iter().all(|slab| slab.priority.is_some() && slab.free_blocks == 64));
    rig.settle(nothing);
}
