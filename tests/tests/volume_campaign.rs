// SPDX-License-Identifier: BSD-3-Clause

//! A part of the durability campaigns of volumes. The program `volume_campaign` runs all of them, at every I/O.

#![forbid(unsafe_code)]

use std::panic::{catch_unwind, AssertUnwindSafe};

use tests::seeds::campaigns::{run_all, Campaign as _, Options};
use tests::volume_sim::campaign::Campaign;
use tests::volume_sim::lives::run_lives_seed_with;
use tests::volume_sim::machine_base::Defect;

/// vdo-54, vdo-55, vdo-100: after a power cut at any moment the volume is online, nothing that was acknowledged is
/// lost, and when all is scrubbed, counts on media and in memory are those that follow from the map.
/// vdo-101: sectors of 512 bytes of every write survive a cut or not, each by itself.
/// vdo-51: counts that were not written at a cut follow from the journals.
/// vdo-109, partly: volumes grow while they are loaded, with cuts at any moment.
/// vdo-110, partly: a volume that was saved, and goes on, is what it was.
#[test]
fn volumes_in_random_use() {
    let totals = run_all(Campaign::Random, 0..90, 1);
    assert!(totals.cuts > 100 && totals.kills > 20 && totals.recoveries > 100 && totals.checks > 100, "{totals:?}");
    // On volumes full of compressed blocks overwrites swap them, and some swaps are cut.
    assert!(totals.swaps > 1000 && totals.swaps_cut > 0 && totals.relocations > 0, "{totals:?}");
}

/// vdo-100, vdo-101, vdo-102: scripts of up to three requests, cut at I/Os of all kinds, and again while they recover.
#[test]
fn scripts_are_cut() {
    let totals = run_all(Campaign::Cuts, 0..18, 37);
    assert!(totals.points > 200 && totals.swaps > 100 && totals.swaps_cut > 0, "{totals:?}");
}

/// vdo-64, vdo-103: whichever I/O fails, once or for good, no request hangs, reads go on, and what was acknowledged is
/// there after a restart.
/// vdo-104, partly: a volume that went read-only is rebuilt.
#[test]
fn scripts_meet_failures() {
    let totals = run_all(Campaign::Failures, 0..18, 37);
    assert!(totals.faults > 100 && totals.swaps > 100, "{totals:?}");
}

#[test]
fn a_seed_repeats_exactly() {
    for (campaign, stride) in [(Campaign::Random, 1), (Campaign::Cuts, 150), (Campaign::Failures, 150)] {
        let run = || campaign.run_seed(7, Options { stride, ..Options::default() }).expect("the seed passes");
        assert_eq!(run(), run(), "{campaign:?}");
    }
}

/// Runs seeds with a defect put in, until one notices it.
fn expect_noticed(defect: Defect) {
    let attempt = |seed| catch_unwind(AssertUnwindSafe(|| run_lives_seed_with(seed, false, Some(defect))));
    let noticed = (0..60).any(|seed| !matches!(attempt(seed), Ok(Ok(_))));
    assert!(noticed, "{defect:?} is not noticed");
}

#[test]
fn flushes_that_are_not_done_are_noticed() {
    expect_noticed(Defect::NoFlush);
}

#[test]
fn lost_writes_of_metadata_are_noticed() {
    for defect in [Defect::LosesJournal, Defect::LosesPages, Defect::LosesSlabMetadata] {
        expect_noticed(defect);
    }
}
