// SPDX-License-Identifier: BSD-3-Clause

//! The block map of one logical zone: LBN to mapping, by leaf page.
//!
//! In this release the map lives in RAM only and is reserved whole when the volume starts; the operating system gives
//! it memory page by page as it is first written, so a thin volume costs 8 bytes for each logical block in use, rounded
//! up to its neighbourhood. Pages that hold no mapping are known by a count, so that unmapping unused space costs
//! nothing. Differs from vdo.md 6.3: no tree and no page cache stand in front of resident pages.
//!
//! Invariant: a page's count is the number of its entries that are not unmapped.

use crate::logical::mapping::Mapping;
use crate::units::{Lbn, ShardId, ENTRIES_PER_LEAF_PAGE};
use crate::volume::Geometry;

/// The mappings of the leaf pages that one shard owns.
#[derive(Debug)]
pub struct BlockMap {
    shard: u64,
    shards: u64,
    logical_blocks: u64,
    /// Entries of the shard's pages, page after page. Plain numbers, so that the zeroed memory is not touched.
    entries: Vec<u64>,
    /// Mapped entries in each page.
    mapped_in_page: Vec<u16>,
    mapped: u64,
}

impl BlockMap {
    /// An empty map for the pages of `shard`.
    pub fn new(geometry: &Geometry, shard: ShardId) -> BlockMap {
        let shards = geometry.shards() as u64;
        let pages = geometry.logical_blocks().0.div_ceil(ENTRIES_PER_LEAF_PAGE);
        let own = (pages + shards - 1 - u64::from(shard.0)) / shards;
        BlockMap {
            shard: u64::from(shard.0),
            shards,
            logical_blocks: geometry.logical_blocks().0,
            entries: vec![0; (own * ENTRIES_PER_LEAF_PAGE) as usize],
            mapped_in_page: vec![0; own as usize],
            mapped: 0,
        }
    }

    fn page(&self, lbn: Lbn) -> usize {
        let page = lbn.0 / ENTRIES_PER_LEAF_PAGE;
        if self.shards == 1 {
            return page as usize;
        }
        debug_assert_eq!(page % self.shards, self.shard, "{lbn} belongs to another shard");
        (page / self.shards) as usize
    }

    fn slot(&self, lbn: Lbn) -> usize {
        self.page(lbn) * ENTRIES_PER_LEAF_PAGE as usize + (lbn.0 % ENTRIES_PER_LEAF_PAGE) as usize
    }

    /// The mapping of a block.
    pub fn get(&self, lbn: Lbn) -> Mapping {
        Mapping::from_raw(self.entries[self.slot(lbn)])
    }

    /// Reads a block's entry for its cache line alone. Reads of a batch overlap their misses, as long as no one needs
    /// the result of another; the caller gives all results to `black_box`.
    pub fn touch(&self, lbn: Lbn) -> u64 {
        self.entries[self.slot(lbn)]
    }

    /// Changes the mapping of a block and returns the former one.
    pub fn set(&mut self, lbn: Lbn, new: Mapping) -> Mapping {
        let slot = self.slot(lbn);
        let old = Mapping::from_raw(std::mem::replace(&mut self.entries[slot], new.to_raw()));
        if old.is_unmapped() != new.is_unmapped() {
            let page = self.page(lbn);
            if new.is_unmapped() {
                self.mapped_in_page[page] -= 1;
                self.mapped -= 1;
            } else {
                self.mapped_in_page[page] += 1;
                self.mapped += 1;
            }
        }
        old
    }

    /// True when no block in the leaf page of `lbn` is mapped.
    pub fn page_is_empty(&self, lbn: Lbn) -> bool {
        self.mapped_in_page[self.page(lbn)] == 0
    }

    /// Mapped blocks.
    pub fn mapped(&self) -> u64 {
        self.mapped
    }

    /// Calls `visit` with each mapped block, in ascending order.
    pub fn for_each_mapping(&self, mut visit: impl FnMut(Lbn, Mapping)) {
        for (page, &count) in self.mapped_in_page.iter().enumerate() {
            if count == 0 {
                continue;
            }
            let start = (page as u64 * self.shards + self.shard) * ENTRIES_PER_LEAF_PAGE;
            let first = page * ENTRIES_PER_LEAF_PAGE as usize;
            let entries = &self.entries[first..first + ENTRIES_PER_LEAF_PAGE as usize];
            for (lbn, &entry) in (start..self.logical_blocks).zip(entries) {
                if entry != 0 {
                    visit(Lbn(lbn), Mapping::from_raw(entry));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logical::mapping::Mapped;
    use crate::units::{Blocks, Pbn};

    #[test]
    fn each_shard_keeps_its_own_pages() {
        let geometry = Geometry::new(3, Blocks(504 * 4 + 7), Pbn(1), Pbn(1000), 8).unwrap();
        let mut maps: Vec<BlockMap> = (0..3).map(|id| BlockMap::new(&geometry, ShardId(id))).collect();
        for lbn in (0..504 * 4 + 7).map(Lbn) {
            let map = &mut maps[geometry.logical_shard(lbn).index()];
            assert!(map.get(lbn).is_unmapped());
            let mapping = Mapping::new(Mapped::uncompressed(Pbn(lbn.0 + 1)), lbn.0 as u32);
            assert_eq!(map.set(lbn, mapping), Mapping::UNMAPPED);
            assert!(!map.page_is_empty(lbn));
        }
        let mut seen = 0;
        for map in &mut maps {
            let mut all = Vec::new();
            map.for_each_mapping(|lbn, mapping| all.push((lbn, mapping)));
            assert_eq!(all.len() as u64, map.mapped());
            for (lbn, mapping) in all {
                assert_eq!((mapping.pbn().0, mapping.check()), (lbn.0 + 1, lbn.0 as u32));
                map.set(lbn, Mapping::ZERO);
                assert_eq!(map.set(lbn, Mapping::UNMAPPED), Mapping::ZERO);
                seen += 1;
            }
            assert_eq!(map.mapped(), 0);
        }
        assert_eq!(seen, 504 * 4 + 7);
    }
}
