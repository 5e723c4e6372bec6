// SPDX-License-Identifier: BSD-3-Clause

//! Loading, scrubbing, saving and growing.

use mpool::units::Nanos;

use super::event::{PhysicalEvent, Requester, Source};
use super::test_zone::{Address, Areas, Setup, TestZone, DATA, NONCE, VIO};
use super::ReadLock;
use crate::env::{Direction, ReadOnlyReason};
use crate::format::area::{AreaBlock, AreaLayout};
use crate::format::journal_record::Point;
use crate::format::slab_journal_block::{self, SlabChange, SlabEntry};
use crate::format::slab_summary::SlabSummary;
use crate::format::{reference_block, Geometry};
use crate::message::{Allocation, Claim, MemberRef};
use crate::units::{Blocks, Pbn, ShardId, BLOCK_SIZE};

const FIRST: Pbn = Pbn(64);
const SLAB_BLOCKS: u64 = 64;
const AREA: AreaLayout = AreaLayout::of(SLAB_BLOCKS);

fn geometry(shards: usize, slabs: u64) -> Geometry {
    Geometry::new(shards, Blocks(1), FIRST, FIRST.plus(SLAB_BLOCKS * slabs), SLAB_BLOCKS).expect("valid")
}

fn setup(slabs: u64) -> Setup {
    Setup { locks: 400, ..Setup::new(&geometry(1, slabs)) }
}

fn pbn(slab: u64, offset: u64) -> Pbn {
    FIRST.plus(slab * SLAB_BLOCKS + offset)
}

/// Puts the area of a used slab on media: `references` for each block, `blocks` journal blocks with one increment of
/// block 0 each, and a summary that claims `free_blocks`.
fn put_slab(setup: &Setup, areas: &mut Areas, slab: u64, references: u8, blocks: u64, free_blocks: u32) {
    let mut counts = Box::new([0; BLOCK_SIZE]);
    let id = |block| AreaBlock { nonce: NONCE, slab, block };
    reference_block::encode(id(AREA.reference_block(0)), 0, &[references; SLAB_BLOCKS as usize], &mut counts);
    areas.insert((slab, AREA.reference_block(0)), counts);
    for number in 0..blocks {
        let sequence = 1 + number;
        let entry = SlabEntry { offset: 0, count: 1, change: SlabChange::Increment };
        let mut block = Box::new([0; BLOCK_SIZE]);
        let at = AREA.journal_block(sequence);
        slab_journal_block::encode(id(at), sequence, number, [entry].into_iter(), &mut block);
        areas.insert((slab, at), block);
    }
    let summary = SlabSummary {
        head: 1,
        tail: 1 + blocks,
        next_entry: blocks,
        free_blocks,
        counts_written: true,
        opened: true,
        ..setup.unused()
    };
    areas.insert((slab, 0), setup.summary_block(slab, &summary));
}

/// The slabs that were read, in order.
fn scrubbed(zone: &TestZone) -> Vec<u64> {
    let reads = zone.media.trace.iter().filter(|(direction, _)| *direction == Direction::Read);
    let mut slabs: Vec<_> = reads.map(|&(_, (slab, _))| slab).collect();
    slabs.dedup();
    slabs
}

fn scrubbings_done(zone: &mut TestZone) -> usize {
    zone.take_events().iter().filter(|&&event| event == PhysicalEvent::ScrubbingDone).count()
}

/// vdo-54, adapted: a zone is online before its first slab is scrubbed, however many must be, for most requests: it
/// stores blocks, and takes changes of slabs that it has not read.
#[test]
fn a_zone_is_online_before_any_slab_is_scrubbed() {
    for slabs in [3, 60] {
        let setup = setup(slabs);
        let mut areas = setup.format();
        (1..slabs).for_each(|slab| put_slab(&setup, &mut areas, slab, 5, if slab % 2 == 0 { 29 } else { 1 }, 10));
        let mut zone = setup.load(areas);
        zone.media.holds = |direction, _| direction == Direction::Read;
        let stored: Vec<Pbn> = (0..4).map(|_| zone.store()).collect();
        assert_eq!(stored, [0, 1, 2, 3].map(|offset| pbn(0, offset)));
        (0..4).for_each(|offset| zone.decrement(pbn(1, offset), 1).expect("taken"));
        zone.settle();
        assert!(zone.is_idle(), "nobody waits");
        assert_eq!(scrubbed(&zone), [2], "one with a long journal comes first");
        let statistics = zone.statistics();
        assert_eq!((statistics.slabs_scrubbed, statistics.slabs_unrecovered), (0, slabs - 1));
        zone.release_transfers();
        zone.settle();
        let urgent = (slabs / 2).min(slabs - 1 - slabs / 2).max(1) as usize;
        assert!(scrubbed(&zone)[..urgent].iter().all(|slab| slab % 2 == 0), "then the others with long journals");
        assert_eq!([0, 3].map(|offset| zone.references(pbn(1, offset))), [Some(5), Some(4)]);
        zone.audit().expect("consistent");
    }
}

/// vdo-52: clean slabs are loaded first, then those with most free blocks, then those with low numbers; slabs that were
/// never used can be allocated from at once. vdo-53: a slab with a very long journal comes before all of them.
#[test]
fn slabs_are_scrubbed_in_the_order_of_their_use() {
    let setup = setup(7);
    let mut areas = setup.format();
    for (slab, blocks, free) in [(0, 1, 60), (1, 0, 10), (2, 0, 50), (3, 2, 5), (5, 0, 50), (6, 29, 0)] {
        put_slab(&setup, &mut areas, slab, 1, blocks, free);
    }
    let mut zone = setup.load(areas);
    assert_eq!((zone.free_blocks(), zone.free_blocks_expected(), zone.statistics().slabs_unrecovered), (64, 239, 6));
    assert_eq!(zone.allocate(), Ok(Some(pbn(4, 0))), "without any I/O");
    assert_eq!(zone.references(pbn(1, 0)), None);
    assert_eq!(zone.lock_for_read(pbn(1, 0)), Ok(ReadLock::Refused));
    zone.settle();
    assert_eq!(scrubbed(&zone), [6, 2, 5, 1, 0, 3]);
    assert_eq!((zone.statistics().slabs_unrecovered, zone.statistics().slabs_scrubbed), (0, 6));
    let counts = [0, 1, 2, 3, 5, 6].map(|slab| zone.references(pbn(slab, 0)));
    assert_eq!(counts, [Some(2), Some(1), Some(1), Some(3), Some(1), Some(30)]);
    zone.audit().expect("consistent");
}

/// vdo-53: a slab whose updates wait for its journal is scrubbed next, though others would come first; it is counted
/// once.
#[test]
fn a_blocked_journal_is_scrubbed_before_others() {
    let setup = setup(6);
    let mut areas = setup.format();
    (0..5).for_each(|slab| put_slab(&setup, &mut areas, slab, 200, 0, 0));
    put_slab(&setup, &mut areas, 5, 200, 1, 0);
    let mut zone = setup.load(areas);
    zone.media.holds = |direction, _| direction == Direction::Read;
    zone.advance();
    for _ in 0..28 {
        zone.decrement(pbn(5, 1), 1).expect("not known yet");
        zone.commit();
    }
    assert!(zone.is_idle() || !zone.take_events().is_empty());
    let source = zone.source();
    zone.zone.decrement(pbn(5, 2), 3, source).expect("waits");
    zone.advance();
    assert!(!zone.is_idle(), "the journal is at its blocking threshold");
    assert_eq!(zone.statistics().slab_journal_blocked, 1);
    zone.release_transfers();
    zone.settle();
    assert_eq!(scrubbed(&zone)[..3], [0, 5, 1]);
    assert_eq!(
        [1, 2, 4, 5].map(|offset| zone.references(pbn(5, offset))),
        [Some(172), Some(199), Some(199), Some(200)]
    );
    assert_eq!((zone.statistics().slabs_scrubbed, scrubbings_done(&mut zone)), (6, 1));
    zone.audit().expect("consistent");
}

/// vdo-53: the slab of a possible duplicate comes next, before slabs with long journals; the hash lock that wants to
/// compare with the block gets its lock then.
#[test]
fn the_slab_of_a_candidate_is_loaded_before_others() {
    let setup = setup(6);
    let mut areas = setup.format();
    (0..5).for_each(|slab| put_slab(&setup, &mut areas, slab, 200, 0, 0));
    put_slab(&setup, &mut areas, 5, 200, 29, 0);
    let mut zone = setup.load(areas);
    zone.media.holds = |direction, _| direction == Direction::Read;
    zone.advance();
    let member = |index| MemberRef { shard: ShardId(0), index };
    for (index, pbn) in [(1, pbn(3, 7)), (2, pbn(2, 7)), (3, pbn(3, 7)), (4, pbn(3, 8))] {
        assert_eq!(zone.zone.lock_candidate(member(index), pbn, 20, Nanos(5)), Ok(None));
    }
    assert_eq!((zone.zone.set_lock_timer(), zone.zone.set_lock_timer()), (Some(Nanos(100_000_005)), None));
    assert_eq!(zone.zone.lock_timer_fired(Nanos(100_000_004)), 0);
    zone.release_transfers();
    zone.settle();
    assert_eq!(scrubbed(&zone), [5, 3, 2, 0, 1, 4]);
    let locked = zone.take_events().into_iter().filter(|event| matches!(event, PhysicalEvent::Locked { .. }));
    let told = |(index, lease)| PhysicalEvent::Locked { member: member(index), lease: Some(lease) };
    assert_eq!(locked.collect::<Vec<_>>(), [(1, 20), (3, 20), (4, 20), (2, 20)].map(told));
    assert_eq!(zone.zone.lock_candidate(member(5), pbn(3, 7), 20, Nanos(5)), Ok(Some(ReadLock::Granted { lease: 14 })));
    assert_eq!(zone.zone.extend_lease(pbn(3, 8), 255), Ok(34));
    assert_eq!(zone.zone.extend_lease(pbn(3, 8), 255), Ok(0));
    assert!(zone.zone.extend_lease(pbn(3, 9), 1).is_err(), "it is not locked");
    zone.audit().expect("consistent");
}

/// vdo-58: the end of scrubbing is reported once, and not if there was nothing to scrub.
#[test]
fn the_end_of_scrubbing_is_told_once() {
    let setup = setup(4);
    let mut zone = setup.create();
    zone.settle();
    assert_eq!((scrubbings_done(&mut zone), zone.is_scrubbing()), (0, false));
    let mut areas = setup.format();
    (0..3).for_each(|slab| put_slab(&setup, &mut areas, slab, 1, slab, 0));
    let mut zone = setup.load(areas);
    assert!(zone.is_scrubbing());
    zone.settle();
    zone.settle();
    assert_eq!((scrubbings_done(&mut zone), zone.is_scrubbing()), (1, false));
}

/// vdo-44: a request that finds no free block waits while slabs are scrubbed, gets a block as soon as there is one, and
/// fails only when there is nothing left to scrub.
#[test]
fn allocation_waits_for_the_scrubber() {
    let setup = setup(3);
    let mut areas = setup.format();
    (0..3).for_each(|slab| put_slab(&setup, &mut areas, slab, 1, 0, 0));
    // One free block in slab 1, which the zone does not know of yet.
    let counts: Vec<u8> = (0..SLAB_BLOCKS).map(|offset| u8::from(offset != 7)).collect();
    let id = AreaBlock { nonce: NONCE, slab: 1, block: 1 };
    reference_block::encode(id, 0, &counts, areas.get_mut(&(1, 1)).expect("put"));
    let mut zone = setup.load(areas);
    let page = Requester::Page(VIO);
    assert_eq!(zone.zone.allocate(DATA, Claim::New, false), Ok(Allocation::Full));
    assert_eq!(zone.zone.allocate(page, Claim::Upkeep, true), Ok(Allocation::Waiting));
    assert_eq!(zone.zone.allocate(DATA, Claim::New, true), Ok(Allocation::Waiting));
    // Slab 0 is loaded, the others are not: no request is answered.
    zone.media.holds = |_, (slab, _)| slab == 1;
    zone.settle();
    assert_eq!((zone.take_events(), zone.statistics().slabs_scrubbed), (vec![], 1));
    zone.media.holds = |_, (slab, _)| slab == 2;
    zone.settle();
    assert_eq!(
        zone.take_events(),
        [PhysicalEvent::Allocated { requester: page, answer: Allocation::Block(pbn(1, 7)) }]
    );
    zone.release_transfers();
    zone.settle();
    let answers =
        [PhysicalEvent::ScrubbingDone, PhysicalEvent::Allocated { requester: DATA, answer: Allocation::Again }];
    assert_eq!(zone.take_events(), answers);
    assert_eq!(zone.zone.allocate(DATA, Claim::New, true), Ok(Allocation::Full), "nothing is left to wait for");
    zone.audit().expect("consistent");
}

/// vdo-44: a block that is freed while a request waits is given to that request at once.
#[test]
fn freed_blocks_go_to_who_waits() {
    let setup = setup(2);
    let mut areas = setup.format();
    (0..2).for_each(|slab| put_slab(&setup, &mut areas, slab, 1, 0, 0));
    let mut zone = setup.load(areas);
    zone.media.holds = |_, (slab, _)| slab == 1;
    zone.settle();
    assert_eq!(zone.zone.allocate(DATA, Claim::New, true), Ok(Allocation::Waiting));
    zone.decrement(pbn(0, 9), 1).expect("referenced");
    assert_eq!(
        zone.take_events(),
        [PhysicalEvent::Allocated { requester: DATA, answer: Allocation::Block(pbn(0, 9)) }]
    );
}

/// vdo-59: a save halts the scrubber after its present slab; resuming restarts it, and no waiter is forgotten.
/// vdo-61, partly: what a save does to a slab depends on its state.
/// vdo-63: the scrubber ends, then journals, then summaries, counts and summaries again; resuming starts the scrubber.
#[test]
fn a_save_halts_the_scrubber() {
    let setup = setup(4);
    let mut areas = setup.format();
    (0..3).for_each(|slab| put_slab(&setup, &mut areas, slab, 1, slab, 0));
    let mut zone = setup.load(areas);
    zone.media.holds = |direction, _| direction == Direction::Read;
    let stored = zone.store();
    assert_eq!(stored, pbn(3, 0));
    zone.decrement(pbn(1, 5), 1).expect("not known yet");
    (1..64).for_each(|_| assert!(zone.allocate().is_ok_and(|pbn| pbn.is_some())));
    assert_eq!(zone.zone.allocate(DATA, Claim::New, true), Ok(Allocation::Waiting));
    zone.advance();
    zone.zone.begin_save();
    zone.settle();
    assert!(!zone.is_clean(), "the slab being scrubbed is to be finished");
    assert!(zone.media.trace.iter().all(|(direction, _)| *direction == Direction::Read), "nothing is written before");
    zone.release_transfers();
    zone.settle();
    assert!(zone.is_clean());
    assert_eq!((scrubbed(&zone), zone.statistics().slabs_unrecovered), (vec![0], 2));
    let of_slab = |slab| {
        let writes = zone.media.trace.iter().filter(|(direction, at)| *direction == Direction::Write && at.0 == slab);
        writes.map(|&(_, (_, block))| block.min(2)).collect::<Vec<_>>()
    };
    let (summary, counts, journal) = (0, 1, 2);
    assert_eq!(of_slab(3), [journal, summary, counts, summary]);
    assert_eq!(of_slab(1), [journal, summary], "a slab that is not loaded keeps its journal");
    assert_eq!((of_slab(0), of_slab(2)), (vec![], vec![]), "clean ones stay as they are");
    let lengths: Vec<_> = setup.summaries(&zone.media.durable).iter().map(SlabSummary::journal_length).collect();
    assert_eq!(lengths, [0, 2, 2, 0]);

    assert_eq!(zone.take_events(), [], "the waiter waits");
    let written = zone.media.trace.len();
    zone.resume();
    zone.settle();
    assert_eq!(scrubbed(&zone), [0, 1, 2]);
    assert!(zone.media.trace[written..].iter().all(|(direction, _)| *direction == Direction::Read));
    let freed = PhysicalEvent::Allocated { requester: DATA, answer: Allocation::Block(pbn(1, 5)) };
    assert!(zone.take_events().contains(&freed));
    zone.audit().expect("consistent");
}

/// vdo-62: the free blocks are right for slabs that are new, loaded, scrubbed, resumed and added.
#[test]
fn free_blocks_are_known_in_every_state() {
    let setup = setup(3);
    let mut zone = setup.create();
    let blocks: Vec<_> = (0..70).map(|_| zone.store()).collect();
    assert_eq!(zone.free_blocks(), 192 - 70);
    zone.audit().expect("consistent");
    let saved = zone.save();
    zone.resume();
    assert_eq!((zone.free_blocks(), zone.free_blocks_expected()), (122, 122));
    zone.audit().expect("consistent");
    zone.decrement(blocks[0], 3).expect("referenced");
    zone.commit();
    let cut = zone.media.durable.clone();
    for (areas, free) in [(saved, 122), (cut, 125)] {
        let mut zone = Setup { generation: 2, ..setup }.load(areas);
        assert_eq!((zone.free_blocks(), zone.free_blocks_expected()), (64, free));
        zone.audit().expect("consistent");
        zone.settle();
        assert_eq!((zone.free_blocks(), zone.free_blocks_expected()), (free, free));
        assert_eq!(zone.statistics().slabs_opened, 2, "a loaded slab was opened before");
        zone.audit().expect("consistent");
        let larger = geometry(1, 5);
        for slab in 3..5 {
            zone.media.durable.insert((slab, 0), setup.summary_block(slab, &setup.unused()));
        }
        zone.zone.add_slabs(&larger, vec![setup.unused(); 2]);
        assert_eq!((zone.slabs(), zone.free_blocks()), (5, free + 128));
        zone.audit().expect("consistent");
    }
}

/// vdo-109, partly: added slabs take blocks, and are saved and loaded like the others, also one that is not empty.
#[test]
fn a_zone_grows() {
    let small = setup(2);
    let mut zone = small.create();
    (0..128).for_each(|_| _ = zone.store());
    assert_eq!(zone.allocate(), Ok(None));
    let large = setup(4);
    put_slab(&large, &mut zone.media.durable, 2, 1, 1, 0);
    zone.media.durable.insert((3, 0), large.summary_block(3, &large.unused()));
    let summaries = large.summaries(&zone.media.durable)[2..].to_vec();
    zone.zone.add_slabs(&large.geometry, summaries);
    assert_eq!((zone.store(), zone.statistics().slabs_unrecovered), (pbn(3, 0), 1));
    zone.settle();
    assert_eq!((zone.references(pbn(2, 0)), zone.references(pbn(2, 63))), (Some(2), Some(1)));
    zone.audit().expect("consistent");
    let areas = zone.save();
    let mut zone = large.load(areas);
    zone.settle();
    assert_eq!((zone.references(pbn(3, 0)), zone.references(pbn(2, 0)), zone.free_blocks()), (Some(1), Some(2), 63));
}

/// vdo-65, adapted: five zones load what three zones have saved: what summaries say of free blocks, and counts.
#[test]
fn nothing_on_media_depends_on_the_number_of_zones() {
    let mut media = Areas::new();
    let mut expected = vec![];
    for shard in 0..3u16 {
        let setup = Setup { shard: ShardId(shard), locks: 400, ..Setup::new(&geometry(3, 11)) };
        let mut zone = setup.create();
        (0..70 + shard).for_each(|_| _ = zone.store());
        media.extend(zone.save());
        for slab in setup.slabs() {
            expected.extend((0..SLAB_BLOCKS).map(|offset| (pbn(slab, offset), zone.references(pbn(slab, offset)))));
        }
    }
    let mut free = 0;
    for shard in 0..5u16 {
        let setup = Setup { shard: ShardId(shard), generation: 2, ..Setup::new(&geometry(5, 11)) };
        let mut zone = setup.load(media.clone());
        let hint = zone.free_blocks_expected();
        zone.settle();
        assert_eq!(zone.free_blocks(), hint);
        free += hint;
        for &(pbn, count) in expected.iter().filter(|(pbn, _)| setup.geometry.physical_shard(*pbn) == Some(setup.shard))
        {
            assert_eq!(zone.references(pbn), count);
        }
    }
    assert_eq!(free, 11 * SLAB_BLOCKS - (70 + 71 + 72));
}

/// vdo-57: entries that a sector includes already are skipped, sector by sector: a torn reference block is repaired.
#[test]
fn a_torn_reference_block_is_made_right() {
    let setup = Setup {
        locks: 2000,
        ..Setup::new(&Geometry::new(1, Blocks(1), FIRST, FIRST.plus(4096), 4096).expect("valid"))
    };
    let mut zone = setup.create();
    let blocks: Vec<_> = (0..1500).map(|_| zone.store()).collect();
    let old = zone.save();
    zone.resume();
    for &block in &blocks {
        zone.decrement(block, 1).expect("referenced");
    }
    zone.commit();
    let before = zone.media.durable.clone();
    zone.zone.begin_save();
    zone.settle();
    let after = &zone.media.durable;
    assert_ne!(before[&(0, 1)], after[&(0, 1)]);
    assert_eq!(before[&(0, 1)], old[&(0, 1)]);
    for mask in [0, 0b111, 0b1, 0b110, 0b101, 0xff] {
        let mut areas = before.clone();
        for sector in (0..8).filter(|sector| mask & 1 << sector != 0) {
            let range = sector * 512..(sector + 1) * 512;
            areas.get_mut(&(0, 1)).expect("written")[range.clone()].copy_from_slice(&after[&(0, 1)][range]);
        }
        let mut zone = Setup { generation: 2, ..setup }.load(areas);
        zone.settle();
        assert_eq!(zone.free_blocks(), 4096, "mask {mask:b}");
        assert!(!zone.take_events().iter().any(|event| matches!(event, PhysicalEvent::ReadOnly(_))));
    }
}

/// vdo-56: damage that the scrubber finds ends all writing; waiters are answered; nothing is counted wrongly.
#[test]
fn damage_ends_writing() {
    let damages: [(Address, &str); 3] = [
        ((0, 1), "a slab's reference block"),
        ((0, AREA.journal_block(1)), "a slab journal"),
        ((0, AREA.journal_block(2)), "a slab journal"),
    ];
    let setup = setup(1);
    let mut good = setup.format();
    put_slab(&setup, &mut good, 0, 1, 2, 0);
    for (at, what) in damages {
        for byte in [0, 8, 16, 20, 504, 510, 4095] {
            let mut areas = good.clone();
            areas.get_mut(&at).expect("put")[byte] ^= 0x40;
            let mut zone = setup.load(areas);
            assert_eq!(zone.zone.allocate(DATA, Claim::New, true), Ok(Allocation::Waiting));
            zone.settle();
            let answers = [
                PhysicalEvent::ReadOnly(ReadOnlyReason::Damaged(what)),
                PhysicalEvent::Allocated { requester: DATA, answer: Allocation::ReadOnly },
            ];
            assert_eq!(zone.take_events(), answers, "{what}, byte {byte}");
            assert!(zone.is_clean() && zone.references(pbn(0, 0)).is_none());
        }
    }
    // Blocks that are intact, but do not follow each other or cannot be applied.
    let id = AreaBlock { nonce: NONCE, slab: 0, block: AREA.journal_block(2) };
    let entry = |offset, change| SlabEntry { offset, count: 1, change };
    let wrong = [
        (3, 1, entry(0, SlabChange::Increment)),
        (2, 2, entry(0, SlabChange::Increment)),
        (2, 1, entry(64, SlabChange::Increment)),
        (2, 1, entry(0, SlabChange::BlockMapIncrement)),
    ];
    for (sequence, first_entry, entry) in wrong {
        let mut areas = good.clone();
        let block = areas.get_mut(&(0, id.block)).expect("put");
        slab_journal_block::encode(id, sequence, first_entry, [entry].into_iter(), block);
        let mut zone = setup.load(areas);
        zone.settle();
        assert_eq!(zone.take_events(), [PhysicalEvent::ReadOnly(ReadOnlyReason::Damaged("a slab journal"))]);
    }
}

/// A read that fails twice ends all writing.
#[test]
fn a_failing_read_ends_writing() {
    let setup = setup(2);
    let mut areas = setup.format();
    put_slab(&setup, &mut areas, 0, 1, 3, 0);
    for nth in 0..4 {
        let mut zone = setup.load(areas.clone());
        zone.media.fail_nth = Some(nth);
        zone.settle();
        assert_eq!(zone.take_events(), [PhysicalEvent::ReadOnly(ReadOnlyReason::ReadFailed("slab metadata"))]);
        assert!(zone.is_clean());
    }
}

/// A summary that is intact but does not fit its slab ends all writing.
#[test]
fn impossible_summaries_are_refused() {
    let setup = setup(1);
    let unused = setup.unused();
    for summary in [SlabSummary { head: 1, tail: 40, ..unused }, SlabSummary { free_blocks: 65, ..unused }] {
        let mut areas = setup.format();
        areas.insert((0, 0), setup.summary_block(0, &summary));
        let mut zone = setup.load(areas);
        assert_eq!(zone.take_events(), [PhysicalEvent::ReadOnly(ReadOnlyReason::Damaged("a slab summary"))]);
        let source = Source { journal: ShardId(0), point: Point::new(1, 0) };
        zone.zone.decrement(pbn(0, 0), 1, source).expect("ignored");
        zone.settle();
        assert_eq!(zone.media.trace, []);
    }
}
