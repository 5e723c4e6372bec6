// SPDX-License-Identifier: BSD-3-Clause

//! One log on its drive: recovery and reading, by the engine's own state machines.
//!
//! Reads at most 1 MiB at a time, so that a log of any size takes little memory.

use mpool::mlog::block::{Header, Stamp};
use mpool::mlog::geometry::STALE_SCAN_BYTES;
use mpool::mlog::reader::{Origin, Reader, Sink, Taken};
use mpool::mlog::record::{ChunkType, Descriptor, DESCRIPTOR_BYTES};
use mpool::mlog::scan::{Recovered, Scan, ScanConfig, ScanError};
use mpool::mlog::{Geometry, Place};
use mpool::{Extent, ObjectId};
use serde::Serialize;
use thiserror::Error;
use uuid::Uuid;

use crate::drive::Drive;
use crate::image::ImageError;
use crate::shown;

/// A log and its place.
#[derive(Debug, Clone, Copy)]
pub struct Log<'a> {
    /// The log's id.
    pub id: ObjectId,
    /// The drive with the log.
    pub drive: &'a Drive,
    /// The log's zones, which the drive holds.
    pub extent: Extent,
    /// Blocks with this stamp belong to the log.
    pub stamp: Stamp,
    /// Blocks of version 1 are accepted.
    pub accept_v1: bool,
    /// Flush sets were written one after the other. Those of a recovery journal may have been in flight together, so
    /// there a hole is the end of the log and not damage.
    pub one_in_flight: bool,
}

/// Why a log cannot be used, or not to its end.
#[derive(Debug, Error)]
pub enum LogFault {
    /// Recovery refuses the log.
    #[error("{0}")]
    Scan(#[from] ScanError),
    /// The image cannot be read there.
    #[error("the image {0}")]
    Image(#[from] ImageError),
    /// A record cannot be read, although recovery accepts the log.
    #[error("{0}")]
    Record(String),
}

/// What recovery found in a log.
#[derive(Debug)]
pub struct Scanned {
    /// The log has markers, or must have them.
    pub compact_sem: bool,
    /// What was found; in case of a fault, what was found before it.
    pub found: Recovered,
    /// Why the log cannot be used.
    pub fault: Option<LogFault>,
}

/// The report on a log.
#[derive(Debug, Serialize)]
pub struct LogReport {
    /// The log's id.
    #[serde(serialize_with = "shown::serialize_id")]
    pub id: ObjectId,
    /// UUID of its blocks.
    pub uuid: Uuid,
    /// Generation of its blocks.
    pub generation: u64,
    /// Media class.
    pub class: &'static str,
    /// First zone.
    pub first_zone: u64,
    /// Number of zones.
    pub zones: u64,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Capacity in blocks.
    pub blocks: u64,
    /// Blocks in use.
    pub used_blocks: u64,
    /// Flush set of the last block.
    pub last_set: u32,
    /// The next flush set.
    pub next_set: u64,
    /// In a word: empty, complete, unfinished, damaged.
    pub state: &'static str,
    /// Why the log cannot be used.
    pub fault: Option<String>,
}

impl<'a> Log<'a> {
    /// The log's size.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        let sector_bytes = self.drive.sector_bytes();
        let bytes = self.extent.zones.saturating_mul(self.drive.zone_bytes());
        Geometry { sector_bytes, blocks: bytes / sector_bytes as u64 }
    }

    /// The parameters for its recovery.
    #[must_use]
    pub fn config(&self, compact_sem: bool) -> ScanConfig {
        let Log { stamp, accept_v1, one_in_flight, .. } = *self;
        ScanConfig { geometry: self.geometry(), stamp, compact_sem, accept_v1, one_in_flight }
    }

    /// Fills `buffer` from byte `at` of the log on.
    ///
    /// # Errors
    /// The image ends before that, or cannot be read.
    pub fn read(&self, at: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        self.drive.read(self.extent, at, buffer)
    }

    /// Runs recovery on the log.
    #[must_use]
    pub fn scan(&self, compact_sem: bool) -> Scanned {
        let mut scan = Scan::new(self.config(compact_sem));
        let fault = self.feed(&mut scan).and_then(|()| Ok(scan.finish().map(|_| ())?)).err();
        Scanned { compact_sem, found: scan.found(), fault }
    }

    /// Runs recovery on a log that may or may not have markers: it has them if it begins with one.
    #[must_use]
    pub fn scan_any(&self) -> Scanned {
        self.scan(self.begins_with_marker())
    }

    fn begins_with_marker(&self) -> bool {
        let mut block = vec![0; self.drive.sector_bytes()];
        let first = mpool::mlog::block::HEADER_BYTES;
        let readable = self.read(0, &mut block).is_ok();
        let ours = readable && Header::decode(&block).is_some_and(|header| header.stamp == self.stamp);
        let descriptor = block.get(first..).and_then(|rest| rest.first_chunk::<DESCRIPTOR_BYTES>());
        let kind = descriptor.and_then(|bytes| Descriptor::decode(*bytes).ok()).map(|descriptor| descriptor.kind);
        ours && kind == Some(ChunkType::CompactionStart)
    }

    fn feed(&self, scan: &mut Scan) -> Result<(), LogFault> {
        let mut buffer = Vec::new();
        while let Some(wanted) = scan.wants(STALE_SCAN_BYTES) {
            // At most STALE_SCAN_BYTES.
            buffer.resize((wanted.end - wanted.start) as usize, 0);
            self.read(wanted.start, &mut buffer)?;
            scan.feed(&buffer)?;
        }
        Ok(())
    }

    /// Passes the records that recovery found to `each`, one after the other, each of at most `max_bytes`.
    ///
    /// # Errors
    /// A record is longer, or cannot be read.
    pub fn records(&self, scanned: &Scanned, max_bytes: usize, mut each: impl FnMut(&[u8])) -> Result<(), LogFault> {
        let ScanConfig { geometry, stamp, .. } = self.config(scanned.compact_sem);
        let mut reader = Reader::new(stamp, geometry, scanned.compact_sem, self.accept_v1);
        let mut blocks = Blocks::new(*self);
        let mut record = Vec::new();
        while reader.place() < Place::start_of(scanned.found.blocks) {
            let block = reader.place().block;
            let image = blocks.get(block)?;
            let mut sink = Sink::Growing { bytes: &mut record, max: max_bytes };
            let taken = reader.take(image, Origin::Media, true, &mut sink);
            let taken = taken.map_err(|error| LogFault::Record(format!("block {block}: {error}")))?;
            if let Taken::Record(bytes) = taken {
                each(record.get(..bytes).unwrap_or_default());
                record.clear();
            }
        }
        Ok(())
    }

    /// The report on the log.
    #[must_use]
    pub fn report(&self, scanned: &Scanned) -> LogReport {
        let found = scanned.found;
        let state = match &scanned.fault {
            None if found.is_empty() => "empty",
            None => "complete",
            Some(LogFault::Scan(ScanError::Unfinished)) => "unfinished",
            Some(_) => "damaged",
        };
        LogReport {
            id: self.id,
            uuid: self.stamp.uuid,
            generation: self.stamp.generation,
            class: shown::class(self.drive.class()),
            first_zone: self.extent.first,
            zones: self.extent.zones,
            block_bytes: self.drive.sector_bytes(),
            blocks: self.geometry().blocks,
            used_blocks: found.blocks,
            last_set: found.last_set,
            next_set: found.next_set,
            state,
            fault: scanned.fault.as_ref().map(ToString::to_string),
        }
    }
}

/// Blocks of a log, read in pieces.
#[derive(Debug)]
pub struct Blocks<'a> {
    log: Log<'a>,
    first: u64,
    piece: Vec<u8>,
}

impl<'a> Blocks<'a> {
    /// A reader that has read nothing yet.
    #[must_use]
    pub fn new(log: Log<'a>) -> Blocks<'a> {
        Blocks { log, first: 0, piece: Vec::new() }
    }

    /// A block of the log.
    ///
    /// # Errors
    /// The image of the drive ends before the block, or cannot be read.
    pub fn get(&mut self, number: u64) -> Result<&[u8], ImageError> {
        let sector = self.log.drive.sector_bytes();
        let held = (self.piece.len() / sector) as u64;
        if number < self.first || number - self.first >= held {
            let left = self.log.geometry().blocks.saturating_sub(number);
            let blocks = left.clamp(1, (STALE_SCAN_BYTES / sector) as u64);
            self.read(number, blocks).or_else(|_| self.read(number, 1))?;
        }
        // Inside the piece, which is at most 1 MiB.
        let at = (number - self.first) as usize * sector;
        Ok(&self.piece[at..at + sector])
    }

    fn read(&mut self, first: u64, blocks: u64) -> Result<(), ImageError> {
        let sector = self.log.drive.sector_bytes();
        let mut piece = std::mem::take(&mut self.piece);
        piece.resize(blocks as usize * sector, 0);
        self.log.read(first.saturating_mul(sector as u64), &mut piece)?;
        (self.first, self.piece) = (first, piece);
        Ok(())
    }
}
