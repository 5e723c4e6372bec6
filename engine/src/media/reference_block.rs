// SPDX-License-Identifier: BSD-3-Clause

//! Reference counts on media: a block of 4032 counters in eight sealed sectors (vdo.md 4.2 and 4.7).

use super::sector::{CONTENT_BYTES, SECTORS_PER_BLOCK};

/// Counters in a sector.
pub const COUNTS_PER_SECTOR: u32 = CONTENT_BYTES as u32;

/// Counters in a block.
pub const COUNTS_PER_BLOCK: u32 = COUNTS_PER_SECTOR * SECTORS_PER_BLOCK as u32;
