// SPDX-License-Identifier: BSD-3-Clause

//! What holds for the space of a log, whatever the bytes.
//!
//! The first byte of the input is how the rest, the space, is treated:
//! ```text
//! bit 0   sectors of 4096 bytes instead of 512
//! bit 1   the log has compaction markers
//! bit 2   blocks of version 1 count
//! bit 3   every block gets the log's identity and a check code that matches; its set ids stay
//! bit 4   one flush set was written after the other
//! ```

use mpool::mlog::block::{seal, SetIds, Stamp};
use mpool::mlog::check::{check_block, check_image, check_records, ContentError, LogContent};
use mpool::mlog::scan::ScanConfig;
use mpool::mlog::{Geometry, LogFormat, LogWriter, Policy, WriterConfig};
use uuid::Uuid;

/// Whose log it is.
pub const STAMP: Stamp = Stamp { uuid: Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f), generation: 3 };

/// Largest space that is looked at: more blocks than any flush set of the seeds.
const MAX_SPACE: usize = 64 << 10;

/// Recovers the log and reads it. What recovery accepts can be read; a record written behind it is found by the next
/// recovery, after the same records, and nothing that lay behind the end comes back with it.
pub fn check(input: &[u8]) {
    let Some((options, space)) = input.split_first() else { return };
    let mut space = space[..space.len().min(MAX_SPACE)].to_vec();
    let config = config(*options, &mut space);
    for block in space.chunks(config.geometry.sector_bytes) {
        let _ = check_block(block, STAMP);
        let _ = check_records(block, config.compact_sem);
    }
    match check_image(&space, config) {
        Ok(found) => append_and_recover(space, config, &found),
        Err(ContentError::Scan(_)) => {}
        Err(ContentError::Read(error)) => panic!("recovery accepts what cannot be read: {error}"),
    }
}

/// The rules that the options ask for; makes the blocks the log's own if they say so.
fn config(options: u8, space: &mut [u8]) -> ScanConfig {
    let sector_bytes = if options & 1 == 0 { 512 } else { 4096 };
    let geometry = Geometry::new(sector_bytes, space.len() as u64).expect("a sector size that there is");
    if options & 8 != 0 {
        for block in space.chunks_exact_mut(sector_bytes) {
            let id = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
            let ids = SetIds { previous: id(24), current: id(28) };
            seal(block, LogFormat::V2, STAMP, ids);
        }
    }
    ScanConfig {
        geometry,
        stamp: STAMP,
        compact_sem: options & 2 != 0,
        accept_v1: options & 4 != 0,
        one_in_flight: options & 16 != 0,
    }
}

fn append_and_recover(mut space: Vec<u8>, config: ScanConfig, found: &LogContent) {
    let ScanConfig { geometry, stamp, .. } = config;
    let recovered = found.recovered;
    assert!(recovered.blocks <= geometry.blocks && recovered.next_set > u64::from(recovered.last_set));
    let bytes: usize = found.records.iter().map(Vec::len).sum();
    assert!(bytes as u64 <= geometry.max_record_bytes());
    // A log with markers begins with one.
    if config.compact_sem && recovered.is_empty() {
        return;
    }
    let writer =
        WriterConfig { format: LogFormat::V2, stamp, geometry, policy: Policy::Fresh, buffers: 2, max_in_flight: 1 };
    let mut writer = LogWriter::new(writer, &recovered);
    assert!(
        writer.supply(vec![0; geometry.sector_bytes]).is_none()
            && writer.supply(vec![0; geometry.sector_bytes]).is_none()
    );
    let record = b"written after recovery".to_vec();
    if writer.append(&record).is_err() {
        return;
    }
    let set = writer.next_flush(true).expect("there is something to write");
    let at = set.at as usize;
    space[at..at + set.range.len()].copy_from_slice(&set.buffer[set.range]);
    let after = check_image(&space, config).expect("what a writer leaves is no corrupt log");
    let expected: Vec<_> = found.records.iter().chain([&record]).collect();
    assert_eq!(after.records.iter().collect::<Vec<_>>(), expected);
}
