// SPDX-License-Identifier: BSD-3-Clause

//! Shared by the tests of recovery, check and rebuild: media in memory, and a model that writes media as a volume does.

mod changes;
mod journal;
mod memory;
mod model;
mod slab;
mod verify;

pub(in crate::volume) use model::{Model, Shape};
