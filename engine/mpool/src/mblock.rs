// SPDX-License-Identifier: BSD-3-Clause

//! Mblocks: containers of bytes, written once from start to end, then committed and immutable.
//!
//! Invariant: the data of a committed mblock was durable before its creation was logged. The data has no checksum:
//! users of mblocks bring their own.

use std::ops::Range;

use super::device::IoBuf;
use super::drive::Durability;
use super::error::{Kind, PoolError, Result};
use super::ids::{MediaClass, ObjectId, ObjectType, PAGE_BYTES};
use super::metadata::{gone, Object, ObjectState, Search, Wish};
use super::Pool;

/// The properties of an mblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MblockProps {
    /// The id of the mblock.
    pub id: ObjectId,
    /// The media class of its drive.
    pub class: MediaClass,
    /// The most bytes that it can hold: one zone.
    pub capacity_bytes: u64,
    /// Bytes written so far.
    pub written_bytes: u64,
    /// The unit of all writes but the last.
    pub optimal_write_bytes: u32,
    /// The mblock is committed.
    pub committed: bool,
    /// The number of its zones.
    pub zones: u64,
}

impl Pool {
    /// Allocates an mblock of one zone; with `spare` from the spare zones first.
    ///
    /// # Errors
    /// NotFound: the class has no drive. NoSpace: no zone, or no container for its metadata.
    pub async fn mblock_alloc(&self, class: MediaClass, spare: bool) -> Result<MblockProps> {
        let object = self.allocate(Wish { kind: ObjectType::Mblock, class, zones: 1, spare }).await?;
        Ok(mblock_props(&object))
    }

    /// Appends the part `range` of `buf` to an mblock, and returns the memory.
    ///
    /// # Errors
    /// Invalid: not whole pages, too much, or an earlier write was not a multiple of the optimal size. Already: the
    /// mblock is committed. NotFound; Io. Then the written length is unchanged.
    pub async fn mblock_write(&self, id: ObjectId, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>) {
        let object = match self.find_kind(id, ObjectType::Mblock, Search::Both) {
            Ok(object) => object.hold(),
            Err(error) => return (buf, Err(error)),
        };
        let _changing = object.lock().exclusive().await;
        if let Err(error) = check_write(&object, &buf, &range) {
            return (buf, Err(error));
        }
        let at = object.written_bytes();
        let length = range.len() as u64;
        let (buf, written) = object.drive().write(object.extent(), at, buf, range, Durability::Deferred).await;
        if written.is_ok() {
            self.container(id.slot()).set_written(&object, at + length);
        }
        (buf, written)
    }

    /// Commits an mblock: it survives a power cut from now on, and is immutable. Committing again does nothing.
    ///
    /// # Errors
    /// NotFound. Io: the mblock stays uncommitted; the call may be repeated, or the mblock aborted.
    pub async fn mblock_commit(&self, id: ObjectId) -> Result<()> {
        let object = self.find_kind(id, ObjectType::Mblock, Search::Both)?.hold();
        let _changing = object.lock().exclusive().await;
        if object.state() == ObjectState::Uncommitted {
            object.drive().make_durable().await?;
        }
        self.commit_object(&object).await
    }

    /// Frees an uncommitted mblock.
    ///
    /// # Errors
    /// NotFound. Busy: the mblock is in use.
    pub async fn mblock_abort(&self, id: ObjectId) -> Result<()> {
        self.abort_object(self.find_kind(id, ObjectType::Mblock, Search::Uncommitted)?.hold()).await
    }

    /// Deletes a committed mblock.
    ///
    /// # Errors
    /// NotFound. Busy: the mblock is mapped or in use. Io.
    pub async fn mblock_delete(&self, id: ObjectId) -> Result<()> {
        self.delete_object(self.find_kind(id, ObjectType::Mblock, Search::Committed)?.hold()).await
    }

    /// Reads into the part `range` of `buf` from byte `offset` of a committed mblock on.
    ///
    /// # Errors
    /// NotYet: the mblock is not committed. Invalid: not whole pages, or beyond the written bytes. NotFound; Io.
    pub async fn mblock_read(&self, id: ObjectId, offset: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>) {
        let object = match self.find_kind(id, ObjectType::Mblock, Search::Both) {
            Ok(object) => object.hold(),
            Err(error) => return (buf, Err(error)),
        };
        let _reading = object.lock().shared().await;
        if let Err(error) = check_read(&object, offset, &buf, &range) {
            return (buf, Err(error));
        }
        object.drive().read(object.extent(), offset, buf, range).await
    }

    /// The properties of an mblock.
    ///
    /// # Errors
    /// NotFound.
    pub fn mblock_props(&self, id: ObjectId) -> Result<MblockProps> {
        Ok(mblock_props(&*self.find_kind(id, ObjectType::Mblock, Search::Both)?))
    }
}

fn mblock_props(object: &Object) -> MblockProps {
    MblockProps {
        id: object.id(),
        class: object.class(),
        capacity_bytes: object.capacity_bytes(),
        written_bytes: object.written_bytes(),
        optimal_write_bytes: object.drive().optimal_write_bytes(),
        committed: object.state() == ObjectState::Committed,
        zones: object.extent().zones,
    }
}

fn check_pages(object: &Object, buf: &IoBuf, range: &Range<usize>) -> Result<()> {
    let inside = range.start < range.end && range.end <= buf.as_ref().as_ref().len();
    if !inside || !range.start.is_multiple_of(PAGE_BYTES) || !range.len().is_multiple_of(PAGE_BYTES) {
        let reason = format!("bytes {range:?} of the buffer are not one or more whole pages of {PAGE_BYTES} bytes");
        return Err(PoolError::invalid(object.id().to_string(), reason));
    }
    Ok(())
}

/// Whether a write is allowed; unlike in the original, checked under the lock.
fn check_write(object: &Object, buf: &IoBuf, range: &Range<usize>) -> Result<()> {
    let refuse = |reason: String| Err(PoolError::invalid(object.id().to_string(), reason));
    match object.state() {
        ObjectState::Uncommitted => {}
        ObjectState::Committed => {
            let reason = "it is committed, and so immutable";
            return Err(PoolError::new(Kind::Already, object.id().to_string(), reason));
        }
        ObjectState::Removed => return Err(gone(object)),
    }
    check_pages(object, buf, range)?;
    let optimal = u64::from(object.drive().optimal_write_bytes());
    let (written, capacity) = (object.written_bytes(), object.capacity_bytes());
    if !written.is_multiple_of(optimal) {
        return refuse(format!("its last write ended at byte {written}, no multiple of {optimal}, so it was the last"));
    }
    if written + range.len() as u64 > capacity {
        return refuse(format!("{} bytes more than {written} exceed its capacity of {capacity}", range.len()));
    }
    Ok(())
}

fn check_read(object: &Object, offset: u64, buf: &IoBuf, range: &Range<usize>) -> Result<()> {
    match object.state() {
        ObjectState::Committed => {}
        ObjectState::Uncommitted => {
            return Err(PoolError::new(Kind::NotYet, object.id().to_string(), "it is not committed"));
        }
        ObjectState::Removed => return Err(gone(object)),
    }
    check_pages(object, buf, range)?;
    let end = offset.checked_add(range.len() as u64);
    if !offset.is_multiple_of(PAGE_BYTES as u64) || end.is_none_or(|end| end > object.written_bytes()) {
        let written = object.written_bytes();
        let reason = format!("{} bytes from {offset} on are not whole pages of the {written} written", range.len());
        return Err(PoolError::invalid(object.id().to_string(), reason));
    }
    Ok(())
}
