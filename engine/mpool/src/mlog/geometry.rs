// SPDX-License-Identifier: BSD-3-Clause

//! The sizes of a log: blocks, their payload, places.

use super::block::HEADER_BYTES;
use super::record::DESCRIPTOR_BYTES;

/// The most bytes that unfinished flush sets may cover, and so how far recovery searches for stale blocks.
pub const STALE_SCAN_BYTES: usize = 1 << 20;

/// The size of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes in a block: 512 or 4096.
    pub sector_bytes: usize,
    /// The number of blocks.
    pub blocks: u64,
}

impl Geometry {
    /// A log of at most `capacity_bytes`; none when the sector size is neither 512 nor 4096.
    #[must_use]
    pub fn new(sector_bytes: usize, capacity_bytes: u64) -> Option<Geometry> {
        matches!(sector_bytes, 512 | 4096)
            .then(|| Geometry { sector_bytes, blocks: capacity_bytes / sector_bytes as u64 })
    }

    /// Bytes of a record that fit one block: 464 or 4048.
    #[must_use]
    pub const fn payload_bytes(self) -> u64 {
        (self.sector_bytes - HEADER_BYTES - DESCRIPTOR_BYTES) as u64
    }

    /// Bytes of a log that contiguous records take whose bytes, including descriptors, are `bytes`.
    #[must_use]
    pub const fn packed_bytes(self, bytes: u64) -> u64 {
        // A record that continues in the next block has a descriptor there, too.
        bytes.div_ceil(self.payload_bytes()).saturating_mul(self.sector_bytes as u64)
    }

    /// Bytes of the whole log.
    #[must_use]
    pub const fn capacity_bytes(self) -> u64 {
        self.blocks.saturating_mul(self.sector_bytes as u64)
    }

    /// Bytes of the longest record that an empty log can hold.
    #[must_use]
    pub fn max_record_bytes(self) -> u64 {
        self.blocks.saturating_mul(self.payload_bytes()).min(u64::from(u32::MAX))
    }

    /// The number of blocks that recovery examines behind the log's end.
    #[must_use]
    pub const fn stale_blocks(self) -> u64 {
        (STALE_SCAN_BYTES / self.sector_bytes) as u64
    }

    /// Bytes of the longest record that fits behind `end` (`dmax` of mpool); none when not even a marker fits.
    #[must_use]
    pub fn room(self, end: Place) -> Option<u64> {
        let later_blocks = self.blocks.checked_sub(end.block)?.checked_sub(1)?;
        let later = later_blocks.saturating_mul(self.payload_bytes());
        match self.sector_bytes.checked_sub(end.byte)?.checked_sub(DESCRIPTOR_BYTES) {
            Some(here) => Some(later.saturating_add(here as u64).min(u64::from(u32::MAX))),
            None => (later > 0).then_some(later.min(u64::from(u32::MAX))),
        }
    }
}

/// A position in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The number of the block.
    pub block: u64,
    /// The byte in the block.
    pub byte: usize,
}

impl Place {
    /// The position where the records of a block begin.
    #[must_use]
    pub const fn start_of(block: u64) -> Place {
        Place { block, byte: HEADER_BYTES }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mpool-58, partly: the formula.
    #[test]
    fn room_is_that_of_the_specification() {
        let log = Geometry::new(512, 3 * 512 + 100).expect("512 is a sector size");
        assert_eq!(log.blocks, 3);
        assert_eq!(log.room(Place::start_of(0)), Some(3 * 464));
        assert_eq!(log.room(Place { block: 0, byte: 504 }), Some(2 * 464));
        assert_eq!(log.room(Place { block: 0, byte: 505 }), Some(2 * 464));
        assert_eq!(log.room(Place { block: 2, byte: 504 }), Some(0));
        assert_eq!(log.room(Place { block: 2, byte: 505 }), None);
        assert_eq!(log.room(Place::start_of(3)), None);
        assert_eq!(Geometry::new(4096, 8192).map(Geometry::max_record_bytes), Some(2 * 4048));
        assert!(Geometry::new(1024, 8192).is_none());
    }
}
