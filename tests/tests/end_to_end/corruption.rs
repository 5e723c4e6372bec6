// SPDX-License-Identifier: BSD-3-Clause

//! Wrong blocks on the base: bytes that changed, blocks in each other's place, old content, torn blocks. Each is an
//! error that names the block, is counted, and is never passed off as data.

use std::collections::BTreeMap;

use mpool::testing::Random;
use serde_json::{json, Value};
use tests::nvme_tcp::IoCommand;
use tests::target::{Rig, Server};

use crate::base_file::BaseFile;
use crate::blocks::{content, Blocks, Bytes, BLOCK};
use crate::fixture::{counter, create, needs_newer, rig, target};

/// A target with a volume `D0` on a file.
struct Bench {
    server: Server,
    base: BaseFile,
    blocks: Blocks,
    _rig: Rig,
}

impl Bench {
    fn new(mut volume: Value) -> Bench {
        let rig = rig(1);
        let server = target(&rig);
        let base = BaseFile::new(&rig, 192);
        base.attach(&server);
        volume["name"] = json!("D0");
        volume["base_bdev_name"] = json!("Base");
        create(&server, volume).unwrap_or_else(|error| panic!("{error}: {}", server.log()));
        let blocks = Blocks::connect(&server, "D0", 32);
        Bench { server, base, blocks, _rig: rig }
    }

    /// Where the contents are stored.
    fn places<'a>(&self, contents: impl IntoIterator<Item = &'a Bytes>) -> Vec<u64> {
        self.base.find(contents).into_iter().map(|place| place.expect("what was written is in the file")).collect()
    }

    fn place(&self, content: &Bytes) -> u64 {
        self.places([content])[0]
    }

    fn count(&self, name: &str) -> u64 {
        counter(&self.server, "D0", name)
    }

    /// The physical block that the log names as wrong for a logical block.
    fn named(&self, lbn: u64) -> Option<u64> {
        let log = self.server.log();
        let told = format!(" holds other content than LBN {lbn} was given");
        let (before, _) = log.split_once(&told)?;
        before.rsplit_once("PBN ")?.1.parse().ok()
    }
}

/// Blocks that are not what was written are errors, each of which names the logical and the physical block;
/// all others are read as ever, and a new write heals a block.
#[test]
fn a_wrong_block_is_an_error_that_names_it() {
    let mut bench = Bench::new(json!({}));
    let old: Vec<Bytes> = (0..64).map(|lbn| content(1000 + lbn)).collect();
    bench.blocks.write((0..).zip(old.iter().cloned()));
    // An older content is one that the block was once given, so overwrite one half.
    let new: Vec<Bytes> = (0..64).map(|lbn| content(2000 + lbn)).collect();
    let present = |lbn: u64| if lbn < 32 { &new[lbn as usize] } else { &old[lbn as usize] };
    bench.blocks.write((0..32).map(|lbn| (lbn, present(lbn).clone())));
    let places = bench.places((0..64).map(present));
    let at = |lbn: u64| places[lbn as usize];
    let base = &bench.base;

    let flip = |lbn: u64, byte: usize, bits: u8| {
        let mut bytes = present(lbn).clone();
        bytes[byte] ^= bits;
        base.put(at(lbn), &bytes);
    };
    flip(3, 0, 1);
    flip(40, BLOCK - 1, 0x80);
    base.put(at(10), present(11));
    base.put(at(11), present(10));
    base.put(at(20), &old[20]);
    base.put(at(21), &[&new[21][..512], &old[21][512..]].concat());
    base.put(at(50), &[0; BLOCK]);
    let wrong = [3, 10, 11, 20, 21, 40, 50];

    for lbn in wrong {
        assert_eq!(bench.blocks.read([lbn]), [None], "LBN {lbn}");
    }
    assert_eq!(bench.count("check_error_count"), 7);
    for (lbn, outcome) in (0..64).zip(bench.blocks.read(0..64)) {
        let right = (!wrong.contains(&lbn)).then(|| present(lbn).clone());
        assert!(outcome == right, "LBN {lbn}");
    }
    assert_eq!(bench.count("check_error_count"), 14);

    let named: BTreeMap<u64, u64> = wrong.iter().filter_map(|lbn| Some((*lbn, bench.named(*lbn)?))).collect();
    assert_eq!(named.len(), 7, "{named:?} in {}", bench.server.log());
    // One slab holds them all, in the order of its blocks.
    let first = at(3) as i64 - named[&3] as i64 * BLOCK as i64;
    for (lbn, pbn) in named {
        assert_eq!(at(lbn) as i64, first + (pbn * BLOCK as u64) as i64, "PBN {pbn} for LBN {lbn}");
    }

    let ranges = bench.blocks.read_ranges([(0, 8), (12, 8), (48, 4)]);
    assert!(ranges[0].is_none() && ranges[2].is_none(), "a request fails with any of its blocks");
    assert!(ranges[1] == Some((12..20).flat_map(|lbn| present(lbn).clone()).collect()));
    bench.blocks.write(wrong.iter().map(|lbn| (*lbn, content(3000 + lbn))));
    for (lbn, outcome) in wrong.iter().zip(bench.blocks.read(wrong)) {
        assert!(outcome == Some(content(3000 + lbn)), "LBN {lbn} is whole again");
    }
}

/// A write of part of a wrong block fails and leaves it as it is; one of the whole block does not need what was there.
#[test]
fn a_wrong_block_is_not_completed_with_new_bytes() {
    let mut bench = Bench::new(json!({"block_size": 512}));
    bench.blocks.write((0..4).map(|lbn| (lbn, content(lbn))));
    let place = bench.place(&content(2));
    let mut spoilt = content(2);
    spoilt[4000] ^= 4;
    bench.base.put(place, &spoilt);
    let sector =
        |sector: u64, value: u64| (IoCommand::Write { lba: sector, blocks: 1 }, content(value)[..512].to_vec());
    let outcomes = bench.blocks.execute(vec![sector(2 * 8 + 3, 77), sector(8 + 3, 77)]);
    let good: Vec<_> = outcomes.iter().map(|(status, _)| status.is_success()).collect();
    assert_eq!(good, [false, true]);
    assert_eq!(bench.count("check_error_count"), 1);
    assert_eq!(bench.blocks.read([2]), [None]);
    let mut mixed = content(1);
    mixed[3 * 512..4 * 512].copy_from_slice(&content(77)[..512]);
    assert!(bench.blocks.read([1]) == [Some(mixed)]);
    bench.blocks.write([(2, content(5))]);
    assert!(bench.blocks.read([2]) == [Some(content(5))]);
}

/// vdo-13: a duplicate of a block that has gone wrong is stored anew, and from then on shared.
#[test]
fn a_duplicate_of_a_wrong_block_is_stored_anew() {
    let mut bench = Bench::new(json!({}));
    let twin = content(7);
    bench.blocks.write([(0, twin.clone()), (1, content(8))]);
    let place = bench.place(&twin);
    let mut spoilt = twin.clone();
    spoilt[2222] ^= 0x10;
    bench.base.put(place, &spoilt);
    let (used, stale) = (bench.count("data_blocks_used"), bench.count("dedupe_advice_stale"));

    bench.blocks.write([(100, twin.clone())]);
    assert_eq!(bench.count("data_blocks_used"), used + 1, "a new copy");
    assert_eq!(bench.count("dedupe_advice_stale"), stale + 1);
    assert_ne!(bench.place(&twin), place);
    assert!(bench.blocks.read([100]) == [Some(twin.clone())]);
    assert_eq!(bench.blocks.read([0]), [None]);
    assert!(bench.base.block(place) == spoilt, "the wrong block is left alone");

    // The index names the good copy now.
    bench.blocks.write([(0, twin.clone()), (101, twin.clone())]);
    assert_eq!(bench.count("data_blocks_used"), used, "the wrong one is free, and the good one shared");
    assert!(bench.blocks.read([0, 100, 101]).iter().all(|outcome| *outcome == Some(twin.clone())));
}

/// SPDK's own error injection changes bytes in blocks that are read.
#[test]
fn bytes_that_change_on_the_way_are_noticed() {
    let rig = rig(1);
    needs_newer(&rig, "error bdev that changes data");
    let server = target(&rig);
    let base = BaseFile::new(&rig, 192);
    base.attach(&server);
    server.call("bdev_error_create", json!({"base_name": "Base"})).expect("error injection");
    create(&server, json!({"base_bdev_name": "EE_Base", "name": "D0"})).expect("created");
    let mut blocks = Blocks::connect(&server, "D0", 32);
    blocks.write((0..16).map(|lbn| (lbn, content(lbn))));
    let params = json!({
        "name": "EE_Base", "io_type": "read", "error_type": "corrupt_data", "num": 5,
        "corrupt_offset": 1234, "corrupt_value": 2,
    });
    server.call("bdev_error_inject_error", params).expect("injected");
    for lbn in 0..5 {
        assert_eq!(blocks.read([lbn]), [None], "LBN {lbn}");
    }
    assert_eq!(counter(&server, "D0", "check_error_count"), 5);
    assert!(blocks.read(0..16) == (0..16).map(|lbn| Some(content(lbn))).collect::<Vec<_>>(), "they are right again");
}

/// What is done to a stored block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    Bit,
    Byte,
    Run,
    Swapped,
    Misplaced,
    Older,
    Torn,
    Zeros,
}

impl Damage {
    const ALL: [Damage; 8] = [
        Damage::Bit,
        Damage::Byte,
        Damage::Run,
        Damage::Swapped,
        Damage::Misplaced,
        Damage::Older,
        Damage::Torn,
        Damage::Zeros,
    ];

    /// What is stored in place of `right`. The older content and the other block's differ from it everywhere.
    fn apply(self, right: &[u8], older: &[u8], other: &[u8], random: &mut Random) -> Bytes {
        let mut bytes = right.to_vec();
        let at = random.index(BLOCK);
        match self {
            Damage::Bit => bytes[at] ^= 1 << random.below(8),
            Damage::Byte => bytes[at] ^= random.between(1, 255) as u8,
            Damage::Run => bytes[at..].iter_mut().take(random.between(1, 64) as usize).for_each(|byte| *byte = !*byte),
            Damage::Swapped | Damage::Misplaced => bytes.copy_from_slice(other),
            Damage::Older => bytes.copy_from_slice(older),
            Damage::Torn => {
                let sectors = random.between(1, 7) as usize;
                bytes[..sectors * 512].copy_from_slice(&older[..sectors * 512]);
            }
            Damage::Zeros => bytes.fill(0),
        }
        bytes
    }
}

/// Blocks of the campaign, and how many rounds of damage they see.
const CAMPAIGN_BLOCKS: u64 = 2048;
const ROUNDS: u64 = 4;

/// Hundreds of wrong blocks of all kinds, all of them noticed and none of the others: after each round of damage
/// everything is read, at once and block by block, and what was wrong is written anew.
#[test]
fn every_injected_wrong_block_is_detected() {
    let mut bench = Bench::new(json!({}));
    let mut random = Random::stream(0xc0de, 0);
    let (mut detected, mut kinds) = (0, BTreeMap::<Damage, u64>::new());
    let value = |round: u64, lbn: u64| round << 32 | lbn;
    bench.blocks.write((0..CAMPAIGN_BLOCKS).map(|lbn| (lbn, content(value(0, lbn)))));
    for round in 1..=ROUNDS {
        bench.blocks.write((0..CAMPAIGN_BLOCKS).map(|lbn| (lbn, content(value(round, lbn)))));
        let right: Vec<Bytes> = (0..CAMPAIGN_BLOCKS).map(|lbn| content(value(round, lbn))).collect();
        let places = bench.places(&right);
        let mut wrong = BTreeMap::new();
        for lbn in 0..CAMPAIGN_BLOCKS {
            if wrong.contains_key(&lbn) || !random.chance(100) {
                continue;
            }
            let (damage, other) = (random.pick(&Damage::ALL), random.below(CAMPAIGN_BLOCKS));
            if other == lbn || wrong.contains_key(&other) {
                continue;
            }
            let older = content(value(round - 1, lbn));
            let put = |lbn: u64, bytes: &[u8]| bench.base.put(places[lbn as usize], bytes);
            put(lbn, &damage.apply(&right[lbn as usize], &older, &right[other as usize], &mut random));
            wrong.insert(lbn, damage);
            if damage == Damage::Swapped {
                put(other, &right[lbn as usize]);
                wrong.insert(other, damage);
            }
        }
        let before = bench.count("check_error_count");
        for (lbn, outcome) in (0..).zip(bench.blocks.read(0..CAMPAIGN_BLOCKS)) {
            match (wrong.get(&lbn), outcome) {
                (None, Some(bytes)) => assert!(bytes == right[lbn as usize], "round {round}: LBN {lbn} is wrong"),
                (None, None) => panic!("round {round}: LBN {lbn} is right, but fails"),
                (Some(damage), Some(_)) => panic!("round {round}: LBN {lbn}: {damage:?} is not noticed"),
                (Some(damage), None) => *kinds.entry(*damage).or_default() += 1,
            }
        }
        assert_eq!(bench.count("check_error_count") - before, wrong.len() as u64, "round {round}");
        detected += wrong.len();
        bench.blocks.write(wrong.keys().map(|lbn| (*lbn, right[*lbn as usize].clone())));
        assert!(bench.blocks.read(wrong.keys().copied()).iter().all(Option::is_some), "round {round}: all is healed");
    }
    println!("{detected} wrong blocks injected, all detected: {kinds:?}");
    assert!(detected > 500 && kinds.len() == Damage::ALL.len(), "{kinds:?}");
}
