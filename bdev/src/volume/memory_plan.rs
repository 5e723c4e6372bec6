// SPDX-License-Identifier: BSD-3-Clause

//! The memory that a volume needs. Arithmetic only.

use engine::format::Geometry;

/// Memory of a volume, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// One byte for each data block.
    pub reference_counts: u64,
    /// The block map's cache.
    pub block_map: u64,
    /// Level-1 index.
    pub index: u64,
    /// Requests, locks, rings and compression, over all shards.
    pub fixed: u64,
    /// Block buffers in DMA memory, over all shards.
    pub dma: u64,
}

impl Memory {
    /// The memory of a volume of this layout, with `index` bytes of index and `block_map` bytes of block-map cache, when
    /// each shard has `fixed` bytes of arenas and `dma` bytes of buffers.
    pub fn of(geometry: &Geometry, (index, block_map): (u64, u64), (fixed, dma): (u64, u64)) -> Memory {
        let shards = geometry.shards() as u64;
        Memory {
            reference_counts: geometry.data_blocks().0,
            block_map,
            index,
            fixed: fixed * shards,
            dma: dma * shards,
        }
    }

    /// All except DMA memory.
    pub fn heap(&self) -> u64 {
        self.reference_counts + self.block_map + self.index + self.fixed
    }

    pub fn total(&self) -> u64 {
        self.heap() + self.dma
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Blocks, Pbn};

    #[test]
    fn memory_is_added_up() {
        let geometry = Geometry::new(2, Blocks(504), Pbn(256), Pbn(256 + (4 << 11)), 1 << 11).expect("valid");
        let memory = Memory::of(&geometry, (3 << 20, 128 << 20), (1000, 500));
        assert_eq!((memory.reference_counts, memory.index, memory.block_map), (8192, 3 << 20, 128 << 20));
        assert_eq!((memory.fixed, memory.dma), (2000, 1000));
        assert_eq!(memory.heap(), 8192 + (131 << 20) + 2000);
        assert_eq!(memory.total(), memory.heap() + 1000);
    }
}
