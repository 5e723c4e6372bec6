// SPDX-License-Identifier: BSD-3-Clause

//! Reads a log record by record, without I/O: the owner supplies block images.
//!
//! Differs from mpool: the end of the log is None, not an empty record (defect 17); blocks from media are checked again
//! when they are read, against bit rot since the log was opened.

use thiserror::Error;

use super::block::{classify, BlockKind, Stamp};
use super::geometry::{Geometry, Place};
use super::record::{Malformed, Parser, Step};

/// Why a record was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadError {
    /// EOVERFLOW: the buffer is too small. The record can be read again with a larger one.
    #[error("the record has {needed} bytes")]
    TooSmall {
        /// Bytes of the record.
        needed: usize,
    },
    /// ENODATA: a block has records that no writer leaves.
    #[error("block {block} has {error}")]
    Malformed {
        /// The number of the block.
        block: u64,
        /// The defect of its records.
        error: Malformed,
    },
    /// ENODATA: a block that was valid when the log was opened is damaged.
    #[error("block {block} is not what was written")]
    Damaged {
        /// The number of the block.
        block: u64,
    },
}

/// The destination of a record.
#[derive(Debug)]
pub enum Sink<'a> {
    /// Memory of a fixed size.
    Slice(&'a mut [u8]),
    /// Memory that grows up to a limit.
    Growing {
        /// The memory, which gets the record.
        bytes: &'a mut Vec<u8>,
        /// The most bytes of a record.
        max: usize,
    },
}

impl Sink<'_> {
    fn limit(&self) -> usize {
        match self {
            Sink::Slice(slice) => slice.len(),
            Sink::Growing { max, .. } => *max,
        }
    }

    /// Puts `chunk` behind the first `at` bytes of the record.
    fn put(&mut self, at: usize, chunk: &[u8]) {
        match self {
            // The parser has checked that the chunks are not longer than the record, and `limit` that the record fits.
            Sink::Slice(slice) => slice[at..at + chunk.len()].copy_from_slice(chunk),
            Sink::Growing { bytes, .. } => {
                bytes.truncate(at);
                bytes.extend_from_slice(chunk);
            }
        }
    }
}

/// The origin of a block image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Read from media: its header is checked.
    Media,
    /// From the writer's memory, where the block has no header yet.
    Memory,
}

/// The result of taking a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The record continues in the block at the reader's present place.
    MoreBlocks,
    /// A record is complete; the number is its bytes.
    Record(usize),
}

/// A position between two blocks or chunks, with the state there.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    place: Place,
    parser: Parser,
    /// The flush set of the previous block; none if that was not read from media.
    previous_set: Option<u32>,
}

/// Iterates over a log's records.
#[derive(Debug)]
pub struct Reader {
    stamp: Stamp,
    accept_v1: bool,
    cursor: Cursor,
    /// The start of the next record, to which a failed or unfinished attempt returns.
    mark: Cursor,
    /// Bytes of the present record that were delivered.
    filled: usize,
    /// The last block whose header was checked, and its flush set.
    checked: Option<(u64, u32)>,
}

impl Reader {
    /// A reader at the start of a log.
    #[must_use]
    pub fn new(stamp: Stamp, geometry: Geometry, compact_sem: bool, accept_v1: bool) -> Reader {
        let parser = Parser::new(compact_sem, geometry.max_record_bytes());
        let cursor = Cursor { place: Place::start_of(0), parser, previous_set: Some(0) };
        Reader { stamp, accept_v1, cursor, mark: cursor, filled: 0, checked: None }
    }

    /// The position of the next wanted byte: its block must be supplied.
    #[must_use]
    pub fn place(&self) -> Place {
        self.cursor.place
    }

    /// Returns to the start of the present record: it is incomplete, or is to be read again.
    pub fn go_back(&mut self) {
        self.cursor = self.mark;
        self.filled = 0;
    }

    /// Requires block images to be checked again, because they were read again.
    pub fn recheck(&mut self) {
        self.checked = None;
    }

    /// Takes the image of the block at [`Reader::place`]; `unchanging` when nothing will be added to the block.
    ///
    /// # Errors
    /// TooSmall: the reader is at the start of the record again. After any other error the log cannot be read further.
    pub fn take(
        &mut self,
        image: &[u8],
        origin: Origin,
        unchanging: bool,
        sink: &mut Sink<'_>,
    ) -> Result<Taken, ReadError> {
        let set = match origin {
            Origin::Media => Some(self.check(image)?),
            Origin::Memory => None,
        };
        let block = self.cursor.place.block;
        loop {
            let step = self.cursor.parser.step(block, image, self.cursor.place.byte);
            match step.map_err(|error| ReadError::Malformed { block, error })? {
                Step::EndOfBlock => {
                    self.cursor.place = Place::start_of(block + 1);
                    self.cursor.previous_set = set;
                    if unchanging && !self.cursor.parser.mid_record() {
                        self.mark = self.cursor;
                    }
                    return Ok(Taken::MoreBlocks);
                }
                Step::Marker { next } => {
                    self.cursor.place.byte = next;
                    self.mark = self.cursor;
                }
                Step::Chunk { begins, ends, total_bytes, payload } => {
                    if begins {
                        self.filled = 0;
                        self.check_limit(total_bytes as usize, sink)?;
                    }
                    sink.put(self.filled, &image[payload.clone()]);
                    self.filled += payload.len();
                    self.cursor.place.byte = payload.end;
                    if ends {
                        self.mark = self.cursor;
                        return Ok(Taken::Record(std::mem::take(&mut self.filled)));
                    }
                }
            }
        }
    }

    fn check_limit(&mut self, needed: usize, sink: &Sink<'_>) -> Result<(), ReadError> {
        if needed <= sink.limit() {
            return Ok(());
        }
        self.go_back();
        Err(ReadError::TooSmall { needed })
    }

    /// Checks the header of a block from media. Returns its flush set.
    fn check(&mut self, image: &[u8]) -> Result<u32, ReadError> {
        let block = self.cursor.place.block;
        if let Some((checked, set)) = self.checked {
            if checked == block {
                return Ok(set);
            }
        }
        match classify(image, self.stamp, self.accept_v1) {
            BlockKind::Ours(ids) if self.cursor.previous_set.is_none_or(|previous| previous == ids.previous) => {
                self.checked = Some((block, ids.current));
                Ok(ids.current)
            }
            _ => Err(ReadError::Damaged { block }),
        }
    }
}
