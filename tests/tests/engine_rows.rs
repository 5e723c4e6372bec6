// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of the engine: each shows rows of the feature table (vdo.md section 11) by a hand-driven schedule.
//!
//! A test submits requests, lets the cluster settle while it holds back a transfer or a message of its choice, looks at
//! counts, and lets go. All reads are held against the simulator's model besides, and [`Rig`] audits at the end.

#![forbid(unsafe_code)]

use engine::io::Operation;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::volume::{Geometry, Statistics};
use engine::{Blocks, Direction, Message, Pbn, RequestError, ShardId};
use tests::sim::client::{Request, RequestId};
use tests::sim::cluster::Cluster;
use tests::sim::content::{block_of, Token};
use tests::sim::directed::Pending;
use tests::sim::faults::Faults;
use tests::sim::random::Random;
use tests::sim::rig::{nothing, reads_from_disk, transfers, writes_to_disk, Rig};
use tests::sim::sizes::Sizes;

/// Pages that the first block of each shard's first tree needs: the leaf and two above it.
const PAGES: u64 = 3;

/// A volume of `shards` shards with `slabs` slabs of `slab_blocks` blocks each, all of them free. One more slab for
/// each shard holds the pages of the block map that the shard's first leaf page needs, and is full.
fn volume(shards: usize, slabs: u64, slab_blocks: u64, sizes: &Sizes) -> Rig {
    let end = Pbn(9 + (slabs + shards as u64) * slab_blocks);
    let geometry = Geometry::new(shards, Blocks(16 * PAGE), Pbn(9), end, slab_blocks).expect("valid");
    let mut cluster = Cluster::new(geometry, &Sizes::default(), Faults::none());
    let mut value = 1 << 20;
    for shard in 0..shards as u64 {
        for filler in 0..slab_blocks - PAGES {
            value = value_of(&cluster, ShardId(shard as u16), value + 1);
            cluster.write((shard + 1) * PAGE - 1 - filler, value);
        }
    }
    cluster.save_all();
    let used = cluster.statistics();
    assert_eq!((used.data_blocks_used, used.block_map_pages), (overhead(&geometry), PAGES * shards as u64));
    let mut rig = Rig::new(cluster.restart(sizes));
    rig.settle(nothing);
    rig
}

/// Blocks in use before a test, by pages of the block map and by what fills up their slabs.
fn overhead(geometry: &Geometry) -> u64 {
    geometry.shards() as u64 * geometry.slab_blocks()
}

/// A volume of one shard and so many blocks.
fn small(blocks: u64) -> Rig {
    volume(1, blocks / 8, 8, &Sizes::default())
}

/// The statistics of what the test does, without what was there before.
fn own_statistics(rig: &Rig) -> Statistics {
    let statistics = rig.statistics();
    let geometry = &rig.world.geometry;
    let (shards, overhead) = (geometry.shards() as u64, overhead(geometry));
    Statistics {
        data_blocks: statistics.data_blocks - overhead,
        data_blocks_used: statistics.data_blocks_used - overhead,
        logical_blocks_used: statistics.logical_blocks_used - (overhead - PAGES * shards),
        slabs: statistics.slabs - shards,
        slabs_opened: statistics.slabs_opened - shards,
        ..statistics
    }
}

/// Blocks written to the disk so far.
fn blocks_written(rig: &Rig) -> u64 {
    rig.world.disk.counts.written
}

/// Fills all free blocks with values from `value` on, at LBNs from `lbn` on; returns how many.
fn fill(rig: &mut Rig, lbn: u64, value: u64) -> u64 {
    let mut count = 0;
    while rig.execute(&Request::write(lbn + count, &[value + count])).is_ok() {
        count += 1;
    }
    count
}

/// A value from `from` on whose hash zone is in `shard`.
fn value_of(cluster: &Cluster, shard: ShardId, from: u64) -> u64 {
    (from..).find(|value| cluster.hash_shard(*value) == shard).expect("half of all values or so")
}

/// vdo-2: equal concurrent writes share one lock: one index query, one data write, a reference for each.
#[test]
fn equal_writes_share_one_query_and_one_block() {
    let mut rig = small(64);
    for lbn in 0..10 {
        rig.begin_write(lbn, 7);
    }
    rig.settle(nothing);
    assert_eq!((rig.index_queries(), blocks_written(&rig)), (1, 1));
    assert_eq!(rig.references(rig.pbn(0)), Some(10));
    assert!((1..10).all(|lbn| rig.mapping(lbn) == rig.mapping(0)));
}

/// vdo-3: as many different blocks as fit in flight each have a hash lock, and all locks return.
#[test]
fn every_block_in_flight_has_a_hash_lock() {
    let mut rig = volume(1, 32, 8, &Sizes { vios: 64, ..Sizes::default() });
    for round in 0..2 {
        for lbn in 0..80 {
            rig.begin_write(lbn, 1 + round * 1000 + lbn);
        }
        rig.settle(writes_to_disk);
        assert_eq!(own_statistics(&rig).hash_locks, 64, "the rest waits for data_vios");
        rig.settle(nothing);
        assert_eq!(own_statistics(&rig).hash_locks, 0);
    }
}

/// vdo-4: blocks that differ but have one fingerprint are never taken for each other.
#[test]
fn colliding_blocks_do_not_share() {
    let mut rig = volume(1, 8, 8, &Sizes { fingerprint_bits: Some(0), ..Sizes::default() });
    for (lbn, value) in [(0, 1), (1, 2), (2, 1), (3, 3)] {
        rig.begin_write(lbn, value);
    }
    rig.settle(nothing);
    assert_eq!(own_statistics(&rig).concurrent_hash_collisions, 2);
    assert_eq!(rig.pbn(0), rig.pbn(2), "equal ones share all the same");
    rig.write(4, 4);
    for lbn in 0..5 {
        rig.read(lbn);
    }
    assert_eq!(own_statistics(&rig).data_blocks_used, 4);
}

/// vdo-5: an arrival is compared with a live member of the lock and counted.
#[test]
fn a_concurrent_match_is_counted() {
    let mut rig = small(64);
    rig.begin_write(0, 5);
    rig.begin_write(1, 5);
    rig.settle(nothing);
    let statistics = own_statistics(&rig);
    assert_eq!((statistics.concurrent_data_matches, statistics.concurrent_hash_collisions), (1, 0));
    assert_eq!((statistics.unique_blocks, statistics.dedupe_hits), (1, 1));
}

/// vdo-6, adapted: a write that arrives while the lock on the copy is given back waits for the end of that lock, and becomes
/// the agent of the next: it asks the index, locks and verifies anew, and the index is not told again.
#[test]
fn a_late_waiter_takes_over_as_agent() {
    let mut rig = volume(2, 2, 8, &Sizes::default());
    // Fill the slab of shard 0, so that the copy of a value of its hash zone lies in shard 1.
    let mut filler = 1000;
    for lbn in 0..8 {
        filler = value_of(&rig, ShardId(0), filler + 1);
        rig.write(lbn, filler);
    }
    let value = value_of(&rig, ShardId(0), 1);
    rig.write(8, value);
    assert_eq!(rig.world.geometry.physical_shard(rig.pbn(8)), Some(ShardId(1)));
    let (updates, verified, written) = (rig.index_updates(), rig.world.disk.counts.verified, blocks_written(&rig));
    let release = |pending: &Pending<'_>| matches!(pending, Pending::Message { message: Message::Release { .. }, .. });
    let first = rig.begin_write(9, value);
    rig.settle(release);
    assert_eq!(rig.outcome(first), Some(Ok(())));
    assert_eq!(own_statistics(&rig).hash_locks, 1, "the lock is in UNLOCKING");
    let second = rig.begin_write(10, value);
    rig.settle(release);
    assert_eq!(rig.outcome(second), None, "it waits for the lock to be released");
    rig.settle(nothing);
    assert_eq!(rig.outcome(second), Some(Ok(())));
    assert_eq!(rig.world.disk.counts.verified, verified + 2, "each agent verifies");
    assert_eq!((rig.index_updates(), blocks_written(&rig)), (updates, written));
    assert_eq!(rig.references(rig.pbn(8)), Some(3));
}

/// vdo-10: advice to a block that is being written is not waited for: the data is written elsewhere, the advice counts
/// as stale and the index learns the new place.
#[test]
fn advice_to_a_block_being_written_is_refused() {
    let mut rig = small(8);
    for lbn in 0..8 {
        rig.write(lbn, 10 + lbn);
    }
    let freed = rig.pbn(3);
    rig.unmap(3);
    rig.unmap(4);
    rig.begin_write(20, 99);
    rig.settle(writes_to_disk);
    assert_eq!(rig.world.disk.transfers[0].pbn(), Some(freed), "the freed block is written");
    let before = own_statistics(&rig);
    let other = rig.begin_write(21, 13);
    rig.settle(|pending| matches!(pending, Pending::Transfer(transfer) if transfer.pbn() == Some(freed)));
    assert_eq!(rig.outcome(other), Some(Ok(())));
    let after = own_statistics(&rig);
    assert_eq!(after.dedupe_advice_stale, before.dedupe_advice_stale + 1);
    assert_eq!(after.updates_found, before.updates_found + 1);
    assert_eq!(rig.world.disk.counts.verified, 0, "there was nothing to verify");
    rig.settle(nothing);
    rig.write(22, 13);
    assert_eq!(rig.pbn(22), rig.pbn(21));
}

/// vdo-11: a block with 254 references takes no more: no lock, no verify read, a new copy.
#[test]
fn a_full_block_is_not_shared_further() {
    let mut rig = small(64);
    for lbn in 0..254 {
        rig.write(lbn, 3);
    }
    assert_eq!((rig.references(rig.pbn(0)), blocks_written(&rig)), (Some(254), 1));
    let verified = rig.world.disk.counts.verified;
    rig.write(254, 3);
    assert_eq!((blocks_written(&rig), rig.world.disk.counts.verified), (2, verified));
    assert_eq!(rig.references(rig.pbn(254)), Some(1));
    rig.write(255, 3);
    assert_eq!(rig.pbn(255), rig.pbn(254), "the index names the new copy");
}

/// vdo-12: a freed block that advice names is pinned while it is verified, then used again as it is.
#[test]
fn a_freed_block_is_pinned_while_it_is_verified() {
    let mut rig = small(16);
    rig.write(0, 5);
    let pbn = rig.pbn(0);
    rig.unmap(0);
    assert_eq!(rig.references(pbn), Some(0));
    let again = rig.begin_write(1, 5);
    rig.settle(reads_from_disk);
    assert_eq!(rig.references(pbn), Some(255), "held by a provisional reference");
    // Meanwhile all other blocks are taken, and this one is never handed out.
    for lbn in 0..20 {
        rig.begin_write(100 + lbn, 200 + lbn);
    }
    rig.settle(reads_from_disk);
    assert!((100..120).all(|lbn| rig.pbn(lbn) != pbn));
    assert_eq!(own_statistics(&rig).no_space_error_count, 5, "20 blocks found 15");
    let written = blocks_written(&rig);
    rig.settle(nothing);
    assert_eq!(rig.outcome(again), Some(Ok(())));
    assert_eq!((rig.pbn(1), rig.references(pbn), blocks_written(&rig)), (pbn, Some(1), written));
}

/// vdo-13: a candidate whose content differs is not shared: the data is written elsewhere and the index updated.
#[test]
fn advice_is_verified_byte_by_byte() {
    let mut rig = small(64);
    rig.write(0, 5);
    let stored = rig.pbn(0);
    rig.world.disk.spoil(stored, (4000, 1));
    let before = own_statistics(&rig);
    rig.write(1, 5);
    let after = own_statistics(&rig);
    assert_ne!(rig.pbn(1), rig.pbn(0));
    assert_eq!(after.dedupe_advice_stale, before.dedupe_advice_stale + 1);
    assert_eq!(after.updates_found, before.updates_found + 1);
    rig.write(2, 5);
    assert_eq!(rig.pbn(2), rig.pbn(1), "the index names the good copy");
    assert_eq!(rig.execute(&Request::read(0, 1)), Err(RequestError::Corrupt));
    rig.read(1);
}

/// vdo-15: a verify read that fails means "no duplicate", never an error of the request.
#[test]
fn a_failed_verify_read_fails_no_request() {
    let mut rig = small(64);
    rig.write(0, 5);
    let pbn = rig.pbn(0);
    rig.world.faults.script(Direction::Read, Some(pbn), 1);
    rig.write(1, 5);
    assert_ne!(rig.pbn(1), pbn);
    assert_eq!(rig.world.faults.counts.read_errors, 1);
    rig.read(0);
    rig.read(1);
}

/// Writes one value once to shard 0 and `others` times to shard 1, whose increments to shard 0 are held back.
fn share_across_shards(others: u64) -> (Rig, RequestId) {
    let mut rig = volume(2, 4, 8, &Sizes::default());
    let value = value_of(&rig, ShardId(0), 1);
    let first = rig.begin_write(0, value);
    rig.settle(writes_to_disk);
    for lbn in PAGE..PAGE + others {
        rig.begin_write(lbn, value);
    }
    rig.settle(writes_to_disk);
    rig.settle(increments);
    (rig, first)
}

fn increments(pending: &Pending<'_>) -> bool {
    matches!(pending, Pending::Message { message: Message::Increment { .. }, .. })
}

/// vdo-16: all waiters record their mappings at once, under one lock on the copy.
#[test]
fn waiters_are_recorded_in_parallel_under_one_lock() {
    let (mut rig, _) = share_across_shards(100);
    let under_way = |message: &&Message<_>| matches!(message, Message::Increment { .. });
    assert_eq!(rig.world.messages(ShardId(1), ShardId(0)).filter(under_way).count(), 100);
    assert_eq!(own_statistics(&rig).pbn_locks, 1);
    rig.settle(nothing);
    assert_eq!((rig.references(rig.pbn(0)), blocks_written(&rig)), (Some(101), 1));
}

/// vdo-17: more equal writes than a block has references make a second copy, and the index names it.
/// vdo-18: of a lock and its fork only the newer one tells the index.
#[test]
fn equal_writes_beyond_the_limit_roll_over_to_a_new_copy() {
    let mut rig = small(64);
    for lbn in 0..300 {
        rig.begin_write(lbn, 9);
    }
    rig.settle(nothing);
    let mut counts = [0, 299].map(|lbn| rig.references(rig.pbn(lbn)).expect("a data block"));
    counts.sort_unstable();
    assert_eq!((blocks_written(&rig), counts), (2, [46, 254]));
    let statistics = own_statistics(&rig);
    assert_eq!((statistics.hash_lock_forks, rig.index_updates()), (1, 1));
    rig.write(300, 9);
    assert_eq!(rig.references(rig.pbn(300)), Some(47), "the index names the second copy");
}

/// vdo-19: the lock on a block that was just written becomes the lock that its sharers hold.
#[test]
fn the_writers_lock_becomes_the_sharers_lock() {
    let (mut rig, first) = share_across_shards(5);
    assert_eq!(rig.outcome(first), Some(Ok(())), "the writer is done");
    assert_eq!(own_statistics(&rig).pbn_locks, 1);
    assert_eq!(rig.references(rig.pbn(0)), Some(1));
    assert_eq!(rig.world.disk.counts.verified, 0, "nobody had to verify what was just written");
    rig.settle(nothing);
    assert_eq!(own_statistics(&rig).pbn_locks, 0);
    assert_eq!(rig.references(rig.pbn(0)), Some(6));
}

/// vdo-23: when the agent cannot write, the waiters write on their own; only the agent's request fails.
#[test]
fn an_agents_failure_is_its_own() {
    let mut rig = small(64);
    // The data write is tried twice, in two blocks.
    rig.world.faults.script(Direction::Write, None, 2);
    let requests: Vec<_> = (0..5).map(|lbn| rig.begin_write(lbn, 5)).collect();
    rig.settle(nothing);
    let outcomes: Vec<_> = requests.iter().map(|id| rig.outcome(*id).expect("over")).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 4, "{outcomes:?}");
    assert!(outcomes.contains(&Err(RequestError::Io)));
    assert_eq!(own_statistics(&rig).data_write_retries, 1);
    for lbn in 0..5 {
        rig.read(lbn);
    }
}

/// vdo-24: a full volume refuses new data to every member of a lock, and goes on with everything else.
#[test]
fn a_full_volume_still_takes_what_needs_no_room() {
    let mut rig = small(8);
    assert_eq!(fill(&mut rig, 0, 100), 8);
    let requests: Vec<_> = (20..23).map(|lbn| rig.begin_write(lbn, 55)).collect();
    rig.settle(nothing);
    for id in requests {
        assert_eq!(rig.outcome(id), Some(Err(RequestError::NoSpace)));
    }
    rig.write(1, 100);
    rig.write(30, 107);
    rig.write(31, 0);
    rig.read(1);
    rig.execute_on(Operation::WriteZeroes, 40, 3).expect("zeros need no room");
    // Block 1 shares with block 0 now, so its own block is free again.
    rig.write(20, 55);
    assert_eq!(rig.execute(&Request::write(21, &[56])), Err(RequestError::NoSpace));
    rig.unmap(0);
    rig.unmap(1);
    rig.write(21, 56);
}

/// vdo-25: a write that meets a dying lock writes alone and succeeds.
#[test]
fn an_arrival_at_a_dying_lock_writes_alone() {
    let mut rig = small(64);
    rig.begin_write(0, 5);
    rig.begin_write(1, 5);
    rig.settle(transfers);
    rig.world.faults.script(Direction::Write, None, 2);
    // The agent fails twice; then its waiter writes alone, and that is held back.
    let failed = |rig: &Rig| rig.world.faults.counts.write_errors;
    while failed(&rig) < 2 {
        assert_eq!(rig.world.disk.transfers.len(), 1);
        rig.perform(tests::sim::cluster::Step::Finish(0));
        rig.settle(transfers);
    }
    assert_eq!((rig.world.disk.transfers.len(), own_statistics(&rig).hash_locks), (1, 1));
    let late = rig.begin_write(2, 5);
    rig.settle(transfers);
    assert_eq!(rig.world.disk.transfers.len(), 2, "the arrival does not wait for anybody");
    rig.settle(nothing);
    assert_eq!(rig.outcome(late), Some(Ok(())));
    rig.read(1);
    rig.read(2);
}

/// vdo-35: a scripted load gives exact numbers.
#[test]
fn dedupe_statistics_are_exact() {
    let mut rig = small(64);
    rig.write(0, 1);
    rig.write(1, 1);
    rig.write(2, 2);
    rig.write(3, 0);
    rig.begin_write(4, 3);
    rig.begin_write(5, 3);
    rig.settle(nothing);
    let statistics = own_statistics(&rig);
    assert_eq!((statistics.unique_blocks, statistics.dedupe_hits, statistics.zero_blocks), (3, 2, 1));
    assert_eq!((statistics.dedupe_advice_valid, statistics.dedupe_advice_stale), (1, 0));
    assert_eq!((statistics.posts_found, statistics.posts_not_found), (1, 3));
    assert_eq!((statistics.updates_found, statistics.updates_not_found, statistics.entries_indexed), (0, 3, 3));
    assert_eq!((statistics.concurrent_data_matches, statistics.curr_dedupe_queries), (1, 0));
    assert_eq!((statistics.data_blocks_used, statistics.logical_blocks_used), (3, 5));
}

/// vdo-21, adapted: the index is told once, when a new copy is complete, and not again by those who share it; stale
/// advice is replaced by the place of the new copy.
#[test]
fn the_index_is_told_once_for_each_new_copy() {
    let mut rig = small(8);
    for lbn in 0..10 {
        rig.write(lbn, 1);
    }
    let statistics = own_statistics(&rig);
    assert_eq!((statistics.updates_not_found, statistics.updates_found), (1, 0), "one copy, one update");
    (0..10).for_each(|lbn| rig.unmap(lbn));
    for value in 2..20 {
        rig.write(0, value);
    }
    assert_eq!(own_statistics(&rig).updates_not_found, 19);
    // The block that held the first content holds another by now, so the advice for it is stale.
    rig.write(1, 1);
    let statistics = own_statistics(&rig);
    assert_eq!((statistics.updates_not_found, statistics.updates_found), (19, 1));
}

/// vdo-40: a block whose writer gives up before its reference is counted is free again.
#[test]
fn an_abandoned_allocation_is_free_again() {
    let mut rig = small(8);
    rig.world.faults.script(Direction::Write, None, 2);
    let failing = rig.begin_write(0, 5);
    rig.settle(transfers);
    let pbn = rig.world.disk.transfers[0].pbn().expect("a write of data");
    assert_eq!(rig.references(pbn), Some(255));
    rig.settle(nothing);
    assert_eq!(rig.outcome(failing), Some(Err(RequestError::Io)));
    assert_eq!((rig.references(pbn), own_statistics(&rig).data_blocks_used), (Some(0), 0));
    assert_eq!(fill(&mut rig, 0, 100), 8, "every block can be used");
}

/// vdo-41: a block that loses its last reference while it is verified is kept until the lock is released.
#[test]
fn the_last_reference_of_a_locked_block_becomes_provisional() {
    let mut rig = small(8);
    rig.write(0, 5);
    let pbn = rig.pbn(0);
    let sharing = rig.begin_write(1, 5);
    rig.settle(reads_from_disk);
    let unmap = rig.submit(&Request::on_blocks(Operation::Unmap, 0, 1));
    rig.settle(reads_from_disk);
    assert_eq!((rig.outcome(unmap), rig.references(pbn)), (Some(Ok(())), Some(255)));
    for lbn in 100..110 {
        rig.begin_write(lbn, lbn);
    }
    rig.settle(reads_from_disk);
    assert_eq!(own_statistics(&rig).no_space_error_count, 3, "10 blocks found 7");
    rig.settle(nothing);
    assert_eq!(rig.outcome(sharing), Some(Ok(())));
    assert_eq!((rig.pbn(1), rig.references(pbn)), (pbn, Some(1)));
}

/// vdo-43: allocation goes on in the next zone when one is full, and fails only after all were asked.
#[test]
fn allocation_tries_every_zone() {
    let mut rig = volume(3, 3, 8, &Sizes::default());
    let mut value = 0;
    let mut zones = [0; 3];
    for lbn in 0..24 {
        value = value_of(&rig, ShardId(0), value + 1);
        rig.write(lbn, value);
        zones[rig.world.geometry.physical_shard(rig.pbn(lbn)).expect("a data block").index()] += 1;
        if lbn == 7 {
            assert_eq!(zones, [8, 0, 0], "its own zone comes first");
        }
    }
    assert_eq!(zones, [8; 3]);
    value = value_of(&rig, ShardId(0), value + 1);
    assert_eq!(rig.execute(&Request::write(30, &[value])), Err(RequestError::NoSpace));
    rig.unmap(20);
    rig.write(30, value);
}

/// vdo-47: allocations stay in one slab until it has no free block left.
/// vdo-49: opening a slab for the first time and opening it again are counted.
#[test]
fn allocations_stay_in_one_slab_until_its_end() {
    let mut rig = small(32);
    let mut slabs = Vec::new();
    for lbn in 0..32 {
        rig.write(lbn, 100 + lbn);
        slabs.push(rig.world.geometry.slab_of(rig.pbn(lbn)).expect("a data block"));
    }
    assert!(slabs.chunks(8).all(|chunk| chunk.iter().all(|slab| *slab == chunk[0])), "{slabs:?}");
    let statistics = own_statistics(&rig);
    assert_eq!((statistics.slabs, statistics.slabs_opened, statistics.slabs_reopened), (4, 4, 0));
    rig.unmap(0);
    rig.write(0, 500);
    assert_eq!(own_statistics(&rig).slabs_reopened, 1);
}

/// vdo-50: a duplicate never takes a block that it would have to give back.
#[test]
fn a_duplicate_needs_no_free_block() {
    let mut rig = small(8);
    fill(&mut rig, 0, 100);
    for lbn in 0..8 {
        rig.write(50 + lbn, 100 + lbn);
    }
    assert_eq!((blocks_written(&rig), own_statistics(&rig).data_blocks_used), (8, 8));
}

/// Ten blocks that lie next to each other, read by ten requests at once.
fn read_ten_neighbours(rig: &mut Rig) -> Vec<RequestId> {
    for lbn in 0..10 {
        rig.write(lbn, 100 + lbn);
    }
    assert!((0..10).all(|lbn| rig.pbn(lbn) == rig.pbn(0).plus(lbn)));
    let requests = (0..10).map(|lbn| rig.submit(&Request::read(lbn, 1))).collect();
    rig.settle(transfers);
    requests
}

/// vdo-76: the members of a merged transfer end one by one; one that fails does not fail the others.
#[test]
fn a_failing_member_does_not_fail_its_neighbours() {
    let mut rig = volume(1, 2, 32, &Sizes::default());
    let requests = read_ten_neighbours(&mut rig);
    assert_eq!(rig.world.disk.transfers.len(), 1, "ten reads ride in one transfer");
    let bad = rig.pbn(4);
    rig.world.faults.script(Direction::Read, Some(bad), 2);
    rig.settle(nothing);
    for (lbn, id) in requests.into_iter().enumerate() {
        let expected = if lbn == 4 { Err(RequestError::Io) } else { Ok(()) };
        assert_eq!(rig.outcome(id), Some(expected), "block {lbn}");
    }
    assert!(own_statistics(&rig).bios_split_retries > 0);
    rig.read(4);
}

/// vdo-77: two reads of one block at once, with neighbours around, all end.
#[test]
fn two_reads_of_one_block_are_both_answered() {
    let mut rig = volume(1, 2, 32, &Sizes::default());
    let one = read_ten_neighbours(&mut rig);
    let more: Vec<_> = (0..10).map(|lbn| rig.submit(&Request::read(lbn, 1))).collect();
    rig.write(20, 103);
    let shared: Vec<_> = [3, 20].map(|lbn| rig.submit(&Request::read(lbn, 1))).into();
    rig.settle(nothing);
    assert!(one.into_iter().chain(more).chain(shared).all(|id| rig.outcome(id) == Some(Ok(()))));
}

/// vdo-82: at rest everything submitted is completed, and the classes add up.
#[test]
fn transfer_accounting_adds_up() {
    let mut rig = small(64);
    for lbn in 0..20 {
        rig.write(lbn, 1 + lbn % 5);
    }
    rig.execute(&Request::read(0, 20)).expect("the read succeeds");
    let statistics = own_statistics(&rig);
    assert_eq!(statistics.bios_submitted, statistics.bios_completed);
    assert_eq!(statistics.bios_submitted, rig.world.disk.counts.transfers);
    let disk = rig.world.disk.counts;
    assert_eq!((statistics.bios_in_read, statistics.bios_in_write), (20, 20));
    assert_eq!((statistics.bios_out_read, statistics.bios_out_write), (disk.read, disk.written));
    assert_eq!(statistics.bios_verify_read, disk.verified);
}

/// vdo-85: discards that wait for the disk do not hold up reads and writes.
#[test]
fn a_flood_of_discards_leaves_room_for_reads_and_writes() {
    let mut rig = volume(1, 8, 8, &Sizes { vios: 8, ..Sizes::default() });
    for lbn in 0..30 {
        rig.write(lbn, 100 + lbn);
    }
    // Each takes away one sector of a stored block, so each has to read it first; the reads are held back.
    let trims: Vec<_> = (0..30)
        .map(|lbn| {
            let request = Request { operation: Operation::Unmap, sector: lbn * 8, sectors: 1, tokens: Vec::new() };
            rig.submit(&request)
        })
        .collect();
    rig.settle(reads_from_disk);
    let in_progress = own_statistics(&rig).current_vios_in_progress;
    assert_eq!(in_progress, 6, "discards take three quarters of the data_vios at most");
    let write = rig.begin_write(40, 900);
    let read = rig.submit(&Request::read(41, 1));
    rig.settle(reads_from_disk);
    assert_eq!((rig.outcome(write), rig.outcome(read)), (Some(Ok(())), Some(Ok(()))));
    rig.settle(nothing);
    assert!(trims.into_iter().all(|id| rig.outcome(id) == Some(Ok(()))));
}

/// vdo-86: of overlapping writes the last one submitted wins, and reads see whole blocks, old or new.
#[test]
fn overlapping_writes_take_turns() {
    let mut rig = small(64);
    for value in 1..=5 {
        rig.begin_write(3, value);
        rig.submit(&Request::read(3, 1));
    }
    rig.settle(nothing);
    let stored = rig.world.disk.decode(rig.pbn(3));
    assert_eq!(stored, block_of(5).map(Some));
    rig.read(3);
    assert_eq!(own_statistics(&rig).data_blocks_used, 1);
}

/// vdo-88: an error before the answer is the request's own, and the volume goes on. No answer is given before the data
/// is stored, so there is no error after it.
#[test]
fn a_write_is_answered_after_its_data_is_stored() {
    let mut rig = small(64);
    let write = rig.begin_write(0, 5);
    rig.settle(writes_to_disk);
    assert_eq!(rig.outcome(write), None);
    rig.world.faults.script(Direction::Write, None, 2);
    rig.settle(nothing);
    assert_eq!(rig.outcome(write), Some(Err(RequestError::Io)));
    rig.write(0, 5);
    rig.read(0);
}

/// vdo-89: a block of zeros takes no room, and is as one that was never written.
#[test]
fn zeros_are_not_stored() {
    let mut rig = small(64);
    rig.write(0, 5);
    let before = own_statistics(&rig);
    rig.write(1, 0);
    let after = own_statistics(&rig);
    assert_eq!(after.data_blocks_used, before.data_blocks_used);
    assert_eq!(after.logical_blocks_used, before.logical_blocks_used);
    assert_eq!((after.zero_blocks, blocks_written(&rig)), (before.zero_blocks + 1, 1));
    rig.read(1);
    rig.write(0, 0);
    assert_eq!(own_statistics(&rig).data_blocks_used, 0, "overwriting with zeros frees the block");
}

/// Zeros and unmaps of what was never written, whole blocks and parts of blocks, by content and by command,
/// make no page of the block map, however large the hole.
#[test]
fn holes_stay_holes() {
    let geometry = Geometry::new(2, Blocks(1000 * PAGE), Pbn(9), Pbn(9 + 16 * 8), 8).expect("valid");
    let mut rig = Rig::new(Cluster::new(geometry, &Sizes::default(), Faults::none()));
    for page in 0..1000 {
        let lbn = page * PAGE;
        rig.write(lbn + page % PAGE, 0);
        for operation in [Operation::Unmap, Operation::WriteZeroes] {
            rig.execute_on(operation, lbn, PAGE).expect("there is nothing to do");
            let part = Request { operation, sector: lbn * 8 + 3, sectors: 12, tokens: Vec::new() };
            rig.execute(&part).expect("there is nothing to do");
        }
        let part = Request { operation: Operation::Write, sector: lbn * 8 + 3, sectors: 2, tokens: vec![0, 0] };
        rig.execute(&part).expect("there is nothing to do");
    }
    let statistics = rig.statistics();
    assert_eq!(
        (statistics.block_map_pages, statistics.data_blocks_used, statistics.journal_entries_started),
        (0, 0, 0)
    );
    rig.write(500 * PAGE, 7);
    let statistics = rig.statistics();
    assert_eq!((statistics.block_map_pages, statistics.logical_blocks_used), (PAGES, 1));
}

/// A page of the block map that has become a hole gives its block back, and so do those above it: a base of 128 blocks takes
/// data anywhere in a far larger volume, one place after the other, for ever. What is left is found again after a restart.
#[test]
fn pages_that_become_holes_give_their_blocks_back() {
    let geometry = Geometry::new(2, Blocks(1000 * PAGE), Pbn(9), Pbn(9 + 16 * 8), 8).expect("valid");
    let mut cluster = Cluster::new(geometry, &Sizes::default(), Faults::none());
    for round in 0..1000 {
        let lbn = round * 7 % 1000 * PAGE;
        cluster.write(lbn + round % PAGE, 1 + round);
        cluster.write(lbn + (round + 1) % PAGE, 1 + round);
        let operation = if round % 2 == 0 { Operation::Unmap } else { Operation::WriteZeroes };
        match round % 3 {
            0 => cluster.execute_on(operation, lbn, PAGE).expect("unmapped"),
            1 => [0, 1].into_iter().for_each(|more| cluster.write(lbn + (round + more) % PAGE, 0)),
            _ => [0, 1].into_iter().for_each(|more| cluster.unmap(lbn + (round + more) % PAGE)),
        }
        let statistics = cluster.statistics();
        assert_eq!((statistics.block_map_pages, statistics.data_blocks_used), (0, 0), "round {round}");
    }
    for page in 0..20 {
        cluster.write(page * PAGE, 1);
    }
    cluster.save_all();
    let mut rig = Rig::new(cluster.restart(&Sizes::default()));
    rig.execute_on(Operation::Unmap, PAGE, 19 * PAGE).expect("unmapped");
    let statistics = rig.statistics();
    assert_eq!((statistics.block_map_pages, statistics.logical_blocks_used), (PAGES, 1));
    rig.read(0);
    rig.read(PAGE);
}

/// Requests on random runs of sectors of a few blocks, one after the other; the model judges each read.
fn unaligned(operation: Operation, seed: u64) -> Rig {
    let mut rig = small(64);
    let mut random = Random::stream(seed, 9);
    for lbn in 0..12 {
        rig.write(lbn, 100 + lbn);
    }
    for round in 0..400u64 {
        let sector = random.below(12 * 8);
        let sectors = random.between(1, 20).min(12 * 8 - sector);
        let tokens: Vec<Token> = match operation {
            Operation::Write => (0..sectors).map(|_| (round % 5) * 8 * random.below(3)).collect(),
            _ => Vec::new(),
        };
        rig.execute(&Request { operation, sector, sectors, tokens }).expect("the request succeeds");
        let (sector, sectors) = (random.below(12 * 8), random.between(1, 20));
        let read = Request { operation: Operation::Read, sector, sectors, tokens: Vec::new() };
        rig.execute(&read).expect("the read succeeds");
        if round % 40 == 39 {
            rig.write(random.below(12), 1000 + round);
        }
    }
    assert!(own_statistics(&rig).bios_in_partial > 400);
    rig
}

/// vdo-90: trims of any length and alignment zero what they cover and nothing else.
#[test]
fn unaligned_trims_match_the_model() {
    let mut rig = unaligned(Operation::Unmap, 1);
    drop(unaligned(Operation::WriteZeroes, 2));
    rig.execute_on(Operation::Unmap, 0, 12).expect("the unmap succeeds");
    let statistics = own_statistics(&rig);
    assert_eq!((statistics.data_blocks_used, statistics.logical_blocks_used), (0, 0));
}

/// vdo-91: writes of any length and alignment change what they cover and nothing else.
#[test]
fn unaligned_writes_match_the_model() {
    drop(unaligned(Operation::Write, 3));
}

/// vdo-93: a flush waits for the requests that came before it, and not for later ones.
#[test]
fn a_flush_waits_for_what_came_before() {
    let mut rig = small(64);
    let old = rig.begin_write(0, 5);
    rig.settle(transfers);
    let flush = rig.submit(&Request::flush());
    rig.settle(transfers);
    let later = rig.begin_write(1, 6);
    rig.settle(transfers);
    assert_eq!((rig.outcome(old), rig.outcome(flush)), (None, None));
    let newest = rig.pbn(0).plus(0);
    assert_eq!(newest, Pbn(0), "nothing is mapped yet");
    let held = rig.world.disk.transfers[1].pbn().expect("a write of data");
    rig.settle(|pending| matches!(pending, Pending::Transfer(transfer) if transfer.pbn() == Some(held)));
    assert_eq!((rig.outcome(old), rig.outcome(flush)), (Some(Ok(())), Some(Ok(()))));
    assert_eq!(rig.outcome(later), None);
}
