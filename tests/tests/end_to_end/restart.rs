// SPDX-License-Identifier: BSD-3-Clause

//! The first moments after a clean restart, on a base that is slow: reference counts are still being read.

use std::time::Instant;

use serde_json::json;
use tests::target::{Rig, Server};

use crate::blocks::{content, Blocks, BLOCK};
use crate::fixture::{counter, create, rig, target, wait_for_bdev, MIB};
use crate::pool::{aio, call};

const BASE_MIB: u64 = 640;
/// The smallest slabs, as a base of this size has them.
const SLAB_BLOCKS: u64 = 8 * MIB / BLOCK as u64;
/// Slabs that are full of data.
const SLABS: u64 = 48;
/// Slabs at the end of them, of which duplicates are written at once.
const ASKED_FOR: u64 = 12;
/// Duplicates of what is in each of these.
const DUPLICATES: u64 = 16;
/// A read of the base takes so long: a slab is there well within the 100 ms that a duplicate waits for it, and all of them
/// take seconds.
const READ_US: u64 = 40_000;

/// A base `Slow` on a file, which takes its time with reads.
fn slow_base(rig: &Rig, server: &Server, read_us: u64) {
    aio(rig, server, "Base", BASE_MIB, 4096);
    let delay = json!({
        "base_bdev_name": "Base", "name": "Slow", "uuid": "6b6dd8cf-3a0e-4b5c-8c56-32e1f6f5a4c0",
        "avg_read_latency": read_us, "p99_read_latency": read_us, "avg_write_latency": 0, "p99_write_latency": 0,
    });
    call(server, "bdev_delay_create", delay);
}

/// What is stored already is not stored again while the slab of its original is not loaded yet.
#[test]
fn duplicates_are_found_while_slabs_are_loading() {
    let rig = rig(1);
    let stored = SLABS * SLAB_BLOCKS;
    {
        let mut server = target(&rig);
        slow_base(&rig, &server, 0);
        create(&server, json!({"base_bdev_name": "Slow", "name": "D0", "slab_size_mib": 8})).expect("created");
        let mut blocks = Blocks::connect(&server, "D0", 64);
        blocks.write((0..stored).map(|lbn| (lbn, content(lbn))));
        drop(blocks);
        assert!(server.stop().expect("ends").success(), "{}", server.log());
    }
    let server = target(&rig);
    slow_base(&rig, &server, READ_US);
    wait_for_bdev(&server, "D0");
    let began = Instant::now();
    let mut blocks = Blocks::connect(&server, "D0", 64);
    let counters = ["data_blocks_used", "unique_blocks", "logical_blocks_used"];
    let count = || counters.map(|name| counter(&server, "D0", name));
    let before = count();
    // The last slab first: those that nobody asks for are loaded in their order meanwhile.
    for slab in (SLABS - ASKED_FOR..SLABS).rev() {
        let duplicate = |number| (stored + slab * DUPLICATES + number, content(slab * SLAB_BLOCKS + 100 * number));
        blocks.write((0..DUPLICATES).map(duplicate));
    }
    let [used, unique, logical] = count();
    println!(
        "{} duplicates while slabs are loading: {:?}, {} stored again; data_blocks_used {} before, {used} after",
        ASKED_FOR * DUPLICATES,
        began.elapsed(),
        unique - before[1],
        before[0],
    );
    assert_eq!((used, unique), (before[0], before[1]), "no copy is stored");
    assert_eq!(logical - before[2], ASKED_FOR * DUPLICATES);
}
