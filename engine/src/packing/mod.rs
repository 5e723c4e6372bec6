// SPDX-License-Identifier: BSD-3-Clause

//! Fitting several blocks into one: compression, the packer's bins, and the search for blocks that could be packed
//! better.

pub mod candidates;
pub mod compression;
pub mod packer;
pub mod relocator;
