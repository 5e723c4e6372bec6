// SPDX-License-Identifier: BSD-3-Clause

//! What is done to a volume as a whole: its end of writing, and its rest.

use engine::format::Geometry;
use engine::request::Operation;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Pbn, ReadOnlyReason, RequestError, ShardId};
use mpool::testing::Random;
use tests::sim::client::{Request, RequestId};
use tests::sim::cluster::{Cluster, Step};
use tests::sim::faults::Faults;
use tests::sim::rig::{nothing, Rig};
use tests::sim::schedule::{Schedule, Weights};
use tests::sim::sizes::Sizes;

use super::fixture::small;

/// A small volume of two shards, which compresses, and has less of everything than clients ask for.
fn crowded(volatile_cache: bool) -> Cluster {
    let geometry = Geometry::new(2, Blocks(8 * PAGE), Pbn(9), Pbn(9 + 12 * 8), 8).expect("valid");
    let sizes =
        Sizes { vios: 16, bounce: 12, verify: 2, containers: 2, compression: true, volatile_cache, ..Sizes::default() };
    Cluster::new(geometry, &sizes, Faults::none())
}

/// A request of any kind: on few blocks, so that many wait for each other, or on whole pages.
fn any_request(random: &mut Random) -> Request {
    let lbn = random.below(3) * PAGE + random.below(6);
    match random.below(12) {
        0 => Request::flush(),
        1 => Request::read(lbn, 2),
        2 => Request::on_blocks(Operation::Unmap, lbn / PAGE * PAGE, PAGE),
        3 => Request::on_blocks(Operation::WriteZeroes, lbn, 3),
        4 => Request { operation: Operation::Unmap, sector: lbn * 8 + 3, sectors: 2, tokens: Vec::new() },
        5..=7 => Request::write(lbn, &[1 + random.below(9)]),
        _ => Request::write(random.below(8 * PAGE), &[100 + random.below(500)]),
    }
}

/// vdo-64: wherever requests are when writing ends, whatever they wait for, each is answered, and none of what they had is
/// held any longer; reads go on, and writes are told at once.
#[test]
fn no_request_hangs_when_writing_ends() {
    let mut refused = 0;
    for seed in 0..150 {
        let mut random = Random::stream(64, seed);
        let mut cluster = crowded(seed % 2 == 1);
        let mut schedule = Schedule::new(Weights::draw(&mut random), Random::stream(65, seed));
        let requests: Vec<_> = (0..80).map(|_| cluster.submit(&any_request(&mut random))).collect();
        for _ in 0..random.below(1500) {
            schedule.step(&mut cluster);
        }
        cluster.enter_read_only(ReadOnlyReason::Told);
        while schedule.step(&mut cluster) {}
        cluster.expect_sound();
        let unanswered = requests.iter().filter(|id| cluster.outcome(**id).is_none()).count();
        assert_eq!(unanswered, 0, "seed {seed}:\n{}", cluster.world.dump());
        refused += requests.iter().filter(|id| cluster.outcome(**id) == Some(Err(RequestError::ReadOnly))).count();
        let statistics = cluster.statistics();
        let held =
            (statistics.current_vios_in_progress, statistics.hash_locks, statistics.compressed_fragments_in_packer);
        assert_eq!((held, cluster.is_idle()), ((0, 0, 0), true), "seed {seed}");
        cluster.read(random.below(6));
        assert_eq!(cluster.execute(&Request::write(0, &[1])), Err(RequestError::ReadOnly));
        cluster.save();
        cluster.settle(nothing);
        assert!(cluster.is_saved(), "the volume can be unloaded");
    }
    assert!(refused > 1000, "{refused} requests met the end of writing");
}

/// Writes, until the journals have something to write.
fn write_some(cluster: &mut Cluster, lbn: u64) -> Vec<RequestId> {
    (0..8).map(|number| cluster.begin_write(number % 2 * PAGE + lbn + number, 1000 + lbn + number)).collect()
}

/// vdo-96: a write of the recovery journal that fails is tried again; as long as one try in six succeeds the volume goes on, and
/// what it has answered is there.
#[test]
fn a_failing_journal_write_is_overcome() {
    for volatile_cache in [false, true] {
        for failures in [1, 2, 5] {
            let mut cluster = crowded(volatile_cache);
            cluster.world.faults.script_journal(failures);
            let requests = write_some(&mut cluster, 0);
            cluster.settle(nothing);
            let mut schedule = Schedule::new(Weights::draw(&mut Random::stream(1, 1)), Random::stream(1, 2));
            while schedule.step(&mut cluster) {}
            assert!(requests.iter().all(|id| cluster.outcome(*id) == Some(Ok(()))));
            assert_eq!(cluster.statistics().bios_meta_retries, u64::from(failures));
            let mut rig = Rig::new(cluster);
            rig.write(3, 7);
            (0..8).for_each(|number| rig.read(number % 2 * PAGE + number));
        }
    }
}

/// vdo-64: a journal that cannot be written for a third of a second ends writing in its shard, which tells the others: no write is
/// answered with success any more, wherever it goes, and none hangs.
#[test]
fn the_shard_that_cannot_write_tells_the_others() {
    let mut cluster = crowded(false);
    let before = write_some(&mut cluster, 0);
    cluster.settle(nothing);
    assert!(before.iter().all(|id| cluster.outcome(*id) == Some(Ok(()))));
    cluster.world.told_read_only = true;
    cluster.world.faults.script_journal(6);
    let failing = cluster.begin_write(0, 77);
    cluster.settle(nothing);
    while cluster.outcome(failing).is_none() {
        let at = cluster.world.timers[0].expect("the write is to be tried again");
        cluster.world.clock = cluster.world.clock.max(at);
        cluster.perform(Step::Timer(ShardId(0)));
        cluster.settle(nothing);
    }
    assert_eq!(cluster.outcome(failing), Some(Err(RequestError::ReadOnly)));
    assert_eq!(cluster.world.read_only, Some(ReadOnlyReason::WriteFailed("recovery journal")));
    assert!((0..2).all(|shard| cluster.shard(ShardId(shard)).read_only().is_some()));
    for page in 0..2 {
        assert_eq!(cluster.execute(&Request::write(page * PAGE + 1, &[78])), Err(RequestError::ReadOnly));
        cluster.read(page * PAGE + 1);
    }
}

/// vdo-83: a volume that is saved transfers no metadata before it is resumed, whatever it is told to do: that would be a defect,
/// and stops it.
#[test]
#[should_panic(expected = "begins in a volume that is saved")]
fn metadata_rests_in_a_saved_volume() {
    let mut rig = small(64);
    rig.write(0, 5);
    rig.save_all();
    rig.begin_write(1, 6);
    rig.settle(nothing);
}

/// vdo-83: what is resumed goes on, as often as it is saved.
#[test]
fn a_saved_volume_goes_on_when_resumed() {
    let mut rig = small(64);
    for round in 0..3 {
        rig.write(round, 5 + round);
        rig.save_all();
        rig.resume();
    }
}

/// Unmaps of whole pages, some of which are sweeps: those are held up while sweeps are suspended, and do not keep the shard
/// from being idle. They go on where they were, or are answered that they were aborted, and then their pages stay.
#[test]
fn sweeps_are_suspended_and_aborted() {
    for ending in [Ok(()), Err(RequestError::Aborted)] {
        let mut rig = small(64);
        (1..12).for_each(|page| rig.write(page * PAGE, 5));
        rig.set_sweeping(false);
        let unmap = |page| Request::on_blocks(Operation::Unmap, page * PAGE, PAGE);
        let unmaps: Vec<_> = (1..12).map(|page| (page, rig.submit(&unmap(page)))).collect();
        rig.settle(nothing);
        let (held, over): (Vec<_>, Vec<_>) = unmaps.into_iter().partition(|(_, id)| rig.outcome(*id).is_none());
        assert!(!held.is_empty() && !over.is_empty() && rig.shard(ShardId(0)).is_idle());
        assert!(held.iter().all(|(page, _)| rig.mapping(page * PAGE).has_block()));
        if ending.is_err() {
            rig.abort_sweeps();
        }
        rig.set_sweeping(true);
        rig.settle(nothing);
        assert!(over.iter().all(|(_, id)| rig.outcome(*id) == Some(Ok(()))));
        assert!(held.iter().all(|(_, id)| rig.outcome(*id) == Some(ending)));
        assert!(over.iter().all(|(page, _)| !rig.mapping(page * PAGE).has_block()));
        assert!(held.iter().all(|(page, _)| rig.mapping(page * PAGE).has_block() == ending.is_err()));
        let unmapped = if ending.is_ok() { held.len() + over.len() } else { over.len() } as u64;
        assert_eq!(rig.statistics().bios_in_discard, unmapped * PAGE);
    }
}
