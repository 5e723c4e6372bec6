// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of clients that change their memory while the engine works on their requests: what is stored is one
//! content that was there, for all who share it, and a read never fails for it.
//!
//! The model knows what was in the memory when the engine took it, once; all reads are held against it, and [`Rig`]
//! audits at the end.

#![forbid(unsafe_code)]

use engine::format::Geometry;
use engine::request::Operation;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Direction, Pbn};
use tests::sim::client::{Request, RequestId};
use tests::sim::cluster::Cluster;
use tests::sim::content::{block_of, noise_of};
use tests::sim::faults::Faults;
use tests::sim::rig::{metadata, nothing, reads_from_disk, transfers, writes_to_disk, Rig};
use tests::sim::sizes::Sizes;

fn volume(shards: usize, compression: bool) -> Rig {
    let geometry = Geometry::new(shards, Blocks(8 * PAGE), Pbn(9), Pbn(9 + 128), 8).expect("valid");
    Rig::new(Cluster::new(geometry, &Sizes { compression, ..Sizes::default() }, Faults::none()))
}

/// What a block is stored as.
fn stored(rig: &Rig, lbn: u64) -> u64 {
    let tokens = rig.world.disk.decode(rig.pbn(lbn));
    let value = tokens[0].expect("not garbage") >> 3;
    assert_eq!(tokens, block_of(value).map(Some));
    value
}

fn expect_written(rig: &Rig, ids: &[RequestId]) {
    assert!(ids.iter().all(|id| rig.outcome(*id) == Some(Ok(()))));
}

/// The client whose block is written for all that share it changes its memory after they were compared.
#[test]
fn who_shares_a_block_gets_what_was_compared() {
    for shards in [1, 3] {
        let mut rig = volume(shards, false);
        let ids: Vec<_> = (0..4).map(|page| rig.begin_write(page * PAGE, 7)).collect();
        rig.settle(writes_to_disk);
        assert_eq!(rig.statistics().concurrent_data_matches, 3);
        rig.scribble(ids[0], 8);
        rig.settle(nothing);
        expect_written(&rig, &ids);
        assert_eq!(stored(&rig, 0), 7);
        (0..4).for_each(|page| rig.read(page * PAGE));
        assert_eq!(rig.statistics().check_error_count, 0);
    }
}

/// The client changes its memory while the block is on its way to the base; the answer is for what was there before.
#[test]
fn a_block_on_its_way_does_not_change() {
    let mut rig = volume(1, false);
    let id = rig.begin_write(0, 7);
    rig.settle(writes_to_disk);
    rig.scribble(id, 8);
    rig.settle(metadata);
    rig.scribble(id, 0);
    rig.settle(nothing);
    expect_written(&rig, &[id]);
    rig.read(0);
    assert_eq!(stored(&rig, 0), 7);
    // A duplicate of what was stored is one, of what the memory became is none.
    rig.write(1, 7);
    rig.write(2, 8);
    assert_eq!((rig.pbn(1) == rig.pbn(0), rig.pbn(2) == rig.pbn(0)), (true, false));
}

/// A candidate is compared with what was hashed, not with what the memory became meanwhile.
#[test]
fn a_candidate_is_compared_with_what_was_hashed() {
    let mut rig = volume(1, false);
    rig.write(0, 7);
    let id = rig.begin_write(1, 7);
    rig.settle(reads_from_disk);
    rig.scribble(id, 8);
    rig.settle(nothing);
    assert_eq!(rig.pbn(1), rig.pbn(0));
    rig.read(1);
    assert_eq!(rig.statistics().dedupe_advice_stale, 0);
}

/// What could not be written is written anew as it was, in another place.
#[test]
fn a_second_try_writes_the_same() {
    for compression in [false, true] {
        let mut rig = volume(1, compression);
        let compressible = (1000..).filter(|value| noise_of(*value) == 0).take(2);
        let ids: Vec<_> = (0..).zip(compressible).map(|(lbn, value)| rig.begin_write(lbn, value)).collect();
        rig.world.faults.script(Direction::Write, None, 1);
        rig.settle(writes_to_disk);
        ids.iter().for_each(|id| rig.scribble(*id, 8));
        rig.settle(nothing);
        expect_written(&rig, &ids);
        assert!(rig.statistics().data_write_retries > 0 || rig.statistics().bios_split_retries > 0);
        (0..2).for_each(|lbn| rig.read(lbn));
    }
}

/// A fragment that is parked, packed and written is what was hashed.
#[test]
fn fragments_do_not_change() {
    let mut rig = volume(1, true);
    let values: Vec<_> = (1000..).filter(|value| noise_of(*value) == 0).take(6).collect();
    let ids: Vec<_> = (0..).zip(&values).map(|(lbn, value)| rig.begin_write(lbn, *value)).collect();
    rig.settle(writes_to_disk);
    ids.iter().for_each(|id| rig.scribble(*id, 0));
    rig.settle(nothing);
    assert_eq!(rig.statistics().compressed_fragments_written, 6);
    (0..6).for_each(|lbn| rig.read(lbn));
    rig.write_together(10.., &values);
    assert_eq!(rig.statistics().data_blocks_used - rig.statistics().block_map_pages, 1);
}

/// Zeros that become data are zeros, and data that becomes zeros is data.
#[test]
fn zeros_are_what_was_zero() {
    let mut rig = volume(1, false);
    let ids = [rig.begin_write(0, 0), rig.begin_write(1, 5)];
    rig.settle(transfers);
    rig.scribble(ids[0], 9);
    rig.scribble(ids[1], 0);
    rig.settle(nothing);
    assert!(rig.mapping(0).has_block() as u8 == 0 && rig.mapping(1).has_block());
    rig.read(0);
    rig.read(1);
}

/// Of a request that covers parts of blocks each part is taken once, when what surrounds it has been read.
#[test]
fn parts_of_blocks_are_taken_once() {
    let mut rig = volume(1, false);
    rig.write(0, 5);
    let tokens = block_of(6);
    let request = Request { operation: Operation::Write, sector: 6, sectors: 8, tokens: tokens.to_vec() };
    let id = rig.submit(&request);
    rig.settle(reads_from_disk);
    rig.scribble(id, 7);
    rig.settle(writes_to_disk);
    rig.scribble(id, 8);
    rig.settle(nothing);
    expect_written(&rig, &[id]);
    rig.read(0);
    rig.read(1);
}

/// A client that writes into memory that is being read into sees its own bytes there and no error; nobody is blamed.
#[test]
fn a_read_does_not_fail_for_what_its_client_does() {
    for compression in [false, true] {
        let mut rig = volume(1, compression);
        let values: Vec<_> = (1000..).filter(|value| noise_of(*value) == 0).take(4).collect();
        rig.write_together(0.., &values);
        let id = rig.submit(&Request::read(0, 4));
        rig.settle(reads_from_disk);
        rig.scribble(id, 9);
        rig.settle(nothing);
        expect_written(&rig, &[id]);
        rig.read(0);
        assert_eq!(rig.statistics().check_error_count, 0);
    }
}
