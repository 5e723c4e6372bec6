// SPDX-License-Identifier: BSD-3-Clause

//! Which block of a data set is at which logical block.
//!
//! The set itself comes first, block by block. Behind it lies what later lives write once more: a quarter of the set from its start, then a
//! quarter from its end.

use ::mpool::testing::Random;

use super::oracle::BlockNumber;

/// A write: what goes where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// The logical block.
    pub lbn: u64,
    /// The block of the set.
    pub block: BlockNumber,
}

/// What the logical blocks hold; those behind the end were never written.
#[derive(Debug, Default)]
pub struct Layout {
    blocks: Vec<BlockNumber>,
}

/// Part of the set that is written once more at a time.
const COPY_SHARE: u32 = 4;

/// Logical blocks that are used in the end, of a set of `blocks` blocks.
pub const fn logical_blocks(blocks: u32) -> u64 {
    blocks as u64 + 2 * (blocks / COPY_SHARE) as u64
}

/// The whole set.
pub fn all_of(blocks: u32) -> impl Iterator<Item = BlockNumber> {
    (0..blocks).map(BlockNumber)
}

/// Its first quarter.
pub fn start_of(blocks: u32) -> impl Iterator<Item = BlockNumber> {
    (0..blocks / COPY_SHARE).map(BlockNumber)
}

/// Its last quarter.
pub fn end_of(blocks: u32) -> impl Iterator<Item = BlockNumber> {
    (blocks - blocks / COPY_SHARE..blocks).map(BlockNumber)
}

impl Layout {
    /// Puts blocks behind all that is there, and returns the writes that do so.
    pub fn append(&mut self, blocks: impl Iterator<Item = BlockNumber>) -> Vec<Write> {
        let first = self.blocks.len() as u64;
        self.blocks.extend(blocks);
        let new = &self.blocks[first as usize..];
        new.iter().zip(first..).map(|(&block, lbn)| Write { lbn, block }).collect()
    }

    /// Half of the first `blocks` logical blocks, chosen and ordered at random, get blocks of the set that are chosen at random, too.
    pub fn overwrite_half(&mut self, blocks: u32, seed: u64) -> Vec<Write> {
        let mut random = Random::stream(seed, 7);
        let mut places: Vec<u64> = (0..u64::from(blocks)).collect();
        let half = places.len() / 2;
        let mut writes = Vec::with_capacity(half);
        for index in 0..half {
            // Fisher and Yates: the first half of a shuffled list.
            let other = index as u64 + random.below((places.len() - index) as u64);
            places.swap(index, other as usize);
            let write = Write { lbn: places[index], block: BlockNumber(random.below(u64::from(blocks)) as u32) };
            self.blocks[write.lbn as usize] = write.block;
            writes.push(write);
        }
        writes
    }

    /// What is there, in order.
    pub fn blocks(&self) -> impl Iterator<Item = BlockNumber> + '_ {
        self.blocks.iter().copied()
    }

    /// The reads that see all of it.
    pub fn reads(&self) -> Vec<Write> {
        self.blocks.iter().zip(0..).map(|(&block, lbn)| Write { lbn, block }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_lie_behind_the_set() {
        let mut layout = Layout::default();
        assert_eq!(layout.append(all_of(10)).len(), 10);
        let writes = layout.append(start_of(10));
        assert_eq!(writes, [(10, 0), (11, 1)].map(|(lbn, block)| Write { lbn, block: BlockNumber(block) }));
        let writes = layout.append(end_of(10));
        assert_eq!(writes, [(12, 8), (13, 9)].map(|(lbn, block)| Write { lbn, block: BlockNumber(block) }));
        assert_eq!(layout.reads().len() as u64, logical_blocks(10));
    }

    #[test]
    fn half_of_the_set_is_overwritten_each_place_once() {
        let mut layout = Layout::default();
        layout.append(all_of(1000));
        let writes = layout.overwrite_half(1000, 1);
        let mut places: Vec<_> = writes.iter().map(|write| write.lbn).collect();
        assert!(places.windows(2).any(|pair| pair[0] > pair[1]), "at random");
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 500);
        let held: Vec<_> = layout.blocks().collect();
        assert!(writes.iter().all(|write| held[write.lbn as usize] == write.block));
        let unchanged = held.iter().zip(0..).filter(|(block, number)| block.0 == *number).count();
        assert!((500..510).contains(&unchanged), "{unchanged}");
    }
}
