// SPDX-License-Identifier: BSD-3-Clause

//! The commands on objects.

use std::ops::Range;
use std::rc::Rc;

use super::PoolHandle;
use crate::cache::MapTable;
use crate::device::IoBuf;
use crate::error::Result;
use crate::ids::{MediaClass, ObjectId, ObjectType};
use crate::logs::{LogHandle, MdcHandle, MlogProps};
use crate::mblock::MblockProps;
use crate::mdc::MdcFlags;
use crate::metadata::Search;
use crate::mlog::OpenFlags;
use crate::slab::{SlabObject, SlabProps};

/// The memory of a transfer, returned to its owner, and the outcome.
type Transferred = (IoBuf, Result<()>);

impl PoolHandle {
    /// MB_ALLOC: allocates an mblock; with `spare` from the spare zones first.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no drive in the class; NoSpace; Io.
    pub async fn mblock_alloc(&self, class: MediaClass, spare: bool) -> Result<MblockProps> {
        self.writable()?.mblock_alloc(class, spare).await
    }

    /// MB_WRITE: appends whole pages to an uncommitted mblock.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such uncommitted mblock; Invalid: the length, or mpool's rules for writes; Io.
    pub async fn mblock_write(&self, id: ObjectId, buf: IoBuf, range: Range<usize>) -> Transferred {
        let checked = self.check_length(&id.to_string(), range.len()).and_then(|()| self.writable());
        let pool = match checked.and_then(|pool| pool.find(id, Search::Uncommitted).map(|_| pool)) {
            Ok(pool) => pool,
            Err(error) => return (buf, Err(error)),
        };
        let _permit = self.active.admission().admit(range.len() as u64).await;
        pool.mblock_write(id, buf, range).await
    }

    /// MB_READ: reads whole pages of a committed mblock.
    ///
    /// # Errors
    /// NotFound: no such committed mblock; Invalid: the length, or beyond what was written; Io.
    pub async fn mblock_read(&self, id: ObjectId, offset: u64, buf: IoBuf, range: Range<usize>) -> Transferred {
        let pool = self.active.pool();
        let checked = self.check_length(&id.to_string(), range.len());
        if let Err(error) = checked.and_then(|()| pool.find(id, Search::Committed).map(drop)) {
            return (buf, Err(error));
        }
        let _permit = self.active.admission().admit(range.len() as u64).await;
        pool.mblock_read(id, offset, buf, range).await
    }

    /// MB_COMMIT: makes an mblock and its content durable.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such uncommitted mblock; Io: it stays uncommitted.
    pub async fn mblock_commit(&self, id: ObjectId) -> Result<()> {
        let pool = self.writable()?;
        pool.find_kind(id, ObjectType::Mblock, Search::Uncommitted)?;
        pool.mblock_commit(id).await
    }

    /// MB_ABORT: frees an uncommitted mblock.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such uncommitted mblock; Busy.
    pub async fn mblock_abort(&self, id: ObjectId) -> Result<()> {
        self.writable()?.mblock_abort(id).await
    }

    /// MB_DELETE: deletes a committed mblock.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such committed mblock; Busy: mapped or in use; Io.
    pub async fn mblock_delete(&self, id: ObjectId) -> Result<()> {
        self.writable()?.mblock_delete(id).await
    }

    /// MB_FIND: the properties of an mblock.
    ///
    /// # Errors
    /// NotFound.
    pub fn mblock_find(&self, id: ObjectId) -> Result<MblockProps> {
        self.active.pool().mblock_props(id)
    }

    /// MLOG_ALLOC: allocates a log of at least `capacity_bytes`, or of one zone.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no drive in the class; NoSpace; Io.
    pub async fn mlog_alloc(&self, class: MediaClass, capacity_bytes: u64, spare: bool) -> Result<MlogProps> {
        self.writable()?.mlog_alloc(class, capacity_bytes, spare).await
    }

    /// MLOG_COMMIT: makes the existence of a log durable.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such uncommitted log; Io: it stays uncommitted.
    pub async fn mlog_commit(&self, id: ObjectId) -> Result<()> {
        let pool = self.writable()?;
        pool.find_kind(id, ObjectType::Mlog, Search::Uncommitted)?;
        pool.mlog_commit(id).await
    }

    /// MLOG_ABORT: frees an uncommitted log.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such uncommitted log; Busy.
    pub async fn mlog_abort(&self, id: ObjectId) -> Result<()> {
        self.writable()?.mlog_abort(id).await
    }

    /// MLOG_DELETE: deletes a committed log.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such committed log; Busy: open; Io.
    pub async fn mlog_delete(&self, id: ObjectId) -> Result<()> {
        self.writable()?.mlog_delete(id).await
    }

    /// MLOG_FIND and MLOG_PROPS: the properties of a log.
    ///
    /// # Errors
    /// NotFound.
    pub fn mlog_find(&self, id: ObjectId) -> Result<MlogProps> {
        self.active.pool().mlog_props(id)
    }

    /// MLOG_ERASE: returns the new generation, at least `min_generation`.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such committed log; Io.
    pub async fn mlog_erase(&self, id: ObjectId, min_generation: u64) -> Result<u64> {
        let pool = self.writable()?;
        pool.find_kind(id, ObjectType::Mlog, Search::Committed)?;
        pool.mlog_erase(id, min_generation).await
    }

    /// MLOG_READ: reads whole raw pages of a committed log.
    ///
    /// # Errors
    /// NotFound: no such committed log; Invalid: the length, or outside the log; Io.
    pub async fn mlog_read_raw(&self, id: ObjectId, offset: u64, buf: IoBuf, range: Range<usize>) -> Transferred {
        if let Err(error) = self.check_length(&id.to_string(), range.len()) {
            return (buf, Err(error));
        }
        let _permit = self.active.admission().admit(range.len() as u64).await;
        self.active.pool().mlog_read_raw(id, offset, buf, range).await
    }

    /// MLOG_WRITE: writes whole raw pages of a committed log, without framing.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such committed log; Busy: open; Invalid: the length, or outside the log; Io.
    pub async fn mlog_write_raw(&self, id: ObjectId, offset: u64, buf: IoBuf, range: Range<usize>) -> Transferred {
        let checked = self.check_length(&id.to_string(), range.len());
        let pool = match checked.and_then(|()| self.writable()) {
            Ok(pool) => pool,
            Err(error) => return (buf, Err(error)),
        };
        let _permit = self.active.admission().admit(range.len() as u64).await;
        pool.mlog_write_raw(id, offset, buf, range).await
    }

    /// Opens a committed log for appending and reading.
    ///
    /// # Errors
    /// ReadOnly; NotFound; Invalid: not committed, or open without these flags; CorruptLog; Unfinished; Io.
    pub async fn mlog_open(&self, id: ObjectId, flags: OpenFlags) -> Result<LogHandle> {
        self.writable()?.mlog_open(id, flags).await
    }

    /// Opens two committed logs as one metadata container.
    ///
    /// # Errors
    /// ReadOnly; NotFound; Invalid: the same log twice, or a pair that cannot be told apart; Io.
    pub async fn mdc_open(&self, ids: [ObjectId; 2], flags: MdcFlags) -> Result<MdcHandle> {
        self.writable()?.mdc_open(ids, flags).await
    }

    /// Allocates a slab object of `zones` zones.
    ///
    /// # Errors
    /// ReadOnly; Invalid: no zone; NotFound: no drive in the class; NoSpace; Io.
    pub async fn slab_alloc(&self, class: MediaClass, zones: u64, spare: bool) -> Result<SlabProps> {
        self.writable()?.slab_alloc(class, zones, spare).await
    }

    /// Commits a slab object.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such uncommitted slab object; Io: it stays uncommitted.
    pub async fn slab_commit(&self, id: ObjectId) -> Result<()> {
        let pool = self.writable()?;
        pool.find_kind(id, ObjectType::Slab, Search::Uncommitted)?;
        pool.slab_commit(id).await
    }

    /// Frees an uncommitted slab object.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such uncommitted slab object; Busy.
    pub async fn slab_abort(&self, id: ObjectId) -> Result<()> {
        self.writable()?.slab_abort(id).await
    }

    /// Deletes a committed slab object.
    ///
    /// # Errors
    /// ReadOnly; NotFound: no such committed slab object; Busy: open; Io.
    pub async fn slab_delete(&self, id: ObjectId) -> Result<()> {
        self.writable()?.slab_delete(id).await
    }

    /// The properties of a slab object.
    ///
    /// # Errors
    /// NotFound.
    pub fn slab_find(&self, id: ObjectId) -> Result<SlabProps> {
        self.active.pool().slab_props(id)
    }

    /// The cache maps over mblocks, with their own commands.
    ///
    /// # Errors
    /// ReadOnly, as in mpool; Invalid: the budget for pages is too small.
    pub fn maps(&self) -> Result<Rc<MapTable>> {
        self.writable()?.maps()
    }

    /// Opens a slab object for I/O in place.
    ///
    /// # Errors
    /// ReadOnly; NotFound.
    pub async fn slab_open(&self, id: ObjectId) -> Result<SlabObject> {
        self.writable()?.slab_open(id).await
    }
}
