// SPDX-License-Identifier: BSD-3-Clause

//! The places of a volume's objects on the bdevs below.
//!
//! The engine names a target by the object and the block in it ([`Place`]). The objects belong to a pool and may lie
//! anywhere on its drives. Invariant: a transfer never crosses from one object to the next, so the place of its first
//! byte suffices.

use super::area::AreaLayout;
use super::{Geometry, Place};
use crate::units::BLOCK_SIZE;

/// A byte position on one of the bdevs that a volume uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceByte {
    /// The bdev: 0 for CAPACITY, 1 for STAGING when the volume uses one.
    pub device: u8,
    /// The byte offset from the start of the bdev.
    pub at: u64,
}

impl DeviceByte {
    /// The position `bytes` further on, on the same bdev.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> DeviceByte {
        DeviceByte { device: self.device, at: self.at + bytes }
    }
}

/// The start of every object of a volume.
#[derive(Debug, Clone)]
pub struct Placement {
    /// Translates block numbers into slab numbers and offsets.
    pub geometry: Geometry,
    /// The first byte of each slab, by slab number.
    pub slabs: Vec<DeviceByte>,
    /// The first byte of each slab's metadata area, by slab number.
    pub areas: Vec<DeviceByte>,
    /// The first byte of the object with the roots of the block map.
    pub roots: DeviceByte,
    /// The first byte of each segment of a recovery journal, by segment number.
    pub segments: Vec<DeviceByte>,
}

impl Placement {
    /// The position where a place begins.
    ///
    /// # Panics
    /// If the volume has no such object: the engine never names one.
    #[inline]
    #[must_use]
    pub fn locate(&self, place: Place) -> DeviceByte {
        match place {
            Place::Data(pbn) => {
                let slab = self.geometry.slab_of(pbn).expect("the engine transfers data blocks only");
                let offset = pbn.0 - self.geometry.slab_start(slab).0;
                self.slabs[slab as usize].plus(offset * BLOCK_SIZE as u64)
            }
            Place::SlabMetadata { slab, block } => {
                debug_assert!(block < AreaLayout::of(self.geometry.slab_blocks()).blocks(), "block {block} of an area");
                self.areas[slab as usize].plus(u64::from(block) * BLOCK_SIZE as u64)
            }
            Place::Roots { block } => self.roots.plus(u64::from(block) * BLOCK_SIZE as u64),
            Place::Journal { segment, offset } => self.segments[segment as usize].plus(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Blocks, Pbn};

    fn placement() -> Placement {
        let geometry = Geometry::new(1, Blocks(100), Pbn(256), Pbn(256 + 3 * 64), 64).expect("valid");
        let on = |device, at| DeviceByte { device, at };
        Placement {
            geometry,
            slabs: vec![on(0, 1000 << 12), on(0, 64 << 12), on(0, 5000 << 12)],
            areas: vec![on(1, 4096), on(1, 1 << 20), on(1, 2 << 20)],
            roots: on(1, 3 << 20),
            segments: vec![on(0, 7 << 30)],
        }
    }

    #[test]
    fn each_object_lies_where_it_begins() {
        let placement = placement();
        let data = [256, 319, 320, 383, 384, 447].map(|pbn| placement.locate(Place::Data(Pbn(pbn))).at >> 12);
        assert_eq!(data, [1000, 1063, 64, 127, 5000, 5063]);
        let area = placement.locate(Place::SlabMetadata { slab: 1, block: 2 });
        assert_eq!(area, DeviceByte { device: 1, at: (1 << 20) + 8192 });
        assert_eq!(placement.locate(Place::Roots { block: 3 }).at, (3 << 20) + 3 * 4096);
        let journal = placement.locate(Place::Journal { segment: 0, offset: 512 });
        assert_eq!(journal, DeviceByte { device: 0, at: (7 << 30) + 512 });
    }

    #[test]
    #[should_panic(expected = "data blocks only")]
    fn a_block_outside_has_no_place() {
        let _ = placement().locate(Place::Data(Pbn(255)));
    }
}
