// SPDX-License-Identifier: BSD-3-Clause

//! Media pools (`mpool`) on SPDK bdevs.
//!
//! Everything here runs on SPDK's application thread ([`runtime`]), as SPDK demands for claims, descriptors and
//! examine, and as the engine's pools demand of their host. A pool runs on a [`host`], with [`device`]s that are open
//! bdevs ([`crate::spdk`]). [`service`] holds the active pools, [`examine`] finds and activates them, [`scan`] looks
//! for them on bdevs, [`inactive`] remembers those that could not be activated; [`operations`] are what the RPC methods
//! do, [`params`] their parameters.

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
