// SPDX-License-Identifier: BSD-3-Clause

//! The logical zone: who may touch an LBN, and where its content is.

mod flush;
pub mod journal;
mod lbn_lock;
pub mod map;
mod mapping;
mod page_id;
mod range_decrement;
mod zone;

pub(crate) use lbn_lock::{Access, Locker};
pub use mapping::{Mapped, Mapping, MappingState, CHECK_BITS};
pub use page_id::{PageId, ROOTS, ROOT_LEVEL};
pub(crate) use zone::{map_waiters, LogicalZone};
