// SPDX-License-Identifier: BSD-3-Clause

//! Runs seeds of the simulator, and shows that the simulator would notice a defect.

#![forbid(unsafe_code)]

use tests::seeds::arguments::threads;
use tests::seeds::runner::{run_seeds, Program};
use tests::sim::damage::Kind;
use tests::sim::plan::{Flavour, Plan};
use tests::sim::runner::{run_seed, Options, Totals};
use tests::sim::sabotage::Sabotage;

/// Seeds that `cargo test` runs; CI runs more with the program `simulate`.
const SEEDS: u64 = 1000;

/// Runs seeds on all cores, adds up what happened, and fails with the command that repeats the first failure.
fn run_all(seeds: std::ops::Range<u64>, choose: impl Fn(u64) -> bool + Sync) -> Totals {
    let attempt = |seed| if choose(seed) { run_seed(seed, &Options::default()) } else { Ok(Totals::default()) };
    run_seeds(seeds, threads(), None, attempt).expect(Program { name: "simulate", campaign: None, stride: 1 })
}

/// Whatever the order of events and whatever the disk does, reads return what was written, errors have causes, nothing
/// gets stuck, and at rest all counts agree.
#[test]
fn seeds() {
    let totals = run_all(0..SEEDS, |_| true);
    println!("{totals:?}");
    // The load is worth nothing if it does not reach the rare paths.
    let engine = &totals.engine;
    for (what, count) in [
        ("forks", engine.hash_lock_forks),
        ("collisions", engine.concurrent_hash_collisions),
        ("stale advice", engine.dedupe_advice_stale),
        ("concurrent matches", engine.concurrent_data_matches),
        ("write retries", engine.data_write_retries),
        ("split retries", engine.bios_split_retries),
        ("merged blocks", engine.bios_merged_back + engine.bios_merged_front),
        ("reopened slabs", engine.slabs_reopened),
        ("partial blocks", engine.bios_in_partial),
        ("sections", engine.index_sections_sealed),
        ("sections not taken", engine.index_sections_dropped),
        ("sections read", engine.index_sections_loaded),
        ("sections that could not be read", engine.index_sections_failed),
        ("queries that waited too long", engine.dedupe_advice_timeouts),
        ("blocks called back", engine.blocks_called_back),
        ("messages", totals.world.messages),
        ("changes of memory in use", totals.world.scribbles),
        ("no space", totals.world.no_space),
        ("blocks lent", engine.blocks_lent),
        ("I/O errors", totals.world.io_errors),
        ("corrupt reads", totals.world.corrupt),
        ("wrong blocks that were verified", totals.faults.wrong_verifies),
    ] {
        assert!(count > 100, "only {count} {what} in {SEEDS} seeds");
    }
    for kind in Kind::ALL {
        let (stored, read) = (totals.faults.stored_wrong.of(kind), totals.faults.read_wrong.of(kind));
        assert!(stored > 50 && read > 20, "only {stored} {} blocks, and {read} reads of that kind", kind.name());
    }
}

/// vdo-118: with one shard no message is sent, and everything works as with several.
#[test]
fn one_shard_needs_no_messages() {
    let totals = run_all(0..SEEDS, |seed| Plan::draw(seed).geometry.shards() == 1);
    assert!(totals.seeds > 120 && totals.world.messages == 0, "{totals:?}");
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 0..60 {
        let digest = || run_seed(seed, &Options::default()).expect("the seed passes").digest;
        assert_eq!(digest(), digest(), "seed {seed}");
    }
}

/// Runs seeds with a defect put in, as long as it strikes at all; every one must be noticed, with words that fit.
fn expect_noticed(defect: impl Fn(u32) -> Sabotage, words: &[&str]) {
    // A client that has written over what it read does not look at it.
    let quiet = |plan: &Plan| !plan.faults.any_error() && plan.flavour != Flavour::Contention && plan.scribble == 0;
    let mut noticed = 0;
    for seed in (0..400).filter(|seed| quiet(&Plan::draw(*seed))).take(25) {
        let options = Options { sabotage: Some(defect(seed as u32 % 7)), ..Options::default() };
        let what = run_seed(seed, &options).expect_err("the defect is not noticed");
        assert!(words.iter().any(|word| what.contains(word)), "seed {seed}: {what}");
        noticed += 1;
    }
    assert_eq!(noticed, 25);
}

#[test]
fn a_wrong_byte_is_noticed() {
    expect_noticed(|after| Sabotage::FlipReadByte { after }, &["shows"]);
}

#[test]
fn a_lost_answer_is_noticed() {
    expect_noticed(|after| Sabotage::LoseAnswer { after }, &["stuck", "flush"]);
}

#[test]
fn a_second_answer_is_noticed() {
    expect_noticed(|after| Sabotage::AnswerTwice { after }, &["answered twice"]);
}
