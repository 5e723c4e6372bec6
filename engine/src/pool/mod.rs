// SPDX-License-Identifier: BSD-3-Clause

//! The media pool: an object store on one or two block devices (mpool.md, architecture.md 6).

pub mod device;
pub mod error;
pub mod host;
pub mod ids;

pub use device::{Device, DeviceError, DeviceProperties, DeviceType, IoBuf, IoMemory};
pub use error::{Kind, PoolError};
pub use host::{Host, Level};
pub use ids::{Extent, MediaClass, ObjectId, ObjectType, Slot, PAGE_BYTES};
