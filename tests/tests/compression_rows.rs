// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of compression in the engine: rows of the feature table by hand-driven schedules,
//! as in `engine_rows`.

#![forbid(unsafe_code)]

use engine::format::{Geometry, MappingState};
use engine::request::Operation;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Direction, Message, Pbn, RequestError, ShardId};
use mpool::testing::Random;
use tests::sim::client::{Request, RequestId};
use tests::sim::cluster::{Cluster, Step};
use tests::sim::content::noise_of;
use tests::sim::directed::Pending;
use tests::sim::faults::Faults;
use tests::sim::rig::{metadata, nothing, reads_from_disk, writes_to_disk, Rig};
use tests::sim::sizes::Sizes;

/// Block that is stored as it is, for reads that keep something on its way.
const BUSY: u64 = 400;

/// A volume of `shards` shards and so many blocks, which compresses; one block is written as it is, to be read.
fn volume(shards: usize, blocks: u64, sizes: &Sizes) -> Rig {
    let geometry = Geometry::new(shards, Blocks(8 * PAGE), Pbn(9), Pbn(9 + blocks), 8).expect("valid");
    let mut rig = Rig::new(Cluster::new(geometry, &Sizes { compression: true, ..*sizes }, Faults::none()));
    let incompressible = values(496).next().expect("an eighth of all values");
    rig.write(BUSY, incompressible);
    rig
}

fn small() -> Rig {
    volume(1, 128, &Sizes::default())
}

/// Values with so much noise in each sector.
fn values(noise: usize) -> impl Iterator<Item = u64> {
    (1000..).filter(move |value| noise_of(*value) == noise)
}

/// Values that compress to some 250 bytes.
fn best(count: usize) -> Vec<u64> {
    values(0).take(count).collect()
}

/// Keeps a read on its way, as long as reads are held back: something moves.
fn be_busy(rig: &mut Rig) -> RequestId {
    let read = rig.submit(&Request::read(BUSY, 1));
    rig.settle(reads_from_disk);
    read
}

fn parked(rig: &Rig) -> u64 {
    rig.statistics().compressed_fragments_in_packer
}

fn is_compressed(rig: &Rig, lbn: u64) -> bool {
    matches!(rig.mapping(lbn).state(), MappingState::Compressed(_))
}

/// vdo-20: 14 different blocks and an equal one for each share one compressed block and one lock on it, which goes
/// last.
/// vdo-94: as many fragments as there are slots go into one block.
#[test]
fn fourteen_fragments_share_one_block_and_one_lock() {
    let mut rig = small();
    let before = rig.statistics();
    for (lbn, value) in (0..).zip(best(14)) {
        rig.begin_write(lbn, value);
        rig.begin_write(100 + lbn, value);
    }
    rig.settle(metadata);
    assert_eq!((rig.statistics().pbn_locks, parked(&rig)), (1, 0), "one lock, while nothing is recorded yet");
    assert_eq!(rig.statistics().bios_out_write, before.bios_out_write + 1);
    rig.settle(nothing);
    let statistics = rig.statistics();
    assert_eq!((statistics.compressed_blocks_written, statistics.compressed_fragments_written), (1, 14));
    assert_eq!((rig.references(rig.pbn(0)), statistics.pbn_locks), (Some(28), 0));
    for lbn in 0..14 {
        assert_eq!(rig.mapping(lbn), rig.mapping(100 + lbn));
        assert_eq!(rig.mapping(lbn).state(), MappingState::Compressed(lbn as u8));
        rig.read(lbn);
        rig.read(100 + lbn);
    }
    assert_eq!(statistics.data_blocks_used, before.data_blocks_used + 1);
}

/// vdo-14: advice that names a slot is decompressed and compared, and the block shared.
/// vdo-21: a compressed write tells the index once, with the slot.
#[test]
fn compressed_blocks_are_found_again() {
    let mut rig = small();
    let updates = rig.index_updates();
    let values = best(3);
    rig.write_together(0.., &values);
    assert_eq!(rig.index_updates(), updates + 3);
    let before = rig.statistics();
    for (lbn, value) in (10..).zip(values) {
        rig.write(lbn, value);
        assert_eq!(rig.mapping(lbn), rig.mapping(lbn - 10), "the same slot");
    }
    let after = rig.statistics();
    assert_eq!(after.dedupe_advice_valid, before.dedupe_advice_valid + 3);
    assert_eq!((after.bios_out_write, rig.index_updates()), (before.bios_out_write, updates + 3));
    assert_eq!(rig.references(rig.pbn(0)), Some(6));
}

/// vdo-14: all fragments of a compressed block can be found at once, although each has a lock of its own.
#[test]
fn all_fragments_of_a_block_are_found_at_the_same_time() {
    let mut rig = small();
    let values = best(14);
    rig.write_together(0.., &values);
    let before = rig.statistics();
    rig.write_together(100.., &values);
    let after = rig.statistics();
    assert_eq!(after.dedupe_advice_valid, before.dedupe_advice_valid + 14);
    assert_eq!(after.bios_out_write, before.bios_out_write);
    assert_eq!(rig.references(rig.pbn(0)), Some(28));
}

/// vdo-13, vdo-15: a compressed block that was spoilt, or cannot be read, is no duplicate; the data is stored anew.
#[test]
fn a_spoilt_compressed_block_is_no_duplicate() {
    let mut rig = small();
    let values = best(4);
    rig.write_together(0.., &values);
    let pbn = rig.pbn(0);
    rig.world.disk.spoil(pbn, (40, 1));
    rig.write(10, values[0]);
    assert_ne!(rig.pbn(10), pbn);
    rig.read(10);
    assert_eq!(rig.execute(&Request::read(0, 1)), Err(RequestError::Corrupt));
    assert_eq!(rig.statistics().check_error_count, 1);
    rig.world.faults.script(Direction::Read, Some(pbn), 1);
    rig.write(11, values[3]);
    assert_ne!(rig.pbn(11), pbn);
    // A spoilt head: no fragment can be read, and each reader is told.
    rig.world.disk.spoil(pbn, (0, 0xff));
    assert_eq!(rig.execute(&Request::read(2, 1)), Err(RequestError::Corrupt));
}

/// vdo-22, adapted: a block equal to one that is parked does not wait for that one's company: it is written at once, and both
/// complete without a flush.
#[test]
fn a_block_equal_to_a_parked_one_completes_with_it() {
    let mut rig = small();
    let read = be_busy(&mut rig);
    let value = best(1)[0];
    let first = rig.begin_write(0, value);
    rig.settle(reads_from_disk);
    let second = rig.begin_write(1, value);
    assert_eq!((parked(&rig), rig.outcome(first)), (1, None));
    rig.settle(reads_from_disk);
    assert_eq!((parked(&rig), rig.outcome(first), rig.outcome(second)), (0, Some(Ok(())), Some(Ok(()))));
    let over = rig.begin_write(0, best(2)[1]);
    rig.settle(nothing);
    for id in [read, first, second, over] {
        assert_eq!(rig.outcome(id), Some(Ok(())));
    }
    assert_eq!(rig.references(rig.pbn(1)), Some(1));
    rig.read(0);
    rig.read(1);
}

/// A volume of so many shards in each of which a read is held back, and values of the last one's hash zone.
fn busy_in_each_shard(shards: u64) -> (Rig, Vec<Pbn>, Vec<u64>) {
    let mut rig = volume(shards as usize, 128, &Sizes::default());
    for (shard, value) in (0..shards).zip(values(496).skip(1)) {
        rig.write(shard * PAGE + BUSY, value);
        rig.submit(&Request::read(shard * PAGE + BUSY, 1));
    }
    let busy = (0..shards).map(|shard| rig.pbn(shard * PAGE + BUSY)).collect();
    let last = ShardId(shards as u16 - 1);
    let values = values(0).filter(|value| rig.hash_shard(*value) == last).take(3).collect();
    (rig, busy, values)
}

/// vdo-95, adapted: whoever reads, overwrites or unmaps a block that is parked, or part of it, does not wait for that one's
/// company: its bin is written at once, with all that is in it. Also where the bin is another shard's.
#[test]
fn a_block_that_is_waited_for_waits_for_no_company() {
    let part = |operation| Request { operation, sector: 3, sectors: 2, tokens: vec![8, 8] };
    for shards in [1, 2] {
        let (_, _, values) = busy_in_each_shard(shards);
        let waiters = [
            Request::read(0, 1),
            Request::write(0, &values[2..]),
            Request::on_blocks(Operation::Unmap, 0, 1),
            part(Operation::Write),
        ];
        for waiter in waiters {
            let (mut rig, busy, values) = busy_in_each_shard(shards);
            let held = |pending: &Pending<'_>| matches!(pending, Pending::Transfer(transfer) if transfer.pbn().is_some_and(|pbn| busy.contains(&pbn)));
            let writes = [0, 1].map(|lbn| rig.begin_write(lbn, values[lbn as usize]));
            rig.settle(held);
            assert_eq!((parked(&rig), rig.outcome(writes[0])), (2, None));
            let waits = rig.submit(&waiter);
            rig.settle(held);
            assert_eq!(writes.map(|id| rig.outcome(id)), [Some(Ok(())); 2], "{waiter:?} on {shards} shards");
            assert!(is_compressed(&rig, 1), "the bin is written as it is");
            let is_parked = waiter.operation == Operation::Write;
            assert_eq!((rig.outcome(waits).is_none(), parked(&rig)), (is_parked, u64::from(is_parked)));
            rig.settle(nothing);
            assert_eq!(rig.outcome(waits), Some(Ok(())));
        }
    }
}

/// A block for whose LBN others wait already when it comes to be parked does not wait for company either; the last of them does.
#[test]
fn a_block_that_others_wait_for_is_not_parked() {
    for shards in [1, 2] {
        let (mut rig, busy, values) = busy_in_each_shard(shards);
        let held = |pending: &Pending<'_>| matches!(pending, Pending::Transfer(transfer) if transfer.pbn().is_some_and(|pbn| busy.contains(&pbn)));
        let writes = [0, 1, 2].map(|value| rig.begin_write(0, values[value]));
        rig.settle(held);
        assert_eq!(writes.map(|id| rig.outcome(id)), [Some(Ok(())), Some(Ok(())), None]);
        assert_eq!(parked(&rig), 1);
    }
}

/// vdo-94: without company nothing waits: a single block is written as it is, at once.
#[test]
fn a_single_write_does_not_wait() {
    let mut rig = small();
    let before = rig.statistics();
    for (lbn, value) in (0..).zip(best(5)) {
        rig.write(lbn, value);
        assert!(!is_compressed(&rig, lbn));
    }
    let after = rig.statistics();
    assert_eq!(after.fragments_written_plain, before.fragments_written_plain + 5);
    assert_eq!(after.compressed_blocks_written, 0);
}

/// vdo-94: what does not compress is stored as it is, and does not wait for anybody.
#[test]
fn incompressible_blocks_are_not_parked() {
    let mut rig = small();
    be_busy(&mut rig);
    let before = rig.statistics().incompressible_blocks;
    let value = values(496).nth(5).expect("an eighth of all values");
    let write = rig.begin_write(0, value);
    rig.settle(reads_from_disk);
    assert_eq!(rig.outcome(write), Some(Ok(())));
    assert_eq!(rig.statistics().incompressible_blocks, before + 1);
    assert!(!is_compressed(&rig, 0));
}

/// Blocks for fragments of these sizes if all are there at once.
fn first_fit_decreasing(mut sizes: Vec<usize>) -> u64 {
    sizes.sort_unstable();
    let mut blocks = Vec::<usize>::new();
    for size in sizes.iter().rev() {
        match blocks.iter_mut().find(|left| **left >= *size) {
            Some(left) => *left -= size,
            None => blocks.push(4096 - size),
        }
    }
    blocks.len() as u64
}

/// vdo-94: fragments of all sizes are packed, and as many blocks saved as sizes allow, about.
#[test]
fn blocks_of_all_sizes_are_packed() {
    let mut rig = volume(1, 512, &Sizes::default());
    let before = rig.statistics().data_blocks_used;
    let all: Vec<u64> = (5000..5300).filter(|value| noise_of(*value) < 496).collect();
    rig.write_together(0.., &all);
    let used = rig.statistics().data_blocks_used - before;
    let ideal = first_fit_decreasing(all.iter().map(|value| 8 * noise_of(*value) + 250).collect());
    let count = all.len() as u64;
    assert!(count - used > (count - ideal) * 9 / 10, "{count} blocks in {used}, where {ideal} would do");
    for lbn in 0..all.len() as u64 {
        rig.read(lbn);
    }
}

/// vdo-95, adapted: nobody is cancelled. Blocks that wait behind parked ones, for the LBN or for equal content, while
/// bins are written for any reason, all complete, once each.
#[test]
fn whoever_waits_behind_a_parked_block_completes_once() {
    let mut random = Random::stream(7, 7);
    for containers in [1, 16] {
        let mut rig = volume(2, 256, &Sizes { containers, ..Sizes::default() });
        let values = best(60);
        for _ in 0..150 {
            let mut requests = Vec::new();
            for _ in 0..random.between(2, 12) {
                let (lbn, value) = (random.below(6) + PAGE * random.below(2), random.pick(&values));
                requests.push(rig.begin_write(lbn, value));
                if random.chance(300) {
                    rig.settle(writes_to_disk);
                }
                if random.chance(50) {
                    rig.submit(&Request::flush());
                    rig.set_compression(random.chance(700));
                }
            }
            rig.settle(nothing);
            assert!(requests.into_iter().all(|id| rig.outcome(id) == Some(Ok(()))));
            assert_eq!(parked(&rig), 0);
        }
        rig.set_compression(true);
        let written = rig.statistics().compressed_blocks_written;
        assert!(written > 10, "{written} compressed blocks");
    }
}

/// vdo-93: a flush has the bins written that hold older writes, although others are still on their way.
#[test]
fn a_flush_writes_what_is_parked() {
    let mut rig = small();
    let read = be_busy(&mut rig);
    let values = best(3);
    let older: Vec<_> = (0..2).map(|lbn| rig.begin_write(lbn, values[lbn as usize])).collect();
    rig.settle(reads_from_disk);
    assert_eq!(parked(&rig), 2);
    let flush = rig.submit(&Request::flush());
    rig.settle(reads_from_disk);
    assert!(older.iter().all(|id| rig.outcome(*id) == Some(Ok(()))));
    assert!(is_compressed(&rig, 0) && is_compressed(&rig, 1));
    assert_eq!((rig.outcome(flush), rig.outcome(read)), (None, None), "the read is older, too");
    rig.settle(nothing);
    let later = rig.submit(&Request::read(BUSY, 1));
    rig.settle(reads_from_disk);
    let flush = rig.submit(&Request::flush());
    let younger = rig.begin_write(5, values[2]);
    rig.settle(reads_from_disk);
    assert_eq!((rig.outcome(younger), rig.outcome(flush), rig.outcome(later)), (Some(Ok(())), None, None));
}

/// No fragment waits longer than 4 ms, whatever else is on its way.
#[test]
fn a_parked_block_is_written_after_the_bound() {
    let mut rig = small();
    be_busy(&mut rig);
    let writes: Vec<_> = (0..).zip(best(2)).map(|(lbn, value)| rig.begin_write(lbn, value)).collect();
    rig.settle(reads_from_disk);
    assert_eq!(parked(&rig), 2);
    let bound = rig.world.clock + 4_000_000;
    while parked(&rig) > 0 {
        let due = rig.world.timers[0].expect("a timer is set");
        assert!(due <= bound, "no fragment waits longer than 4 ms");
        rig.world.clock = due;
        rig.perform(Step::Timer(ShardId(0)));
        rig.settle(reads_from_disk);
    }
    assert_eq!(rig.world.clock, bound, "nor shorter, while others are on the way");
    assert!(writes.iter().all(|id| rig.outcome(*id) == Some(Ok(()))));
    assert!(is_compressed(&rig, 0) && is_compressed(&rig, 1));
}

/// Turning compression off has the bins written, and what is stored compressed can be read and shared.
#[test]
fn compression_is_turned_off_and_on_online() {
    let mut rig = small();
    be_busy(&mut rig);
    let values = best(4);
    let writes: Vec<_> = (0..2).map(|lbn| rig.begin_write(lbn, values[lbn as usize])).collect();
    rig.settle(reads_from_disk);
    assert_eq!(parked(&rig), 2);
    rig.set_compression(false);
    rig.settle(reads_from_disk);
    assert!(writes.iter().all(|id| rig.outcome(*id) == Some(Ok(()))));
    assert!(is_compressed(&rig, 0));
    rig.settle(nothing);
    rig.write_together(10.., &values);
    assert_eq!(rig.mapping(10), rig.mapping(0), "what is stored is shared all the same");
    assert!(!is_compressed(&rig, 12) && !is_compressed(&rig, 13));
    rig.read(0);
    rig.set_compression(true);
    rig.write_together(20.., &best(8)[6..]);
    assert!(is_compressed(&rig, 20));
}

/// A compressed block that cannot be written: each of its owners is written as it is, and nobody hears of it.
#[test]
fn a_failed_compressed_write_is_made_up_for() {
    let mut rig = small();
    let before = rig.statistics();
    rig.world.faults.script(Direction::Write, None, 1);
    rig.write_together(0.., best(14));
    let after = rig.statistics();
    assert_eq!((rig.world.faults.counts.write_errors, after.data_write_retries), (1, 14));
    assert_eq!((after.compressed_blocks_written, after.data_blocks_used), (0, before.data_blocks_used + 14));
    (0..14).for_each(|lbn| rig.read(lbn));
}

/// vdo-24: without space all owners of a compressed block are told, and the volume goes on.
#[test]
fn a_compressed_block_finds_no_space() {
    let mut rig = small();
    rig.set_compression(false);
    let mut lbn = 0;
    while rig.execute(&Request::write(lbn, &[100_000 + lbn])).is_ok() {
        lbn += 1;
    }
    rig.set_compression(true);
    let values = best(14);
    let writes: Vec<_> = (300..).zip(&values).map(|(lbn, value)| rig.begin_write(lbn, *value)).collect();
    rig.settle(nothing);
    assert!(writes.iter().all(|id| rig.outcome(*id) == Some(Err(RequestError::NoSpace))));
    rig.unmap(0);
    rig.write_together(300.., &values);
    assert_eq!(rig.references(rig.pbn(300)), Some(14), "14 blocks fit where there was room for one");
}

/// A read of a compressed block costs one read of the base; part of it can be overwritten.
#[test]
fn compressed_blocks_are_read_with_one_base_read() {
    let mut rig = small();
    rig.write_together(0.., best(4));
    let before = (rig.world.disk.counts.read, rig.statistics().compressed_fragments_read);
    rig.execute(&Request::read(0, 4)).expect("the read succeeds");
    let after = (rig.world.disk.counts.read, rig.statistics().compressed_fragments_read);
    assert_eq!(after, (before.0 + 4, before.1 + 4));
    let part = Request { sector: 3, sectors: 2, ..Request::read(0, 1) };
    rig.execute(&part).expect("the read succeeds");
    let tokens = vec![777 << 3, 778 << 3];
    rig.execute(&Request { operation: Operation::Write, sector: 9, sectors: 2, tokens }).expect("the write succeeds");
    rig.read(1);
    assert_eq!(rig.references(rig.pbn(0)), Some(3), "its reference to the compressed block is gone");
    rig.execute_on(Operation::Unmap, 0, 4).expect("the unmap succeeds");
    assert_eq!(rig.statistics().data_blocks_used - rig.statistics().block_map_pages, 1, "only the busy one is left");
}

/// vdo-20: every owner of a fragment has the references that its lock was promised, up to the last one.
#[test]
fn all_references_of_a_compressed_block_can_be_used() {
    let mut rig = small();
    let mut requests = Vec::new();
    for (lbn, value) in (0..).zip(best(14)) {
        requests.extend((0..18).map(|copy| rig.begin_write(copy * 14 + lbn, value)));
    }
    rig.settle(nothing);
    assert!(requests.into_iter().all(|id| rig.outcome(id) == Some(Ok(()))));
    assert_eq!(rig.references(rig.pbn(0)), Some(252));
    let statistics = rig.statistics();
    assert_eq!((statistics.compressed_blocks_written, statistics.hash_lock_forks), (1, 0));
}

/// vdo-17, vdo-20: more equal blocks than a fragment's share of references: the copy is written as it is, for all.
#[test]
fn many_equal_blocks_are_not_compressed() {
    let mut rig = small();
    let before = rig.statistics();
    for lbn in 0..100 {
        rig.begin_write(lbn, best(1)[0]);
    }
    rig.settle(nothing);
    assert_eq!((rig.references(rig.pbn(0)), is_compressed(&rig, 0)), (Some(100), false));
    assert_eq!(rig.statistics().bios_out_write, before.bios_out_write + 1);
}

/// vdo-20: a block for which more wait than a fragment is sure to have references for is no fragment: it would take those of
/// the others.
#[test]
fn a_block_with_many_owners_is_no_fragment() {
    let mut rig = small();
    let values = best(14);
    let mut requests = Vec::new();
    for (lbn, value) in (0..).zip(&values[..13]) {
        requests.extend((0..18).map(|copy| rig.begin_write(copy * 14 + lbn, *value)));
    }
    requests.extend((0..100).map(|copy| rig.begin_write(280 + copy, values[13])));
    rig.settle(nothing);
    assert!(requests.into_iter().all(|id| rig.outcome(id) == Some(Ok(()))));
    assert_eq!((rig.references(rig.pbn(0)), rig.references(rig.pbn(280))), (Some(234), Some(100)));
    assert_eq!((is_compressed(&rig, 0), is_compressed(&rig, 280)), (true, false));
    assert_eq!(rig.statistics().hash_lock_forks, 0);
}

/// vdo-20: what locks on the fragments of a block have not used of their shares is there for the others.
#[test]
fn unused_references_go_to_the_other_fragments() {
    let mut rig = small();
    let values = best(14);
    rig.write_together(0.., &values);
    let writes: Vec<_> = (100..).zip(&values).map(|(lbn, value)| rig.begin_write(lbn, *value)).collect();
    rig.settle(reads_from_disk);
    let last = rig.world.disk.transfers.last().expect("each is compared").token;
    rig.settle(|pending| matches!(pending, Pending::Transfer(transfer) if transfer.token == last));
    let waits = writes.iter().position(|id| rig.outcome(*id).is_none()).expect("one is held back");
    rig.write_together(200..330, std::iter::repeat(values[waits]));
    assert_eq!((rig.references(rig.pbn(0)), rig.statistics().hash_lock_forks), (Some(158), 0));
}

/// vdo-20: a lock on a stored fragment that has used up its share of the references asks for more, and a second copy is
/// written only when the block has none left.
/// vdo-17: then the rest rolls over to it.
#[test]
fn a_stored_fragment_is_shared_up_to_the_limit_of_its_block() {
    for shards in [1, 2] {
        let mut rig = volume(shards, 256, &Sizes::default());
        let values: Vec<u64> = values(0).filter(|value| rig.hash_shard(*value) == ShardId(0)).take(14).collect();
        rig.write_together(0.., &values);
        assert_eq!(rig.references(rig.pbn(0)), Some(14));
        rig.write_together(PAGE..PAGE + 100, std::iter::repeat(values[3]));
        assert_eq!((rig.references(rig.pbn(0)), rig.statistics().hash_lock_forks), (Some(114), 0));
        assert!((PAGE..PAGE + 100).all(|lbn| rig.mapping(lbn) == rig.mapping(3)));
        rig.write_together(PAGE + 100..PAGE + 300, std::iter::repeat(values[3]));
        assert_eq!((rig.references(rig.pbn(0)), rig.statistics().hash_lock_forks), (Some(254), 1));
        let others = (PAGE + 100..PAGE + 300).filter(|lbn| rig.pbn(*lbn) != rig.pbn(0));
        let others: Vec<u64> = others.collect();
        assert_eq!((others.len(), rig.references(rig.pbn(others[0]))), (60, Some(60)));
        assert_eq!(rig.statistics().pbn_locks, 0);
    }
}

/// vdo-20: whoever waits for more references of a fragment is left alone in its lock, and gets none: the lock ends, and a
/// new one writes a copy.
#[test]
fn a_lock_that_gets_no_more_references_ends() {
    let mut rig = volume(2, 64, &Sizes::default());
    let values: Vec<u64> = values(0).filter(|value| rig.hash_shard(*value) == ShardId(0)).take(14).collect();
    rig.set_compression(false);
    let mut filler = 0;
    while rig.statistics_of(ShardId(0)).data_blocks_used < rig.statistics_of(ShardId(0)).data_blocks {
        rig.write(200 + filler, 1 << 30 | filler);
        filler += 1;
    }
    rig.set_compression(true);
    rig.write_together(0.., &values);
    let full = rig.pbn(0);
    assert_eq!(rig.world.geometry.physical_shard(full), Some(ShardId(1)));
    rig.write_together(PAGE + 14..PAGE + 244, std::iter::repeat(values[0]));
    assert_eq!(rig.references(full), Some(244));
    let asks = |pending: &Pending<'_>| matches!(pending, Pending::Message { message: Message::ExtendLease { .. }, .. });
    let requests: Vec<_> = (PAGE + 244..PAGE + 260).map(|lbn| rig.begin_write(lbn, values[0])).collect();
    rig.settle(asks);
    assert_eq!(requests.iter().filter(|id| rig.outcome(**id) == Some(Ok(()))).count(), 10);
    assert_eq!((rig.references(full), rig.statistics().hash_locks), (Some(254), 1));
    rig.settle(nothing);
    assert!(requests.into_iter().all(|id| rig.outcome(id) == Some(Ok(()))));
    assert_eq!((rig.references(full), rig.statistics().hash_lock_forks), (Some(254), 1));
    assert_eq!((rig.statistics().pbn_locks, rig.statistics().hash_locks), (0, 0));
}

/// vdo-20: shards share a compressed block: owners in one, the block in another.
#[test]
fn a_compressed_block_is_shared_across_shards() {
    let mut rig = volume(3, 24, &Sizes::default());
    let values: Vec<u64> = values(0).filter(|value| rig.hash_shard(*value) == ShardId(0)).take(40).collect();
    // The blocks of shard 0 are used up, so that compressed blocks of its hash zone lie elsewhere.
    rig.set_compression(false);
    let mut filler = 0;
    while rig.statistics_of(ShardId(0)).data_blocks_used < rig.statistics_of(ShardId(0)).data_blocks {
        rig.write(200 + filler, 1 << 30 | filler);
        filler += 1;
    }
    rig.set_compression(true);
    for round in 0..2 {
        rig.write_together(round * PAGE.., &values[..14]);
        assert_ne!(rig.world.geometry.physical_shard(rig.pbn(0)), Some(ShardId(0)));
    }
    assert_eq!(rig.references(rig.pbn(0)), Some(28));
    assert_eq!(rig.statistics().pbn_locks, 0);
}
