// SPDX-License-Identifier: BSD-3-Clause

use super::*;
use crate::mlog::block::{seal, LogFormat};
use crate::mlog::testing::{record, scan_in_pieces, PureLog, STAMP};
use crate::mlog::writer::Policy;
use crate::testing::Random;

/// A block with one record.
fn block(ids: (u32, u32), format: LogFormat) -> Vec<u8> {
    block_of(STAMP, ids, format)
}

fn block_of(stamp: Stamp, ids: (u32, u32), format: LogFormat) -> Vec<u8> {
    let mut image = vec![0; 512];
    image[40] = 4;
    image[44] = 4;
    image[46] = 1;
    seal(&mut image, format, stamp, SetIds { previous: ids.0, current: ids.1 });
    image
}

fn config(blocks: u64) -> ScanConfig {
    let geometry = Geometry { sector_bytes: 512, blocks };
    ScanConfig { geometry, stamp: STAMP, compact_sem: false, accept_v1: false, one_in_flight: false }
}

fn scan_blocks(blocks: &[Vec<u8>]) -> Result<Recovered, ScanError> {
    scan_in_pieces(&blocks.concat(), config(blocks.len() as u64), usize::MAX)
}

fn v2(ids: (u32, u32)) -> Vec<u8> {
    block(ids, LogFormat::V2)
}

#[test]
fn an_unused_log_is_empty() {
    for fill in [0, 0xff, 0x5a] {
        assert_eq!(scan_blocks(&[vec![fill; 512], vec![fill; 512]]), Ok(Recovered::EMPTY));
    }
}

/// mpool-62: the log ends at the first block that does not continue the chain: garbage, zeros, ones, another log's, an
/// older generation's, an older set's, a torn one.
#[test]
fn the_log_ends_where_the_chain_does() {
    let foreign = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut image = v2((5, 6));
        change(&mut image);
        image
    };
    let mut random = Random::new(9);
    for unused in [
        vec![0; 512],
        vec![0xff; 512],
        (0..512).map(|_| random.draw() as u8).collect(),
        foreign(&|image| image[2] ^= 1),
        block_of(Stamp { generation: 2, ..STAMP }, (5, 6), LogFormat::V2),
        foreign(&|image| image[511] ^= 1),
        v2((4, 5)),
        v2((7, 8)),
    ] {
        let found = scan_blocks(&[v2((0, 4)), v2((4, 5)), unused, v2((9, 9))]).expect("the log is whole");
        assert_eq!((found.blocks, found.last_set, found.next_set), (2, 5, 10));
    }
}

#[test]
fn a_full_log_has_no_end_to_be_found() {
    let found = scan_blocks(&[v2((0, 4)), v2((4, 4)), v2((4, 5))]).expect("the log is whole");
    assert_eq!((found.blocks, found.last_set, found.next_set), (3, 5, 6));
}

/// mpool-63, partly: stale blocks are looked for in 1 MiB from the log's end, and no further.
#[test]
fn stale_sets_are_looked_for_within_one_mebibyte() {
    let blocks = 1 + 2048 + 2;
    for (stale, expected) in [(1, 8), (2, 8), (2048, 8), (2049, 2)] {
        let mut image = vec![0; blocks * 512];
        image[..512].copy_from_slice(&v2((0, 1)));
        image[stale * 512..(stale + 1) * 512].copy_from_slice(&v2((7, 7)));
        for piece in [512, 5 * 512, usize::MAX] {
            let found = scan_in_pieces(&image, config(blocks as u64), piece).expect("the log is whole");
            assert_eq!((found.blocks, found.next_set), (1, expected), "at {stale} in pieces of {piece}");
        }
    }
}

#[test]
fn damaged_stale_blocks_do_not_matter() {
    let mut damaged = v2((7, u32::MAX));
    damaged[100] ^= 1;
    assert_eq!(scan_blocks(&[v2((0, 1)), vec![0; 512], damaged]).expect("the log is whole").next_set, 2);
}

#[test]
fn the_last_id_does_not_overflow() {
    let found = scan_blocks(&[v2((0, 1)), v2((7, u32::MAX))]).expect("the log is whole");
    assert_eq!(found.next_set, 1 << 32);
}

#[test]
fn blocks_of_version_1_count_only_where_they_may() {
    let image = block((0, 1), LogFormat::V1);
    let unknown = ScanError::UnknownVersion { block: 0, version: 1 };
    assert_eq!(scan_in_pieces(&image, config(1), 512), Err(unknown));
    let found = scan_in_pieces(&image, ScanConfig { accept_v1: true, ..config(1) }, 512);
    assert_eq!(found.map(|found| found.blocks), Ok(1));
    // A log that was begun before its pool was converted continues in version 2.
    let both = [image, v2((1, 2))].concat();
    let found = scan_in_pieces(&both, ScanConfig { accept_v1: true, ..config(2) }, 512);
    assert_eq!(found.map(|found| found.blocks), Ok(2));
}

#[test]
fn an_unknown_version_on_the_chain_is_corrupt() {
    let mut image = v2((1, 2));
    image[0] = 3;
    let unknown = ScanError::UnknownVersion { block: 1, version: 3 };
    assert_eq!(scan_blocks(&[v2((0, 1)), image.clone()]), Err(unknown));
    assert_eq!(scan_blocks(&[v2((0, 9)), image]).map(|found| found.blocks), Ok(1), "off the chain it is foreign");
}

#[test]
fn sets_that_go_back_are_corrupt() {
    assert_eq!(scan_blocks(&[v2((0, 0))]), Err(ScanError::SetGoesBack { block: 0 }));
    assert_eq!(scan_blocks(&[v2((0, 5)), v2((5, 4))]), Err(ScanError::SetGoesBack { block: 1 }));
}

#[test]
fn a_log_for_compaction_needs_both_marks() {
    let marked = |kinds: &[u8]| {
        let mut image = vec![0; 512];
        for (at, kind) in kinds.iter().enumerate() {
            image[40 + 8 * at + 6] = *kind;
        }
        seal(&mut image, LogFormat::V2, STAMP, SetIds { previous: 0, current: 1 });
        scan_in_pieces(&image, ScanConfig { compact_sem: true, ..config(1) }, 512)
    };
    assert_eq!(marked(&[1]), Err(ScanError::NoStart));
    assert_eq!(marked(&[5]), Err(ScanError::Unfinished));
    assert_eq!(marked(&[5, 1]), Err(ScanError::Unfinished));
    let found = marked(&[5, 6]).expect("both are there");
    assert!(found.compaction_started && found.compaction_ended && !found.is_empty());
    let empty = scan_in_pieces(&[0; 512], ScanConfig { compact_sem: true, ..config(1) }, 512);
    assert_eq!(empty, Ok(Recovered::EMPTY));
}

/// mpool-63: mpool's worked example, with the scan for stale sets, and what it prevents.
#[test]
fn a_dead_set_is_not_attached_again() {
    let mut log = PureLog::small(4096, 16, Policy::Continue, LogFormat::V2);
    // k = 3, in set 6.
    for number in 0..3 {
        log.append_flushed(&record(number, 4048));
    }
    for number in 3..6 {
        log.append_flushed(&record(number, 10));
    }
    assert_eq!(log.block(3).0, SetIds { previous: 3, current: 6 });
    log.writer.append(&record(7, 9000)).expect("there is room");
    let set = log.writer.next_flush(true).expect("dirty");
    assert_eq!((set.at, set.range.len()), (3 * 4096, 3 * 4096));
    log.image[4 * 4096..6 * 4096].copy_from_slice(&set.buffer[4096..3 * 4096]);

    let recovered = log.content().expect("the log is whole").recovered;
    assert_eq!((recovered.blocks, recovered.last_set, recovered.next_set), (4, 6, 8));
    let mut log = log.reopen();
    log.append_flushed(&record(8, 10));
    assert_eq!(log.block(4).0, SetIds { previous: 6, current: 8 });
    assert_eq!(log.block(5).0, SetIds { previous: 7, current: 7 }, "the dead block is there");
    assert_eq!(log.records().last(), Some(&record(8, 10)));

    // Without the scan the dead set's id is reused, and its last block continues the chain.
    let mut log = log.reopen_as(&Recovered { next_set: 7, ..recovered });
    log.append_flushed(&record(8, 10));
    assert!(log.content().is_err());
}

/// The id of a torn block counts, unless it is so far ahead that it must be damage.
#[test]
fn a_torn_blocks_id_is_not_used_again() {
    for (id, next_set) in [(5, 6), (1 + (1 << 20), 2 + (1 << 20)), (2 + (1 << 20), 2)] {
        for torn_at in [1, 2] {
            let mut blocks = [v2((0, 1)), vec![0; 512], vec![0; 512]];
            blocks[torn_at] = v2((1, id));
            blocks[torn_at][100] ^= 1;
            let found = scan_in_pieces(&blocks.concat(), config(3), 512).expect("the log is whole");
            assert_eq!((found.blocks, found.next_set, found.remains), (1, next_set, torn_at == 1), "{id} at {torn_at}");
        }
    }
}

/// A block that rots in a log written set by set is told from the log's end by any set that began after it.
#[test]
fn damage_is_told_from_the_end() {
    let sets = [v2((0, 1)), v2((1, 2)), v2((2, 2)), v2((2, 3))];
    let scan = |rotten: usize, one_in_flight| {
        let mut blocks = sets.clone();
        blocks[rotten][100] ^= 1;
        scan_in_pieces(&blocks.concat(), ScanConfig { one_in_flight, ..config(4) }, 512)
    };
    for (rotten, witness) in [(0, 1), (1, 3), (2, 3)] {
        let error = ScanError::Damaged { block: rotten as u64, witness };
        assert_eq!(scan(rotten, true), Err(error), "block {rotten}");
        assert_eq!(scan(rotten, false).map(|found| found.blocks), Ok(rotten as u64), "block {rotten}");
    }
    // The last set may have been interrupted as well.
    assert_eq!(scan(3, true).map(|found| found.blocks), Ok(3));
}
