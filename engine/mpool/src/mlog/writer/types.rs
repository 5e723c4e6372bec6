// SPDX-License-Identifier: BSD-3-Clause

//! What a writer and its owner tell each other.

use std::ops::Range;

use thiserror::Error;

use crate::mlog::block::{LogFormat, Stamp};
use crate::mlog::geometry::Geometry;

/// A place in the order of what was appended: how many records and markers the writer had accepted with this one.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

/// What a flush set does with a block that its predecessor left partly filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Fills it and writes it again, as mpool does. Only where a power cut never tears a block, and with one set in
    /// flight.
    Continue,
    /// Leaves it: each set starts with a new block, so that no block with acknowledged records is written again.
    Fresh,
}

/// Why nothing was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AppendError {
    /// EFBIG: the record does not fit into the log any more.
    #[error("the log is full")]
    LogFull,
    /// No buffer space just now: flush sets must end first.
    #[error("the log's buffers are full")]
    Busy,
    /// A flush set was lost: the log takes nothing more until it is opened anew.
    #[error("a flush failed, so it takes nothing more until it is opened anew")]
    Failed,
    /// A marker where none may be.
    #[error("a compaction marker does not belong here")]
    Misplaced,
}

/// How far a record has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is complete.
    Complete(Position),
    /// Only so many bytes were taken. The rest goes to [`super::LogWriter::feed`] when buffers have become free.
    Taken(usize),
}

/// Identity of a flush set for its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub(super) u64);

/// A flush set to be written.
#[derive(Debug)]
pub struct FlushSet<B> {
    /// To be given back to [`super::LogWriter::flushed`].
    pub id: SetId,
    /// Byte in the log.
    pub at: u64,
    /// Memory, to be given back as well.
    pub buffer: B,
    /// The part of the memory to be written: whole blocks.
    pub range: Range<usize>,
}

/// What the end of a flush set has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Everything up to here is durable.
    pub durable: Position,
    /// Everything above `durable` and up to here is lost.
    pub lost: Option<Position>,
}

/// How a writer works.
#[derive(Debug, Clone, Copy)]
pub struct WriterConfig {
    /// What is written.
    pub format: LogFormat,
    /// Whose blocks they are.
    pub stamp: Stamp,
    /// Size of the log.
    pub geometry: Geometry,
    /// What happens to partly filled blocks.
    pub policy: Policy,
    /// Flush buffers, at least 2.
    pub buffers: usize,
    /// Flush sets that may be in flight together, at least 1.
    pub max_in_flight: usize,
}
