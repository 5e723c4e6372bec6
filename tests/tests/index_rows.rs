// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of the index in a shard: queries that wait for its history, how long, and what ends them.
//!
//! Level 1 is so small that it forgets what was written a little before; what is written again then is in a section
//! of a closed chapter, whose read a test holds back as it likes.

#![forbid(unsafe_code)]

use engine::fingerprint::ShortFingerprint;
use engine::format::Geometry;
use engine::statistics::Statistics;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Direction, Pbn, Place, ReadOnlyReason, ShardId};
use tests::sim::chapters::ChapterPlan;
use tests::sim::client::RequestId;
use tests::sim::cluster::{Cluster, Step};
use tests::sim::directed::Pending;
use tests::sim::faults::Faults;
use tests::sim::rig::{nothing, sections, Rig};
use tests::sim::sizes::Sizes;

/// Records in a section, each of which is a chapter here.
const SECTION: u64 = 16;

/// How long a query waits: 20 ms.
const TIMEOUT: u64 = 20_000_000;

const SIZES: ChapterPlan = ChapterPlan { section_records: SECTION as u16, chapter_sections: 1, ..ChapterPlan::SOUND };

/// A volume whose level 1 holds some records more than a section has.
fn sizes(chapters: ChapterPlan) -> Sizes {
    Sizes { index_bytes: 256, history: Some(chapters), ..Sizes::default() }
}

fn cluster(chapters: ChapterPlan) -> Cluster {
    let geometry = Geometry::new(1, Blocks(4 * PAGE), Pbn(9), Pbn(9 + 32 * 64), 64).expect("valid");
    Cluster::new(geometry, &sizes(chapters), Faults::none())
}

fn volume(chapters: ChapterPlan) -> Rig {
    Rig::new(cluster(chapters))
}

/// A section of values, the first of which alone is a hook; then so many others that level 1 has forgotten them.
/// Returns them; they are at LBNs from 0 on.
fn write_and_forget(cluster: &mut Cluster) -> Vec<u64> {
    let is_hook = |value: &u64| ShortFingerprint::from(cluster.fingerprint(*value)).is_hook();
    let hook = (1..).find(is_hook).expect("one in 32");
    let others: Vec<u64> = (1000..).filter(|value| !is_hook(value)).take(200).collect();
    let (neighbours, others) = others.split_at(SECTION as usize - 1);
    let values: Vec<u64> = std::iter::once(hook).chain(neighbours.iter().copied()).collect();
    for (lbn, value) in (0..).zip(values.iter().chain(others)) {
        cluster.write(lbn, *value);
    }
    assert!(cluster.statistics().index_sections_readable >= 12, "sections are handed over and their chapters closed");
    values
}

/// Begins a write that only a section can say to be a duplicate.
fn begin(cluster: &mut Cluster, lbn: u64, value: u64) -> RequestId {
    let id = cluster.begin_write(lbn, value);
    cluster.settle(sections);
    id
}

/// Time passes until the timer is due, which fires.
fn fire(cluster: &mut Cluster) {
    let at = cluster.world.timers[0].expect("a timer is set");
    cluster.world.clock = cluster.world.clock.max(at);
    cluster.perform(Step::Timer(ShardId(0)));
    cluster.settle(sections);
}

/// What was forgotten by level 1 is found again by a hook, and its neighbours with it: one read of the base brings back
/// the whole section.
#[test]
fn a_section_brings_its_neighbours_back() {
    let mut rig = volume(SIZES);
    let values = write_and_forget(&mut rig);
    let before = rig.statistics();
    for (lbn, value) in (1000..).zip(&values) {
        rig.write(lbn, *value);
    }
    let after = rig.statistics();
    assert_eq!(after.dedupe_hits - before.dedupe_hits, SECTION);
    assert_eq!(after.index_sections_loaded - before.index_sections_loaded, 1);
    assert_eq!(after.data_blocks_used - before.data_blocks_used, after.block_map_pages - before.block_map_pages);
}

/// While a section is being read other misses wait, too, each with a context; when it has come all find what it has,
/// and who finds nothing goes on.
#[test]
fn misses_wait_for_the_section_that_is_being_read() {
    let mut rig = volume(SIZES);
    let values = write_and_forget(&mut rig);
    let first = begin(&mut rig, 1000, values[1]);
    assert_eq!(rig.outcome(first), Some(Ok(())), "nothing is under way: no hook, no waiting");
    let before = rig.statistics();
    let hook = begin(&mut rig, 1001, values[0]);
    let neighbour = begin(&mut rig, 1002, values[2]);
    let stranger = begin(&mut rig, 1003, 77_777);
    assert_eq!(rig.statistics().curr_dedupe_queries, 3);
    assert!([hook, neighbour, stranger].iter().all(|id| rig.outcome(*id).is_none()));
    let known = begin(&mut rig, 1004, values[1]);
    assert_eq!(rig.outcome(known), Some(Ok(())), "what level 1 knows does not wait");
    rig.settle(nothing);
    let after = rig.statistics();
    assert!([hook, neighbour, stranger].iter().all(|id| rig.outcome(*id) == Some(Ok(()))));
    assert_eq!(after.dedupe_hits - before.dedupe_hits, 3);
    assert_eq!((after.curr_dedupe_queries, after.dedupe_advice_timeouts), (0, 0));
    assert_eq!(after.posts_found - before.posts_found, 3);
    assert_eq!(after.posts_not_found - before.posts_not_found, 1);
}

/// vdo-27: when the index takes too long a write goes on without advice, 20 ms after it has asked; that is counted.
/// What comes late serves those who come later.
#[test]
fn a_slow_index_delays_a_write_by_the_timeout_at_most() {
    let mut rig = volume(SIZES);
    let values = write_and_forget(&mut rig);
    let asked = rig.world.clock;
    let id = begin(&mut rig, 1000, values[0]);
    assert_eq!(rig.world.timers[0], Some(asked + TIMEOUT));
    // A timer that comes too soon changes nothing.
    rig.world.clock = asked + TIMEOUT - 1;
    rig.perform(Step::Timer(ShardId(0)));
    rig.settle(sections);
    assert_eq!(rig.outcome(id), None);
    fire(&mut rig);
    assert_eq!(rig.world.clock, asked + TIMEOUT);
    assert_eq!(rig.outcome(id), Some(Ok(())));
    let late = rig.statistics();
    assert_eq!((late.dedupe_advice_timeouts, late.dedupe_context_busy), (1, 0));
    assert_eq!(rig.world.queries_timed_out, [1], "the operator hears of it");
    assert_eq!(late.curr_dedupe_queries, 1, "the context is in use until the read has ended");

    // Nobody waits for what is late already, not even on the same hook's section.
    let other = begin(&mut rig, 1001, 77_777);
    assert_eq!(rig.outcome(other), Some(Ok(())));
    rig.settle(nothing);
    assert_eq!(rig.statistics().curr_dedupe_queries, 0);
    let before = rig.statistics();
    let neighbour = begin(&mut rig, 1002, values[3]);
    assert_eq!(rig.outcome(neighbour), Some(Ok(())));
    assert_eq!(rig.statistics().dedupe_hits - before.dedupe_hits, 1, "its records have come all the same");
}

/// A section that cannot be read, or is damaged, only costs its savings.
#[test]
fn a_section_that_cannot_be_read_is_no_advice() {
    for chapters in [ChapterPlan { failed: 1000, ..SIZES }, ChapterPlan { spoilt: 1000, ..SIZES }] {
        let mut rig = volume(chapters);
        let values = write_and_forget(&mut rig);
        let before = rig.statistics();
        rig.write(1000, values[0]);
        let after = rig.statistics();
        assert_eq!(after.index_sections_failed - before.index_sections_failed, 1);
        assert_eq!((after.dedupe_hits - before.dedupe_hits, after.unique_blocks - before.unique_blocks), (0, 1));
        assert_eq!(after.dedupe_advice_timeouts, 0);
    }
}

/// vdo-33: while deduplication is off the index is neither asked nor told, and whoever waits goes on; equal blocks in
/// flight still share. Afterwards its advice is back.
#[test]
fn deduplication_can_be_turned_off_and_on() {
    let mut rig = volume(SIZES);
    let values = write_and_forget(&mut rig);
    rig.write(900, 5);
    let waits = begin(&mut rig, 1000, values[0]);
    assert_eq!(rig.outcome(waits), None);
    rig.set_deduplication(false);
    rig.settle(sections);
    assert_eq!(rig.outcome(waits), Some(Ok(())), "it waits no more");

    let before = rig.statistics();
    for lbn in 1010..1014 {
        rig.begin_write(lbn, 5);
    }
    rig.settle(sections);
    let off = rig.statistics();
    let asked = |statistics: &Statistics| {
        let Statistics { posts_found, posts_not_found, updates_found, updates_not_found, .. } = *statistics;
        (posts_found + posts_not_found, updates_found + updates_not_found)
    };
    assert_eq!(asked(&off), asked(&before));
    assert_eq!(off.unique_blocks - before.unique_blocks, 1, "the stored copy is not found");
    assert_eq!(off.dedupe_hits - before.dedupe_hits, 3, "those in flight share");

    rig.set_deduplication(true);
    rig.settle(nothing);
    rig.write(1020, 5);
    assert_eq!(rig.mapping(1020), rig.mapping(900), "the index was kept as it was");
    assert_eq!(asked(&rig.statistics()).0, asked(&off).0 + 1);
}

/// vdo-34: a shard that is to be saved while queries wait and the timer fires comes to rest when the history has
/// answered, with no context lost; then it works as before.
#[test]
fn a_shard_with_queries_that_wait_comes_to_rest() {
    let mut rig = volume(SIZES);
    let values = write_and_forget(&mut rig);
    let ids: Vec<RequestId> = (0..8).map(|at| begin(&mut rig, 1000 + at, values[at as usize])).collect();
    assert_eq!(rig.statistics().curr_dedupe_queries, 8);
    assert!(!rig.shard(ShardId(0)).is_idle(), "requests are under way");
    fire(&mut rig);
    assert!(ids.iter().all(|id| rig.outcome(*id) == Some(Ok(()))), "they wait no longer than they may");
    assert!(rig.shard(ShardId(0)).is_idle());
    rig.save();
    rig.settle(sections);
    assert!(!rig.is_saved(), "the host reads a section for it");
    rig.settle(nothing);
    assert!(rig.is_saved());
    assert_eq!(rig.statistics().curr_dedupe_queries, 0);
    rig.resume();
    let before = rig.statistics();
    rig.write(1100, values[9]);
    assert_eq!(rig.statistics().dedupe_hits - before.dedupe_hits, 1);
}

/// Queries that wait when writing ends are answered at once.
#[test]
fn nobody_waits_in_a_read_only_volume() {
    let mut cluster = cluster(SIZES);
    let values = write_and_forget(&mut cluster);
    begin(&mut cluster, 1000, values[0]);
    cluster.enter_read_only(ReadOnlyReason::Told);
    cluster.settle(sections);
    // The simulator's judge knows of no reason for this answer; the shard's own count must do.
    let answered = cluster.statistics();
    assert_eq!((answered.bios_failed, answered.current_vios_in_progress, answered.hash_locks), (1, 0, 0));
    assert!(cluster.shard(ShardId(0)).is_idle());
    cluster.settle(nothing);
    cluster.save();
    assert!(cluster.is_saved());
    cluster.shard(ShardId(0)).audit().expect("nothing is held");
}

/// vdo-115, partly: after a stop the index comes back from its chapters, whatever its size is now.
#[test]
fn the_index_comes_back_from_its_chapters() {
    let mut cluster = cluster(SIZES);
    write_and_forget(&mut cluster);
    for sizes in [sizes(SIZES), Sizes { index_bytes: 1 << 12, ..sizes(SIZES) }] {
        cluster.save_all();
        cluster.save_index();
        cluster = cluster.restart(&sizes);
        assert_eq!(cluster.statistics().entries_indexed, 0);
        cluster.settle(nothing);
        let after = cluster.statistics();
        assert!(after.entries_indexed >= if sizes.index_bytes < 1 << 12 { SECTION } else { 150 }, "{after:?}");
        assert!(after.index_sections_refilled > 12);
    }
    drop(Rig::new(cluster));
}

/// What the scrubber reads of slabs' metadata.
fn slab_reads(pending: &Pending<'_>) -> bool {
    let Pending::Metadata(transfer) = pending else { return false };
    transfer.direction == Direction::Read && matches!(transfer.place, Place::SlabMetadata { .. })
}

/// A volume with 200 blocks, of values from 1000 on, in four slabs, which was restarted. Its index is there again. Its slabs are not
/// loaded: their reads are held back.
fn restarted() -> Cluster {
    let sizes = Sizes { index_bytes: 1 << 16, ..sizes(SIZES) };
    let geometry = Geometry::new(1, Blocks(4 * PAGE), Pbn(9), Pbn(9 + 32 * 64), 64).expect("valid");
    let mut cluster = Cluster::new(geometry, &sizes, Faults::none());
    for lbn in 0..200 {
        cluster.write(lbn, 1000 + lbn);
    }
    cluster.save_all();
    cluster.save_index();
    let mut cluster = cluster.restart(&sizes);
    cluster.settle(slab_reads);
    cluster
}

/// Begins to write 50 of the blocks again, to other LBNs.
fn write_again(cluster: &mut Cluster) -> Vec<RequestId> {
    let requests = (0..50).map(|number| cluster.begin_write(300 + number, 1000 + 4 * number)).collect();
    cluster.settle(slab_reads);
    requests
}

/// vdo-13, vdo-52: duplicates of blocks whose slabs are not loaded after a restart wait for that, and are not stored again.
#[test]
fn duplicates_wait_for_the_slabs_of_their_originals() {
    let mut rig = Rig::new(restarted());
    let requests = write_again(&mut rig);
    assert!(requests.iter().all(|id| rig.outcome(*id).is_none()), "all of them wait");
    rig.settle(nothing);
    assert!(requests.into_iter().all(|id| rig.outcome(id) == Some(Ok(()))));
    assert!((0..50).all(|number| rig.pbn(300 + number) == rig.pbn(4 * number)));
    let statistics = rig.statistics();
    assert_eq!((statistics.dedupe_hits, statistics.unique_blocks, statistics.dedupe_advice_timeouts), (50, 0, 0));
}

/// Nobody waits for a slab for longer than 100 ms, and when one has waited in vain nobody does any more: a base that hangs
/// does not make every write wait.
#[test]
fn a_slab_that_does_not_come_is_waited_for_once() {
    let mut rig = Rig::new(restarted());
    let requests = write_again(&mut rig);
    let begun = rig.world.clock;
    let at = rig.world.timers[0].expect("a timer is set");
    assert_eq!(at - begun, 100_000_000);
    rig.world.clock = at;
    rig.perform(Step::Timer(ShardId(0)));
    rig.settle(slab_reads);
    assert!(requests.into_iter().all(|id| rig.outcome(id) == Some(Ok(()))), "they store copies");
    let statistics = rig.statistics();
    assert_eq!((statistics.dedupe_hits, statistics.unique_blocks, statistics.dedupe_advice_timeouts), (0, 50, 50));
    assert_eq!(rig.world.queries_timed_out, [50]);
    let late = rig.begin_write(400, 1001);
    rig.settle(slab_reads);
    assert_eq!((rig.outcome(late), rig.statistics().dedupe_advice_timeouts), (Some(Ok(())), 50));
    rig.settle(nothing);
    let id = rig.begin_write(401, 1002);
    rig.settle(nothing);
    assert_eq!((rig.outcome(id), rig.statistics().dedupe_hits), (Some(Ok(())), 1));
}

/// vdo-64: whoever waits for a slab when writing ends is told so, and nothing hangs.
#[test]
fn nobody_waits_for_a_slab_in_a_read_only_volume() {
    let mut cluster = restarted();
    write_again(&mut cluster);
    cluster.enter_read_only(ReadOnlyReason::Told);
    cluster.settle(slab_reads);
    let answered = cluster.statistics();
    assert_eq!((answered.bios_failed, answered.current_vios_in_progress, answered.pbn_locks), (50, 0, 0));
    assert!(cluster.shard(ShardId(0)).is_idle());
    cluster.settle(nothing);
}

/// An index that was emptied knows nothing, whatever is on its way to it.
#[test]
fn an_emptied_index_knows_nothing() {
    let mut rig = volume(SIZES);
    let values = write_and_forget(&mut rig);
    let id = begin(&mut rig, 1000, values[0]);
    rig.clear_index();
    rig.settle(nothing);
    assert_eq!(rig.outcome(id), Some(Ok(())));
    let after = rig.statistics();
    assert_eq!((after.entries_indexed, after.index_sections_readable, after.dedupe_hits), (1, 0, 0));
}
