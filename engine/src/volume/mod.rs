// SPDX-License-Identifier: BSD-3-Clause

//! A volume as a whole: its layout and its statistics.

pub mod catalog;
mod geometry;
pub mod inventory;
mod statistics;

pub use geometry::{Geometry, GeometryError, MAX_LOGICAL_BLOCKS, MAX_PHYSICAL_BLOCKS};
pub use statistics::{BioCounts, Statistics};
