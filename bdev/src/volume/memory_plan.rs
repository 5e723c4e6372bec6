// SPDX-License-Identifier: BSD-3-Clause

//! The memory that a volume needs. Arithmetic only.

use engine::format::Geometry;
use engine::volume::inventory::VolumeConfig;

use crate::datapath::plan::{arena_bytes, map_cache_bytes, DMA_BYTES};

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
    /// The memory of a volume whose history takes `history_bytes`.
    pub fn of(geometry: &Geometry, config: &VolumeConfig, history_bytes: u64) -> Memory {
        let shards = geometry.shards();
        Memory {
            reference_counts: geometry.data_blocks().0,
            block_map: map_cache_bytes(config.map_cache_mib.into(), shards),
            index: (u64::from(config.index_mib) << 20) + history_bytes,
            fixed: arena_bytes(shards) * shards as u64,
            dma: DMA_BYTES * shards as u64,
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
        let config = VolumeConfig { index_mib: 3, map_cache_mib: 128, ..VolumeConfig::default() };
        let memory = Memory::of(&geometry, &config, 1 << 20);
        assert_eq!((memory.reference_counts, memory.index, memory.block_map), (8192, 4 << 20, 128 << 20));
        assert_eq!((memory.fixed, memory.dma), (2 * arena_bytes(2), 2 * DMA_BYTES));
        assert_eq!(memory.heap(), 8192 + (132 << 20) + memory.fixed);
        assert_eq!(memory.total(), memory.heap() + memory.dma);
    }
}
