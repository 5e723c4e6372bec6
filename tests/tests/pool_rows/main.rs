// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of a pool's objects and of what is recorded about them, one theme a file.
//!
//! Each runs lives of the simulator's machine, most of which end with a power cut; [`mpool::testing::Script`] lets a test watch the
//! operations of the disk, hold them back, and let them fail.

#![forbid(unsafe_code)]

mod background;
mod containers;
mod failures;
mod identifiers;
mod logs;
mod mblocks;
mod place;
mod power;
mod volumes;
mod world;
