// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of a full volume of compressed blocks ([`engine::swapper`]): fragments are overwritten by such that are as
//! good, for ever; others as far as there is room; and nothing is lost.

use engine::request::Operation;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Direction, RequestError};
use mpool::testing::Random;
use tests::sim::client::Request;
use tests::sim::cluster::Cluster;
use tests::sim::rig::{nothing, Rig};
use tests::sim::sizes::Sizes;

use crate::{overwrite, read_back, volume, Values};

const PAGES: u64 = 12;

/// How often all that is stored is overwritten at each depth.
const PASSES: u64 = 1;

/// Noise in what cannot be compressed.
const INCOMPRESSIBLE: usize = 496;

fn sizes() -> Sizes {
    Sizes { compression: true, ..Sizes::default() }
}

/// Writes blocks of one noise, many at a time, until there is no space. Returns how many found room, all from 0 on.
fn fill(rig: &mut Cluster, values: &mut Values, noise: usize) -> u64 {
    let mut stored = 0;
    loop {
        let requests: Vec<_> = (0..28).map(|at| rig.begin_write(stored + at, values.with(noise))).collect();
        rig.settle(nothing);
        let done = requests.iter().take_while(|id| rig.outcome(**id) == Some(Ok(()))).count() as u64;
        stored += done;
        if done < 28 {
            (0..28 - done).for_each(|at| rig.unmap(stored + at));
            return stored;
        }
    }
}

/// Data that is stored compressed is overwritten by such that is as good, at 100%, at any depth, for many times what there is;
/// then after a restart, too.
fn overwrites_go_on(shards: usize, noise: usize) {
    let mut rig = volume(shards, PAGES, &sizes());
    let mut values = Values(1000);
    let stored = fill(&mut rig, &mut values, noise);
    for depth in [1, 32, 128] {
        let rounds = (PASSES * stored).div_ceil(depth as u64);
        assert_eq!(
            overwrite(&mut rig, (stored, rounds, depth), || values.with(noise)),
            0,
            "{noise}, {stored}, depth {depth}"
        );
    }
    let statistics = rig.statistics();
    assert!(statistics.blocks_swapped > stored, "{statistics:?}");
    read_back(&mut rig, PAGES);
    rig.save_all();
    let mut rig = Rig::new(rig.restart(&sizes()));
    assert_eq!(overwrite(&mut rig, (stored, 20, 32), || values.with(noise)), 0, "after a restart");
    read_back(&mut rig, PAGES);
}

#[test]
fn fragments_are_overwritten_for_ever_on_one_shard() {
    overwrites_go_on(1, 0);
    overwrites_go_on(1, 120);
}

#[test]
fn fragments_are_overwritten_for_ever_on_three_shards() {
    overwrites_go_on(3, 0);
    overwrites_go_on(3, 120);
}

/// The same few blocks are overwritten many times at once. Each swap frees a block that the next one is given, so a number
/// that a write was parked with soon is that of another block, which may come to hold the write's old content again.
#[test]
fn the_same_few_fragments_are_overwritten_at_once() {
    for (shards, few) in [(1, 14), (2, 14), (3, 28)] {
        let mut rig = volume(shards, PAGES, &sizes());
        let mut values = Values(1000);
        fill(&mut rig, &mut values, 0);
        let refused = overwrite(&mut rig, (few, 30, 64), || values.with(0));
        assert_eq!(refused, 0, "{shards} shards, {few} blocks");
        read_back(&mut rig, PAGES);
    }
}

/// What does not fit where the old content was finds no space, and changes nothing; all else goes on, and so does everything when
/// space returns.
fn larger_data_is_refused(shards: usize) {
    let mut rig = volume(shards, PAGES, &sizes());
    let mut values = Values(1000);
    let stored = fill(&mut rig, &mut values, 0);
    for depth in [1, 32] {
        let asked = 64;
        let refused = overwrite(&mut rig, (stored, asked / depth as u64, depth), || values.with(INCOMPRESSIBLE));
        assert!(refused * 10 > asked * 9, "{refused} of {asked} refused at depth {depth}");
        read_back(&mut rig, PAGES);
        assert_eq!(overwrite(&mut rig, (stored, 128 / depth as u64, depth), || values.with(0)), 0);
    }
    // A block of fragments that are all overwritten with zeros comes free, and holds what is new.
    let free = |rig: &Cluster| rig.statistics().data_blocks - rig.statistics().data_blocks_used;
    let before = free(&rig);
    (0..stored / 2).for_each(|lbn| rig.write(lbn, 0));
    assert!(free(&rig) > before + 10, "{} blocks are free", free(&rig));
    assert_eq!(overwrite(&mut rig, (stored / 2, 8, 1), || values.with(INCOMPRESSIBLE)), 0);
    read_back(&mut rig, PAGES);
}

#[test]
fn larger_data_is_refused_and_nothing_is_lost() {
    larger_data_is_refused(1);
    larger_data_is_refused(2);
}

/// Data that compress worse take what room their own compressed block has left, and what its dead neighbours took. The room of other
/// blocks they do not get.
#[test]
fn worse_data_have_the_room_of_their_own_block() {
    let mut rig = volume(1, PAGES, &sizes());
    let mut values = Values(1000);
    let stored = fill(&mut rig, &mut values, 0);
    let home = rig.mapping(0).pbn();
    let together: Vec<_> = (0..stored).filter(|lbn| rig.mapping(*lbn).pbn() == home).collect();
    assert_eq!(together.len(), 14);
    let mut worse = |rig: &mut Cluster, lbn| rig.execute(&Request::write(lbn, &[values.with(120)]));
    let taken = together.iter().take_while(|lbn| worse(&mut rig, **lbn).is_ok()).count();
    assert!((1..14).contains(&taken), "{taken} found room");
    assert_eq!(worse(&mut rig, together[taken]), Err(RequestError::NoSpace));
    // Each other block has as much room as this one had.
    assert_eq!(worse(&mut rig, 100), Ok(()));
    let mut neighbours = together[taken + 1..].iter();
    while worse(&mut rig, together[taken]).is_err() {
        rig.unmap(*neighbours.next().expect("without neighbours it fits"));
    }
    assert!(neighbours.len() > 2, "{} neighbours are left", neighbours.len());
    assert_eq!(rig.mapping(together[0]).pbn(), rig.mapping(together[taken]).pbn());
    read_back(&mut rig, PAGES);
}

/// A fragment that somebody else shares gives nothing back, and neither does one beside it: that is new data.
#[test]
fn a_shared_block_is_not_swapped() {
    let mut rig = volume(1, PAGES, &sizes());
    let mut values = Values(1000);
    let first = values.with(0);
    rig.write_together(0..14, std::iter::once(first).chain((0..13).map(|_| values.with(0))));
    assert!(rig.mapping(0).is_compressed());
    rig.write((PAGES * PAGE) - 1, first);
    assert_eq!(rig.mapping((PAGES * PAGE) - 1).pbn(), rig.mapping(0).pbn());
    while rig.execute(&Request::write(PAGE + rig.statistics().pieces_in, &[values.with(INCOMPRESSIBLE)])).is_ok() {}
    let refused = rig.execute(&Request::write(5, &[values.with(0)]));
    assert_eq!(refused, Err(RequestError::NoSpace));
    rig.unmap((PAGES * PAGE) - 1);
    let value = values.with(0);
    rig.write(5, value);
    rig.read(5);
    (0..14).for_each(|lbn| rig.read(lbn));
    read_back(&mut rig, PAGES);
}

/// A swap whose block the base does not take is tried once more elsewhere, and comes to nothing without harm.
#[test]
fn a_swap_that_cannot_be_written_harms_nobody() {
    let mut rig = volume(1, PAGES, &sizes());
    let mut values = Values(1000);
    let stored = fill(&mut rig, &mut values, 0);
    for lbn in 0..10 {
        let value = values.with(0);
        rig.world.faults.script(Direction::Write, None, 2);
        let failed = rig.execute(&Request::write(lbn * 17 % stored, &[value]));
        assert_eq!(failed, Err(RequestError::Io));
        rig.write(lbn * 17 % stored, value);
    }
    read_back(&mut rig, PAGES);
}

/// What was moved is known to the index in its new place, and what was written is found: duplicates need no room.
#[test]
fn duplicates_of_what_was_swapped_are_found() {
    let mut rig = volume(2, PAGES, &sizes());
    let mut values = Values(1000);
    let stored = fill(&mut rig, &mut values, 0);
    for lbn in 0..20 {
        let value = values.with(0);
        rig.write(lbn * 31 % stored, value);
        rig.write(stored + lbn, value);
        assert_eq!(rig.mapping(stored + lbn).pbn(), rig.mapping(lbn * 31 % stored).pbn());
        rig.unmap(stored + lbn);
    }
    read_back(&mut rig, PAGES);
}

/// Clients write the very blocks that swaps hold, read, unmap and flush, all at once: nobody waits for ever, also with little
/// memory.
#[test]
fn nobody_waits_for_ever() {
    for (shards, bounce) in [(1, 4), (3, 4), (3, 64)] {
        let sizes = Sizes { bounce, ..sizes() };
        let mut rig = volume(shards, PAGES, &sizes);
        let mut values = Values(1000);
        let stored = fill(&mut rig, &mut values, 0);
        let mut random = Random::stream(11, bounce as u64);
        for _ in 0..10 {
            let base = random.below(stored - 28);
            let mut requests = Vec::new();
            for _ in 0..64 {
                let lbn = base + random.below(28);
                requests.push(match random.below(8) {
                    0 => rig.submit(&Request::read(lbn, 1)),
                    1 => rig.submit(&Request::on_blocks(Operation::Unmap, lbn, 1)),
                    2 => rig.submit(&Request::flush()),
                    _ => rig.begin_write(lbn, values.with(0)),
                });
            }
            rig.settle(nothing);
            rig.expect_sound();
            let ended = |id: &_| matches!(rig.outcome(*id), Some(Ok(()) | Err(RequestError::NoSpace)));
            assert!(requests.iter().all(ended));
        }
        read_back(&mut rig, PAGES);
    }
}
