// SPDX-License-Identifier: BSD-3-Clause

//! Every seed of a campaign that ever failed, with what it had found. A seed that fails is added here when its cause is
//! mended, with a test of its own for the cause: a later change of the campaign makes the seed another one.

#![forbid(unsafe_code)]

use tests::pool_sim::campaign::Campaign as Pool;
use tests::seeds::campaigns::run_listed;
use tests::seeds::runner::{self, Program};
use tests::sim::runner::{run_seed, Options};
use tests::volume_sim::campaign::Campaign as Volume;

/// A seed, and what was wrong.
type Failed = (u64, &'static str);

/// A seed of a campaign of scripts, the stride at which it failed, and what was wrong.
type FailedScript = (u64, u64, &'static str);

/// `simulate`
const SIMULATE: &[Failed] = &[
    (53_100_134, "the simulator's own rule forgot that the pages of a refused write had taken the last free blocks"),
    (9_200_174, "as 53100134"),
    (9_200_651, "as 53100134"),
    (218_548_497, "the rule for overwrites did not see that a client had changed its memory to what others have"),
    (621, "a write that was parked for a swap kept its old mapping after the block and its leaf page had gone"),
    (970, "as 621"),
    (110_583_709, "as 621"),
];

/// `volume_campaign --campaign random`
const VOLUME_RANDOM: &[Failed] = &[
    (138, "a rebuild took a failed allocation for damage"),
    (1406, "blocks were used again after the write of their journal entry had failed"),
    (1852, "as 1406"),
    (700_422, "a volume that had become read-only compared blocks on and let go of no PBN lock, until none was left"),
    (700_658, "as 700422"),
    (1_000_040, "as 700422"),
    (1_000_566, "as 700422"),
    (1_000_680, "as 700422"),
    (1_000_694, "as 700422"),
    (1_001_141, "as 700422"),
];

/// `volume_campaign --campaign cuts`
const VOLUME_CUTS: &[FailedScript] = &[(
    7_100_011,
    7,
    "a swap held the logical blocks of what its block had been before it came free and was given to another swap",
)];

/// `volume_campaign --campaign failures`
const VOLUME_FAILURES: &[FailedScript] =
    &[(7_200_001, 37, "a swap waited for ever for a block whose leaf page could not be read")];

/// `pool_campaign --campaign logs`
const POOL_LOGS: &[Failed] = &[
    (808_374, "a record was lost with a failed flush set, and later durable appends were acknowledged"),
    (808_974, "as 808374"),
    (810_451, "as 808374"),
    (800_981, "a log opened anew was written behind what only a volatile cache had, and a cut left it damaged"),
    (803_546, "as 800981"),
];

/// `pool_campaign --campaign lives`
const POOL_LIVES: &[Failed] = &[
    (58_850_251, "the rule for space did not know that a container that could not be opened keeps its logs"),
    (58_857_692, "as 58850251"),
    (58_859_060, "as 58850251"),
    (58_862_998, "as 58850251"),
    (58_864_217, "as 58850251"),
];

/// `pool_campaign --campaign cuts`
const POOL_CUTS: &[FailedScript] = &[];

/// `pool_campaign --campaign failures`
const POOL_FAILURES: &[FailedScript] = &[
    (58_846_196, 37, "two trial writes of one drive were in flight together"),
    (58_846_230, 37, "as 58846196"),
    (58_845_993, 37, "the rule for the end of a pool did not know copies that a failed erasure had left"),
    (58_846_195, 37, "as 58845993"),
    (58_846_212, 37, "as 58845993"),
    (58_846_229, 37, "as 58845993"),
    (58_846_297, 37, "what a failed destruction had torn could not be destroyed, not even with force"),
];

fn seeds(failed: &[Failed]) -> Vec<u64> {
    failed.iter().map(|(seed, _)| *seed).collect()
}

#[test]
fn simulate() {
    let attempt = |seed| run_seed(seed, &Options::default());
    let outcome = runner::run_listed(&seeds(SIMULATE), attempt);
    let _totals = outcome.expect(Program { name: "simulate", campaign: None, stride: 1 });
}

#[test]
fn volume_random() {
    run_listed(Volume::Random, &seeds(VOLUME_RANDOM), 1);
}

#[test]
fn volume_scripts() {
    for (campaign, failed) in [(Volume::Cuts, VOLUME_CUTS), (Volume::Failures, VOLUME_FAILURES)] {
        for (seed, stride, _) in failed {
            run_listed(campaign, &[*seed], *stride);
        }
    }
}

#[test]
fn pool_logs() {
    run_listed(Pool::Logs, &seeds(POOL_LOGS), 1);
}

#[test]
fn pool_lives() {
    run_listed(Pool::Lives, &seeds(POOL_LIVES), 1);
}

#[test]
fn pool_scripts() {
    for (campaign, failed) in [(Pool::Cuts, POOL_CUTS), (Pool::Failures, POOL_FAILURES)] {
        for (seed, stride, _) in failed {
            run_listed(campaign, &[*seed], *stride);
        }
    }
}
