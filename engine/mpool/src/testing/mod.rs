// SPDX-License-Identifier: BSD-3-Clause

//! For tests of pools and of what is built on them: disks in memory, virtual time, and pseudo-random numbers.

#![allow(
    missing_docs,
    clippy::should_implement_trait,
    clippy::new_without_default,
    reason = "tools of tests, named for what they are"
)]

mod host;
mod random;
pub mod world;

pub use host::TestHost;
pub use random::{mix, Random};
pub use world::World;
