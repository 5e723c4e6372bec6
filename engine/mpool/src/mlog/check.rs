// SPDX-License-Identifier: BSD-3-Clause

//! Entry points for untrusted bytes: whatever they are, these end, well or with a typed error. For fuzz targets and for
//! tools that inspect an image.

use super::block::{classify, BlockKind, Stamp, HEADER_BYTES};
use super::geometry::{Geometry, Place};
use super::reader::{Origin, ReadError, Reader, Sink, Taken};
use super::record::{Malformed, Parser, Step};
use super::scan::{Recovered, Scan, ScanConfig, ScanError};

/// Classifies the header of a block for the log of `stamp`.
#[must_use]
pub fn check_block(bytes: &[u8], stamp: Stamp) -> BlockKind {
    classify(bytes, stamp, true)
}

/// Parses the records of one block as the first of a log. Returns the number of chunks and markers.
///
/// # Errors
/// No writer leaves such records.
pub fn check_records(bytes: &[u8], compact_sem: bool) -> Result<usize, Malformed> {
    let mut parser = Parser::new(compact_sem, u64::from(u32::MAX));
    let mut at = HEADER_BYTES;
    let mut found = 0;
    loop {
        match parser.step(0, bytes, at)? {
            Step::EndOfBlock => return Ok(found),
            Step::Marker { next } => at = next,
            Step::Chunk { payload, .. } => at = payload.end,
        }
        found += 1;
    }
}

/// The content of an image of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogContent {
    /// The result of recovery.
    pub recovered: Recovered,
    /// The records, in order.
    pub records: Vec<Vec<u8>>,
}

/// Why an image of a log cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Recovery refuses the image.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Recovery accepts the image, but a record cannot be read. This is a bug of this module.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Recovers a log from the image of its space, and reads it.
///
/// # Errors
/// The log is corrupt.
pub fn check_image(image: &[u8], config: ScanConfig) -> Result<LogContent, ContentError> {
    let sector = config.geometry.sector_bytes;
    let blocks = config.geometry.blocks.min((image.len() / sector) as u64);
    let config = ScanConfig { geometry: Geometry { blocks, ..config.geometry }, ..config };
    let mut scan = Scan::new(config);
    while let Some(piece) = scan.wants(usize::MAX) {
        scan.feed(&image[piece.start as usize..piece.end as usize])?;
    }
    let recovered = scan.finish()?;
    Ok(LogContent { recovered, records: read_all(image, config, recovered.blocks)? })
}

/// The records in the first `blocks` blocks of a log, a number that recovery has found.
pub(crate) fn read_all(image: &[u8], config: ScanConfig, blocks: u64) -> Result<Vec<Vec<u8>>, ReadError> {
    let sector = config.geometry.sector_bytes;
    let mut reader = Reader::new(config.stamp, config.geometry, config.compact_sem, config.accept_v1);
    let (mut records, mut record) = (Vec::new(), Vec::new());
    while reader.place() < Place::start_of(blocks) {
        let at = reader.place().block as usize * sector;
        let mut sink = Sink::Growing { bytes: &mut record, max: usize::MAX };
        if let Taken::Record(_) = reader.take(&image[at..at + sector], Origin::Media, true, &mut sink)? {
            records.push(std::mem::take(&mut record));
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mlog::block::{seal, LogFormat, SetIds};
    use crate::mlog::testing::{record, PureLog, STAMP};
    use crate::mlog::writer::Policy;
    use crate::testing::Random;

    /// A log of a few records.
    fn sample(format: LogFormat) -> PureLog {
        let mut log = PureLog::small(512, 12, Policy::Fresh, format);
        for number in 0..5 {
            log.append_flushed(&record(number, 20 + 300 * number as usize));
        }
        log
    }

    /// mpool-65, partly: whatever is on media, recovery and reading end, and an image that recovery accepts can be
    /// read.
    #[test]
    fn damaged_images_end_in_a_result() {
        let mut random = Random::new(5);
        for round in 0..8_000 {
            let mut log = sample(if round % 2 == 0 { LogFormat::V1 } else { LogFormat::V2 });
            for _ in 0..=random.below(6) {
                let at = random.below(log.image.len());
                log.image[at] = [0, 1, 2, 3, 4, 0xff, random.draw() as u8][random.below(7)];
            }
            let found = check_image(&log.image, ScanConfig { accept_v1: true, ..log.scan_config() });
            assert!(!matches!(found, Err(ContentError::Read(_))), "{found:?}");
        }
    }

    /// The same with matching check codes, so that the damage gets past them.
    #[test]
    fn damaged_records_under_good_check_codes_end_in_a_result() {
        let mut random = Random::new(6);
        for _ in 0..8_000 {
            let mut log = sample(LogFormat::V2);
            for _ in 0..=random.below(3) {
                let block = &mut log.image[random.below(12) * 512..][..512];
                for _ in 0..=random.below(4) {
                    block[HEADER_BYTES + random.below(30)] = [0, 1, 2, 3, 4, 5, 6, 0xff][random.below(8)];
                }
                if let BlockKind::Ours(ids) | BlockKind::UnknownVersion { ids, .. } = reread(block) {
                    seal(block, LogFormat::V2, STAMP, ids);
                }
            }
            let config = ScanConfig { compact_sem: random.one_in(2), ..log.scan_config() };
            let found = check_image(&log.image, config);
            assert!(!matches!(found, Err(ContentError::Read(_))), "{found:?}");
        }
    }

    /// Classifies by the header alone, ignoring the check code.
    fn reread(block: &mut [u8]) -> BlockKind {
        block[0] = 1;
        classify(block, STAMP, true)
    }

    #[test]
    fn images_of_any_length_are_taken() {
        let log = sample(LogFormat::V2);
        let whole = log.content().expect("the log is whole");
        assert_eq!(whole.records.len(), 5);
        for length in [0, 39, 511, 512, 3000] {
            let found = check_image(&log.image[..length], log.scan_config()).expect("a beginning of a log is one");
            assert!(whole.records.starts_with(&found.records));
        }
        assert_eq!(check_block(&[], STAMP), BlockKind::Foreign);
        assert_eq!(check_block(&log.image[..512], STAMP), BlockKind::Ours(SetIds { previous: 0, current: 1 }));
        assert_eq!(check_records(&log.image[..512], false), Ok(1));
        assert_eq!(check_records(&[], false), Ok(0));
    }
}
