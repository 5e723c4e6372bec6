// SPDX-License-Identifier: BSD-3-Clause

//! The space that a pool uses, and for what.
//!
//! Each container counts its objects as they are allocated, written and deleted, so a query costs a sum over the
//! containers, however many objects there are.
//!
//! Differs from the specification: 64 bits everywhere (defects 18 and 19).

use super::Object;
use crate::error::Result;
use crate::ids::{MediaClass, ObjectType, Slot};
use crate::space_map::SpaceUsage;
use crate::Pool;

/// The objects of a pool or of one of its classes, without those of MDC0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectUsage {
    /// The number of mblocks.
    pub mblocks: u64,
    /// Bytes of the zones of mblocks.
    pub mblock_allocated_bytes: u64,
    /// Bytes written to mblocks.
    pub mblock_written_bytes: u64,
    /// The number of logs.
    pub mlogs: u64,
    /// Bytes of the zones of logs.
    pub mlog_allocated_bytes: u64,
    /// The number of slab objects.
    pub slabs: u64,
    /// Bytes of the zones of slab objects.
    pub slab_allocated_bytes: u64,
}

impl ObjectUsage {
    /// Adds an object.
    pub(super) fn with(mut self, object: &Object) -> ObjectUsage {
        for (sum, bytes) in self.sums_of(object) {
            *sum += bytes;
        }
        self
    }

    /// Subtracts an object, which was counted with its present size.
    pub(super) fn without(mut self, object: &Object) -> ObjectUsage {
        for (sum, bytes) in self.sums_of(object) {
            *sum -= bytes;
        }
        self
    }

    /// The sums that an object contributes to, and its contributions.
    fn sums_of(&mut self, object: &Object) -> [(&mut u64, u64); 3] {
        let (count, allocated) = match object.kind() {
            ObjectType::Mblock => (&mut self.mblocks, &mut self.mblock_allocated_bytes),
            ObjectType::Mlog => (&mut self.mlogs, &mut self.mlog_allocated_bytes),
            ObjectType::Slab => (&mut self.slabs, &mut self.slab_allocated_bytes),
        };
        // Other objects have no written bytes.
        let written = (&mut self.mblock_written_bytes, object.written_bytes());
        [(count, 1), (allocated, object.capacity_bytes()), written]
    }

    /// The sum of two usages.
    fn plus(self, other: ObjectUsage) -> ObjectUsage {
        ObjectUsage {
            mblocks: self.mblocks + other.mblocks,
            mblock_allocated_bytes: self.mblock_allocated_bytes + other.mblock_allocated_bytes,
            mblock_written_bytes: self.mblock_written_bytes + other.mblock_written_bytes,
            mlogs: self.mlogs + other.mlogs,
            mlog_allocated_bytes: self.mlog_allocated_bytes + other.mlog_allocated_bytes,
            slabs: self.slabs + other.slabs,
            slab_allocated_bytes: self.slab_allocated_bytes + other.slab_allocated_bytes,
        }
    }

    /// Bytes of the zones of all objects.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.mblock_allocated_bytes + self.mlog_allocated_bytes + self.slab_allocated_bytes
    }

    /// Bytes in use: the written bytes of mblocks, and the zones of the others.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.mblock_written_bytes + self.mlog_allocated_bytes + self.slab_allocated_bytes
    }
}

/// Space in use, and objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The use of the drives' space.
    pub space: SpaceUsage,
    /// The objects, committed or not.
    pub objects: ObjectUsage,
}

impl Pool {
    /// The usage of one class.
    ///
    /// # Errors
    /// NotFound: the class has no drive.
    pub fn class_usage(&self, class: MediaClass) -> Result<Usage> {
        let space = self.drive_of(class)?.space_usage();
        Ok(Usage { space, objects: self.object_usage(Some(class)) })
    }

    /// The usage of the pool: the sum over its classes.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let space = self.drives().iter().fold(SpaceUsage::default(), |sum, drive| sum.plus(&drive.space_usage()));
        Usage { space, objects: self.object_usage(None) }
    }

    fn object_usage(&self, class: Option<MediaClass>) -> ObjectUsage {
        let clients = self.containers().filter(|container| container.slot() != Slot::ZERO);
        clients.fold(ObjectUsage::default(), |sum, container| {
            let usage = container.usage();
            match class {
                Some(class) => sum.plus(usage[class.index()]),
                None => usage.into_iter().fold(sum, ObjectUsage::plus),
            }
        })
    }

    /// All objects of clients, committed or not, by container and id.
    #[must_use]
    pub fn objects(&self) -> Vec<std::rc::Rc<super::Object>> {
        let clients = self.containers().filter(|container| container.slot() != Slot::ZERO);
        clients.flat_map(|container| container.all_committed().into_iter().chain(container.all_uncommitted())).collect()
    }

    /// True when no object has a hold: no handle is open, no map exists, no operation is in progress.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.objects().iter().all(|object| object.holds() == 0)
    }
}
