// SPDX-License-Identifier: BSD-3-Clause

//! A volume as a whole: its layout and its statistics.

pub mod access;
pub mod catalog;
pub mod check;
mod geometry;
pub mod inventory;
mod placement;
pub mod rebuild;
pub mod recovery;
mod segment;
mod statistics;
pub mod store;

pub use geometry::{Geometry, GeometryError, MAX_LOGICAL_BLOCKS, MAX_PHYSICAL_BLOCKS};
pub use placement::{DeviceByte, Placement};
pub use segment::JournalSegment;
pub use statistics::{BioCounts, Statistics};
