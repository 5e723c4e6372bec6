// SPDX-License-Identifier: BSD-3-Clause

//! One virtual world for the tests of pools and of what is built on them.
//!
//! A [`Machine`] has [`Disk`]s, a clock, and operations in flight, which take effect and end in an order drawn from its
//! seed. A disk knows which sectors would survive a power cut. Tasks run on the [`Executor`]; a pool sees all this as a
//! [`SimHost`] and its devices, of which a test can say more by a [`Script`]. Campaigns run [`Life`] after life of a
//! machine: a life begins with [`Image`]s of disks, ends with a cut at any moment, and leaves images. A directed test
//! has a [`World`], a machine that goes step by step. One thread, no clock, no other randomness: equal seeds give equal
//! lives.

#![allow(
    missing_docs,
    clippy::should_implement_trait,
    clippy::new_without_default,
    reason = "tools of tests, named for what they are"
)]

mod device;
mod disk;
mod executor;
mod faults;
mod host;
mod image;
mod life;
mod machine;
mod operation;
mod random;
mod script;
#[cfg(test)]
mod tests;
pub mod world;

pub use disk::{Change, Content, Disk, Fate, Keep};
pub use executor::{Executor, Stop};
pub use faults::{Failure, Faults};
pub use host::{Nursery, SimHost};
pub use image::{Filler, Image, ATOM, PAGE};
pub use life::{drawn_disk, plain_disk, Birth, Life, Off};
pub use machine::{Counts, Machine, Moment, Order};
pub use operation::{command_end, transfer_end, Action, Call, Waiting};
pub use random::{mix, Random};
pub use script::{Op, Script, What};
pub use world::World;
