// SPDX-License-Identifier: BSD-3-Clause

//! The media pool: an object store on one or two block devices.
//!
//! A pool holds *mblocks* (bytes, written once), *mlogs* (record logs) and *slab objects* (block I/O in place), each on
//! the device of a media class. Its own metadata is records in logs, so that every change is atomic: after a power cut
//! the state is the one before or the one after each unfinished call.
//!
//! From the outside in: [`registry`] and [`management`] create, activate and change whole pools; [`control`] is what a
//! client opens, with its rights; `mblock`, `logs` and `slab` are the operations on objects; [`metadata`] knows which
//! objects there are; [`mdc`] and [`mlog`] are its logs; [`space_map`], [`drive`] and [`superblocks`] the devices;
//! [`mod@format`] every byte on media; [`cache`] maps mblocks into memory. [`device`] and [`host`] are the world.
//!
//! A pool lives on one thread and waits in `async` functions; what a shard's data path needs of it (a log's framer,
//! [`mlog::LogWriter`]; a slab's place) is free of both.
//!
//! A call that has begun is to be polled to its end: whoever drops the future of a change of metadata does not know
//! whether the change is on media, and the pool does not either, until its next activation.
//!
//! # What has no meaning in user space
//!
//! Every row of mpool is there; these are not what they were in the kernel:
//! * rows 118 to 123, mmap and page faults: a map is attached to instead, and read through guards that pin pages; what
//!   was a bus error is an error.
//! * row 128, delays of page faults: delays of reads that miss.
//! * row 130, capabilities and ownership of device nodes: who may call is who may write to SPDK's RPC socket; uid, gid
//!   and mode are parameters that are kept and shown.
//! * row 131, exclusive opening of a device node: of the pool's handle.
//!
//! There are no device nodes, so no sysfs files and no uevents: parameters are read and set by JSON-RPC.

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
