// SPDX-License-Identifier: BSD-3-Clause

//! The framer: frames records into blocks, and blocks into flush sets.
//!
//! A state machine without I/O, and without allocation once it is built. The owner appends, takes flush sets, writes
//! each durably at its place in the log, and reports the outcome. It serves every log: the ordinary ones of
//! [`super::Mlog`] and a shard's recovery journal.
//!
//! ```text
//!   append --> filling buffer --seal--> ready sets --next_flush--> in flight --flushed--> ended
//!                                                                                          | in order
//!                                                                       durable, or lost <-'
//! ```
//!
//! Invariants:
//! * Flush sets settle in order: a record is durable when its set and all earlier ones are. When a set has failed, it
//!   and everything after it is lost, and the end of the log returns to where the set began.
//! * After a loss nothing is appended or written any more: the log must be reopened, or erased. So no record is ever
//!   durable while one before it is missing.
//! * At most 1 MiB from the first unsettled set on can be on media, which is how far recovery searches for stale blocks
//!   ([`super::geometry::STALE_SCAN_BYTES`]).
//! * An incomplete record has filled its buffer; so whatever comes after it starts a block.
//!
//! Differs from the specification: blocks before a set's first one are never rewritten, so that no page need be read
//! after a reopen; with [`Policy::Fresh`] the last one is not rewritten either. In the specification the log continues
//! after a failed flush, from where it was; then records that were acknowledged without being durable are missing
//! before others that are durable, without any notice. Writing the failed set again later would repair that, but would
//! also make records durable whose appender was told that they had failed, and has undone them since: a new object
//! whose space belongs to another by now. The drive retries a write while the appender still waits; a failure in spite
//! of that ends the use of the log, and an owner that keeps state in the log rewrites that state elsewhere.

mod fill;
mod sets;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod torn;
mod types;

use std::collections::VecDeque;

use super::geometry::Place;
use super::media::FlushMemory;
use super::record::ChunkType;
use super::scan::Recovered;

pub use types::{AppendError, FlushSet, Policy, Position, Progress, SetId, Settled, WriterConfig};

/// Remaining flush-set ids at which a log counts as full: more than the sets of its longest record.
const SPARE_SET_IDS: u64 = 1 << 24;

/// A closed set, not settled yet.
#[derive(Debug)]
struct Sealed {
    id: SetId,
    slot: usize,
    first_block: u64,
    bytes: usize,
    /// Where the end returns to if the set fails.
    start: Place,
    last: Position,
    state: SetState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetState {
    Ready,
    InFlight,
    Written,
    Failed,
}

/// The buffer that is being filled.
#[derive(Debug)]
struct Filling {
    slot: usize,
    first_block: u64,
    start: Place,
}

/// An incomplete record.
#[derive(Debug)]
struct Partial {
    total: u32,
    left: usize,
    begun: bool,
}

/// The framer of one log.
#[derive(Debug)]
pub struct LogWriter<B> {
    config: WriterConfig,
    /// `wsoff` and `aoff`: the place of the next chunk.
    end: Place,
    /// `pfsetid`: the id that the first block of the next set names.
    previous_set: u32,
    /// `cfsetid`: the id of the next set.
    next_set: u64,
    slots: Box<[Option<B>]>,
    next_slot: usize,
    next_id: u64,
    sealed: VecDeque<Sealed>,
    filling: Option<Filling>,
    /// The block at `end`, if it is partly filled and not in the filling buffer.
    tail: Box<[u8]>,
    partial: Option<Partial>,
    /// The data before `end` is the start of an abandoned record.
    torn: bool,
    appended: Position,
    durable: Position,
    /// A flush set was lost: nothing is appended or written any more.
    failed: bool,
}

impl<B: FlushMemory> LogWriter<B> {
    /// A writer that continues at the end that recovery has found. It has no buffers yet.
    ///
    /// # Panics
    /// If `config` contradicts itself.
    #[must_use]
    pub fn new(config: WriterConfig, recovered: &Recovered) -> LogWriter<B> {
        assert!(config.buffers >= 2, "one buffer is filled while another is written");
        assert!(config.max_in_flight >= 1, "a set must be able to be written");
        assert!(
            config.policy == Policy::Fresh || config.max_in_flight == 1,
            "a set that rewrites its predecessor's last block waits for it"
        );
        LogWriter {
            config,
            end: Place::start_of(recovered.blocks),
            previous_set: recovered.last_set,
            next_set: recovered.next_set,
            slots: (0..config.buffers).map(|_| None).collect(),
            next_slot: 0,
            next_id: 0,
            sealed: VecDeque::with_capacity(config.buffers),
            filling: None,
            tail: vec![0; config.geometry.sector_bytes].into_boxed_slice(),
            partial: None,
            torn: false,
            appended: Position(0),
            durable: Position(0),
            failed: false,
        }
    }

    /// Appends a record as a whole, or not at all.
    ///
    /// # Errors
    /// LogFull; Busy: the record does not fit the free buffers now; Failed.
    pub fn append(&mut self, record: &[u8]) -> Result<Position, AppendError> {
        self.admit(record.len())?;
        if self.buffer_room().is_none_or(|room| (record.len() as u64) > room) {
            return Err(AppendError::Busy);
        }
        match self.start(record) {
            Progress::Complete(position) => Ok(position),
            Progress::Taken(_) => unreachable!("the buffers have room for the whole record"),
        }
    }

    /// Begins a record and takes as much as fits the free buffers. If that is not all, the record is incomplete:
    /// [`LogWriter::feed`] takes the rest, and nothing else can be appended before.
    ///
    /// # Errors
    /// LogFull; Busy: no buffer is free; Failed.
    pub fn begin(&mut self, record: &[u8]) -> Result<Progress, AppendError> {
        self.admit(record.len())?;
        if self.buffer_room().is_none() {
            return Err(AppendError::Busy);
        }
        Ok(self.start(record))
    }

    /// Takes more of the incomplete record: `rest` is everything not taken yet.
    ///
    /// # Errors
    /// Failed: the record is lost. Busy: no buffer is free.
    pub fn feed(&mut self, rest: &[u8]) -> Result<Progress, AppendError> {
        let left = self.partial.as_ref().map(|partial| partial.left).ok_or(AppendError::Failed)?;
        assert_eq!(left, rest.len(), "a record goes on where it stopped");
        if self.failing() || self.buffer_room().is_none() {
            return Err(AppendError::Busy);
        }
        Ok(self.put_record(rest))
    }

    /// Abandons the incomplete record. Readers skip its start.
    pub fn abandon(&mut self) {
        if self.partial.take().is_some() {
            self.torn = true;
        }
    }

    /// Appends CSTART, which must be the first record of a log.
    ///
    /// # Errors
    /// Misplaced: the log is not empty. LogFull; Busy; Failed.
    pub fn append_compaction_start(&mut self) -> Result<Position, AppendError> {
        self.append_marker(ChunkType::CompactionStart, self.end == Place::start_of(0))
    }

    /// Appends CEND, after the last record of a compaction.
    ///
    /// # Errors
    /// Misplaced: it would follow an abandoned record. LogFull; Busy; Failed.
    pub fn append_compaction_end(&mut self) -> Result<Position, AppendError> {
        self.append_marker(ChunkType::CompactionEnd, !self.torn)
    }

    fn append_marker(&mut self, kind: ChunkType, in_place: bool) -> Result<Position, AppendError> {
        self.admit(0)?;
        if !in_place {
            return Err(AppendError::Misplaced);
        }
        if self.buffer_room().is_none() {
            return Err(AppendError::Busy);
        }
        self.put_chunk(kind, 0, &[]);
        Ok(self.accept())
    }

    /// Checks everything about a record except the free buffers.
    fn admit(&self, bytes: usize) -> Result<(), AppendError> {
        if self.failed {
            return Err(AppendError::Failed);
        }
        if self.failing() || self.partial.is_some() {
            return Err(AppendError::Busy);
        }
        let ids_left = u64::from(u32::MAX).saturating_sub(self.next_set);
        match self.room() {
            Some(room) if bytes as u64 <= room && ids_left > SPARE_SET_IDS => Ok(()),
            _ => Err(AppendError::LogFull),
        }
    }

    fn start(&mut self, record: &[u8]) -> Progress {
        // `room` is at most u32::MAX.
        self.partial = Some(Partial { total: record.len() as u32, left: record.len(), begun: false });
        self.put_record(record)
    }

    /// Numbers the record or marker that has just been appended.
    fn accept(&mut self) -> Position {
        self.torn = false;
        self.appended.0 += 1;
        self.seal_when_full();
        self.appended
    }

    /// True when a flush set was lost: nothing is appended or written any more.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// The position of the last record or marker that was appended.
    #[must_use]
    pub fn appended(&self) -> Position {
        self.appended
    }

    /// The position up to which everything is durable.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// True while a record is incomplete.
    #[must_use]
    pub fn mid_record(&self) -> bool {
        self.partial.is_some()
    }

    /// Bytes of the longest record that fits the log (`dmax`); none when not even a marker fits.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        self.config.geometry.room(self.end)
    }

    /// The place of the next record.
    #[must_use]
    pub fn end(&self) -> Place {
        self.end
    }

    /// The id that the next set's first block names as its predecessor's, and the next set's own.
    #[must_use]
    pub fn set_ids(&self) -> (u32, u64) {
        (self.previous_set, self.next_set)
    }

    /// Bytes of the log in use.
    #[must_use]
    pub fn consumed_bytes(&self) -> u64 {
        let geometry = self.config.geometry;
        let whole = self.end.block.saturating_mul(geometry.sector_bytes as u64);
        whole.saturating_add(self.end.byte as u64).min(geometry.capacity_bytes())
    }

    /// True when nothing was ever appended, or found by recovery.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end == Place::start_of(0)
    }

    fn sector_bytes(&self) -> usize {
        self.config.geometry.sector_bytes
    }
}
