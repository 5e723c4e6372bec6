// SPDX-License-Identifier: BSD-3-Clause

//! What the index names: it is used only once it has been locked, read and compared.

use engine::format::Geometry;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Direction, Pbn, RequestError, ShardId};
use tests::sim::chapters::ChapterPlan;
use tests::sim::client::Request;
use tests::sim::cluster::Cluster;
use tests::sim::directed::Pending;
use tests::sim::faults::Faults;
use tests::sim::rig::{nothing, reads_from_disk, writes_to_disk, Rig};
use tests::sim::sizes::Sizes;

use super::fixture::{blocks_written, own_statistics, small};

/// vdo-10: advice to a block that is being written is not waited for: the data is written elsewhere, the advice counts
/// as stale and the index learns the new place.
#[test]
fn advice_to_a_block_being_written_is_refused() {
    let mut rig = small(8);
    for lbn in 0..8 {
        rig.write(lbn, 10 + lbn);
    }
    let freed = rig.pbn(3);
    rig.unmap(3);
    rig.unmap(4);
    rig.begin_write(20, 99);
    rig.settle(writes_to_disk);
    assert_eq!(rig.world.disk.transfers[0].pbn(), Some(freed), "the freed block is written");
    let before = own_statistics(&rig);
    let other = rig.begin_write(21, 13);
    rig.settle(|pending| matches!(pending, Pending::Transfer(transfer) if transfer.pbn() == Some(freed)));
    assert_eq!(rig.outcome(other), Some(Ok(())));
    let after = own_statistics(&rig);
    assert_eq!(after.dedupe_advice_stale, before.dedupe_advice_stale + 1);
    assert_eq!(after.updates_found, before.updates_found + 1);
    assert_eq!(rig.world.disk.counts.verified, 0, "there was nothing to verify");
    rig.settle(nothing);
    rig.write(22, 13);
    assert_eq!(rig.pbn(22), rig.pbn(21));
}

/// vdo-11: a block with 254 references takes no more: no lock, no verify read, a new copy.
#[test]
fn a_full_block_is_not_shared_further() {
    let mut rig = small(64);
    for lbn in 0..254 {
        rig.write(lbn, 3);
    }
    assert_eq!((rig.references(rig.pbn(0)), blocks_written(&rig)), (Some(254), 1));
    let verified = rig.world.disk.counts.verified;
    rig.write(254, 3);
    assert_eq!((blocks_written(&rig), rig.world.disk.counts.verified), (2, verified));
    assert_eq!(rig.references(rig.pbn(254)), Some(1));
    rig.write(255, 3);
    assert_eq!(rig.pbn(255), rig.pbn(254), "the index names the new copy");
}

/// vdo-12: a freed block that advice names is pinned while it is verified, then used again as it is.
#[test]
fn a_freed_block_is_pinned_while_it_is_verified() {
    let mut rig = small(16);
    rig.write(0, 5);
    let pbn = rig.pbn(0);
    rig.unmap(0);
    assert_eq!(rig.references(pbn), Some(0));
    let again = rig.begin_write(1, 5);
    rig.settle(reads_from_disk);
    assert_eq!(rig.references(pbn), Some(255), "held by a provisional reference");
    // Meanwhile all other blocks are taken, and this one is never handed out.
    for lbn in 0..20 {
        rig.begin_write(100 + lbn, 200 + lbn);
    }
    rig.settle(reads_from_disk);
    assert!((100..120).all(|lbn| rig.pbn(lbn) != pbn));
    assert_eq!(own_statistics(&rig).no_space_error_count, 5, "20 blocks found 15");
    let written = blocks_written(&rig);
    rig.settle(nothing);
    assert_eq!(rig.outcome(again), Some(Ok(())));
    assert_eq!((rig.pbn(1), rig.references(pbn), blocks_written(&rig)), (pbn, Some(1), written));
}

/// vdo-13: a candidate whose content differs is not shared: the data is written elsewhere and the index updated.
#[test]
fn advice_is_verified_byte_by_byte() {
    let mut rig = small(64);
    rig.write(0, 5);
    let stored = rig.pbn(0);
    rig.world.disk.spoil(stored, (4000, 1));
    let before = own_statistics(&rig);
    rig.write(1, 5);
    let after = own_statistics(&rig);
    assert_ne!(rig.pbn(1), rig.pbn(0));
    assert_eq!(after.dedupe_advice_stale, before.dedupe_advice_stale + 1);
    assert_eq!(after.updates_found, before.updates_found + 1);
    rig.write(2, 5);
    assert_eq!(rig.pbn(2), rig.pbn(1), "the index names the good copy");
    assert_eq!(rig.execute(&Request::read(0, 1)), Err(RequestError::Corrupt));
    rig.read(1);
}

/// vdo-15: a verify read that fails means "no duplicate", never an error of the request.
#[test]
fn a_failed_verify_read_fails_no_request() {
    let mut rig = small(64);
    rig.write(0, 5);
    let pbn = rig.pbn(0);
    rig.world.faults.script(Direction::Read, Some(pbn), 1);
    rig.write(1, 5);
    assert_ne!(rig.pbn(1), pbn);
    assert_eq!(rig.world.faults.counts.read_errors, 1);
    rig.read(0);
    rig.read(1);
}

/// vdo-9: advice to a block that cannot hold data, in front of the slabs or behind them, is dropped and counted; the data is
/// stored as if the index knew nothing, the index learns where, and writing goes on. The records are those of a larger volume.
#[test]
fn implausible_advice_is_dropped_and_counted() {
    let chapters = ChapterPlan { section_records: 16, chapter_sections: 1, ..ChapterPlan::SOUND };
    let sizes = Sizes { history: Some(chapters), ..Sizes::default() };
    let volume = |first: u64, slabs: u64| {
        let geometry = Geometry::new(1, Blocks(4 * PAGE), Pbn(first), Pbn(first + slabs * 64), 64).expect("valid");
        Cluster::new(geometry, &sizes, Faults::none())
    };
    let mut large = volume(9, 32);
    (0..640).for_each(|lbn| large.write(lbn, 1000 + lbn));
    let values: Vec<u64> = (0..20).chain(600..620).collect();
    assert!(values.iter().all(|lbn| !(300..556).contains(&large.pbn(*lbn).0)));
    let mut small = volume(300, 4);
    small.save_all();
    small.world.chapters = large.world.chapters.take();
    let mut rig = Rig::new(small.restart(&sizes));
    rig.settle(nothing);
    assert!(rig.statistics().entries_indexed > 600);

    for (lbn, value) in (0..).zip(&values) {
        rig.write(lbn, 1000 + value);
    }
    let statistics = rig.statistics();
    assert_eq!((statistics.invalid_advice_pbn_count, statistics.unique_blocks), (40, 40));
    assert_eq!((statistics.dedupe_advice_stale, statistics.dedupe_hits, rig.world.disk.counts.verified), (0, 0, 0));
    assert_eq!((statistics.updates_found, rig.shard(ShardId(0)).read_only()), (40, None));
    for (lbn, value) in (100..).zip(&values) {
        rig.write(lbn, 1000 + value);
    }
    assert_eq!((rig.statistics().invalid_advice_pbn_count, rig.statistics().dedupe_hits), (40, 40));
}
