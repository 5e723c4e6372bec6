// SPDX-License-Identifier: BSD-3-Clause

//! A client's mlogs and metadata containers: allocation, lifecycle and use by id.
//!
//! Differs from mpool: an open log is held, so that it cannot be deleted; there is only one framer, so append and read
//! are here and not in a client library; raw I/O is limited to the log's capacity (defect 5).

use std::ops::Range;
use std::rc::Rc;

use uuid::Uuid;

use super::device::IoBuf;
use super::drive::Durability;
use super::error::{Kind, PoolError, Result};
use super::ids::{MediaClass, ObjectId, ObjectType};
use super::mdc::{Mdc, MdcFlags};
use super::metadata::{gone, Hold, Object, ObjectState, Search, Wish};
use super::mlog::{Mlog, OpenFlags};
use super::Pool;

/// The properties of an mlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MlogProps {
    /// The id of the log.
    pub id: ObjectId,
    /// The UUID in its blocks.
    pub uuid: Uuid,
    /// The media class of its drive.
    pub class: MediaClass,
    /// Bytes of its zones, including the headers of blocks.
    pub capacity_bytes: u64,
    /// Grows with each erasure.
    pub generation: u64,
    /// The log is committed.
    pub committed: bool,
    /// The number of its zones.
    pub zones: u64,
    /// Bytes in a block.
    pub sector_bytes: u64,
    /// The number of blocks that fit.
    pub sectors: u64,
    /// The log is open or claimed.
    pub open: bool,
}

/// An open log. [`LogHandle::close`] writes buffered records; dropping the handle instead may lose them.
#[derive(Debug)]
pub struct LogHandle {
    pool: Rc<Pool>,
    log: Rc<Mlog>,
    hold: Hold,
    closed: bool,
}

impl Pool {
    /// Allocates a log of at least `capacity_bytes` (0: one zone), rounded up to whole zones.
    ///
    /// # Errors
    /// NotFound: the class has no drive. NoSpace. Io: its zones could not be discarded.
    pub async fn mlog_alloc(&self, class: MediaClass, capacity_bytes: u64, spare: bool) -> Result<MlogProps> {
        let zones = self.zones_for(class, capacity_bytes)?;
        let object = self.allocate(Wish { kind: ObjectType::Mlog, class, zones, spare }).await?;
        self.prepare_log(object).await
    }

    /// Allocates a log with an id that was allocated before and is not in use now.
    ///
    /// # Errors
    /// As for [`Pool::mlog_alloc`]; Invalid: the id was never allocated; Exists.
    pub async fn mlog_realloc(&self, id: ObjectId, class: MediaClass, capacity_bytes: u64) -> Result<MlogProps> {
        let zones = self.zones_for(class, capacity_bytes)?;
        let object = self.reallocate(id, Wish { kind: ObjectType::Mlog, class, zones, spare: false }).await?;
        self.prepare_log(object).await
    }

    /// Discards the zones of a new log.
    async fn prepare_log(&self, object: Rc<Object>) -> Result<MlogProps> {
        if let Err(error) = object.drive().erase(object.extent(), true).await {
            self.abort_object(object.hold()).await?;
            return Err(error);
        }
        mlog_props(&object)
    }

    pub(super) fn zones_for(&self, class: MediaClass, bytes: u64) -> Result<u64> {
        Ok(bytes.div_ceil(self.drive_of(class)?.zone_bytes()).max(1))
    }

    /// Commits a log: it survives a power cut from now on. Committing again does nothing.
    ///
    /// # Errors
    /// NotFound; Io.
    pub async fn mlog_commit(&self, id: ObjectId) -> Result<()> {
        let object = self.find_kind(id, ObjectType::Mlog, Search::Both)?.hold();
        let _changing = object.lock().exclusive().await;
        self.commit_object(&object).await
    }

    /// Frees an uncommitted log.
    ///
    /// # Errors
    /// NotFound. Busy.
    pub async fn mlog_abort(&self, id: ObjectId) -> Result<()> {
        self.abort_object(self.find_kind(id, ObjectType::Mlog, Search::Uncommitted)?.hold()).await
    }

    /// Deletes a committed log.
    ///
    /// # Errors
    /// NotFound. Busy: the log is open. Io.
    pub async fn mlog_delete(&self, id: ObjectId) -> Result<()> {
        self.delete_object(self.find_kind(id, ObjectType::Mlog, Search::Committed)?.hold()).await
    }

    /// The properties of a log.
    ///
    /// # Errors
    /// NotFound.
    pub fn mlog_props(&self, id: ObjectId) -> Result<MlogProps> {
        mlog_props(&*self.find_kind(id, ObjectType::Mlog, Search::Both)?)
    }

    /// Erases a committed log. Its generation grows, to at least `min_generation`, and is returned.
    ///
    /// # Errors
    /// NotFound; Invalid: not committed; Io.
    pub async fn mlog_erase(&self, id: ObjectId, min_generation: u64) -> Result<u64> {
        let object = self.find_kind(id, ObjectType::Mlog, Search::Both)?;
        if object.state() != ObjectState::Committed {
            return Err(PoolError::invalid(id.to_string(), "it is not committed"));
        }
        self.erase_log(id, min_generation).await
    }

    /// Opens a committed log. All openers share one end and one read position.
    ///
    /// # Errors
    /// NotFound; Invalid: not committed, or open without these flags; CorruptLog; Unfinished; Io.
    pub async fn mlog_open(self: &Rc<Pool>, id: ObjectId, flags: OpenFlags) -> Result<LogHandle> {
        let object = self.find_kind(id, ObjectType::Mlog, Search::Both)?;
        if object.state() != ObjectState::Committed {
            return Err(PoolError::invalid(id.to_string(), "it is not committed"));
        }
        let hold = object.hold();
        let log = self.open_log(id, flags).await?;
        Ok(LogHandle { pool: Rc::clone(self), log, hold, closed: false })
    }

    /// Opens two committed logs as one metadata container.
    ///
    /// # Errors
    /// Invalid: the same log twice, or a pair of which neither can be told to be valid. As for [`Pool::mlog_open`].
    pub async fn mdc_open(self: &Rc<Pool>, ids: [ObjectId; 2], flags: MdcFlags) -> Result<MdcHandle> {
        let holds = [self.find_committed_log(ids[0])?, self.find_committed_log(ids[1])?];
        let mdc = Mdc::open(self.store(), ids, flags).await?;
        Ok(MdcHandle { pool: Rc::clone(self), mdc, holds })
    }

    fn find_committed_log(&self, id: ObjectId) -> Result<Hold> {
        Ok(self.find_kind(id, ObjectType::Mlog, Search::Committed)?.hold())
    }

    /// The ids of the two logs of the root MDC.
    #[must_use]
    pub fn root_mdc(&self) -> [ObjectId; 2] {
        ObjectId::ROOT_LOGS
    }

    /// Reads whole raw sectors of a committed log.
    ///
    /// # Errors
    /// NotFound; Invalid: not whole sectors, or outside the log; Io.
    pub async fn mlog_read_raw(
        &self,
        id: ObjectId,
        offset: u64,
        buf: IoBuf,
        range: Range<usize>,
    ) -> (IoBuf, Result<()>) {
        let object = match self.find_committed_log(id) {
            Ok(object) => object,
            Err(error) => return (buf, Err(error)),
        };
        let _alone = object.lock().exclusive().await;
        if object.state() != ObjectState::Committed {
            return (buf, Err(gone(&object)));
        }
        object.drive().read(object.extent(), offset, buf, range).await
    }

    /// Writes whole raw sectors of a committed log, durably, bypassing the framer.
    ///
    /// # Errors
    /// As for [`Pool::mlog_read_raw`]; Busy: the log is open or claimed.
    pub async fn mlog_write_raw(
        &self,
        id: ObjectId,
        offset: u64,
        buf: IoBuf,
        range: Range<usize>,
    ) -> (IoBuf, Result<()>) {
        let object = match self.find_committed_log(id) {
            Ok(object) => object,
            Err(error) => return (buf, Err(error)),
        };
        let _alone = object.lock().exclusive().await;
        if object.state() != ObjectState::Committed {
            return (buf, Err(gone(&object)));
        }
        if object.is_open() {
            let reason = "it is open, and its framer would not know of the write";
            return (buf, Err(PoolError::new(Kind::Busy, id.to_string(), reason)));
        }
        object.drive().write(object.extent(), offset, buf, range, Durability::Durable).await
    }
}

impl LogHandle {
    /// The log, for append, read and flush.
    #[must_use]
    pub fn log(&self) -> &Rc<Mlog> {
        &self.log
    }

    /// The id of the log.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        self.hold.id()
    }

    /// Ends this opening; the last one writes buffered records.
    ///
    /// # Errors
    /// Io: records appended without `sync` may be lost.
    pub async fn close(mut self) -> Result<()> {
        self.closed = true;
        self.pool.close_log(self.hold.id()).await
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        if !self.closed {
            let (pool, id) = (Rc::clone(&self.pool), self.hold.id());
            let hold = self.hold.hold();
            self.pool.tasks.spawn(async move {
                // The owner chose not to wait for the outcome.
                let _ = pool.close_log(id).await;
                drop(hold);
            });
        }
    }
}

/// An open metadata container of a client. [`Mdc::close`] writes buffered records and returns the outcome; dropping the
/// handle does the same without an outcome.
#[derive(Debug)]
pub struct MdcHandle {
    pool: Rc<Pool>,
    mdc: Rc<Mdc>,
    holds: [Hold; 2],
}

impl core::ops::Deref for MdcHandle {
    type Target = Mdc;

    fn deref(&self) -> &Mdc {
        &self.mdc
    }
}

impl Drop for MdcHandle {
    fn drop(&mut self) {
        if self.mdc.is_alive() {
            let (mdc, holds) = (Rc::clone(&self.mdc), self.holds.each_ref().map(|hold| hold.hold()));
            self.pool.tasks.spawn(async move {
                // The owner chose not to wait for the outcome.
                let _ = mdc.close().await;
                drop(holds);
            });
        }
    }
}

fn mlog_props(object: &Object) -> Result<MlogProps> {
    let uuid = object.uuid().ok_or_else(|| PoolError::invalid(object.id().to_string(), "the log has no UUID"))?;
    let sector_bytes = object.drive().sector_bytes();
    Ok(MlogProps {
        id: object.id(),
        uuid,
        class: object.class(),
        capacity_bytes: object.capacity_bytes(),
        generation: object.generation(),
        committed: object.state() == ObjectState::Committed,
        zones: object.extent().zones,
        sector_bytes,
        sectors: object.capacity_bytes() / sector_bytes,
        open: object.is_open(),
    })
}
