// SPDX-License-Identifier: BSD-3-Clause

//! Equal blocks in flight: who joins a lock, who writes, who shares, and what the index is told.

use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Direction, Message, RequestError, ShardId};
use tests::sim::client::RequestId;
use tests::sim::cluster::Step;
use tests::sim::directed::Pending;
use tests::sim::rig::{nothing, transfers, writes_to_disk, Rig};
use tests::sim::sizes::Sizes;

use super::fixture::{blocks_written, own_statistics, small, value_of, volume};

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

/// vdo-17: who comes while the second copy is being written waits for that, and writes no third.
#[test]
fn arrivals_after_a_rollover_wait_for_the_new_copy() {
    let mut rig = small(64);
    for lbn in 0..300 {
        rig.begin_write(lbn, 9);
    }
    rig.settle(writes_to_disk);
    let first = rig.world.disk.transfers[0].pbn();
    let second_copy = |pending: &Pending<'_>| matches!(pending, Pending::Transfer(transfer) if transfer.pbn() != first);
    rig.settle(second_copy);
    assert_eq!((rig.world.disk.transfers.len(), own_statistics(&rig).hash_lock_forks), (1, 1));
    for lbn in 300..310 {
        rig.begin_write(lbn, 9);
    }
    rig.settle(second_copy);
    assert_eq!((rig.world.disk.transfers.len(), own_statistics(&rig).hash_lock_forks), (1, 1));
    rig.settle(nothing);
    assert_eq!((rig.references(rig.pbn(305)), blocks_written(&rig)), (Some(56), 2));
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
        rig.perform(Step::Finish(0));
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
