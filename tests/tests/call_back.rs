// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of the stock ([`engine::packing::candidates`]): blocks that were stored as they are for want of company are called
//! back when a fragment comes that fits.

#![forbid(unsafe_code)]

use engine::format::Geometry;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Pbn};
use tests::sim::cluster::Cluster;
use tests::sim::content::noise_of;
use tests::sim::faults::Faults;
use tests::sim::rig::{nothing, reads_from_disk, Rig};
use tests::sim::sizes::Sizes;

/// Blocks of each kind that a test writes.
const COUNT: u64 = 24;

/// Where the small ones go.
const SMALL: u64 = PAGE;

fn volume(shards: usize) -> Rig {
    let geometry = Geometry::new(shards, Blocks(8 * PAGE), Pbn(9), Pbn(9 + 512), 8).expect("valid");
    Rig::new(Cluster::new(geometry, &Sizes { compression: true, ..Sizes::default() }, Faults::none()))
}

/// Values that compress to some 3040 bytes: two of them do not share a block.
fn large() -> impl Iterator<Item = u64> {
    (1000..).filter(|value| noise_of(*value) == 360)
}

/// Values that compress to some 660 bytes: one of them fits beside a large one, and leaves little.
fn small() -> impl Iterator<Item = u64> {
    (1000..).filter(|value| noise_of(*value) == 64)
}

fn data_blocks(rig: &Rig) -> u64 {
    let statistics = rig.statistics();
    statistics.data_blocks_used - statistics.block_map_pages
}

/// Writes [`COUNT`] blocks from `first` on, one request at a time.
fn write_each(rig: &mut Rig, first: u64, values: impl Iterator<Item = u64>) {
    for (lbn, value) in (first..first + COUNT).zip(values) {
        rig.write(lbn, value);
    }
}

fn read_back(rig: &mut Rig) {
    (0..COUNT).chain(SMALL..SMALL + COUNT).for_each(|lbn| rig.read(lbn));
}

/// Large blocks find no company together; small ones that come later get them to share a block with them.
#[test]
fn large_blocks_are_called_back_for_small_ones() {
    let mut rig = volume(1);
    rig.write_together(0..COUNT, large());
    assert_eq!((data_blocks(&rig), rig.statistics().blocks_in_stock), (COUNT, COUNT));
    // Small ones come in groups so small that they find more company in the stock than among themselves.
    for first in (0..COUNT).step_by(8) {
        rig.write_together(SMALL + first..SMALL + first + 8, small().skip(first as usize));
    }
    let statistics = rig.statistics();
    assert!(statistics.blocks_called_back >= 3, "{statistics:?}");
    assert_eq!(statistics.blocks_in_stock, COUNT - statistics.blocks_called_back);
    // Each that was called back shares a block with one for which a block was needed anyway.
    let others = COUNT - statistics.blocks_called_back;
    assert!(data_blocks(&rig) <= COUNT + others.div_ceil(5), "{} {statistics:?}", data_blocks(&rig));
    read_back(&mut rig);
}

/// A client with one request in flight waits for nothing: no transfer of another block is needed for its answer. What it
/// has written is packed behind it.
fn one_at_a_time_is_packed_behind(shards: usize) {
    let mut rig = volume(shards);
    write_each(&mut rig, 0, large());
    assert_eq!((data_blocks(&rig), rig.statistics().blocks_called_back), (COUNT, 0));
    for (lbn, value) in (SMALL..SMALL + COUNT).zip(small()) {
        let request = rig.begin_write(lbn, value);
        // No write needs a read, so a client whose write is answered has not waited for a block that is called back.
        rig.settle(reads_from_disk);
        assert_eq!(rig.outcome(request), Some(Ok(())));
        rig.settle(nothing);
    }
    let statistics = rig.statistics();
    assert_eq!(statistics.fragments_relocated, statistics.blocks_called_back, "each that began was done");
    if shards == 1 {
        // Not all leave so little as to be taken for company.
        let pairs = statistics.blocks_called_back / 2;
        assert!(pairs >= COUNT * 3 / 4, "{statistics:?}");
        assert_eq!(data_blocks(&rig), 2 * COUNT - pairs);
    } else {
        // Only what has the same hash zone meets.
        assert!(data_blocks(&rig) < 2 * COUNT - COUNT / 2, "{}", data_blocks(&rig));
    }
    read_back(&mut rig);
}

#[test]
fn one_at_a_time_is_packed_behind_on_one_shard() {
    one_at_a_time_is_packed_behind(1);
}

#[test]
fn one_at_a_time_is_packed_behind_on_three_shards() {
    one_at_a_time_is_packed_behind(3);
}

/// A block that somebody else shares stays where it is: the other would keep it there.
#[test]
fn a_shared_block_is_not_called_back() {
    let mut rig = volume(1);
    let value = large().next().expect("there is one");
    rig.write(0, value);
    rig.write(1, value);
    assert_eq!(rig.pbn(0), rig.pbn(1));
    write_each(&mut rig, SMALL, small());
    assert_eq!((rig.pbn(0), rig.mapping(0).is_compressed()), (rig.pbn(1), false));
    read_back(&mut rig);
}

/// What has been overwritten or unmapped meanwhile is not called back, nor while compression is off.
#[test]
fn what_is_gone_is_not_called_back() {
    let mut rig = volume(1);
    write_each(&mut rig, 0, large());
    for lbn in 0..COUNT / 2 {
        rig.unmap(lbn);
    }
    for lbn in COUNT / 2..COUNT {
        rig.write(lbn, 0);
    }
    write_each(&mut rig, SMALL, small());
    assert!(data_blocks(&rig) <= COUNT, "{}", data_blocks(&rig));
    assert_eq!((0..COUNT).filter(|lbn| rig.mapping(*lbn).is_compressed()).count(), 0);
    read_back(&mut rig);
}

#[test]
fn nothing_is_called_back_while_compression_is_off() {
    let mut rig = volume(1);
    write_each(&mut rig, 0, large());
    rig.set_compression(false);
    write_each(&mut rig, SMALL, small());
    let statistics = rig.statistics();
    assert_eq!((statistics.blocks_called_back, data_blocks(&rig)), (0, 2 * COUNT));
    read_back(&mut rig);
}

/// A block that a client overwrites while it is called back keeps what the client has written.
#[test]
fn a_write_wins_over_a_call() {
    let mut rig = volume(1);
    write_each(&mut rig, 0, large());
    for (lbn, value) in (SMALL..SMALL + COUNT).zip(small()) {
        rig.begin_write(lbn, value);
    }
    rig.settle(reads_from_disk);
    assert!(rig.statistics().blocks_called_back > 0);
    for (lbn, value) in (0..COUNT).zip(large().skip(100)) {
        rig.begin_write(lbn, value);
    }
    rig.settle(nothing);
    rig.settle(nothing);
    read_back(&mut rig);
}

/// Who writes the content of a block that is called back shares the new copy, and does not wait for its company.
#[test]
fn a_duplicate_of_a_called_block_shares_the_new_copy() {
    let mut rig = volume(1);
    let value = large().next().expect("there is one");
    rig.write(0, value);
    // Without the index only those in flight are compared.
    rig.set_deduplication(false);
    let small = small().next().expect("there is one");
    let first = rig.begin_write(SMALL, small);
    rig.settle(reads_from_disk);
    assert_eq!((rig.outcome(first), rig.statistics().blocks_called_back), (Some(Ok(())), 1));
    let second = rig.begin_write(1, value);
    rig.settle(nothing);
    assert_eq!(rig.outcome(second), Some(Ok(())));
    rig.read(0);
    rig.read(1);
    rig.read(SMALL);
}

/// Clients overwrite the very blocks that their fragments call back: nobody waits for anybody until a timer comes.
#[test]
fn clients_do_not_wait_for_blocks_that_they_hold() {
    for shards in [1, 3] {
        let mut rig = volume(shards);
        write_each(&mut rig, 0, large());
        // All that does not end without a timer fails here.
        rig.write_together(0..COUNT, small().skip(50));
        rig.write_together(0..COUNT, large().skip(50));
        rig.write_together((0..COUNT).rev(), small().skip(100));
        read_back(&mut rig);
    }
}

/// With many requests in flight blocks that were just stored do not begin: they would take the place of company for those
/// that wait.
#[test]
fn nothing_begins_while_many_clients_write() {
    let mut rig = volume(1);
    rig.write_together(0..COUNT, small().take(4).chain(large()));
    rig.write_together(SMALL..SMALL + COUNT, large().skip(100));
    let statistics = rig.statistics();
    assert!(statistics.blocks_called_back <= 8, "{statistics:?}");
    assert!(statistics.fragments_relocated * 2 >= statistics.blocks_called_back, "{statistics:?}");
    read_back(&mut rig);
}
