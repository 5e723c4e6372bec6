// SPDX-License-Identifier: BSD-3-Clause

//! Slab objects: runs of zones with block I/O in place, which mpool lacks.
//!
//! They are allocated, recorded and accounted for like the other kinds, and follow the same crash rules. Their content
//! belongs to their owner: writes reach the medium in any order, and are durable after a flush. So a failed transfer
//! leaves the drive in use, and the owner may retry. An open slab object cannot be deleted.

use std::ops::Range;
use std::rc::Rc;

use super::device::IoBuf;
use super::drive::Durability;
use super::error::{PoolError, Result};
use super::ids::{Extent, MediaClass, ObjectId, ObjectType};
use super::metadata::{gone, Hold, Object, ObjectState, Search, Wish};
use super::Pool;

/// The properties of a slab object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabProps {
    /// The id of the object.
    pub id: ObjectId,
    /// The media class of its drive.
    pub class: MediaClass,
    /// Bytes of its zones.
    pub capacity_bytes: u64,
    /// The object is committed.
    pub committed: bool,
    /// The zones of the object.
    pub extent: Extent,
    /// The object's first byte on the drive.
    pub drive_offset: u64,
}

/// An open slab object, held until this is dropped.
#[derive(Debug)]
pub struct SlabObject(Hold);

impl Pool {
    /// Allocates a slab object of `zones` zones.
    ///
    /// # Errors
    /// Invalid: no zones. NotFound: the class has no drive. NoSpace.
    pub async fn slab_alloc(&self, class: MediaClass, zones: u64, spare: bool) -> Result<SlabProps> {
        if zones == 0 {
            return Err(PoolError::invalid(self.subject(), "a slab object has at least one zone"));
        }
        Ok(slab_props(&self.allocate(Wish { kind: ObjectType::Slab, class, zones, spare }).await?))
    }

    /// Commits a slab object: it survives a power cut from now on. Committing again does nothing.
    ///
    /// # Errors
    /// NotFound; Io.
    pub async fn slab_commit(&self, id: ObjectId) -> Result<()> {
        let object = self.find_kind(id, ObjectType::Slab, Search::Both)?.hold();
        let _changing = object.lock().exclusive().await;
        if object.state() == ObjectState::Uncommitted {
            object.drive().make_durable().await?;
        }
        self.commit_object(&object).await
    }

    /// Frees an uncommitted slab object.
    ///
    /// # Errors
    /// NotFound. Busy: the object is in use.
    pub async fn slab_abort(&self, id: ObjectId) -> Result<()> {
        self.abort_object(self.find_kind(id, ObjectType::Slab, Search::Uncommitted)?.hold()).await
    }

    /// Deletes a committed slab object.
    ///
    /// # Errors
    /// NotFound. Busy: the object is open. Io.
    pub async fn slab_delete(&self, id: ObjectId) -> Result<()> {
        self.delete_object(self.find_kind(id, ObjectType::Slab, Search::Committed)?.hold()).await
    }

    /// The properties of a slab object.
    ///
    /// # Errors
    /// NotFound.
    pub fn slab_props(&self, id: ObjectId) -> Result<SlabProps> {
        Ok(slab_props(&self.find_kind(id, ObjectType::Slab, Search::Both)?))
    }

    /// Opens a slab object, committed or not: a new one may be filled before it is committed.
    ///
    /// # Errors
    /// NotFound.
    pub async fn slab_open(&self, id: ObjectId) -> Result<SlabObject> {
        let object = self.find_kind(id, ObjectType::Slab, Search::Both)?.hold();
        let opening = object.lock().shared().await;
        if object.state() == ObjectState::Removed {
            return Err(gone(&object));
        }
        drop(opening);
        Ok(SlabObject(object))
    }
}

impl SlabObject {
    /// The properties of the object.
    #[must_use]
    pub fn props(&self) -> SlabProps {
        slab_props(&self.0)
    }

    /// Allocates memory for transfers.
    ///
    /// # Errors
    /// NoMemory.
    pub fn allocate(&self, bytes: usize) -> Result<IoBuf> {
        self.0.drive().allocate(bytes)
    }

    /// Reads from byte `offset` on. The content of sectors that were never written is undefined.
    ///
    /// # Errors
    /// Invalid: not whole sectors, or out of range. Io.
    pub async fn read(&self, offset: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>) {
        self.0.drive().read(self.0.extent(), offset, buf, range).await
    }

    /// Writes from byte `offset` on.
    ///
    /// # Errors
    /// As for [`SlabObject::read`].
    pub async fn write(
        &self,
        offset: u64,
        buf: IoBuf,
        range: Range<usize>,
        durability: Durability,
    ) -> (IoBuf, Result<()>) {
        self.0.drive().write(self.0.extent(), offset, buf, range, durability).await
    }

    /// Makes all completed writes durable.
    ///
    /// # Errors
    /// Io.
    pub async fn flush(&self) -> Result<()> {
        self.0.drive().flush().await
    }
}

fn slab_props(object: &Rc<Object>) -> SlabProps {
    SlabProps {
        id: object.id(),
        class: object.class(),
        capacity_bytes: object.capacity_bytes(),
        committed: object.state() == ObjectState::Committed,
        extent: object.extent(),
        drive_offset: object.extent().first.saturating_mul(object.drive().zone_bytes()),
    }
}
