// SPDX-License-Identifier: BSD-3-Clause

//! Segments of recovery journals.

use std::collections::BTreeSet;

use mpool::mlog::{Geometry as LogGeometry, LogFormat, LogWriter, Policy, Recovered, WriterConfig};

use super::*;
use crate::format::JournalSegment;
use crate::volume::access::VolumeMedia;

/// The framer of a journal, as a shard uses it.
fn writer(segment: &JournalSegment) -> LogWriter<Vec<u8>> {
    let geometry = LogGeometry::new(segment.sector_bytes, segment.capacity_bytes).expect("sectors");
    let config = WriterConfig {
        format: LogFormat::V2,
        stamp: segment.stamp,
        geometry,
        policy: Policy::Fresh,
        buffers: 4,
        max_in_flight: 4,
    };
    let mut writer = LogWriter::new(config, &Recovered::EMPTY);
    for _ in 0..4 {
        assert!(writer.supply(vec![0; 16 << 10]).is_none());
    }
    writer
}

/// Writes some records to a segment without the store, as shards do: only the flush sets that `keep` selects reach the
/// disk.
fn fill(world: &World, store: &VolumeStore, segment: &JournalSegment, keep: impl Fn(usize) -> bool) -> Vec<Vec<u8>> {
    let at = store.placement(store.geometry(1).expect("possible")).expect("open").segments[segment.number as usize];
    let mut writer = writer(segment);
    let (mut written, mut records) = (0, Vec::new());
    for number in 0..6_u8 {
        let record = vec![number; 1000 + 100 * usize::from(number)];
        writer.append(&record).expect("room");
        records.push(record);
        while let Some(set) = writer.next_flush(true) {
            if keep(written) {
                world.disk("cap").write(at.at + set.at, &set.buffer[set.range.clone()]);
            }
            written += 1;
            writer.flushed(set.id, set.buffer, true);
        }
    }
    assert!(written >= 6);
    records
}

#[test]
fn segments_are_dealt_to_the_shards() {
    let world = world(false);
    let store = world.run(make(&pool(&world), &spec(3, 3))).expect("room");
    assert_eq!(store.segments(), 4);
    let mut generations = [0; 16];
    for (shards, total) in [(1, 4), (3, 12), (2, 12), (1, 12)] {
        let dealt = world.run(store.prepare_journals(shards)).expect("room");
        assert_eq!((dealt.len(), store.segments()), (shards, total), "surplus ones stay");
        let all: Vec<_> = dealt.iter().flatten().collect();
        assert!(dealt.iter().all(|segments| segments.len() == 4));
        let numbers: BTreeSet<_> = all.iter().map(|segment| segment.number).collect();
        assert_eq!(numbers.len(), 4 * shards, "no segment twice");
        for segment in all {
            assert_eq!((segment.capacity_bytes, segment.sector_bytes), (256 << 10, 512));
            let known = &mut generations[segment.number as usize];
            assert!(segment.stamp.generation > *known, "erased for each load");
            *known = segment.stamp.generation;
        }
    }
    for shards in [0, 33] {
        assert!(world.run(store.prepare_journals(shards)).is_err());
    }
    drop(store);
    let world = restart(world, false);
    let store = world.run(reopen(&pool(&world))).expect("there");
    assert_eq!(store.segments(), 12);
}

#[test]
fn records_of_a_segment_are_read_up_to_the_first_hole() {
    let world = world(false);
    let store = world.run(make(&pool(&world), &spec(3, 3))).expect("room");
    let dealt = world.run(store.prepare_journals(1)).expect("room");
    let [whole, torn, ..] = &dealt[0][..] else { panic!("four segments") };
    let written = fill(&world, &store, whole, |_| true);
    fill(&world, &store, torn, |set| set != 2);
    let read = |store: &VolumeStore, world: &World, segment: &JournalSegment| {
        world.run(store.segment_records(segment.number)).expect("read")
    };
    assert_eq!(read(&store, &world, whole), written);
    assert_eq!(read(&store, &world, torn), written[..2], "a hole is the end");
    assert_eq!(read(&store, &world, &dealt[0][2]), Vec::<Vec<u8>>::new());
    drop(store);
    let world = restart(world, false);
    let store = world.run(reopen(&pool(&world))).expect("there");
    assert_eq!(read(&store, &world, whole), written, "after a restart");
    let generation = world.run(store.erase_segment(whole.number, || true)).expect("erased");
    assert!(generation > whole.stamp.generation);
    assert_eq!(read(&store, &world, whole), Vec::<Vec<u8>>::new());
    assert_eq!(read(&store, &world, torn), written[..2], "another segment");
    assert_eq!(world.run(store.segment_records(4)).expect_err("no such segment").kind(), Kind::NotFound);
    assert_eq!(world.run(store.erase_segment(4, || true)).expect_err("no such segment").kind(), Kind::NotFound);
}

/// Where there is no room, journals are shorter, but have four segments.
#[test]
fn journals_share_what_there_is() {
    let world = world(false);
    let pool = pool(&world);
    let mut long = spec(2, 2);
    long.config.journal_mib = 32;
    let store = world.run(make(&pool, &long)).expect("room");
    assert_eq!(store.segments(), 8, "of four zones each");
    let before = used_zones(&world);
    let dealt = world.run(store.prepare_journals(2)).expect("four each");
    assert_eq!((dealt.len(), dealt[0].len(), store.segments()), (2, 4, 8));
    assert_eq!(used_zones(&world), before, "nothing is left of the attempt");
    assert_eq!(world.run(store.prepare_journals(3)).expect_err("too many").kind(), Kind::NoSpace);
    assert_eq!(world.run(store.prepare_journals(1)).expect("all of them")[0].len(), 8);
}

/// Cut at every write, the segments that a load needs exist or not, and each has an owner.
#[test]
fn segments_that_are_made_half_are_taken_back() {
    let made = || {
        let world = world(true);
        drop(world.run(make(&pool(&world), &spec(3, 3))).expect("room"));
        restart(world, true)
    };
    let prepare = |world: &World| {
        let store = world.run(reopen(&pool(world))).expect("there");
        world.run(store.prepare_journals(3)).map(|dealt| dealt.len())
    };
    let (few, many) = (used_zones(&made()), {
        let world = made();
        assert_eq!(prepare(&world), Ok(3));
        used_zones(&restart(world, true))
    });
    for writes in 0.. {
        let world = made();
        world.disk("cap").fail_writes_after(writes);
        let done = prepare(&world).is_ok();
        let world = restart(world, true);
        let store = world.run(reopen(&pool(&world))).expect("there");
        let expected = match store.segments() {
            4 if !done => &few,
            12 => &many,
            segments => panic!("{segments} segments after {writes} writes, done: {done}"),
        };
        assert_eq!(used_zones(&world), *expected, "{writes} writes");
        drop(store);
        assert_eq!(prepare(&world), Ok(3), "{writes} writes: again");
        assert_eq!(used_zones(&world), many);
        if done {
            assert!(writes > 12, "{writes} writes: 8 commits together and 12 erasures");
            break;
        }
    }
}

/// A journal that is configured longer gets longer segments where they are created again.
#[test]
fn a_journal_can_become_longer() {
    let world = world(false);
    let store = world.run(make(&pool(&world), &spec(2, 2))).expect("room");
    let config = VolumeConfig { journal_mib: 20, ..store.config() };
    world.run(store.set_config(config)).expect("recorded");
    let dealt = world.run(store.prepare_journals(1)).expect("room");
    let sizes: Vec<_> = dealt[0].iter().map(|segment| segment.capacity_bytes).collect();
    assert_eq!(sizes, [MIB, MIB, MIB, MIB, 4 * MIB], "the first four have logs of one zone");
}
