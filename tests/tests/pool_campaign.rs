// SPDX-License-Identifier: BSD-3-Clause

//! A part of the media pool's crash campaigns. The program `pool_campaign` runs all of them, at every I/O.

#![forbid(unsafe_code)]

use tests::pool_sim::campaign::Campaign;
use tests::pool_sim::log_campaign::{run_log_seed_with, LogDefect};
use tests::pool_sim::scripts::Script;
use tests::seeds::campaigns::{run_all, Campaign as _, Options};

/// mpool-52, mpool-53, mpool-62: what was synced is there after a cut, the rest is a prefix, whatever is on the
/// medium.
/// mpool-63, partly: some thousand torn flush sets; the program runs 60 000.
/// mpool-66, partly: after a flush that failed nothing more is taken, and the log is consistent when it is reopened.
#[test]
fn logs() {
    let totals = run_all(Campaign::Logs, 0..800, 1);
    assert!(totals.cuts > 2000 && totals.faults > 300 && totals.calls > 50_000, "{totals:?}");
}

/// mpool-26, mpool-81, mpool-98, partly: cut at every seventeenth I/O of each script, with the state before or after.
#[test]
fn scripts_are_cut() {
    let totals = run_all(Campaign::Cuts, 0..Script::ALL.len() as u64, 17);
    assert!(totals.cut_points > 200, "{totals:?}");
}

/// mpool-38, mpool-49, mpool-115, partly: every seventeenth I/O and allocation fails; nothing panics or hangs, and
/// what is on media is right.
#[test]
fn scripts_meet_failures() {
    let totals = run_all(Campaign::Failures, 0..Script::ALL.len() as u64, 17);
    assert!(totals.faults > 80, "{totals:?}");
}

/// mpool-23, mpool-48: usage to the byte, and no id twice, over many lives.
/// mpool-47: what was not committed is gone after a cut, and its zones are free.
/// mpool-36, mpool-40, mpool-72, partly: what was committed is there with its content, what was deleted or erased is
/// not.
#[test]
fn lives() {
    let totals = run_all(Campaign::Lives, 0..60, 1);
    assert!(totals.cuts > 100 && totals.calls > 10_000, "{totals:?}");
}

/// A seed in which a read error of copy 0 of a superblock brought an older one back, and with it a name that had been
/// changed since.
#[test]
fn a_read_error_brings_no_older_superblock_back() {
    run_all(Campaign::Lives, 500_722..500_723, 1);
}

/// A copy of a pool becomes a pool of its own, whenever the power is cut meanwhile, and the original stays what it is.
#[test]
fn twins() {
    let totals = run_all(Campaign::Twins, 0..30, 1);
    assert!(totals.cuts > 40, "{totals:?}");
}

#[test]
fn a_seed_repeats_exactly() {
    for (campaign, stride) in [(Campaign::Logs, 1), (Campaign::Cuts, 50), (Campaign::Lives, 1)] {
        let run = || campaign.run_seed(7, Options { stride, ..Options::default() }).expect("the seed passes");
        assert_eq!(run(), run(), "{campaign:?}");
    }
}

/// Runs logs with a defect put in, until one seed notices it.
fn expect_noticed(defect: LogDefect, words: &[&str]) {
    let outcome = (0..3000).find_map(|seed| run_log_seed_with(seed, false, Some(defect)).err());
    let what = outcome.unwrap_or_else(|| panic!("{defect:?} is not noticed"));
    assert!(words.iter().any(|word| what.contains(word)), "{what}");
}

#[test]
fn a_write_without_its_flush_is_noticed() {
    expect_noticed(LogDefect::NoFlush, &["missing", "cannot be opened"]);
}

#[test]
fn rewriting_blocks_that_can_tear_is_noticed() {
    expect_noticed(LogDefect::RewritesTornBlocks, &["missing", "cannot be opened"]);
}

#[test]
fn an_erasure_that_is_not_remembered_is_noticed() {
    expect_noticed(LogDefect::ForgetsGeneration, &["never appended", "damaged", "missing"]);
}
