// SPDX-License-Identifier: BSD-3-Clause

//! Entry points for bytes that nobody vouches for: whatever they are, these end, and well or with a typed error. For
//! fuzz targets and for tools that look into an image.

use super::block::{classify, BlockKind, Stamp, HEADER_BYTES};
use super::geometry::{Geometry, Place};
use super::reader::{Origin, ReadError, Reader, Sink, Taken};
use super::record::{Malformed, Parser, Step};
use super::scan::{Recovered, Scan, ScanConfig, ScanError};

/// Decodes the header of a block as that of the log of `stamp`.
#[must_use]
pub fn check_block(bytes: &[u8], stamp: Stamp) -> BlockKind {
    classify(bytes, stamp, true)
}

/// Parses the records of one block as the first of a log. Returns the number of chunks and markers.
///
/// # Errors
/// They are not what a writer leaves.
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

/// What an image of a log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogContent {
    /// What recovery finds.
    pub recovered: Recovered,
    /// The records, in order.
    pub records: Vec<Vec<u8>>,
}

/// Why an image of a log cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Recovery refuses it.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Recovery accepts it, but a record cannot be read. This is a defect of this module.
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

fn read_all(image: &[u8], config: ScanConfig, blocks: u64) -> Result<Vec<Vec<u8>>, ReadError> {
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
