// SPDX-License-Identifier: BSD-3-Clause

//! How full a pool is, and of what (mpool.md 6.9, 7, 10).
//!
//! Differs from mpool.md: counted when asked, from the objects themselves, so that the sums cannot drift; 64 bits
//! everywhere (defects 18 and 19).

use crate::pool::error::Result;
use crate::pool::ids::{MediaClass, ObjectType, Slot};
use crate::pool::space_map::SpaceUsage;
use crate::pool::Pool;

/// Objects of a pool or of one of its classes, without those of MDC0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectUsage {
    /// Mblocks.
    pub mblocks: u64,
    /// Bytes of their zones.
    pub mblock_allocated_bytes: u64,
    /// Bytes written to them.
    pub mblock_written_bytes: u64,
    /// Logs.
    pub mlogs: u64,
    /// Bytes of their zones.
    pub mlog_allocated_bytes: u64,
    /// Slab objects.
    pub slabs: u64,
    /// Bytes of their zones.
    pub slab_allocated_bytes: u64,
}

impl ObjectUsage {
    /// Bytes allocated to objects.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.mblock_allocated_bytes + self.mlog_allocated_bytes + self.slab_allocated_bytes
    }

    /// Bytes in use: of mblocks those written, of the others those allocated.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.mblock_written_bytes + self.mlog_allocated_bytes + self.slab_allocated_bytes
    }
}

/// Space and objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Space.
    pub space: SpaceUsage,
    /// Objects, committed or not.
    pub objects: ObjectUsage,
}

impl Pool {
    /// Usage of one class.
    ///
    /// # Errors
    /// NotFound: the class has no drive.
    pub fn class_usage(&self, class: MediaClass) -> Result<Usage> {
        let space = self.drive_of(class)?.space_usage();
        Ok(Usage { space, objects: self.object_usage(Some(class)) })
    }

    /// Usage of the pool: the sum over its classes.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let space = self.drives().iter().fold(SpaceUsage::default(), |sum, drive| sum.plus(&drive.space_usage()));
        Usage { space, objects: self.object_usage(None) }
    }

    fn object_usage(&self, class: Option<MediaClass>) -> ObjectUsage {
        let mut usage = ObjectUsage::default();
        for container in self.containers().filter(|container| container.slot() != Slot::ZERO) {
            for object in container.all_committed().into_iter().chain(container.all_uncommitted()) {
                if class.is_some_and(|class| class != object.class()) {
                    continue;
                }
                match object.kind() {
                    ObjectType::Mblock => {
                        usage.mblocks += 1;
                        usage.mblock_allocated_bytes += object.capacity_bytes();
                        usage.mblock_written_bytes += object.written_bytes();
                    }
                    ObjectType::Mlog => {
                        usage.mlogs += 1;
                        usage.mlog_allocated_bytes += object.capacity_bytes();
                    }
                    ObjectType::Slab => {
                        usage.slabs += 1;
                        usage.slab_allocated_bytes += object.capacity_bytes();
                    }
                }
            }
        }
        usage
    }

    /// All objects of clients, committed or not, in the order of containers and ids.
    #[must_use]
    pub fn objects(&self) -> Vec<std::rc::Rc<super::Object>> {
        let clients = self.containers().filter(|container| container.slot() != Slot::ZERO);
        clients.flat_map(|container| container.all_committed().into_iter().chain(container.all_uncommitted())).collect()
    }

    /// True when nobody holds an object: no handle is open, no map exists, no operation is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.objects().iter().all(|object| object.holds() == 0)
    }
}
