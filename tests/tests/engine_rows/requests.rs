// SPDX-License-Identifier: BSD-3-Clause

//! What clients see: order, holes, parts of blocks, flushes.

use engine::format::Geometry;
use engine::request::Operation;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Direction, Pbn, RequestError};
use mpool::testing::Random;
use tests::sim::client::Request;
use tests::sim::cluster::Cluster;
use tests::sim::content::{block_of, Token};
use tests::sim::directed::Pending;
use tests::sim::faults::Faults;
use tests::sim::rig::{nothing, reads_from_disk, transfers, writes_to_disk, Rig};
use tests::sim::sizes::Sizes;

use super::fixture::{blocks_written, own_statistics, small, volume, PAGES};

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
