// SPDX-License-Identifier: BSD-3-Clause

//! The types that a writer and its owner exchange.

use std::ops::Range;

use thiserror::Error;

use crate::mlog::block::{LogFormat, Stamp};
use crate::mlog::geometry::Geometry;

/// A position in the order of appends: the number of records and markers that the writer had accepted, including this
/// one.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

/// How a flush set treats a block that its predecessor left partly filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Fills the block and writes it again, as mpool does. Only where a power cut never tears a block, and with one set
    /// in flight.
    Continue,
    /// Leaves the block: each set starts with a new block, so that no block with acknowledged records is rewritten.
    Fresh,
}

/// Why nothing was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AppendError {
    /// EFBIG: the record does not fit the log any more.
    #[error("the log is full")]
    LogFull,
    /// No free buffer at present: flush sets must end first.
    #[error("the log's buffers are full")]
    Busy,
    /// A flush set was lost: the log takes nothing more until it is reopened.
    #[error("a flush failed, so it takes nothing more until it is opened anew")]
    Failed,
    /// A marker is not allowed here.
    #[error("a compaction marker does not belong here")]
    Misplaced,
}

/// The progress of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The record is complete.
    Complete(Position),
    /// Only this many bytes were taken. The rest goes to [`super::LogWriter::feed`] when buffers are free.
    Taken(usize),
}

/// Identifies a flush set to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub(super) u64);

/// A flush set to be written.
#[derive(Debug)]
pub struct FlushSet<B> {
    /// The identity to pass to [`super::LogWriter::flushed`].
    pub id: SetId,
    /// The first byte in the log.
    pub at: u64,
    /// The memory, to be returned with `id`.
    pub buffer: B,
    /// The part of the memory to write: whole blocks.
    pub range: Range<usize>,
}

/// The result of the end of a flush set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Everything up to here is durable.
    pub durable: Position,
    /// Everything above `durable` and up to here is lost.
    pub lost: Option<Position>,
}

/// The configuration of a writer.
#[derive(Debug, Clone, Copy)]
pub struct WriterConfig {
    /// The version of the blocks.
    pub format: LogFormat,
    /// The log and generation in the blocks.
    pub stamp: Stamp,
    /// The size of the log.
    pub geometry: Geometry,
    /// How partly filled blocks are treated.
    pub policy: Policy,
    /// The number of flush buffers, at least 2.
    pub buffers: usize,
    /// The most flush sets in flight together, at least 1.
    pub max_in_flight: usize,
}
