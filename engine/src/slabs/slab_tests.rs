// SPDX-License-Identifier: BSD-3-Clause

//! Slab journals, summaries and write-back: order, flow control, failures.

use super::event::{Applied, PhysicalEvent, Source};
use super::layout::{BlockIndex, SlabIndex};
use super::test_zone::{Address, Setup, TestZone, DATA, VIO};
use super::{PhysicalError, MIN_METADATA_BUFS};
use crate::env::{Direction, ReadOnlyReason};
use crate::error::RequestError;
use crate::format::area::AreaLayout;
use crate::format::journal_record::Point;
use crate::format::slab_summary::SlabSummary;
use crate::format::Geometry;
use crate::message::{Allocation, Claim, VioRef};
use crate::units::{Blocks, Pbn, ShardId};

const FIRST: Pbn = Pbn(64);

/// Three reference blocks, a ring of 32.
const SLAB_BLOCKS: u64 = 8192;
const AREA: AreaLayout = AreaLayout::of(SLAB_BLOCKS);

fn setup(slabs: u64) -> Setup {
    let end = FIRST.plus(SLAB_BLOCKS * slabs);
    Setup {
        bufs: MIN_METADATA_BUFS,
        locks: 400,
        ..Setup::new(&Geometry::new(1, Blocks(1), FIRST, end, SLAB_BLOCKS).expect("valid"))
    }
}

/// The kind of a block in an area.
fn part((_, block): Address) -> &'static str {
    match block {
        0 => "summary",
        block if block <= AREA.reference_blocks => "counts",
        _ => "journal",
    }
}

fn is_counts((_, block): Address) -> bool {
    (1..=AREA.reference_blocks).contains(&block)
}

/// The writes of a zone, by kind, without repetitions.
fn writes(zone: &TestZone) -> Vec<&'static str> {
    let mut writes: Vec<_> = zone.media.trace.iter().filter(|(direction, _)| *direction == Direction::Write).collect();
    writes.dedup_by_key(|(_, at)| part(*at));
    writes.iter().map(|(_, at)| part(*at)).collect()
}

fn summary(zone: &TestZone, slab: u64) -> SlabSummary {
    let block = zone.media.current((slab, 0)).expect("formatted");
    SlabSummary::decode(super::test_zone::NONCE, slab, block).expect("whole").0
}

/// vdo-51: a change goes to the journal, the journal's block to media, the summary names it, and only then are counts
/// written; the head follows with the next summary.
#[test]
fn counts_are_written_after_the_journal() {
    let mut zone = setup(1).create();
    let pbn = zone.store();
    assert_eq!((zone.references(pbn), zone.media.trace.len()), (Some(1), 0), "in memory at once, on media later");
    // The summary is slow: the journal may be written, but counts must wait.
    zone.media.holds = |_, (_, block)| block == 0;
    zone.zone.begin_save();
    zone.settle();
    assert_eq!(writes(&zone), ["journal", "summary"]);
    assert!(!zone.is_clean());
    zone.release_transfers();
    zone.settle();
    assert!(zone.is_clean());
    assert_eq!(writes(&zone), ["journal", "summary", "counts", "summary"]);
    let statistics = zone.statistics();
    assert_eq!(
        (statistics.slab_journal_blocks_written, statistics.reference_blocks_written),
        (1, 3),
        "all the first time"
    );
    let SlabSummary { head, tail, next_entry, counts_written, opened, free_blocks, .. } = summary(&zone, 0);
    assert_eq!((head, tail, next_entry, counts_written, opened, free_blocks), (2, 2, 1, true, true, 8191));
}

/// vdo-50: an allocation that is not used, and a duplicate's, leave no trace on media.
#[test]
fn unused_allocations_are_not_journaled() {
    let mut zone = setup(1).create();
    for _ in 0..2000 {
        let pbn = zone.allocate().expect("no error").expect("not full");
        zone.release(pbn, 0).expect("held");
    }
    zone.commit();
    zone.zone.begin_save();
    zone.settle();
    assert!(zone.is_clean());
    assert_eq!(zone.media.trace, []);
}

/// Adds a reference to the next referenced block, and closes a journal block behind the change.
fn update_and_close(zone: &mut TestZone) -> bool {
    let pbn = zone.allocate().expect("no error").expect("not full");
    let source = zone.source();
    let applied = zone.zone.increment(pbn, source, VIO).expect("claimed");
    zone.zone.commit_journals(ShardId(0), source.point);
    zone.settle();
    if applied == Applied::Now {
        zone.release(pbn, 253).expect("held");
    }
    applied == Applied::Now
}

/// vdo-70, vdo-105: with counts that cannot be written a journal grows: from F on write-back is launched, at B updates
/// wait, and continue in order when the counts are written. The ring never overflows, no journal block is overwritten
/// early.
#[test]
fn a_journal_at_its_threshold_makes_updates_wait() {
    let mut zone = setup(1).create();
    zone.media.holds = |_, at| is_counts(at);
    for length in 1..=29 {
        assert!(update_and_close(&mut zone), "{length}");
        assert_eq!(summary(&zone, 0).journal_length(), length);
        let launched = zone.media.trace.iter().any(|&(_, at)| is_counts(at));
        assert_eq!(launched, length >= 24, "{length}");
    }
    zone.take_events();
    assert_eq!((zone.statistics().slab_journal_flushes, zone.statistics().slab_journal_blocked), (6, 0));
    let mut late = vec![];
    for index in 0..5 {
        let pbn = zone.allocate().expect("no error").expect("not full");
        let source = zone.source();
        let vio = VioRef { shard: ShardId(3), index };
        assert_eq!(zone.zone.increment(pbn, source, vio), Ok(Applied::Later));
        assert_eq!(zone.references(pbn), Some(255), "not counted before it is in the journal");
        late.push(pbn);
    }
    zone.settle();
    assert_eq!(zone.take_events(), []);
    assert_eq!(zone.statistics().slab_journal_blocked, 1, "one wait");
    zone.release_transfers();
    zone.settle();
    let expected: Vec<_> = (0..5)
        .map(|index| PhysicalEvent::Incremented { vio: VioRef { shard: ShardId(3), index }, result: Ok(()) })
        .collect();
    assert_eq!(zone.take_events(), expected);
    assert!(late.iter().all(|&pbn| zone.references(pbn) == Some(1)));
    assert!(summary(&zone, 0).journal_length() < 29, "the head has moved");
    zone.audit().expect("consistent");
    // Several times around the ring.
    for _ in 0..200 {
        update_and_close(&mut zone);
        assert!(summary(&zone, 0).journal_length() <= 29);
    }
    assert_eq!(zone.statistics().slab_journal_disk_full, 0);
}

/// vdo-105: updates beyond the blocks that can be written at a time wait, and keep their order.
#[test]
fn a_slow_device_makes_updates_wait() {
    let mut zone = setup(1).create();
    zone.media.holds = |direction, _| direction == Direction::Write;
    let pbn = zone.store();
    let mut asked = 1;
    while zone.is_idle() {
        assert_eq!(zone.lock_for_read(pbn), Ok(super::ReadLock::Granted { lease: 253 }));
        let (one, other) = (zone.source(), zone.source());
        let applied = zone.zone.increment(pbn, one, VIO).expect("leased");
        zone.zone.decrement(pbn, 1, other).expect("referenced");
        if applied == Applied::Now {
            zone.release(pbn, 252).expect("held");
        }
        asked += 2;
        zone.settle();
    }
    // Four blocks are closed and being written, the fifth is full.
    let block = crate::format::slab_journal_block::ENTRIES_PER_BLOCK as u64;
    assert!((5 * block..5 * block + 3).contains(&asked), "{asked}");
    assert_eq!(zone.statistics().slab_journal_tail_busy, 1);
    zone.release_transfers();
    zone.settle();
    assert_eq!((zone.references(pbn), zone.take_events().len() <= 1), (Some(1), true));
    zone.commit();
}

/// vdo-106: while one summary is being written, no other of the slab is; the next covers everything that came
/// meanwhile, and all waiters are answered.
#[test]
fn summaries_are_coalesced() {
    let mut zone = setup(2).create();
    zone.media.holds = |_, (_, block)| block == 0;
    for journal in 0..20 {
        let pbn = zone.allocate().expect("no error").expect("not full");
        let source = Source { journal: ShardId(journal), point: Point::new(1, 0) };
        assert_eq!(zone.zone.increment(pbn, source, VIO), Ok(Applied::Now));
        zone.zone.commit_journals(ShardId(journal), source.point);
        zone.settle();
    }
    assert_eq!(zone.statistics().slab_journal_blocks_written, 20);
    let told = |zone: &mut TestZone| {
        let events = zone.take_events();
        events.iter().filter(|event| matches!(event, PhysicalEvent::JournalsCommitted { .. })).count()
    };
    let summaries = |zone: &TestZone| zone.statistics().slab_summaries_written;
    assert_eq!((told(&mut zone), summaries(&zone)), (0, 1));
    zone.release_transfers();
    zone.settle();
    assert_eq!(told(&mut zone), 20);
    assert!(summaries(&zone) <= 3, "{}", summaries(&zone));
    assert_eq!(summary(&zone, 0).tail, 21);
}

/// A request is answered at once when nothing is held, and only when all of the journal's changes are on media.
#[test]
fn commit_requests_wait_for_their_journal_only() {
    let mut zone = setup(2).create();
    let at = |journal, entry| Source { journal: ShardId(journal), point: Point::new(entry, 0) };
    let committed =
        |journal, entry| PhysicalEvent::JournalsCommitted { journal: ShardId(journal), up_to: Point::new(entry, 0) };
    zone.zone.commit_journals(ShardId(1), Point::new(9, 0));
    assert_eq!(zone.take_events(), [committed(1, 9)]);

    let pbn = zone.allocate().expect("no error").expect("not full");
    assert_eq!(zone.zone.increment(pbn, at(1, 10), VIO), Ok(Applied::Now));
    zone.media.holds = |direction, _| direction == Direction::Write;
    zone.zone.commit_journals(ShardId(1), Point::new(10, 0));
    zone.zone.commit_journals(ShardId(2), Point::new(10, 0));
    zone.settle();
    assert_eq!(zone.take_events(), [committed(2, 10)]);
    assert_eq!(zone.media.pending(), 1, "the block was closed");
    zone.release_transfers();
    zone.settle();
    assert_eq!(zone.take_events(), [committed(1, 10)]);
    assert_eq!(summary(&zone, 0).points[1], Point::new(10, 0).next());
}

/// A refused change delays no request.
#[test]
fn refused_changes_do_not_hold_up_requests() {
    let mut zone = setup(1).create();
    let stored = zone.store();
    let refused = PhysicalError::ReferenceCount { pbn: FIRST.plus(5), operation: "decrement" };
    assert_eq!(zone.decrement(FIRST.plus(5), 2), Err(refused));
    zone.commit();
    let events = zone.take_events();
    assert!(matches!(events[..], [PhysicalEvent::JournalsCommitted { .. }]), "{events:?}");
    assert_eq!((summary(&zone, 0).next_entry, zone.references(stored)), (1, Some(1)), "it is not in the journal");
    // Nor does one that leaves no block open.
    assert_eq!(zone.decrement(FIRST.plus(5), 1), Err(refused));
    zone.commit();
    assert_eq!(zone.take_events().len(), 1);
}

/// A decrement of a provisional reference is refused, and not journaled.
#[test]
fn provisional_references_are_not_decremented() {
    let mut zone = setup(1).create();
    let pbn = zone.allocate().expect("no error").expect("not full");
    let refused = PhysicalError::ReferenceCount { pbn, operation: "decrement" };
    assert_eq!(zone.decrement(pbn, 1), Err(refused));
    zone.release(pbn, 0).expect("held");
    assert_eq!(zone.references(pbn), Some(0));
    zone.audit().expect("consistent");
}

/// Nor does one that is refused while the changes of other journals are in memory only.
#[test]
fn refused_changes_of_one_journal_do_not_wait_for_others() {
    let mut zone = setup(1).create();
    zone.store();
    let refused = Source { journal: ShardId(1), point: Point::new(5, 0) };
    assert!(zone.zone.decrement(FIRST.plus(5), 1, refused).is_err());
    zone.zone.commit_journals(ShardId(1), refused.point);
    zone.settle();
    assert_eq!(zone.take_events(), [PhysicalEvent::JournalsCommitted { journal: ShardId(1), up_to: refused.point }]);
}

/// vdo-105: an update that fits does not overtake one of its slab that does not.
#[test]
fn updates_of_a_slab_keep_their_order() {
    let mut zone = setup(1).create();
    let blocks: Vec<Pbn> = (0..504).map(|_| zone.store()).collect();
    zone.media.holds = |direction, _| direction == Direction::Write;
    // Four blocks are being written; then one is filled but for three entries.
    for journal in 0..4 {
        let source = Source { journal: ShardId(10 + journal), point: Point::new(1, 0) };
        zone.zone.decrement(blocks[usize::from(journal)], 1, source).expect("referenced");
        zone.zone.commit_journals(source.journal, source.point);
        zone.settle();
    }
    let pbn = blocks[400];
    assert!(matches!(zone.lock_for_read(pbn), Ok(super::ReadLock::Granted { .. })));
    while zone.zone.depot.slab(SlabIndex(0)).journal.room(&zone.zone.depot.tails) != Some(3) {
        let source = zone.source();
        assert_eq!(zone.zone.increment(pbn, source, VIO), Ok(Applied::Now));
        let source = zone.source();
        zone.zone.decrement(pbn, 1, source).expect("referenced");
    }
    let (long, short) = (zone.source(), zone.source());
    zone.zone.decrement(blocks[10], 390, long).expect("waits");
    assert!(!zone.is_idle());
    zone.zone.decrement(blocks[500], 1, short).expect("waits behind it");
    assert_eq!((zone.references(blocks[10]), zone.references(blocks[500])), (Some(1), Some(1)));
    zone.release_transfers();
    zone.settle();
    assert_eq!((zone.references(blocks[10]), zone.references(blocks[500])), (Some(0), Some(0)));
    assert!(!zone.take_events().iter().any(|event| matches!(event, PhysicalEvent::ReadOnly(_))));
}

/// The head moves only when the counts that it relies on are durable, also when a summary is in flight while they are
/// being written.
#[test]
fn the_head_waits_for_durable_counts() {
    let mut zone = setup(1).create();
    zone.media.holds = |_, at| is_counts(at);
    (0..24).for_each(|_| assert!(update_and_close(&mut zone)));
    // The round of write-back has begun. A summary waits for its flush while the counts' writes end.
    zone.media.hold_flushes = true;
    assert!(update_and_close(&mut zone));
    zone.release_transfers();
    zone.settle();
    zone.media.hold_flushes = false;
    let is_durable = |zone: &TestZone| (1..=3).all(|block| zone.media.durable.contains_key(&(0, block)));
    while zone.step() {
        assert!(summary(&zone, 0).head == 1 || is_durable(&zone));
    }
    assert!(summary(&zone, 0).head > 1);
}

/// Counts are not used before every reference block was written once, in however many rounds.
#[test]
fn all_counts_are_written_before_any_counts() {
    let slab_blocks = 1 << 18;
    let geometry = Geometry::new(1, Blocks(1), FIRST, FIRST.plus(slab_blocks), slab_blocks).expect("valid");
    let mut zone = Setup::new(&geometry).create();
    zone.store();
    zone.zone.begin_save();
    zone.media.holds = |_, (_, block)| (41..=66).contains(&block);
    zone.settle();
    assert_eq!(zone.zone.depot.slab(SlabIndex(0)).first_writes, 66 - 32, "one round of 32 has ended");
    assert_eq!((summary(&zone, 0).counts_written, summary(&zone, 0).head), (false, 1));
    zone.release_transfers();
    zone.settle();
    assert!(zone.is_clean());
    assert_eq!((summary(&zone, 0).counts_written, summary(&zone, 0).head), (true, 2));
}

/// The parts of one change are never in two journal blocks: a summary names all of it, or nothing.
#[test]
fn a_run_is_in_one_block() {
    let mut zone = setup(1).create();
    let blocks: Vec<Pbn> = (0..1001).map(|_| zone.store()).collect();
    // 1001 of 1003 entries are taken; a run of 504 blocks needs four.
    zone.decrement(blocks[0], 504).expect("referenced");
    zone.settle();
    assert_eq!(summary(&zone, 0).next_entry, 1001);
    zone.commit();
    assert_eq!(summary(&zone, 0).next_entry, 1005);
    assert_eq!(zone.references(blocks[503]), Some(0));
    assert_eq!(zone.references(blocks[504]), Some(1));
}

/// I8: a point that is not behind all earlier ones of its journal ends all writing.
#[test]
fn points_must_increase() {
    let mut zone = setup(1).create();
    let pbn = zone.allocate().expect("no error").expect("not full");
    let at = |entry| Source { journal: ShardId(4), point: Point::new(entry, 1) };
    assert_eq!(zone.zone.increment(pbn, at(7), VIO), Ok(Applied::Now));
    assert_eq!(zone.zone.increment(pbn, at(7), VIO), Ok(Applied::Later));
    let events = zone.take_events();
    assert_eq!(
        events,
        [
            PhysicalEvent::ReadOnly(ReadOnlyReason::Damaged("the order of slab journal entries")),
            PhysicalEvent::Incremented { vio: VIO, result: Err(RequestError::ReadOnly) },
        ]
    );
    assert_eq!(zone.references(pbn), Some(1));
}

/// Reference blocks are written again before the 32 bits of their commit points could be mistaken.
#[test]
fn commit_points_do_not_grow_too_old() {
    let setup = setup(1);
    let mut zone = setup.create();
    zone.store();
    let mut areas = zone.save();
    let (mut old, _) = SlabSummary::decode(super::test_zone::NONCE, 0, &areas[&(0, 0)]).expect("whole");
    old.next_entry = (1 << 30) - 3;
    areas.insert((0, 0), setup.summary_block(0, &old));
    let mut zone = Setup { generation: 2, ..setup }.load(areas);
    zone.settle();
    let updates = |zone: &mut TestZone| {
        zone.store();
        zone.zone.begin_save();
        zone.settle();
        zone.resume();
        zone.statistics().reference_blocks_written
    };
    assert_eq!([(); 5].map(|()| updates(&mut zone)), [1, 2, 5, 6, 7], "all three when 2^30 is passed");
}

/// What comes free while a save writes counts costs no summary of its own: the last one has it.
#[test]
fn a_save_corrects_the_hint_at_its_end() {
    let mut zone = setup(1).create();
    zone.store();
    let pbn = zone.allocate().expect("no error").expect("not full");
    zone.media.holds = |_, at| is_counts(at);
    zone.zone.begin_save();
    zone.settle();
    zone.release(pbn, 0).expect("held");
    let summaries = |zone: &TestZone| zone.media.trace.iter().filter(|(_, at)| part(*at) == "summary").count();
    assert_eq!((summaries(&zone), zone.is_clean()), (1, false));
    zone.release_transfers();
    zone.settle();
    assert_eq!((summaries(&zone), zone.is_clean()), (2, true));
    assert_eq!(u64::from(summary(&zone, 0).free_blocks), zone.free_blocks());
}

/// A request to commit closes the blocks that have what it asks for, and not those with later changes of the same journal,
/// even if another request waits for their slab.
#[test]
fn a_commit_request_leaves_later_changes_alone() {
    let geometry = Geometry::new(2, Blocks(1), FIRST, FIRST.plus(4 * 8), 8).expect("valid");
    let mut zone = Setup { bufs: MIN_METADATA_BUFS, ..Setup::new(&geometry) }.create();
    let blocks: Vec<Pbn> = (0..16).map(|_| zone.allocate().expect("no error").expect("not full")).collect();
    zone.media.holds = |direction, _| direction == Direction::Write;
    let change = |zone: &mut TestZone, block: usize, journal: u16, point: u64| {
        let source = Source { journal: ShardId(journal), point: Point(point) };
        assert_eq!(zone.zone.increment(blocks[block], source, VIO), Ok(Applied::Now));
        zone.settle();
    };
    let commit = |zone: &mut TestZone, journal: u16, point: u64| {
        zone.zone.commit_journals(ShardId(journal), Point(point));
        zone.settle();
    };
    // Each of two slabs is waited for by a journal of its own.
    change(&mut zone, 0, 0, 5);
    commit(&mut zone, 0, 5);
    change(&mut zone, 8, 1, 5);
    commit(&mut zone, 1, 5);
    change(&mut zone, 9, 0, 6);
    zone.release_transfers();
    zone.settle();
    assert_eq!(zone.statistics().slab_journal_blocks_written, 2, "the third block is being filled");
    let committed =
        zone.take_events().into_iter().filter(|event| matches!(event, PhysicalEvent::JournalsCommitted { .. }));
    assert_eq!(committed.count(), 2);
}

/// vdo-64: when a transfer fails for good, whichever it is, the zone says so once, answers all waiters and starts
/// nothing more; media stay right.
#[test]
fn every_failing_transfer_ends_writing() {
    let script = |zone: &mut TestZone| {
        for round in 0..8 {
            for index in 0..40 {
                let Ok(Some(pbn)) = zone.allocate() else { break };
                let source = zone.source();
                let vio = VioRef { shard: ShardId(0), index: round * 100 + index };
                if zone.zone.increment(pbn, source, vio).expect("claimed") == Applied::Now {
                    zone.release(pbn, 253).expect("held");
                }
            }
            let up_to = zone.source().point;
            zone.zone.commit_journals(ShardId(0), up_to);
            zone.settle();
        }
        zone.zone.begin_save();
        zone.settle();
    };
    let mut good = setup(1).create();
    script(&mut good);
    assert!(good.is_clean());
    let transfers = good.media.trace.len();
    assert!(transfers > 10);
    for nth in 0..transfers {
        let mut zone = setup(1).create();
        zone.media.fail_nth = Some(nth);
        script(&mut zone);
        let events = zone.take_events();
        let told =
            events.iter().filter(|event| matches!(event, PhysicalEvent::ReadOnly(ReadOnlyReason::WriteFailed(_))));
        assert_eq!(told.count(), 1, "transfer {nth}");
        assert!(zone.is_clean() && zone.is_idle());
        let before = zone.media.trace.len();
        assert_eq!(zone.allocate(), Ok(None), "nothing is allocated any more");
        let pbn = zone.layout().pbn(BlockIndex(0));
        let source = zone.source();
        assert_eq!(zone.zone.increment(pbn, source, VIO), Ok(Applied::Later));
        let answer = PhysicalEvent::Incremented { vio: VIO, result: Err(RequestError::ReadOnly) };
        assert_eq!(zone.take_events(), [answer]);
        zone.settle();
        assert_eq!(zone.media.trace.len(), before, "nothing more is started");
        summary(&zone, 0);
    }
}

/// vdo-64: all waiters are answered when writing ends, and nothing else is.
#[test]
fn read_only_ends_every_wait() {
    let mut zone = setup(1).create();
    zone.media.holds = |_, at| is_counts(at);
    while update_and_close(&mut zone) {}
    let page = zone.allocate_for_block_map().expect("no error").expect("not full");
    let source = zone.source();
    zone.zone.reference_page(page, source).expect("waits");
    zone.take_events();
    assert!(!zone.is_idle());
    let locks = zone.locks_in_use();
    zone.zone.read_only();
    assert_eq!(zone.take_events(), [PhysicalEvent::Incremented { vio: VIO, result: Err(RequestError::ReadOnly) }]);
    assert!(zone.is_idle());
    assert_eq!(zone.locks_in_use(), locks, "a page that is recorded keeps its block");
    for claim in [Claim::New, Claim::Upkeep, Claim::Instead(page)] {
        assert_eq!(zone.zone.allocate(DATA, claim, true), Ok(Allocation::ReadOnly));
    }
    zone.release_transfers();
    zone.settle();
    assert!(zone.is_clean());
    zone.audit().expect("consistent");
}

/// I14: a saved zone starts nothing until it is resumed, though there is work.
#[test]
fn a_saved_zone_is_quiet() {
    let mut zone = setup(2).create();
    let pbn = zone.store();
    zone.save();
    let before = zone.media.trace.len();
    for _ in 0..10 {
        zone.settle();
    }
    assert_eq!(zone.media.trace.len(), before);
    zone.resume();
    zone.decrement(pbn, 1).expect("referenced");
    zone.commit();
    assert!(zone.media.trace.len() > before);
}
