// SPDX-License-Identifier: BSD-3-Clause

//! The media pool: an object store on one or two block devices.
//!
//! A pool holds *mblocks* (bytes, written once), *mlogs* (record logs) and *slab objects* (block I/O in place), each on
//! the device of a media class. Its own metadata consists of records in logs, so that every change is atomic: after a
//! power cut each unfinished call has taken effect entirely or not at all.
//!
//! From the outside in: [`registry`] and [`management`] create, activate and change whole pools; [`control`] is the
//! handle that a client opens, with its rights; `mblock`, `logs` and `slab` are the operations on objects; [`metadata`]
//! keeps track of the objects; [`mdc`] and [`mlog`] are its logs; [`space_map`], [`drive`] and [`superblocks`] are the
//! devices; [`mod@format`] defines every byte on media; [`cache`] maps mblocks into memory. [`device`] and [`host`] are
//! the interfaces to the environment.
//!
//! A pool lives on one thread and waits in `async` functions. The parts that a shard's data path uses (a log's framer,
//! [`mlog::LogWriter`]; the place of a slab) depend on neither.
//!
//! A call that has begun must be polled to its end: after the future of a metadata change is dropped, neither the
//! caller nor the pool knows whether the change is on media, until the next activation.
//!
//! # Example
//!
//! A pool on two disks in memory (feature `testing`). Elsewhere the environment is an implementation of [`host::Host`], which
//! opens [`Device`]s and runs tasks; on SPDK that is the module's `SpdkHost`.
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use mpool::control::Rights;
//! use mpool::device::PlainMemory;
//! use mpool::testing::World;
//! use mpool::{MediaClass, PAGE_BYTES};
//!
//! let world = World::with_two_disks();
//! world.create("pool");
//! let (log, block) = world.run(async {
//!     let pool = world.registry.open("pool", Rights::ReadWrite, false).unwrap();
//!     // Objects are there once they are committed.
//!     let log = pool.mlog_alloc(MediaClass::Capacity, 1 << 20, false).await.unwrap().id;
//!     pool.mlog_commit(log).await.unwrap();
//!     let open = pool.mlog_open(log, Default::default()).await.unwrap();
//!     open.log().append(b"a record", true).await.unwrap();
//!     open.close().await.unwrap();
//!     // An mblock is written once, in whole pages.
//!     let block = pool.mblock_alloc(MediaClass::Capacity, false).await.unwrap().id;
//!     let page = Box::new(PlainMemory(vec![7; PAGE_BYTES]));
//!     pool.mblock_write(block, page, 0..PAGE_BYTES).await.1.unwrap();
//!     pool.mblock_commit(block).await.unwrap();
//!     (log, block)
//! });
//! // The power fails; what was committed and appended is there.
//! let world = world.cut();
//! world.activate(&["cap"]).unwrap();
//! world.run(async {
//!     let pool = world.registry.open("pool", Rights::ReadWrite, false).unwrap();
//!     assert_eq!(pool.mblock_find(block).unwrap().written_bytes, PAGE_BYTES as u64);
//!     let open = pool.mlog_open(log, Default::default()).await.unwrap();
//!     open.log().rewind().await.unwrap();
//!     assert_eq!(open.log().next_vec(usize::MAX).await.unwrap().unwrap(), b"a record");
//!     open.close().await.unwrap();
//! });
//! # }
//! ```
//!
//! # What has no meaning in user space
//!
//! Every row of mpool is implemented; these differ from the kernel:
//! * rows 118 to 123, mmap and page faults: clients attach to a map instead, and read it through guards that pin pages;
//!   an error replaces the bus error.
//! * row 128, delays of page faults: delays of reads that miss.
//! * row 130, capabilities and ownership of device nodes: whoever can write to SPDK's RPC socket may call; uid, gid and
//!   mode are parameters that are only stored and shown.
//! * row 131, exclusive opening of a device node: of the pool's handle.
//!
//! There are no device nodes, so there are no sysfs files and no uevents: JSON-RPC reads and sets parameters.

#![forbid(unsafe_code)]

pub mod admission;
pub mod cache;
pub mod claimed_log;
pub mod control;
pub mod device;
pub mod drive;
pub mod error;
pub mod foreign;
pub mod format;
pub mod host;
pub mod ids;
pub mod lock;
pub mod logs;
pub mod management;
pub mod maps;
pub mod mblock;
pub mod mdc;
pub mod metadata;
pub mod mlog;
pub mod names;
pub mod params;
pub mod registry;
pub mod selection;
pub mod slab;
pub mod space_map;
pub mod superblocks;
pub mod tasks;
pub mod tunables;
pub mod units;
pub mod usage_log;

#[cfg(test)]
mod test_device;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use claimed_log::ClaimedLog;
pub use device::{Device, DeviceError, DeviceProperties, DeviceType, IoBuf, IoMemory};
pub use error::{Kind, PoolError};
pub use host::{Host, Level};
pub use ids::{Extent, MediaClass, ObjectId, ObjectType, Slot, PAGE_BYTES};
pub use logs::{LogHandle, MdcHandle, MlogProps};
pub use mblock::MblockProps;
pub use metadata::{Object, ObjectState, ObjectUsage, Pool, Search, Usage};
pub use slab::{SlabObject, SlabProps};
