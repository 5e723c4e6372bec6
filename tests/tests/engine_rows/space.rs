// SPDX-License-Identifier: BSD-3-Clause

//! Blocks that are taken, kept and given back, and what is left to do without any.

use engine::request::Operation;
use engine::{Direction, Message, RequestError, ShardId};
use tests::sim::client::Request;
use tests::sim::cluster::Step;
use tests::sim::directed::Pending;
use tests::sim::rig::{nothing, reads_from_disk, transfers, Rig};
use tests::sim::sizes::Sizes;

use super::fixture::{blocks_written, fill, own_statistics, small, value_of, volume};

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

/// A full volume of three shards, and a value of the hash zone of the first that it has not stored. What is at LBNs from 8 on
/// lies in the second.
fn full_volume_of_three() -> (Rig, u64) {
    let mut rig = volume(3, 3, 8, &Sizes::default());
    let mut value = 0;
    for lbn in 0..24 {
        value = value_of(&rig, ShardId(0), value + 1);
        rig.write(lbn, value);
    }
    let value = value_of(&rig, ShardId(0), value + 1);
    (rig, value)
}

/// The next question for a block that shard 0 has asked, if there is one: whom, and whether to wait there.
fn question(rig: &Rig) -> Option<(ShardId, bool)> {
    let asked = |to: ShardId| {
        rig.world.messages(ShardId(0), to).find_map(|message| match message {
            Message::Allocate { wait, .. } => Some((to, *wait)),
            _ => None,
        })
    };
    [ShardId(1), ShardId(2)].into_iter().find_map(asked)
}

fn questions(pending: &Pending<'_>) -> bool {
    matches!(pending, Pending::Message { message: Message::Allocate { .. }, .. })
}

/// All questions of shard 0, each answered: whom, and whether to wait there.
fn all_questions(rig: &mut Rig) -> Vec<(u16, bool)> {
    rig.settle(questions);
    let mut asked = Vec::new();
    while let Some((to, wait)) = question(rig) {
        asked.push((to.0, wait));
        rig.perform(Step::Message(ShardId(0), to));
        rig.settle(questions);
    }
    asked
}

/// vdo-43: when all zones are full each is asked once more, and waits for its scrubber then, before there is no space.
#[test]
fn every_zone_is_asked_twice_before_there_is_no_space() {
    let (mut rig, value) = full_volume_of_three();
    let write = rig.begin_write(30, value);
    let asked = all_questions(&mut rig);
    assert_eq!(asked, [(1, false), (2, false), (1, true), (2, true)]);
    assert_eq!(rig.outcome(write), Some(Err(RequestError::NoSpace)));
}

/// An overwrite in a full volume asks the zone of its old block for a loan, then each other zone twice: one may have got a
/// block back between two questions.
#[test]
fn every_other_zone_is_asked_twice_for_a_loan() {
    let (mut rig, value) = full_volume_of_three();
    let write = rig.begin_write(10, value);
    let asked = all_questions(&mut rig);
    // The zone of the old block is the second; the first asks itself in between.
    let loan = [(1, true), (2, true), (2, true)];
    assert_eq!(asked, [&[(1, false), (2, false), (1, true), (2, true)], &loan[..]].concat());
    assert_eq!(rig.outcome(write), Some(Err(RequestError::NoSpace)));
}

/// vdo-43: a block that comes free in a zone that had none, while others are asked, is found.
#[test]
fn a_block_that_comes_free_behind_the_search_is_found() {
    let (mut rig, value) = full_volume_of_three();
    let write = rig.begin_write(30, value);
    rig.settle(questions);
    assert_eq!(question(&rig), Some((ShardId(1), false)));
    rig.perform(Step::Message(ShardId(0), ShardId(1)));
    rig.settle(questions);
    assert_eq!(question(&rig), Some((ShardId(2), false)));
    let freed = rig.pbn(10);
    rig.submit(&Request::on_blocks(Operation::Unmap, 10, 1));
    rig.settle(questions);
    rig.settle(nothing);
    assert_eq!((rig.outcome(write), rig.pbn(30)), (Some(Ok(())), freed));
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
