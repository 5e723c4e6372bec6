// SPDX-License-Identifier: BSD-3-Clause

//! Programs and libraries that test the engine and the bdev module.

#![forbid(unsafe_code)]

pub mod features;
pub mod framer_load;
pub mod pool_sim;
#[cfg(feature = "spdk")]
pub mod setup;
pub mod sim;
#[cfg(feature = "spdk")]
pub mod target;
