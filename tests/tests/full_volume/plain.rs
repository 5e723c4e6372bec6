// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of a full volume: overwrites of what is stored go on, new data is refused, and who waits for space hears
//! the truth.

use engine::format::Geometry;
use engine::request::Operation;
use engine::slabs::ReserveConfig;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Direction, Pbn, Place, ReadOnlyReason, RequestError, ShardId};
use mpool::testing::Random;
use tests::sim::client::{Request, RequestId};
use tests::sim::cluster::Cluster;
use tests::sim::directed::Pending;
use tests::sim::faults::Faults;
use tests::sim::rig::{nothing, Rig};
use tests::sim::sizes::Sizes;

use crate::{overwrite, read_back, volume, Values, SLAB};

const PAGES: u64 = 8;

/// Writes blocks like no other, one to each LBN, until there is no space. Returns how many there was room for.
fn fill(rig: &mut Cluster, values: &mut Values) -> u64 {
    (0..PAGES * PAGE)
        .find(|lbn| rig.execute(&Request::write(*lbn, &[values.next()])).is_err())
        .expect("it is full some time")
}

fn is_refused(rig: &mut Cluster, lbn: u64, value: u64) -> bool {
    rig.execute(&Request::write(lbn, &[value])) == Err(RequestError::NoSpace)
}

/// The only reference to a block can be overwritten at 100%, at any depth and for ever; everything that needs no room goes
/// on; a new block is refused until one has come free; and all that after a restart, too.
fn overwrites_go_on(shards: usize) {
    let mut rig = volume(shards, PAGES, &Sizes::default());
    let mut values = Values(1000);
    let stored = fill(&mut rig, &mut values);
    assert!(stored > 100 * shards as u64, "{stored} blocks found room");
    for depth in [1, 3, 16, 128] {
        let rounds = 1000 / depth as u64;
        assert_eq!(overwrite(&mut rig, (stored, rounds, depth), || values.next()), 0, "at depth {depth}");
        assert!(is_refused(&mut rig, stored + 1, values.next()));
    }
    rig.save_all();
    let mut rig = Rig::new(rig.restart(&Sizes::default()));
    assert_eq!(overwrite(&mut rig, (stored, 20, 32), || values.next()), 0, "while slabs are scrubbed");
    assert!(rig.statistics().blocks_lent > 0);
    // What has two references gives nothing back.
    rig.write(0, 7);
    rig.write(1, 7);
    rig.write(2, 0);
    for lbn in (stored + 1).. {
        if is_refused(&mut rig, lbn, values.next()) {
            break;
        }
    }
    assert!(is_refused(&mut rig, 0, values.next()));
    rig.write(1, 0);
    rig.write(0, values.next());
    read_back(&mut rig, PAGES);
}

#[test]
fn overwrites_go_on_on_one_shard() {
    overwrites_go_on(1);
}

#[test]
fn overwrites_go_on_on_three_shards() {
    overwrites_go_on(3);
}

/// What is kept for the operator is given to new data when it is released.
#[test]
fn the_operators_reserve_is_for_new_data() {
    let reserve = ReserveConfig { operator_percent: 20, ..ReserveConfig::default() };
    let mut rig = Rig::new(volume(2, PAGES, &Sizes { reserve, ..Sizes::default() }));
    let mut values = Values(1000);
    let stored = fill(&mut rig, &mut values);
    let statistics = rig.statistics();
    assert_eq!((statistics.reserved_blocks, statistics.operator_reserve_blocks), (4, 50));
    assert_eq!(statistics.data_blocks - statistics.data_blocks_used, 54);
    assert_eq!(overwrite(&mut rig, (stored, 20, 100), || values.next()), 0);
    assert!(is_refused(&mut rig, stored, values.next()));
    rig.set_reserve(0);
    for lbn in stored..stored + 50 {
        rig.write(lbn, values.next());
    }
    assert!(is_refused(&mut rig, stored + 50, values.next()));
    assert_eq!(overwrite(&mut rig, (stored, 20, 100), || values.next()), 0);
}

/// A full volume of two shards, and a block in a slab of the second. It was started anew, and the slabs of the first shard
/// cannot be read yet. A write of new data waits for them.
fn waiting_for_the_scrubber() -> (Cluster, u64, RequestId) {
    let reserve = ReserveConfig { overwrites: false, operator_percent: 0 };
    let sizes = Sizes { reserve, ..Sizes::default() };
    let mut cluster = volume(2, PAGES, &sizes);
    let mut values = Values(1000);
    let stored = fill(&mut cluster, &mut values);
    let is_in_second = |lbn: &u64| cluster.world.geometry.physical_shard(cluster.pbn(*lbn)) == Some(ShardId(1));
    let in_second = (0..stored).find(is_in_second).expect("half of all blocks");
    cluster.save_all();
    let mut cluster = cluster.restart(&sizes);
    cluster.settle(slabs_of_first);
    let value = (5000..).find(|value| cluster.hash_shard(*value) == ShardId(0)).expect("half of all values");
    let write = cluster.begin_write(stored, value);
    cluster.settle(slabs_of_first);
    assert_eq!(cluster.outcome(write), None);
    (cluster, in_second, write)
}

fn slabs_of_first(pending: &Pending<'_>) -> bool {
    let Pending::Metadata(transfer) = pending else { return false };
    matches!(transfer.place, Place::SlabMetadata { slab, .. } if slab % 2 == 0)
}

/// vdo-44: who has waited for the scrubber of one zone in vain gets a block that has come free in another.
#[test]
fn who_waited_asks_all_zones_again() {
    let (mut cluster, in_second, write) = waiting_for_the_scrubber();
    let unmap = cluster.submit(&Request::on_blocks(Operation::Unmap, in_second, 1));
    cluster.settle(slabs_of_first);
    assert_eq!((cluster.outcome(unmap), cluster.outcome(write)), (Some(Ok(())), None));
    cluster.settle(nothing);
    assert_eq!(cluster.outcome(write), Some(Ok(())));
    drop(Rig::new(cluster));
}

/// vdo-64: who waits for space when writing ends is told that, and not that there is no space.
#[test]
fn who_waits_for_space_hears_of_the_end_of_writing() {
    let (mut cluster, _, write) = waiting_for_the_scrubber();
    cluster.enter_read_only(ReadOnlyReason::Told);
    cluster.settle(nothing);
    assert_eq!(cluster.outcome(write), Some(Err(RequestError::ReadOnly)));
}

/// A loan that the base does not take is tried once more with another, and given back.
#[test]
fn a_loan_that_cannot_be_written_comes_back() {
    let mut rig = Rig::new(volume(1, PAGES, &Sizes::default()));
    let mut values = Values(1000);
    let stored = fill(&mut rig, &mut values);
    for lbn in 0..20 {
        rig.world.faults.script(Direction::Write, None, 2);
        assert_eq!(rig.execute(&Request::write(lbn, &[values.next()])), Err(RequestError::Io));
        rig.write(lbn, values.next());
    }
    assert_eq!(overwrite(&mut rig, (stored, 20, 32), || values.next()), 0);
}

/// What data can be compressed to does not matter where a block is given back for it.
#[test]
fn compression_does_not_stop_overwrites_of_plain_blocks() {
    let mut rig = Rig::new(volume(2, PAGES, &Sizes::default()));
    let mut values = Values(1000);
    let stored = fill(&mut rig, &mut values);
    rig.set_compression(true);
    for lbn in 0..stored {
        rig.write(lbn, values.next());
    }
    read_back(&mut rig, PAGES);
}

/// Pages of the block map never keep an overwrite or an unmap from succeeding: neither needs a new one. A first write to a hole
/// whose page finds no block is refused, and harms nothing; duplicates get pages until only loans are left.
fn pages_leave_overwrites_their_reserve(shards: usize) {
    let end = Pbn(9 + 2 * shards as u64 * SLAB);
    let geometry = Geometry::new(shards, Blocks(400 * PAGE), Pbn(9), end, SLAB).expect("valid");
    let mut rig = Rig::new(Cluster::new(geometry, &Sizes::default(), Faults::none()));
    let mut values = Values(1000);
    let (first, mut stored) = (values.next(), 1);
    rig.write(0, first);
    while rig.execute(&Request::write(stored, &[values.next()])).is_ok() {
        stored += 1;
    }
    let pages = rig.statistics().block_map_pages;
    // Each duplicate lies in a leaf page of its own. The pages of one tree are above each other.
    let refused = (1..400).filter(|page| rig.execute(&Request::write(page * PAGE, &[first])).is_err()).count();
    let statistics = rig.statistics();
    assert!(refused > 300 && statistics.block_map_pages > pages, "{refused} {statistics:?}");
    assert!(statistics.data_blocks_used < statistics.data_blocks, "pages have left nothing to lend");
    for depth in [1, 16, 128] {
        let mut random = Random::stream(7, depth as u64);
        let lbns: Vec<_> = (0..depth).map(|_| 1 + random.below(stored - 1)).collect();
        let requests: Vec<_> = lbns.into_iter().map(|lbn| rig.begin_write(lbn, values.next())).collect();
        rig.settle(nothing);
        assert!(requests.iter().all(|id| rig.outcome(*id) == Some(Ok(()))), "at depth {depth}");
    }
    assert!(is_refused(&mut rig, 399 * PAGE, values.next()));
    assert_eq!(rig.execute_on(Operation::Unmap, 1, stored - 1), Ok(()));
    rig.write(399 * PAGE, values.next());
    (0..400).for_each(|page| rig.read(page * PAGE));
    rig.expect_sound();
}

#[test]
fn pages_leave_overwrites_their_reserve_on_one_shard() {
    pages_leave_overwrites_their_reserve(1);
}

#[test]
fn pages_leave_overwrites_their_reserve_on_three_shards() {
    pages_leave_overwrites_their_reserve(3);
}
