// SPDX-License-Identifier: BSD-3-Clause

//! Random use of journals of many sizes, with power cuts.

use mpool::testing::Random;

use super::model::{Model, Sizes, SMALL};

fn sizes(random: &mut Random) -> Sizes {
    let sector_bytes = if random.one_in(3) { 4096 } else { 512 };
    Sizes {
        sector_bytes,
        segments: 3 + random.below(3),
        extra_bytes: random.below(12) * sector_bytes,
        first_extra_bytes: random.below(2) * random.below(100) * sector_bytes,
        page_reserve: random.below(6),
        blocks: 4 + random.below(40),
        zones: 1 + random.below(3) as u16,
        volatile_cache: random.one_in(2),
    }
}

/// Does one random action.
fn act(model: &mut Model) {
    match model.random.below(16) {
        0..=4 => {
            let count = 1 + model.random.below(12);
            (0..count).take_while(|_| model.append()).count();
        }
        5..=7 => {
            model.advance();
        }
        8..=10 => {
            model.end_any();
        }
        11 => model.apply(),
        12 => {
            let eagerly = model.random.one_in(8);
            model.write_pages(eagerly);
        }
        13 => model.ask(),
        14 => {
            model.answer_one();
        }
        _ if model.random.one_in(2) => model.begin_erasure(),
        _ => {
            model.end_erasure();
        }
    }
}

fn check_cuts(model: &mut Model) {
    model.check_cut(|_| false);
    model.check_cut(|random| random.one_in(2));
    model.check_cut(|random| !random.one_in(8));
}

fn run(seed: u64, acts: usize, failures: usize) -> Model {
    let mut random = Random::new(seed);
    let mut model = Model::new(sizes(&mut random), random.draw());
    model.failures = failures;
    for _ in 0..acts {
        act(&mut model);
        if model.random.one_in(128) {
            check_cuts(&mut model);
        }
        if model.journal.failed().is_some() {
            break;
        }
    }
    check_cuts(&mut model);
    model
}

/// vdo-96, vdo-97: whatever the order in which writes end, and whatever a power cut leaves of what is not durable, the
/// segments hold every entry that was committed and is needed, and nothing that was never appended, over many laps.
#[test]
fn committed_entries_survive_power_cuts() {
    let (mut laps, mut full) = (0, 0);
    for seed in 0..20 {
        let mut model = run(seed, 3_000, 0);
        model.settle();
        let statistics = model.journal.statistics();
        assert!(model.journal.is_idle());
        assert!(model.journal.room() > 0);
        assert_eq!(statistics.entries.committed, model.journal.next_entry());
        assert_eq!(
            (statistics.blocks.started, statistics.blocks.written),
            (statistics.blocks.committed, statistics.blocks.committed)
        );
        assert_eq!(model.popped, model.journal.next_entry());
        assert_eq!(statistics.bytes_written, model.io.counts().written_bytes);
        assert_eq!(statistics.flushes, model.io.counts().flush);
        model.check_cut(|_| false);
        laps += model.erasures;
        full += statistics.disk_full;
    }
    assert!(laps > 300 && full > 8, "{laps} erasures, {full} times full");
}

/// vdo-96: a write that fails whenever it is tried ends the journal; what was committed stays, everything else fails, in order.
#[test]
fn a_failure_ends_the_journal() {
    let mut ended = 0;
    for seed in 0..80 {
        let mut model = run(seed, 2_000, 12);
        if model.journal.failed().is_none() {
            continue;
        }
        ended += 1;
        model.check_failed();
        let committed = model.journal.statistics().entries.committed;
        assert!(!model.advance(), "nothing is begun");
        while model.end_any() {}
        assert!(model.journal.is_idle());
        assert_eq!(model.journal.statistics().entries.committed, committed);
        check_cuts(&mut model);
    }
    assert!(ended > 60, "{ended} journals have failed");
}

/// vdo-97: with everybody doing only what the journal asks for, the smallest ring has room again whenever it was full,
/// the longest entry included.
#[test]
fn the_smallest_ring_goes_on() {
    for (volatile_cache, first_extra_bytes) in [(false, 0), (true, 0), (false, 1 << 17)] {
        for sector_bytes in [512, 4096] {
            let sizes = Sizes { sector_bytes, volatile_cache, first_extra_bytes, blocks: 4, ..SMALL };
            let mut model = Model::new(sizes, 1);
            for _ in 0..60 {
                while model.append() {
                    if model.random.one_in(3) {
                        model.advance();
                    }
                }
                let before = model.journal.next_entry();
                model.settle();
                assert_eq!(model.popped, before);
                assert!(model.append(), "the entry that did not fit does now");
            }
            assert!(model.erasures > 30);
            let statistics = model.journal.statistics();
            assert!(statistics.slab_journal_commits_requested > 15);
            assert!(statistics.slab_journal_commits_requested <= model.erasures + 2, "for a segment at least");
        }
    }
}
