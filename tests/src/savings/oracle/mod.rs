// SPDX-License-Identifier: BSD-3-Clause

//! What the best possible device would need for some data.
//!
//! A [`Census`] finds out which blocks of 4 KiB are equal, exactly: a hash only says where to look, every block that is
//! taken for a duplicate has been compared byte by byte. [`Figures`] says what a choice of those blocks needs: one block for
//! each different content (zeros need none), or with compression as many blocks as first-fit decreasing packs the LZ4
//! sizes into. The LZ4 encoder is called directly, without the engine's early test for incompressible data, and
//! the containers have neither head nor limit of members. A further figure has both: the difference is what the engine's format and its
//! choice of what to compress cost, however well it packs.

mod census;
mod figures;
mod packing;

pub use census::{BlockNumber, Census, CensusError, BLOCK_BYTES};
pub use figures::Figures;
