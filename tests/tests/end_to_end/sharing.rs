// SPDX-License-Identifier: BSD-3-Clause

//! Rare events of sharing, under load: more equal blocks than one copy has references, equal blocks at the same time,
//! advice that is out of date, and different blocks with the same fingerprint. No byte may be wrong.
//!
//! Blocks with the same fingerprint are made with the volume's secret ([`tests::collide`]), which is read from the
//! pool. So the module needs no weak hash for these tests.

use std::collections::BTreeMap;

use mpool::testing::Random;
use serde_json::json;
use tests::collide::{colliding, find_secret};
use tests::target::{Rig, Server};

use crate::base_file::BaseFile;
use crate::blocks::{content, Blocks, Bytes};
use crate::fixture::{counter, create, rig, target};

/// Requests at once.
const DEPTH: u16 = 64;
/// References that one copy takes.
const MOST_REFERENCES: u64 = 254;

/// A volume `D0` on a file, and what each of its blocks holds.
struct Bench {
    server: Server,
    base: BaseFile,
    blocks: Blocks,
    written: BTreeMap<u64, Bytes>,
    _rig: Rig,
}

impl Bench {
    fn new(cores: usize) -> Bench {
        let rig = rig(cores);
        let server = target(&rig);
        let base = BaseFile::new(&rig, 192);
        base.attach(&server);
        let volume = json!({"base_bdev_name": "Base", "name": "D0"});
        create(&server, volume).unwrap_or_else(|error| panic!("{error}: {}", server.log()));
        let blocks = Blocks::connect(&server, "D0", DEPTH);
        Bench { server, base, blocks, written: BTreeMap::new(), _rig: rig }
    }

    fn count(&self, name: &str) -> u64 {
        counter(&self.server, "D0", name)
    }

    fn write(&mut self, blocks: Vec<(u64, Bytes)>) {
        self.blocks.write(blocks.iter().cloned());
        self.written.extend(blocks);
    }

    /// Reads all that was written, and compares.
    fn verify(&mut self) {
        let outcomes = self.blocks.read(self.written.keys().copied().collect::<Vec<_>>());
        for ((lbn, bytes), outcome) in self.written.iter().zip(outcomes) {
            assert!(outcome.as_ref() == Some(bytes), "LBN {lbn} is not what was written");
        }
    }

    /// What `bdev_dedupe_check` finds, after the volume was unloaded and loaded again.
    fn check(&mut self) {
        let report = self.server.call("bdev_dedupe_check", json!({"name": "D0"}));
        let report = report.unwrap_or_else(|error| panic!("{error}: {}", self.server.log()));
        assert_eq!(report["clean"], true, "{report:#}");
        assert_eq!(report["logical_blocks_used"], self.count("logical_blocks_used"), "{report:#}");
    }
}

/// vdo-17: a copy that has all its references is followed by another one, and equal blocks that are written at the same
/// time share one copy.
#[test]
fn equal_blocks_share_copies_up_to_their_most_references() {
    let mut bench = Bench::new(1);
    let before = bench.count("unique_blocks");
    bench.write((0..2000).map(|lbn| (lbn, content(1))).collect());
    bench.verify();
    let copies = bench.count("unique_blocks") - before;
    let fewest = 2000_u64.div_ceil(MOST_REFERENCES);
    assert_eq!(copies, fewest, "2000 equal blocks");
    assert!(bench.count("hash_lock_forks") >= 1);
    assert!(bench.count("concurrent_data_matches") > 500, "{}", bench.count("concurrent_data_matches"));
    bench.check();
}

/// In a volume that is nearly full, blocks are freed and used again for other content all the time, so that the index
/// is out of date.
#[test]
fn advice_that_is_out_of_date_misleads_nobody() {
    let mut bench = Bench::new(1);
    let mut random = Random::stream(5, 0);
    let mut next_unique = 1_000_000;
    // A volume has about as many logical blocks as physical ones.
    let crowd = bench.blocks.count() * 95 / 100;
    for round in 0..30 {
        let lbns: Vec<u64> = (0..crowd).filter(|_| random.chance(200)).collect();
        if round % 5 == 4 {
            for lbn in &lbns {
                bench.written.remove(lbn);
            }
            bench.blocks.unmap(lbns);
        } else {
            let mut draw = || {
                next_unique += 1;
                content(if random.chance(300) { random.below(2000) } else { next_unique })
            };
            let blocks: Vec<(u64, Bytes)> = lbns.into_iter().map(|lbn| (lbn, draw())).collect();
            bench.write(blocks);
        }
        if round % 10 == 9 {
            bench.verify();
        }
    }
    let (valid, stale) = (bench.count("dedupe_advice_valid"), bench.count("dedupe_advice_stale"));
    println!("{valid} times advice was good, {stale} times out of date");
    assert!(valid > 100 && stale > 100, "{valid} valid, {stale} stale");
    bench.check();
}

/// vdo-4: different blocks with the same 128-bit fingerprint are never taken for each other, one after the other or at
/// the same time.
#[test]
fn blocks_with_the_same_fingerprint_are_told_apart() {
    let mut bench = Bench::new(2);
    let secret = find_secret(&bench.base.image()).expect("the inventory is in the pool");
    let mut random = Random::stream(6, 0);
    bench.write((0..64).map(|lbn| (lbn, colliding(&secret, 1, lbn as u32).to_vec())).collect());
    bench.verify();
    assert!(bench.count("concurrent_hash_collisions") > 10, "{}", bench.count("concurrent_hash_collisions"));
    for round in 0..40 {
        let lbns: Vec<u64> = (0..1024).filter(|_| random.chance(300)).collect();
        // Few families of few members: most blocks meet one that is equal, and one that only seems to be.
        let mut draw = || colliding(&secret, random.below(8), random.below(6) as u32).to_vec();
        let blocks: Vec<(u64, Bytes)> = lbns.into_iter().map(|lbn| (lbn, draw())).collect();
        bench.write(blocks);
        if round % 8 == 7 {
            bench.verify();
        }
    }
    let (collisions, stale) = (bench.count("concurrent_hash_collisions"), bench.count("dedupe_advice_stale"));
    let (matches, hits) = (bench.count("concurrent_data_matches"), bench.count("dedupe_hits"));
    println!("{collisions} collisions at the same time, {stale} with what was there, {matches} matches, {hits} hits");
    assert!(collisions > 500 && stale > 50 && matches > 100 && hits > 500);
    assert_eq!(bench.count("check_error_count"), 0);
    bench.verify();
    bench.check();
}
