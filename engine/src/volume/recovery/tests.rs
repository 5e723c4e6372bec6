// SPDX-License-Identifier: BSD-3-Clause

use futures::executor::block_on;

use super::testing::{Model, Shape};
use super::*;
use crate::format::testing::Numbers;

const SMALL: Shape = Shape { slab_blocks: 64, slabs: 8 };
/// Slabs with three reference blocks.
const LARGE: Shape = Shape { slab_blocks: 8192, slabs: 2 };

/// Recovers; after a success the power is cut: everything must be durable.
fn recover_now(model: &Model) -> Result<Recovered, RecoveryError> {
    let recovered = block_on(recover(&model.media, &model.config()))?;
    model.media.cut(&mut Numbers::new(model.media.operations()));
    Ok(recovered)
}

/// vdo-67, vdo-100, vdo-101: random histories on random numbers of shards, the power cut at any write or flush
/// with any unflushed sector lost; recovery, then the next generation with other shards on top. Mappings are those of
/// the journals, counts those of the mappings.
#[test]
fn what_was_journaled_survives() {
    let mut sum = ReplayStatistics::default();
    for seed in 0..24 {
        let shape = if seed % 4 == 3 { LARGE } else { SMALL };
        let mut model = Model::new(seed, shape, 1 + (seed % 5) as u16);
        for round in 0..6 {
            let what = format!("seed {seed}, round {round}");
            let operations = if round % 2 == 0 { u64::MAX >> 1 } else { model.numbers.below(200) };
            let steps = 20 + model.numbers.below(400);
            model.run(steps, operations);
            let recovered = recover_now(&model).unwrap_or_else(|error| panic!("{what}: {error}"));
            model.verify(&what);
            model.verify_told(&recovered, &what);
            sum.pages_written += recovered.statistics.pages_written;
            sum.changes_contained += recovered.statistics.changes_contained;
            sum.changes_replayed += recovered.statistics.changes_replayed;
            sum.unacknowledged_records += recovered.statistics.unacknowledged_records;
            let shards = 1 + model.numbers.below(6) as u16;
            model.load(recovered.summaries, shards);
        }
    }
    let all = [sum.pages_written, sum.changes_contained, sum.changes_replayed, sum.unacknowledged_records];
    assert!(all.iter().all(|&count| count > 50), "the histories show little: {sum:?}");
}

/// vdo-102: recovery itself is cut at each of its writes and flushes, some times in a row; the last one ends as the first
/// would have. Also where slabs must be scrubbed before their journals have room.
#[test]
fn recovery_can_be_cut_anywhere() {
    for seed in 0..2 {
        let mut model = Model::new(100 + seed, SMALL, 3);
        for round in 0..3 {
            if round == 1 {
                model.fill_slab_journals();
            } else {
                model.run(150 + seed * 20, u64::MAX >> 1);
            }
            let before = model.media.clone();
            let whole = recover_now(&model).expect("nothing fails");
            assert!(round != 1 || whole.statistics.slabs_scrubbed > 0, "full journals are emptied first");
            let operations = model.media.operations() - before.operations();
            for cut in 0..operations {
                model.media = before.clone();
                let mut numbers = Numbers::new(cut);
                let mut next = cut;
                loop {
                    model.media.fail_after(next);
                    if recover_now(&model).is_ok() {
                        break;
                    }
                    model.media.cut(&mut numbers);
                    // Always a little further than the last time.
                    next += 1 + numbers.below(operations);
                }
                model.media.fail_after(u64::MAX >> 1);
                let what = format!("seed {seed}, round {round}, cut at {cut} of {operations}");
                let again = recover_now(&model).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(again.statistics.slab_journal_entries, 0, "{what}: slabs contain everything by now");
                model.verify(&what);
                model.verify_told(&again, &what);
            }
            model.media = before;
            assert_eq!(recover_now(&model).map(|recovered| recovered.statistics), Ok(whole.statistics));
            model.load(whole.summaries, 3);
        }
    }
}

/// A volume that was stopped cleanly needs its summaries only.
#[test]
fn a_clean_volume_is_only_read() {
    let mut model = Model::new(1, SMALL, 2);
    model.run(0, u64::MAX >> 1);
    for _ in 0..3 {
        model.run(200, u64::MAX >> 1);
        let recovered = recover_now(&model).expect("nothing fails");
        model.load(recovered.summaries, 2);
        model.stop();
        let operations = model.media.operations();
        let config = model.config();
        let summaries = block_on(load_summaries(&model.media, config.geometry, config.nonce)).expect("all are good");
        assert!(summaries.iter().all(|summary| summary.head == summary.tail), "{summaries:?}");
        assert_eq!(model.media.operations(), operations, "nothing is written");
        model.verify("stopped");
    }
}

/// Pages are made durable also when the slabs contain everything, so that nothing is written for them.
#[test]
fn pages_alone_are_made_durable() {
    for seed in 0..4 {
        let mut model = Model::new(50 + seed, SMALL, 2);
        model.holes = false;
        model.run(100, u64::MAX >> 1);
        let recovered = recover_now(&model).expect("nothing fails");
        model.load(recovered.summaries, 3);
        model.change_more(40);
        model.stop_slabs();
        let recovered = recover_now(&model).expect("nothing fails");
        assert_eq!(recovered.statistics.slabs_changed, 0);
        assert!(recovered.statistics.pages_written > 0);
        model.verify("recovered");
    }
}
