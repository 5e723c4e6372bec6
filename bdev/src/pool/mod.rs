// SPDX-License-Identifier: BSD-3-Clause

//! Media pools (`mpool`) on SPDK bdevs.
//!
//! Everything here lives on SPDK's application thread ([`runtime`]), as SPDK demands of claims, descriptors and
//! examine, and as the engine's pools demand of their world. A pool's world is a [`host`]: an [`executor`], a
//! [`timer`], and [`device`]s, which are bdevs that are open ([`bdev`]) with I/O on them ([`transfer`]) from DMA
//! [`memory`]. [`service`] has the active pools, [`examine`] finds them, [`scan`] looks for them, [`storage`] is what a
//! volume has in one; [`operations`] are what the RPC methods do, [`params`] their parameters.

pub mod device;
pub mod examine;
mod host;
mod inactive;
pub mod operations;
pub mod params;
pub mod runtime;
pub mod scan;
pub mod service;

#[cfg(feature = "load")]
pub use host::SpdkHost;
