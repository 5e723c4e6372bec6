// SPDX-License-Identifier: BSD-3-Clause

//! Programs and libraries that test the engine and the bdev module.

#![forbid(unsafe_code)]

pub mod collide;
#[cfg(feature = "spdk")]
pub mod durability;
pub mod features;
pub mod framer_load;
pub mod measure;
#[cfg(feature = "spdk")]
pub mod nvme_tcp;
pub mod pool_sim;
pub mod program;
pub mod seeds;
#[cfg(feature = "spdk")]
pub mod setup;
pub mod sim;
#[cfg(feature = "spdk")]
pub mod target;
pub mod volume_sim;
