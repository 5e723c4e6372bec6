// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of relocation ([`engine::io::relocator`]): fragments in use leave compressed blocks that are mostly dead.

#![forbid(unsafe_code)]

use engine::io::Operation;
use engine::volume::Geometry;
use engine::{Blocks, Direction, Pbn};
use tests::sim::audit::audit;
use tests::sim::client::Request;
use tests::sim::cluster::Cluster;
use tests::sim::content::noise_of;
use tests::sim::directed::Pending;
use tests::sim::faults::Faults;
use tests::sim::sizes::Sizes;

/// Logical blocks in a leaf page.
const PAGE: u64 = 504;

/// Fragments in a full block.
const FRAGMENTS: u64 = 14;

fn nothing(_: &Pending<'_>) -> bool {
    false
}

fn volume(shards: usize) -> Cluster {
    let geometry = Geometry::new(shards, Blocks(8 * PAGE), Pbn(9), Pbn(9 + 512), 8).expect("valid");
    Cluster::new(geometry, &Sizes { compression: true, ..Sizes::default() }, Faults::none())
}

/// Values that compress to some 250 bytes.
fn values(first: u64) -> impl Iterator<Item = u64> {
    (first..).filter(|value| noise_of(*value) == 0)
}

/// Writes blocks together.
fn write(cluster: &mut Cluster, lbns: impl Iterator<Item = u64>, values: impl Iterator<Item = u64>) {
    let requests: Vec<_> =
        lbns.zip(values).map(|(lbn, value)| cluster.submit(&Request::write(lbn, &[value]))).collect();
    cluster.settle(nothing);
    assert!(requests.into_iter().all(|id| cluster.world.pieces.outcome(id) == Some(Ok(()))));
}

/// Reads all blocks, which the model compares, and audits.
fn conclude(mut cluster: Cluster, blocks: u64) {
    for lbn in 0..blocks {
        cluster.execute(&Request::read(lbn, 1)).expect("the read succeeds");
    }
    cluster.expect_sound();
    cluster.save();
    cluster.settle(nothing);
    assert!(cluster.is_saved(), "all metadata can be saved");
    audit(&cluster).expect("all is well at rest");
}

fn data_blocks(cluster: &Cluster) -> u64 {
    let statistics = cluster.statistics();
    statistics.data_blocks_used - statistics.block_map_pages
}

/// After most fragments have been overwritten the others are brought together, and the space of the dead is free.
fn dead_fragments_pin_nothing(shards: usize) {
    const BLOCKS: u64 = 32 * FRAGMENTS;
    let mut cluster = volume(shards);
    for batch in 0..4 {
        let first = batch * BLOCKS / 4;
        write(&mut cluster, first..first + BLOCKS / 4, values(1000 + 10_000 * batch));
    }
    let before = data_blocks(&cluster);
    assert!(before < BLOCKS / 8, "{before} blocks for {BLOCKS} that compress to a fourteenth");
    // Zeros need no room, so all that is in use afterwards is what was left.
    let zeroed = |lbn: &u64| !lbn.is_multiple_of(8);
    for lbn in (0..BLOCKS).filter(zeroed) {
        write(&mut cluster, lbn..=lbn, std::iter::once(0));
    }
    let statistics = cluster.statistics();
    assert!(statistics.relocation_reads > 0 && statistics.fragments_relocated > 0, "{statistics:?}");
    let left = BLOCKS / 8;
    let after = data_blocks(&cluster);
    // One that could not be moved for each that waits, and the last bins of each shard.
    assert!(after <= left / FRAGMENTS + 8 + 4 * shards as u64, "{after} blocks for {left} fragments");
    conclude(cluster, BLOCKS);
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
    let mut cluster = volume(1);
    write(&mut cluster, 0..BLOCKS, values(1000));
    let reads =
        |pending: &Pending<'_>| matches!(pending, Pending::Transfer(transfer) if transfer.direction == Direction::Read);
    // Every other block loses nearly all of its fragments, and the moves are held back at their reads.
    for lbn in (0..BLOCKS).filter(|lbn| lbn % FRAGMENTS > 1) {
        cluster.submit(&Request::write(lbn, &[0]));
        cluster.settle(reads);
    }
    assert!(cluster.statistics().relocation_reads > 0);
    for (lbn, value) in (0..BLOCKS).filter(|lbn| lbn % FRAGMENTS <= 1).zip(values(50_000)) {
        cluster.submit(&Request::write(lbn, &[value]));
    }
    cluster.settle(nothing);
    conclude(cluster, BLOCKS);
}

/// Without compression nothing is moved: it would take more room than before.
#[test]
fn nothing_moves_while_compression_is_off() {
    const BLOCKS: u64 = 16 * FRAGMENTS;
    let mut cluster = volume(1);
    write(&mut cluster, 0..BLOCKS, values(1000));
    cluster.set_compression(false);
    for lbn in (0..BLOCKS).filter(|lbn| !lbn.is_multiple_of(8)) {
        cluster.execute_on(Operation::Unmap, lbn, 1).expect("the unmap succeeds");
    }
    let statistics = cluster.statistics();
    assert_eq!((statistics.relocation_reads, statistics.fragments_relocated), (0, 0));
    assert!(statistics.relocations_waiting > 0);
    conclude(cluster, BLOCKS);
}
