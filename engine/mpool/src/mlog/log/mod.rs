// SPDX-License-Identifier: BSD-3-Clause

//! An open log, shared by all its openers.
//!
//! Any number of appends may wait at once. Those that want durability are committed as a group: while one flush set is
//! in flight the others collect in the next, and all of one set complete together. The flush set in flight is a future
//! that every waiter polls, so there is no task, and a cancelled waiter stops nothing.
//!
//! Invariants: at most one flush set is in flight; its outcome is recorded even when no waiter is left; nothing is
//! written for a new generation before the last write of the old one has ended; after a failed flush set nothing is
//! appended before the log is reopened or erased ([`super::writer`] says why), so if a record was reported durable, all
//! records before it are; everything found when the log was opened is durable before anything is written.
//!
//! Callers that append without `sync`, and what makes those records durable:
//! * a container of the pool's metadata: all records of a batch but the last, which is durable and so covers the
//!   others; and the state that a compaction writes, covered by its end marker;
//! * the catalog of volumes: the state that a compaction writes, covered by its end marker;
//! * the inventory of a volume: as a container.
//!
//! None of them relies on a record before the covering append has succeeded. All keep the log's content in memory, too,
//! and so can rewrite it into the other log of their pair. The history of an index waits for every record. So does the
//! recovery journal, which uses the same framer: it commits nothing behind a failed set, and then ends the use of its
//! volume.
//!
//! Differs from mpool: there is a call to flush ([`Mlog::sync`]); operations of one log are serialised whatever
//! SKIP_SER says, because that costs nothing here.

mod append;
mod flush;
mod read;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use futures::lock::Mutex;
use uuid::Uuid;

pub use self::read::NextError;

use self::flush::{Flight, Tickets};
use self::read::{Cache, Memory, ReadSide};
use super::block::{LogFormat, Stamp, TORN_BYTES};
use super::geometry::{Geometry, Place, STALE_SCAN_BYTES};
use super::media::{FlushMemory, LogMedia};
use super::reader::Reader;
use super::scan::{Recovered, Scan, ScanConfig, ScanError};
use super::writer::{LogWriter, Policy, Position, WriterConfig};
use crate::device::IoBuf;
use crate::error::{Kind, PoolError, Result};
use crate::ids::ObjectId;

/// Identifies the log to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogIdentity {
    /// The id of the log in the pool.
    pub id: ObjectId,
    /// The UUID in its blocks.
    pub uuid: Uuid,
    /// The present generation of the log.
    pub generation: u64,
}

/// The flags of an open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenFlags {
    /// COMPACT_SEM: a log that is not empty begins with CSTART and has a CEND.
    pub compact_sem: bool,
    /// SKIP_SER: the caller promises to serialise reads and appends.
    pub skip_ser: bool,
}

impl OpenFlags {
    /// True when all flags of `other` are set here.
    #[must_use]
    pub const fn contains(self, other: OpenFlags) -> bool {
        (self.compact_sem || !other.compact_sem) && (self.skip_ser || !other.skip_ser)
    }
}

/// An open log.
#[derive(Debug)]
pub struct Mlog {
    me: Weak<Mlog>,
    media: Rc<dyn LogMedia>,
    geometry: Geometry,
    id: ObjectId,
    uuid: Uuid,
    flags: OpenFlags,
    format: LogFormat,
    accept_v1: bool,
    state: RefCell<State>,
    flight: RefCell<Option<Flight>>,
    appending: Mutex<()>,
    reading: Mutex<ReadSide>,
    /// The last erasure is in doubt: records appended now may be lost.
    frozen: Cell<bool>,
    /// The number of flush sets that have ended.
    flushes: Cell<u64>,
    /// The content found at the open may be in a volatile cache only: its write had failed, or its writer died. It is
    /// flushed before the first set.
    found_unflushed: Cell<bool>,
}

/// The state that changes together.
#[derive(Debug)]
struct State {
    open: bool,
    generation: u64,
    /// Changes when the writer is replaced: a flush set in flight for the old writer does not concern the new one.
    incarnation: u64,
    writer: LogWriter<IoBuf>,
    /// The positions of CSTART and CEND; 0 if recovery has found them.
    cstart: Option<Position>,
    cend: Option<Position>,
    tickets: Tickets,
    /// The lowest place to which the end went back since a reader checked.
    rolled_back: Option<Place>,
    /// The number of consecutive small flush sets.
    quiet: u32,
}

impl Mlog {
    /// Opens a log: reads all of it, or the used part and 1 MiB more.
    ///
    /// # Errors
    /// CorruptLog; Unfinished: a compaction into it was interrupted; Io; NoMemory; Invalid: unsupported sectors.
    pub async fn open(
        media: Rc<dyn LogMedia>,
        identity: LogIdentity,
        flags: OpenFlags,
        format: LogFormat,
        accept_v1: bool,
    ) -> Result<Rc<Mlog>> {
        let object = identity.id.to_string();
        let Some(geometry) = Geometry::new(media.sector_bytes(), media.capacity_bytes()) else {
            return Err(PoolError::invalid(object, format!("sectors have {} bytes", media.sector_bytes())));
        };
        let stamp = Stamp { uuid: identity.uuid, generation: identity.generation };
        let config = ScanConfig { geometry, stamp, compact_sem: flags.compact_sem, accept_v1, one_in_flight: true };
        let (recovered, kept) = recover(&*media, config, &object).await?;
        if recovered.remains && !media.continue_allowed() {
            wipe_header(&*media, recovered.blocks * geometry.sector_bytes as u64).await?;
        }
        let reader = Reader::new(stamp, geometry, flags.compact_sem, accept_v1);
        let log = Rc::new_cyclic(|me| Mlog {
            me: Weak::clone(me),
            geometry,
            id: identity.id,
            uuid: identity.uuid,
            flags,
            format,
            accept_v1,
            state: RefCell::new(State::new(writer_config(&*media, geometry, stamp, format), &recovered)),
            media,
            flight: RefCell::new(None),
            appending: Mutex::new(()),
            reading: Mutex::new(ReadSide::new(reader, identity.generation, kept)),
            frozen: Cell::new(false),
            flushes: Cell::new(0),
            found_unflushed: Cell::new(!recovered.is_empty()),
        });
        Ok(log)
    }

    /// The id of the log in the pool.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The present generation, which an erasure changes.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.state.borrow().generation
    }

    /// The flags of the first opener.
    #[must_use]
    pub fn flags(&self) -> OpenFlags {
        self.flags
    }

    /// True when the log has no record and no marker.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.borrow().writer.is_empty()
    }

    /// True until the log is closed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state.borrow().open
    }

    /// True after a failed flush: the log takes nothing more until it is reopened or erased. Durable records can be
    /// read.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state.borrow().writer.has_failed()
    }

    /// Bytes used and total bytes; "0 of 0" once the log is closed.
    #[must_use]
    pub fn fill(&self) -> (u64, u64) {
        let state = self.state.borrow();
        if !state.open {
            return (0, 0);
        }
        (state.writer.consumed_bytes(), self.geometry.capacity_bytes())
    }

    /// Bytes of the log that contiguous records take whose bytes, including descriptors, are `bytes`.
    #[must_use]
    pub fn packed_bytes(&self, bytes: u64) -> u64 {
        self.geometry.packed_bytes(bytes)
    }

    /// Bytes of the longest record that fits; none when not even a marker fits.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        self.state.borrow().writer.room()
    }

    /// Flush sets that have ended since the log was opened.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.flushes.get()
    }

    /// Checks whether another opener may use the log with `flags`.
    ///
    /// # Errors
    /// Invalid: a flag that the first opener did not set.
    pub fn check_flags(&self, flags: OpenFlags) -> Result<()> {
        if self.flags.contains(flags) {
            return Ok(());
        }
        Err(self.invalid("it is open without a flag that is asked for now"))
    }

    /// Empties the log after its erasure: blocks of older generations do not count. Everything that was not durable is
    /// lost, and its waiters get an error. Readers must rewind.
    pub fn reset(&self, generation: u64) {
        let mut state = self.state.borrow_mut();
        let stamp = Stamp { uuid: self.uuid, generation };
        let config = writer_config(&*self.media, self.geometry, stamp, self.format);
        let mut fresh = State::new(config, &Recovered::EMPTY);
        fresh.incarnation = state.incarnation + 1;
        fresh.open = state.open;
        let mut old = std::mem::replace(&mut *state, fresh);
        drop(state);
        self.found_unflushed.set(false);
        old.tickets.fail(&self.invalid("it was erased"));
    }

    /// Closes the log: writes buffered records, and frees its memory. Closing again does nothing.
    ///
    /// # Errors
    /// Io: records appended without `sync` are lost. The log is closed all the same.
    pub async fn close(&self) -> Result<()> {
        if !self.is_open() {
            return Ok(());
        }
        let outcome = self.sync().await;
        self.abandon().await;
        outcome
    }

    /// Closes the log without writing buffered records, because it is to be deleted.
    pub async fn abandon(&self) {
        let generation = self.generation();
        self.reset(generation);
        self.state.borrow_mut().open = false;
        self.land().await;
        self.reading.lock().await.drop_cache();
    }

    /// Makes the log refuse appends, or take them again: an erasure has failed that may be on media.
    pub fn set_frozen(&self, frozen: bool) {
        self.frozen.set(frozen);
    }

    fn check_thawed(&self) -> Result<()> {
        if !self.frozen.get() {
            return Ok(());
        }
        Err(PoolError::new(Kind::Io, self.id.to_string(), "its erasure failed, and it must be erased again"))
    }

    fn check_open(&self, state: &State) -> Result<()> {
        if state.open {
            return Ok(());
        }
        Err(PoolError::new(Kind::NotFound, self.id.to_string(), "it is not open"))
    }

    /// Checks that the log is open and takes appends.
    fn check_usable(&self, state: &State) -> Result<()> {
        self.check_open(state)?;
        match state.writer.has_failed() {
            true => Err(self.lost()),
            false => Ok(()),
        }
    }

    fn invalid(&self, reason: &str) -> PoolError {
        PoolError::invalid(self.id.to_string(), reason)
    }
}

impl State {
    fn new(config: WriterConfig, recovered: &Recovered) -> State {
        State {
            open: true,
            generation: config.stamp.generation,
            incarnation: 0,
            writer: LogWriter::new(config, recovered),
            cstart: recovered.compaction_started.then_some(Position(0)),
            cend: recovered.compaction_ended.then_some(Position(0)),
            tickets: Tickets::default(),
            rolled_back: None,
            quiet: 0,
        }
    }
}

fn writer_config(media: &dyn LogMedia, geometry: Geometry, stamp: Stamp, format: LogFormat) -> WriterConfig {
    let policy = if media.continue_allowed() { Policy::Continue } else { Policy::Fresh };
    WriterConfig { format, stamp, geometry, policy, buffers: 2, max_in_flight: 1 }
}

/// Wipes out the header of a torn block. All else stays as it is, so that a write that is torn itself completes nothing.
async fn wipe_header(media: &dyn LogMedia, at: u64) -> Result<()> {
    let bytes = media.sector_bytes();
    let (mut block, outcome) = media.read(at, media.allocate(bytes)?, 0..bytes).await;
    outcome?;
    block.bytes_mut()[..TORN_BYTES].fill(0);
    media.write_durable(at, block, 0..bytes).await.1
}

/// Most bytes of a container's log that are kept when it is opened: it is going to be read.
const KEPT_BYTES: usize = 8 << 20;

/// Reads a log and finds its end. Also returns the blocks of a container, if there are not too many.
async fn recover(media: &dyn LogMedia, config: ScanConfig, object: &str) -> Result<(Recovered, Option<Cache>)> {
    let mut scan = Scan::new(config);
    let mut kept = config.compact_sem.then(Vec::new);
    let corrupt = |error: ScanError| {
        let kind = if error == ScanError::Unfinished { Kind::Unfinished } else { Kind::CorruptLog };
        PoolError::new(kind, object, error.to_string())
    };
    let mut buffer = None;
    while let Some(piece) = scan.wants(STALE_SCAN_BYTES) {
        // The first piece is the longest.
        let bytes = (piece.end - piece.start) as usize;
        let memory = match buffer.take() {
            Some(memory) => memory,
            None => media.allocate(bytes)?,
        };
        let (memory, outcome) = media.read(piece.start, memory, 0..bytes).await;
        outcome.map_err(|error| error.while_doing(object))?;
        scan.feed(&memory.bytes()[..bytes]).map_err(corrupt)?;
        kept = kept.filter(|kept| kept.len() + bytes <= KEPT_BYTES);
        if let Some(kept) = &mut kept {
            assert_eq!(kept.len() as u64, piece.start, "a log is scanned from its beginning on");
            kept.extend_from_slice(&memory.bytes()[..bytes]);
        }
        buffer = Some(memory);
    }
    let recovered = scan.finish().map_err(corrupt)?;
    let kept = kept.filter(|_| recovered.blocks > 0).map(|mut kept| {
        kept.truncate(recovered.blocks as usize * config.geometry.sector_bytes);
        kept.shrink_to_fit();
        Cache { blocks: 0..recovered.blocks, memory: Memory::Kept(kept) }
    });
    Ok((recovered, kept))
}
