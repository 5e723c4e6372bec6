// SPDX-License-Identifier: BSD-3-Clause

//! The requests to the medium, step by step, and when entries are committed.

use super::model::{remaps, Model, Sizes, SMALL};
use crate::env::Direction;
use crate::format::Place;
use crate::io::{MetadataIo, MetadataOwner};
use crate::journal::MAX_SETS;
use crate::ReadOnlyReason;

/// Advances the journal, and returns its requests since the last call.
fn advance(model: &mut Model) -> Vec<String> {
    model.advance();
    std::mem::take(&mut model.medium.trace)
}

/// Ends the request that was made `before_last` requests before the last one, and advances the journal.
fn end(model: &mut Model, before_last: usize) -> Vec<String> {
    model.end(model.medium.under_way.len() - 1 - before_last);
    let asked = advance(model);
    model.apply();
    asked
}

const NOTHING: [&str; 0] = [];

/// vdo-96: with a volatile cache it takes flush, write, flush, and the second flush of a batch is the first of the next;
/// nothing is committed before it has ended.
#[test]
fn flush_write_flush() {
    let mut model = Model::new(Sizes { volatile_cache: true, ..SMALL }, 1);
    assert_eq!(advance(&mut model), NOTHING, "nothing to do");
    remaps(&mut model, 3);
    assert_eq!(advance(&mut model), ["flush"], "the data of three");
    remaps(&mut model, 2);
    assert_eq!(advance(&mut model), NOTHING);
    assert_eq!(end(&mut model, 0), ["0:0+1"], "three entries");
    assert_eq!(end(&mut model, 0), ["flush"], "of three entries, and of the data of two");
    remaps(&mut model, 1);
    assert_eq!(advance(&mut model), NOTHING, "the data of the sixth comes after that flush was begun");
    assert_eq!(model.popped, 0, "written is not durable");
    assert_eq!(end(&mut model, 0), ["0:1+1"], "two entries");
    assert_eq!(model.popped, 3);
    assert_eq!(end(&mut model, 0), ["flush"]);
    assert_eq!(model.popped, 3);
    assert_eq!(end(&mut model, 0), ["0:2+1"]);
    assert_eq!(model.popped, 5);
    assert_eq!(end(&mut model, 0), ["flush"], "at once, although nothing else waits");
    assert!(!model.journal.is_idle());
    assert_eq!(end(&mut model, 0), NOTHING);
    assert_eq!(model.popped, 6);
    assert!(model.journal.is_idle());
    let statistics = model.journal.statistics();
    assert_eq!((statistics.flushes, statistics.blocks.committed, statistics.bytes_written), (4, 3, 3 * 512));
}

/// vdo-96: without a volatile cache several batches are under way; they are committed in order.
#[test]
fn batches_settle_in_order() {
    let mut model = Model::new(SMALL, 1);
    remaps(&mut model, 2);
    assert_eq!(advance(&mut model), ["0:0+1"]);
    remaps(&mut model, 1);
    assert_eq!(advance(&mut model), ["0:1+1"]);
    assert_eq!(end(&mut model, 0), NOTHING);
    assert_eq!(model.popped, 0, "the third entry is durable, but not those before it");
    let statistics = model.journal.statistics();
    assert_eq!((statistics.entries.written, statistics.entries.committed), (1, 0));
    assert_eq!(end(&mut model, 0), NOTHING);
    assert_eq!(model.popped, 3);
    assert!(model.journal.is_idle());
}

/// Group commit: entries that are appended while all slots are taken go into one record.
#[test]
fn entries_gather_while_the_medium_is_busy() {
    let mut model = Model::new(SMALL, 1);
    for set in 0..MAX_SETS {
        remaps(&mut model, 1);
        assert_eq!(advance(&mut model), [format!("0:{set}+1")]);
    }
    for _ in 0..40 {
        remaps(&mut model, 1);
        assert_eq!(advance(&mut model), NOTHING);
    }
    assert_eq!(end(&mut model, 3), NOTHING, "no place is free before the oldest has settled");
    assert_eq!(end(&mut model, MAX_SETS - 2), ["0:8+3"], "header and forty entries: 1024 of 3 * 464 bytes");
    assert_eq!(model.popped, 1);
}

/// A batch larger than a flush set becomes several records; a record that does not fit into a segment goes to the next.
#[test]
fn large_batches_are_split() {
    let mut model = Model::new(SMALL, 1);
    remaps(&mut model, 616 + 85);
    assert_eq!(advance(&mut model), ["0:0+32", "0:32+5"], "(32 * 464 - 64) / 24 = 616");
    remaps(&mut model, 616 + 1);
    assert_eq!(advance(&mut model), ["1:0+32", "1:32+1"], "66 sectors are no room for 37 + 32");
    while !model.medium.under_way.is_empty() {
        end(&mut model, 0);
    }
    assert_eq!(model.popped, 616 + 85 + 616 + 1);
}

/// With memory for one set only one is in flight, and a batch takes several rounds of flush and write.
#[test]
fn little_memory_is_enough() {
    let mut model = Model::new(Sizes { volatile_cache: true, blocks: 4, ..SMALL }, 1);
    remaps(&mut model, 616 + 1);
    assert_eq!(advance(&mut model), ["flush"]);
    assert_eq!(end(&mut model, 0), ["0:0+32"]);
    remaps(&mut model, 1);
    assert_eq!(end(&mut model, 0), ["flush"], "the place is free only when its set is durable");
    assert_eq!(end(&mut model, 0), ["0:32+1"]);
    assert_eq!(model.popped, 616);
    assert_eq!(end(&mut model, 0), ["flush"]);
    assert_eq!(end(&mut model, 0), ["0:33+1"]);
    assert_eq!(model.popped, 617);
}

/// A failed flush ends the journal, like a failed write.
#[test]
fn a_failed_flush_ends_the_journal() {
    let mut model = Model::new(Sizes { volatile_cache: true, ..SMALL }, 1);
    remaps(&mut model, 2);
    advance(&mut model);
    model.failures = 1;
    assert_eq!(end(&mut model, 0), NOTHING);
    assert_eq!(model.journal.failed(), Some(ReadOnlyReason::WriteFailed("recovery journal")));
    model.check_failed();
}

/// A failed batch takes the later ones along, whether their writes succeed before it fails or afterwards: nothing is
/// committed, or appended, after a missing entry.
#[test]
fn a_failed_batch_takes_the_later_ones_along() {
    for later_first in [true, false] {
        let mut model = Model::new(SMALL, 1);
        for entries in [2, 1] {
            remaps(&mut model, entries);
            advance(&mut model);
        }
        if later_first {
            end(&mut model, 0);
        }
        model.failures = 1;
        for _ in 0..5 {
            model.end(0);
            assert_eq!(model.journal.failed(), None, "it is tried again");
        }
        while model.journal.failed().is_none() {
            model.end(0);
        }
        assert_eq!(model.journal.failed(), Some(ReadOnlyReason::WriteFailed("recovery journal")));
        model.failures = 0;
        while model.end_any() {}
        assert!(!model.advance(), "nothing is begun");
        assert_eq!(model.journal.statistics().entries.committed, 0);
        model.check_failed();
    }
}

/// Records that may be written wait for a free transfer, not for another flush.
#[test]
fn a_lack_of_transfers_brings_no_flushes() {
    let mut model = Model::new(Sizes { volatile_cache: true, ..SMALL }, 1);
    model.io = MetadataIo::new(1, true);
    remaps(&mut model, 1);
    assert_eq!(advance(&mut model), ["flush"]);
    let elsewhere = (Direction::Write, Place::Journal { segment: 2, offset: 0 });
    model.io.submit(&mut model.medium, elsewhere, &[0], MetadataOwner::Map(0));
    assert_eq!(model.io.room(), 0);
    assert_eq!(end(&mut model, 1), ["2:0+8"], "the other's transfer alone");
    assert_eq!(advance(&mut model), NOTHING);
}
