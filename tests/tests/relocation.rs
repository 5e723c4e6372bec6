// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of relocation ([`engine::packing::relocator`]): fragments in use leave compressed blocks that are mostly
//! dead.

#![forbid(unsafe_code)]

use engine::format::Geometry;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Pbn};
use tests::sim::cluster::Cluster;
use tests::sim::content::noise_of;
use tests::sim::faults::Faults;
use tests::sim::rig::{nothing, reads_from_disk, Rig};
use tests::sim::sizes::Sizes;

/// Fragments in a full block.
const FRAGMENTS: u64 = 14;

fn volume(shards: usize) -> Rig {
    let geometry = Geometry::new(shards, Blocks(8 * PAGE), Pbn(9), Pbn(9 + 512), 8).expect("valid");
    Rig::new(Cluster::new(geometry, &Sizes { compression: true, ..Sizes::default() }, Faults::none()))
}

/// Values that compress to some 250 bytes.
fn values(first: u64) -> impl Iterator<Item = u64> {
    (first..).filter(|value| noise_of(*value) == 0)
}

/// Reads all blocks, which the model compares.
fn read_back(rig: &mut Rig, blocks: u64) {
    (0..blocks).for_each(|lbn| rig.read(lbn));
}

fn data_blocks(rig: &Rig) -> u64 {
    let statistics = rig.statistics();
    statistics.data_blocks_used - statistics.block_map_pages
}

/// After most fragments have been overwritten the others are brought together, and the space of the dead is free.
fn dead_fragments_pin_nothing(shards: usize) {
    const BLOCKS: u64 = 32 * FRAGMENTS;
    let mut rig = volume(shards);
    for batch in 0..4 {
        let first = batch * BLOCKS / 4;
        rig.write_together(first..first + BLOCKS / 4, values(1000 + 10_000 * batch));
    }
    let before = data_blocks(&rig);
    assert!(before < BLOCKS / 8, "{before} blocks for {BLOCKS} that compress to a fourteenth");
    // Zeros need no room, so all that is in use afterwards is what was left.
    let zeroed = |lbn: &u64| !lbn.is_multiple_of(8);
    for lbn in (0..BLOCKS).filter(zeroed) {
        rig.write(lbn, 0);
    }
    let statistics = rig.statistics();
    assert!(statistics.relocation_reads > 0 && statistics.fragments_relocated > 0, "{statistics:?}");
    let left = BLOCKS / 8;
    let after = data_blocks(&rig);
    // One that could not be moved for each that waits, and the last bins of each shard.
    assert!(after <= left / FRAGMENTS + 8 + 6 * shards as u64, "{after} blocks for {left} fragments");
    read_back(&mut rig, BLOCKS);
}

#[test]
fn dead_fragments_pin_nothing_on_one_shard() {
    dead_fragments_pin_nothing(1);
}

#[test]
fn dead_fragments_pin_nothing_on_three_shards() {
    dead_fragments_pin_nothing(3);
}

/// A block that a client overwrites while its old content is on the move keeps what the client has written.
#[test]
fn a_write_wins_over_a_move() {
    const BLOCKS: u64 = 16 * FRAGMENTS;
    let mut rig = volume(1);
    rig.write_together(0..BLOCKS, values(1000));
    // Every other block loses nearly all of its fragments, and the moves are held back at their reads.
    for lbn in (0..BLOCKS).filter(|lbn| lbn % FRAGMENTS > 1) {
        rig.begin_write(lbn, 0);
        rig.settle(reads_from_disk);
    }
    assert!(rig.statistics().relocation_reads > 0);
    for (lbn, value) in (0..BLOCKS).filter(|lbn| lbn % FRAGMENTS <= 1).zip(values(50_000)) {
        rig.begin_write(lbn, value);
    }
    rig.settle(nothing);
    read_back(&mut rig, BLOCKS);
}

/// Without compression nothing is moved: it would take more room than before.
#[test]
fn nothing_moves_while_compression_is_off() {
    const BLOCKS: u64 = 16 * FRAGMENTS;
    let mut rig = volume(1);
    rig.write_together(0..BLOCKS, values(1000));
    rig.set_compression(false);
    for lbn in (0..BLOCKS).filter(|lbn| !lbn.is_multiple_of(8)) {
        rig.unmap(lbn);
    }
    let statistics = rig.statistics();
    assert_eq!((statistics.relocation_reads, statistics.fragments_relocated), (0, 0));
    assert!(statistics.relocations_waiting > 0);
    read_back(&mut rig, BLOCKS);
}
