// SPDX-License-Identifier: BSD-3-Clause

//! Which segments are erased, and when, and how much room there is.

use super::model::{is_page, remaps, with_entry, Model, Sizes, SMALL};
use crate::format::journal_record::{Entry, Point};
use crate::format::PageId;
use crate::journal::{Journal, JournalConfig, Waiter};
use crate::units::{Pbn, ShardId};
use crate::ReadOnlyReason;

/// Fills two thirds of a segment of [`SMALL`] with one record. Returns the number of the next entry.
fn fill_most_of_a_segment(model: &mut Model) -> u64 {
    remaps(model, 616);
    model.advance();
    while model.end_any() {}
    model.apply();
    model.popped
}

/// vdo-97: the zones are asked when half of the ring waits for them, all for full segments; not again before all have
/// answered.
#[test]
fn zones_are_asked_when_half_of_the_ring_waits() {
    let mut model = Model::new(Sizes { segments: 8, extra_bytes: 0, ..SMALL }, 1);
    // Each segment has 66 sectors, room for two records of 32 sectors.
    for record in 1..=8 {
        fill_most_of_a_segment(&mut model);
        assert_eq!(model.journal.wanted_commit(), None, "{record} records");
    }
    fill_most_of_a_segment(&mut model);
    assert_eq!(model.journal.wanted_commit(), Some(Point::start_of(8 * 616)), "the four segments that are full");
    assert_eq!(model.journal.wanted_commit(), None, "once");
    for _ in 0..2 {
        fill_most_of_a_segment(&mut model);
    }
    model.journal.slabs_committed(ShardId(0), Point::start_of(8 * 616));
    assert_eq!(model.journal.wanted_commit(), None, "a zone has not answered");
    model.journal.slabs_committed(ShardId(1), Point::start_of(8 * 616));
    assert_eq!(model.journal.wanted_commit(), None, "three records wait");
    assert_eq!(model.journal.statistics().slab_journal_commits_requested, 1);
}

/// vdo-97: the heads move only when the map and all zones allow it; segments are erased one by one, oldest first, and
/// never the one that is written.
#[test]
fn segments_are_erased_in_order_when_nobody_needs_them() {
    let mut model = Model::new(SMALL, 1);
    for _ in 0..5 {
        fill_most_of_a_segment(&mut model);
    }
    let journal = &mut model.journal;
    assert_eq!(journal.take_erasure(), None);
    journal.set_map_head(5 * 616);
    assert_eq!(journal.take_erasure(), None, "no zone has confirmed anything");
    journal.slabs_committed(ShardId(1), Point::start_of(5 * 616));
    assert_eq!(journal.take_erasure(), None, "one zone has not");
    journal.slabs_committed(ShardId(0), Point::new(2 * 616 - 1, 503));
    assert_eq!(journal.take_erasure(), None, "a change of the last entry is missing");
    journal.slabs_committed(ShardId(0), Point::start_of(5 * 616));
    assert_eq!(journal.take_erasure(), Some(0));
    assert!(journal.is_erasing());
    assert_eq!(journal.take_erasure(), None, "one at a time");
    let before = journal.room();
    journal.segment_erased(0, Ok(4));
    assert!(journal.room() > before);
    assert_eq!(journal.take_erasure(), Some(1));
    journal.segment_erased(1, Ok(4));
    assert_eq!(journal.take_erasure(), None, "the one that is written");
    assert!(!journal.is_erasing());
}

/// The need of the block map also keeps a segment.
#[test]
fn the_map_keeps_what_it_needs() {
    let mut model = Model::new(SMALL, 1);
    for _ in 0..3 {
        fill_most_of_a_segment(&mut model);
    }
    for zone in 0..2 {
        model.journal.slabs_committed(ShardId(zone), Point::start_of(3 * 616));
    }
    model.journal.set_map_head(2 * 616 - 1);
    assert_eq!(model.journal.take_erasure(), None);
    model.journal.set_map_head(2 * 616);
    assert_eq!(model.journal.take_erasure(), Some(0));
}

/// A failed erasure ends the journal.
#[test]
fn a_failed_erasure_ends_the_journal() {
    let mut model = Model::new(SMALL, 1);
    for _ in 0..3 {
        fill_most_of_a_segment(&mut model);
    }
    for zone in 0..2 {
        model.journal.slabs_committed(ShardId(zone), Point::start_of(3 * 616));
    }
    model.journal.set_map_head(3 * 616);
    assert_eq!(model.journal.take_erasure(), Some(0));
    remaps(&mut model, 1);
    model.journal.segment_erased(0, Err(()));
    assert_eq!(model.journal.failed(), Some(ReadOnlyReason::EraseFailed));
    assert_eq!((model.journal.room(), model.journal.take_erasure()), (0, None));
    assert!(!model.advance());
    assert_eq!(model.journal.pop_failed(), Some((3 * 616, Waiter::Vio(3 * 616))));
}

/// There is room for entries even if each is in a record of its own, and page entries have a reserve beyond it; then
/// the journal is full, which counts once.
#[test]
fn room_and_reserve_hold_for_any_records() {
    for seed in 0..20 {
        let mut model = Model::new(Sizes { page_reserve: 5, segments: 4, ..SMALL }, seed);
        // Records of all sizes, including the longest.
        while model.journal.room() > 40 {
            let number = model.journal.next_entry();
            if with_entry(number, is_page(number), |entry| model.journal.fits(entry)) {
                model.append();
            }
            if model.random.one_in(2) {
                model.advance();
                while model.end_any() {}
            }
        }
        let (mut room, before) = (model.journal.room(), model.journal.statistics().blocks.committed);
        let promised = room;
        while room > 0 {
            remaps(&mut model, 1);
            model.advance();
            while model.end_any() {}
            assert!(model.journal.room() + 1 >= room, "an entry takes one sector at most");
            room = model.journal.room();
        }
        let page = |index| Entry::Page { page: PageId { level: 0, index }, pbn: Pbn(1), life: 0 };
        for index in 0..5 {
            assert!(model.journal.fits(&page(index)));
            assert_eq!(model.journal.room(), 0);
            model.journal.append(&page(index), Waiter::Page(0));
            model.advance();
            while model.end_any() {}
        }
        assert!(model.journal.statistics().blocks.committed - before >= promised as u64 + 5);
        assert_eq!(model.journal.statistics().disk_full, 1);
    }
}

/// The longest records lose the most at the ends of segments; accepted entries still find their place.
#[test]
fn room_allows_for_what_long_records_lose() {
    for extra in [0, 28, 29, 30] {
        let mut model = Model::new(Sizes { segments: 4, extra_bytes: extra * 512, ..SMALL }, 1);
        while model.journal.room() > 0 {
            remaps(&mut model, 1);
        }
        while model.advance() {
            while model.end_any() {}
        }
        model.apply();
        assert_eq!(model.popped, model.journal.next_entry());
    }
}

/// Entries that are not committed when the journal fails do fail, even if a flush succeeds later.
#[test]
fn nothing_is_committed_after_a_failure() {
    let mut model = Model::new(Sizes { volatile_cache: true, ..SMALL }, 1);
    for _ in 0..3 {
        remaps(&mut model, 616);
        for _ in 0..3 {
            model.advance();
            model.end_any();
        }
        model.apply();
    }
    for zone in 0..2 {
        model.journal.slabs_committed(ShardId(zone), Point::start_of(3 * 616));
    }
    model.journal.set_map_head(3 * 616);
    remaps(&mut model, 1);
    for _ in 0..2 {
        model.advance();
        model.end_any();
    }
    model.advance();
    assert_eq!(model.medium.trace.last().map(String::as_str), Some("flush"), "the last of three");
    assert_eq!(model.journal.take_erasure(), Some(0));
    model.journal.segment_erased(0, Err(()));
    assert_eq!(model.journal.pop_failed(), Some((3 * 616, Waiter::Vio(3 * 616))));
    model.end_any();
    assert_eq!((model.journal.pop_committed(), model.journal.pop_failed()), (None, None));
    assert_eq!(model.journal.statistics().entries.committed, 3 * 616);
    assert!(model.journal.is_idle());
}

fn with_segments(segments: usize, bytes_less: u64) -> Journal<u32> {
    let mut config = JournalConfig { segments: Vec::new(), ..Model::config(SMALL) };
    config.segments = Model::config(SMALL).segments.into_iter().cycle().take(segments).collect();
    config.segments[0].capacity_bytes -= bytes_less;
    Journal::new(&config)
}

#[test]
fn the_smallest_journal_is_built() {
    assert!(with_segments(3, 0).room() > 0);
}

#[test]
#[should_panic(expected = "2 segments are too few")]
fn two_segments_are_too_few() {
    with_segments(2, 0);
}

#[test]
#[should_panic(expected = "is too small, 33792 bytes are needed")]
fn a_small_segment_is_refused() {
    with_segments(3, 512);
}
