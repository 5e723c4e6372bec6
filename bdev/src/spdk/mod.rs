// SPDX-License-Identifier: BSD-3-Clause

//! SPDK as this module uses it. All differences between SPDK's releases are handled here.

pub mod abi_guard;
pub mod app_local;
pub mod bdevs;
pub mod buffer;
pub mod compat;
pub mod cpumask;
pub mod dma_memory;
mod executor;
pub mod ffi;
pub mod json;
pub mod json_rpc;
pub mod logger;
pub mod module;
pub mod notify;
pub mod open_bdev;
pub mod open_bdev_io;
mod product;
pub mod tasks;
pub mod thread;
pub mod timer;
pub mod virtual_bdev;
