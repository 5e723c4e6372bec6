// SPDX-License-Identifier: BSD-3-Clause

//! Where a volume's blocks lie on the bdev below.
//!
//! The engine numbers the blocks of a volume from one slab to the next without gaps. The slabs are objects of a pool
//! and may lie anywhere on its drive. The engine never lets a transfer cross from one slab to the next (its
//! submitter's seams), so the place of a transfer's first block is enough.

use std::sync::Arc;

use engine::volume::Geometry;
use engine::Pbn;

/// First block on the bdev below of each slab, in blocks of 4096 bytes. Clones share the table.
#[derive(Debug, Clone)]
pub struct Placement {
    geometry: Geometry,
    slabs: Arc<[u64]>,
}

impl Placement {
    /// The placement of the slabs of a layout: their first blocks, in the order of their numbers.
    ///
    /// # Panics
    /// If there is not one for each slab of the layout.
    pub fn new(geometry: Geometry, slabs: Arc<[u64]>) -> Placement {
        assert_eq!(slabs.len() as u64, geometry.slabs(), "each slab has one place");
        Placement { geometry, slabs }
    }

    /// The block on the bdev below where a block of the volume lies.
    ///
    /// # Panics
    /// If the volume has no such block: the engine never asks for one.
    #[inline]
    pub fn locate(&self, pbn: Pbn) -> u64 {
        let slab = self.geometry.slab_of(pbn).expect("the engine transfers data blocks only");
        self.slabs[slab as usize] + (pbn.0 - self.geometry.slab_start(slab).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Blocks;

    #[test]
    fn each_slab_lies_where_its_object_does() {
        let geometry = Geometry::new(1, Blocks(100), Pbn(256), Pbn(256 + 3 * 64), 64).expect("valid");
        let placement = Placement::new(geometry, Arc::from([1000, 64, 5000]));
        let places = [256, 319, 320, 383, 384, 447].map(|pbn| placement.locate(Pbn(pbn)));
        assert_eq!(places, [1000, 1063, 64, 127, 5000, 5063]);
    }

    #[test]
    #[should_panic(expected = "data blocks only")]
    fn a_block_outside_has_no_place() {
        let geometry = Geometry::new(1, Blocks(100), Pbn(256), Pbn(256 + 64), 64).expect("valid");
        Placement::new(geometry, Arc::from([1000])).locate(Pbn(255));
    }
}
