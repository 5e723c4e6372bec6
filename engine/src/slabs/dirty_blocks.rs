// SPDX-License-Identifier: BSD-3-Clause

//! Which reference blocks of a slab have changes that are not on media, and since when.
//!
//! Each dirty block has a *need*: the slab journal block with its oldest change that is not saved. As long as the
//! reference block is dirty, that journal block and all later ones must stay. Blocks become dirty in the order of their
//! needs, so the first of the queue has the oldest need.
//!
//! Differs from dm-vdo: the need is a sequence number, and there is no count for each journal block (I7).

use std::collections::VecDeque;

/// Not dirty: sequence numbers start at 1.
const CLEAN: u64 = 0;

/// The dirty reference blocks of one slab.
#[derive(Debug)]
pub(super) struct DirtyBlocks {
    /// The need of each reference block.
    needs: Box<[u64]>,
    /// Dirty blocks, the one with the oldest need first.
    order: VecDeque<u32>,
}

impl DirtyBlocks {
    pub fn new(blocks: u32) -> DirtyBlocks {
        DirtyBlocks {
            needs: vec![CLEAN; blocks as usize].into_boxed_slice(),
            order: VecDeque::with_capacity(blocks as usize),
        }
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn oldest_need(&self) -> Option<u64> {
        self.order.front().map(|&block| self.needs[block as usize])
    }

    /// Records that a block has a change in journal block `sequence` (which may still be open) or a later one.
    #[inline]
    pub fn mark(&mut self, block: u32, sequence: u64) {
        let need = &mut self.needs[block as usize];
        if *need == CLEAN {
            *need = sequence;
            self.order.push_back(block);
        }
    }

    /// Calls [`DirtyBlocks::mark`] for every block.
    pub fn mark_all(&mut self, sequence: u64) {
        for block in 0..self.needs.len() as u32 {
            self.mark(block, sequence);
        }
    }

    /// Takes the block with the oldest need, and marks it clean.
    pub fn take_oldest(&mut self) -> Option<u32> {
        let block = self.order.pop_front()?;
        self.needs[block as usize] = CLEAN;
        Some(block)
    }

    /// Checks that the queue is ordered and holds each dirty block once.
    ///
    /// # Errors
    /// What is wrong.
    pub fn audit(&self) -> Result<(), String> {
        let dirty = self.needs.iter().filter(|&&need| need != CLEAN).count();
        if dirty != self.order.len() {
            return Err(format!("I7: {dirty} reference blocks are dirty, {} are queued", self.order.len()));
        }
        if !self.order.iter().map(|&block| self.needs[block as usize]).is_sorted() {
            return Err("I7: dirty reference blocks are not in the order of their needs".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_change_of_a_block_counts() {
        let mut dirty = DirtyBlocks::new(4);
        assert_eq!((dirty.len(), dirty.oldest_need(), dirty.take_oldest()), (0, None, None));
        for (block, sequence) in [(2, 5), (0, 5), (2, 7), (3, 8), (0, 9)] {
            dirty.mark(block, sequence);
        }
        assert_eq!((dirty.len(), dirty.oldest_need()), (3, Some(5)));
        assert_eq!(dirty.take_oldest(), Some(2));
        dirty.mark(2, 9);
        assert_eq!(
            [(); 4].map(|()| (dirty.oldest_need(), dirty.take_oldest())),
            [(Some(5), Some(0)), (Some(8), Some(3)), (Some(9), Some(2)), (None, None)]
        );
        dirty.mark(1, 11);
        dirty.mark_all(12);
        dirty.audit().expect("consistent");
        assert_eq!((dirty.len(), dirty.take_oldest(), dirty.oldest_need()), (4, Some(1), Some(12)));
    }

    /// A block that is queued without a need, one that is not queued, and two that changed places.
    #[test]
    fn the_audit_finds_what_is_wrong() {
        let spoils: [fn(&mut DirtyBlocks); 3] =
            [|dirty| dirty.needs[0] = CLEAN, |dirty| dirty.needs[2] = 6, |dirty| dirty.order.swap(0, 1)];
        for spoil in spoils {
            let mut dirty = DirtyBlocks::new(4);
            dirty.mark(0, 5);
            dirty.mark(1, 6);
            assert_eq!(dirty.audit(), Ok(()));
            spoil(&mut dirty);
            assert!(dirty.audit().is_err());
        }
    }
}
