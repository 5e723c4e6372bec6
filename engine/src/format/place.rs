// SPDX-License-Identifier: BSD-3-Clause

//! The target of a transfer, as the engine names it.

use crate::units::Pbn;

/// The target of a transfer: an object of the volume in its pool, and a position in it. [`crate::format::Placement`]
/// translates it into a bdev and a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Blocks of one slab, from this one on.
    Data(Pbn),
    /// Blocks of a slab's metadata area: summary, reference counts, slab journal ([`crate::format`]).
    SlabMetadata {
        /// The slab's number in the volume.
        slab: u64,
        /// The first block, counted from the start of the area.
        block: u32,
    },
    /// Blocks of the object that holds the roots of the block map.
    Roots {
        /// The first block, counted from the start of the object.
        block: u32,
    },
    /// Part of a log that is a segment of a recovery journal.
    Journal {
        /// The segment's number in the volume.
        segment: u32,
        /// The first byte in the log, a multiple of the sector size.
        offset: u64,
    },
}
