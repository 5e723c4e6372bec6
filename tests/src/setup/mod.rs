// SPDX-License-Identifier: BSD-3-Clause

//! What must be there before a target can run: an SPDK tree, the module built for it, hugepages; and real data for
//! the demo.

mod error;
mod image;
mod memory;
mod module;
mod sources;
mod trees;

pub use error::SetupError;
pub use image::{make_image, Image};
pub use memory::{Memory, Reservation};
pub use module::module_for;
pub use sources::{two_versions, Versions};
pub use trees::{default_tree, tree_of};
