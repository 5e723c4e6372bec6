// SPDX-License-Identifier: BSD-3-Clause

//! What the tests of recovery, check and rebuild share: media in memory, and a model that makes media as a volume does.

mod changes;
mod journal;
mod memory;
mod model;
mod slab;
mod verify;

pub(in crate::volume) use model::{Model, Shape};
