// SPDX-License-Identifier: BSD-3-Clause

//! Logs by id: how containers, the pool's and clients' alike, open, erase and close the logs of their pair.
//!
//! An erasure is logged before it is carried out: in the container that describes the log or, for the logs of MDC0, in
//! the superblock. Then the zones are discarded, and only then is the open log emptied and used again. Blocks of the
//! old generation do not count, so the discard may fail; records appended during an erasure are erased with the rest.

use std::ops::Range;
use std::rc::{Rc, Weak};

use async_trait::async_trait;

use super::object::{Object, ObjectState, OpenLog};
use crate::device::IoBuf;
use crate::drive::{Drive, DriveStatus, Durability};
use crate::error::{Kind, PoolError, Result};
use crate::format::Record;
use crate::host::{Host, Level};
use crate::ids::{Extent, ObjectId, ObjectType, Slot};
use crate::mdc::LogStore;
use crate::mlog::{LogIdentity, LogMedia, Mlog, OpenFlags};
use crate::units::Nanos;
use crate::Pool;

/// Pauses before the retries of a log write.
const WRITE_PAUSES: [Nanos; 3] = [Nanos(1_000_000), Nanos(10_000_000), Nanos(100_000_000)];
/// The number of attempts at a log read.
const READ_ATTEMPTS: u32 = 3;

/// The zones of a log as the medium of its blocks. Failed transfers are retried.
#[derive(Debug)]
struct LogZones {
    host: Rc<dyn Host>,
    drive: Rc<Drive>,
    extent: Extent,
}

#[async_trait(?Send)]
impl LogMedia for LogZones {
    fn sector_bytes(&self) -> usize {
        self.drive.sector_bytes() as usize
    }

    fn capacity_bytes(&self) -> u64 {
        self.extent.zones.saturating_mul(self.drive.zone_bytes())
    }

    fn continue_allowed(&self) -> bool {
        self.drive.writes_sectors_whole()
    }

    fn allocate(&self, bytes: usize) -> Result<IoBuf> {
        self.drive.allocate(bytes)
    }

    async fn read(&self, at: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>) {
        let (mut buf, mut outcome) = self.drive.read(self.extent, at, buf, range.clone()).await;
        for _ in 1..READ_ATTEMPTS {
            if !is_fault(&outcome) {
                break;
            }
            (buf, outcome) = self.drive.read(self.extent, at, buf, range.clone()).await;
        }
        (buf, outcome)
    }

    async fn write_durable(&self, at: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>) {
        let durable = Durability::Durable;
        let (mut buf, mut outcome) = self.drive.write(self.extent, at, buf, range.clone(), durable).await;
        for pause in WRITE_PAUSES {
            // A suspect drive has had enough retries.
            if !is_fault(&outcome) || self.drive.status() != DriveStatus::Online {
                break;
            }
            self.host.sleep(pause).await;
            (buf, outcome) = self.drive.write(self.extent, at, buf, range.clone(), durable).await;
        }
        (buf, outcome)
    }

    async fn flush(&self) -> Result<()> {
        self.drive.flush().await
    }
}

fn is_fault(outcome: &Result<()>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == Kind::Io)
}

/// The logs of a pool, for objects that the pool itself owns; hence the weak reference.
#[derive(Debug, Clone)]
pub(crate) struct Store(pub(super) Weak<Pool>);

impl Store {
    fn pool(&self) -> Result<Rc<Pool>> {
        self.0.upgrade().ok_or_else(|| PoolError::new(Kind::NotFound, "pool", "it was deactivated"))
    }
}

#[async_trait(?Send)]
impl LogStore for Store {
    async fn open(&self, id: ObjectId, flags: OpenFlags) -> Result<Rc<Mlog>> {
        self.pool()?.open_log(id, flags).await
    }

    async fn erase(&self, id: ObjectId, min_generation: u64) -> Result<u64> {
        self.pool()?.erase_log(id, min_generation).await
    }

    async fn close(&self, id: ObjectId) -> Result<()> {
        self.pool()?.close_log(id).await
    }

    fn generation(&self, id: ObjectId) -> Result<u64> {
        Ok(self.pool()?.committed_log(id)?.generation())
    }
}

impl Pool {
    pub(crate) fn store(&self) -> Rc<dyn LogStore> {
        Rc::new(Store(self.weak()))
    }

    /// A committed log, including the pool's own.
    pub(super) fn committed_log(&self, id: ObjectId) -> Result<Rc<Object>> {
        let mdc0 = self.mdc0_logs.iter().find(|log| log.id() == id).cloned();
        let object = mdc0.or_else(|| self.container(id.slot()).committed(id));
        object
            .filter(|object| object.kind() == ObjectType::Mlog)
            .ok_or_else(|| PoolError::new(Kind::NotFound, id.to_string(), "no such committed log"))
    }

    /// Opens a committed log, or joins the other openers. Each success must be matched by one [`Pool::close_log`].
    pub(crate) async fn open_log(&self, id: ObjectId, flags: OpenFlags) -> Result<Rc<Mlog>> {
        let object = self.committed_log(id)?.hold();
        let _changing = object.lock().exclusive().await;
        if object.state() != ObjectState::Committed {
            return Err(PoolError::new(Kind::NotFound, id.to_string(), "the log was deleted"));
        }
        if object.is_claimed() {
            return Err(PoolError::new(Kind::Busy, id.to_string(), "its owner writes it past the pool's framer"));
        }
        if let Some(open) = object.open.borrow_mut().as_mut() {
            open.log.check_flags(flags)?;
            open.openers += 1;
            return Ok(Rc::clone(&open.log));
        }
        self.settle_erasure(&object).await?;
        let host = Rc::clone(&self.host);
        let media = Rc::new(LogZones { host, drive: Rc::clone(object.drive()), extent: object.extent() });
        let uuid = object.uuid().ok_or_else(|| PoolError::invalid(id.to_string(), "the log has no UUID"))?;
        let identity = LogIdentity { id, uuid, generation: object.generation() };
        let log = Mlog::open(media, identity, flags, self.format.log, self.accepts_v1_logs()).await?;
        *object.open.borrow_mut() = Some(OpenLog { log: Rc::clone(&log), openers: 1 });
        Ok(log)
    }

    /// Ends one opening; the last one writes buffered records. Closing a closed log does nothing.
    pub(crate) async fn close_log(&self, id: ObjectId) -> Result<()> {
        let object = self.committed_log(id)?.hold();
        let _changing = object.lock().exclusive().await;
        let last = {
            let mut open = object.open.borrow_mut();
            let Some(present) = open.as_mut() else { return Ok(()) };
            present.openers -= 1;
            if present.openers == 0 {
                open.take()
            } else {
                None
            }
        };
        match last {
            Some(open) => open.log.close().await,
            None => Ok(()),
        }
    }

    /// Erases a committed log: its generation grows, to at least `min_generation`, and is returned.
    pub(crate) async fn erase_log(&self, id: ObjectId, min_generation: u64) -> Result<u64> {
        let object = self.committed_log(id)?.hold();
        let _changing = object.lock().exclusive().await;
        if object.state() != ObjectState::Committed {
            return Err(PoolError::new(Kind::NotFound, id.to_string(), "the log was deleted"));
        }
        let next = object.generation().checked_add(1);
        let Some(generation) = next.map(|next| next.max(min_generation)) else {
            return Err(PoolError::invalid(id.to_string(), "its generation cannot grow any more"));
        };
        let recorded = self.record_erasure(id, generation).await;
        object.set_erasure_in_doubt(recorded.is_err());
        recorded?;
        object.set_generation(generation);
        // Discard before the log is used again: a late discard would hit new records.
        if let Err(error) = object.drive().erase(object.extent(), true).await {
            self.log(Level::Debug, format!("{id} was erased, but its zones were not discarded: {error}"));
        }
        if let Some(open) = object.open.borrow().as_ref() {
            open.log.reset(generation);
        }
        Ok(generation)
    }

    async fn record_erasure(&self, id: ObjectId, generation: u64) -> Result<()> {
        match (id.slot(), id.uniquifier()) {
            (Slot::ZERO, log @ (0 | 1)) => self.record_mdc0_generation(log as usize, generation).await,
            (slot, _) => {
                let container = self.container(slot);
                let _rest = container.compaction.exclusive().await;
                self.append_record(container, &Record::ObjectErase { id, generation }).await?;
                container.count(|counts| counts.erases += 1);
                Ok(())
            }
        }
    }

    /// Writes a new generation of one of MDC0's logs into the superblock.
    async fn record_mdc0_generation(&self, log: usize, generation: u64) -> Result<()> {
        let mut superblock = self.superblock.borrow().clone();
        if let Some(location) = superblock.metadata.as_mut() {
            location.logs[log].generation = generation;
        }
        let updated = self.write_superblock(&mut superblock).await;
        match updated {
            Ok(()) => *self.superblock.borrow_mut() = superblock,
            // The generation is consumed: a copy may have it.
            Err(_) => self.superblock.borrow_mut().generation = superblock.generation,
        }
        updated
    }

    /// The drive that holds MDC0.
    pub(crate) fn metadata_drive(&self) -> Result<Rc<Drive>> {
        self.drive_of(crate::ids::MediaClass::Capacity)
    }
}
