// SPDX-License-Identifier: BSD-3-Clause

//! Where a transfer goes, as the engine names it.

use crate::units::Pbn;

/// Where a transfer goes: an object of the volume in its pool, and a place in it. [`crate::format::Placement`] knows
/// where on which bdev that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Blocks of one slab from this one on.
    Data(Pbn),
    /// Blocks of a slab's metadata area: summary, reference counts, slab journal ([`crate::format`]).
    SlabMetadata {
        /// Number of the slab in the volume.
        slab: u64,
        /// First block in its area.
        block: u32,
    },
    /// Blocks of the object that holds the roots of the block map.
    Roots {
        /// First block.
        block: u32,
    },
    /// Part of a log that is a segment of a recovery journal.
    Journal {
        /// Number of the segment in the volume.
        segment: u32,
        /// First byte in the log, a multiple of the sector size.
        offset: u64,
    },
}
