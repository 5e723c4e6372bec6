// SPDX-License-Identifier: BSD-3-Clause

//! The block allocator: finds free blocks and keeps track of how free each slab is.
//!
//! One slab is open at a time. Allocation runs through it from start to end, so blocks written one after the other lie
//! side by side. Every change of a counter goes through [`BlockAllocator::change`], which keeps the numbers of free
//! blocks and the priority table right.
//!
//! Invariants (I6, I10): `free_blocks`, of a slab and in total, is the number of zero counters of loaded slabs. The
//! table holds every loaded slab but the open one, under the priority computed for it.
//!
//! Differs from dm-vdo: when the best slab of the table has no free block, the zone is full, and no slab is opened to
//! find that out.

use super::layout::{BlockIndex, SlabIndex, ZoneLayout};
use super::reference_counts::{Balance, Change, ReferenceCounts};
use super::slab::{Priorities, Slab, FULL};
use super::slab_priority::PriorityTable;

/// The slab that blocks are allocated from, and the offset where the search continues.
#[derive(Debug, Clone, Copy)]
struct OpenSlab {
    slab: SlabIndex,
    cursor: u32,
}

#[derive(Debug)]
pub(super) struct BlockAllocator {
    layout: ZoneLayout,
    counts: ReferenceCounts,
    slabs: Vec<Slab>,
    priorities: Priorities,
    table: PriorityTable,
    open: Option<OpenSlab>,
    free_blocks: u64,
    slabs_opened: u64,
    slabs_reopened: u64,
}

impl BlockAllocator {
    /// Makes an allocator. All blocks of slabs that `is_unused` names are free; these slabs are opened from low numbers
    /// to high. The other slabs wait for [`BlockAllocator::load`].
    pub fn new(layout: ZoneLayout, is_unused: impl Fn(SlabIndex) -> bool) -> BlockAllocator {
        let mut allocator = BlockAllocator {
            counts: ReferenceCounts::new(&layout),
            slabs: Vec::with_capacity(layout.slabs() as usize),
            priorities: Priorities::new(layout.slab_blocks()),
            table: PriorityTable::new(layout.slabs()),
            open: None,
            free_blocks: 0,
            slabs_opened: 0,
            slabs_reopened: 0,
            layout,
        };
        allocator.add_slabs(is_unused);
        allocator
    }

    /// Adopts the layout of a zone that has grown. Allocates memory for the new slabs.
    pub fn grow(&mut self, layout: ZoneLayout, is_unused: impl Fn(SlabIndex) -> bool) {
        self.counts.grow(&layout);
        self.table.grow(layout.slabs());
        self.layout = layout;
        self.add_slabs(is_unused);
    }

    fn add_slabs(&mut self, is_unused: impl Fn(SlabIndex) -> bool) {
        for number in (self.slabs.len() as u32..self.layout.slabs()).map(SlabIndex) {
            self.slabs.push(Slab { free_blocks: 0, was_opened: false, is_loaded: false });
            if is_unused(number) {
                self.join(number, self.layout.slab_blocks(), false);
            }
        }
    }

    /// Records that a slab's counters are known, and queues the slab.
    fn join(&mut self, number: SlabIndex, free_blocks: u32, was_opened: bool) {
        let slab = Slab { free_blocks, was_opened, is_loaded: true };
        self.slabs[number.0 as usize] = slab;
        self.free_blocks += u64::from(free_blocks);
        self.table.enqueue(number, self.priorities.of(slab));
    }

    /// Returns the counters of a slab that is not loaded, all zero, for the caller to fill in. The caller must call
    /// [`BlockAllocator::load`] afterwards, or the slab is never loaded.
    pub fn counters_to_load(&mut self, slab: SlabIndex) -> &mut [u8] {
        assert!(!self.slabs[slab.0 as usize].is_loaded, "{slab:?} is loaded twice");
        self.counts.counters_to_load(slab)
    }

    /// Marks a slab as loaded, once its counters are in place: blocks can be allocated from it.
    pub fn load(&mut self, slab: SlabIndex) {
        assert!(!self.slabs[slab.0 as usize].is_loaded, "{slab:?} is loaded twice");
        let free_blocks = self.counts.loaded(slab);
        self.slabs_opened += 1;
        self.join(slab, free_blocks, true);
    }

    #[inline]
    pub fn counters(&self, slab: SlabIndex) -> &[u8] {
        self.counts.counters_of(slab)
    }

    /// Blocks of a slab whose counter is zero.
    pub fn free_blocks_of(&self, slab: SlabIndex) -> u32 {
        self.slabs[slab.0 as usize].free_blocks
    }

    pub fn reference_block(&self, slab: SlabIndex, number: u32) -> &[u8] {
        self.counts.reference_block(slab, number)
    }

    pub const fn layout(&self) -> &ZoneLayout {
        &self.layout
    }

    /// Blocks whose counter is zero.
    pub const fn free_blocks(&self) -> u64 {
        self.free_blocks
    }

    /// Slabs opened for the first time, or loaded.
    pub const fn slabs_opened(&self) -> u64 {
        self.slabs_opened
    }

    /// Slabs opened again.
    pub const fn slabs_reopened(&self) -> u64 {
        self.slabs_reopened
    }

    #[inline]
    pub fn references(&self, block: BlockIndex) -> u8 {
        self.counts.get(block)
    }

    pub fn open_slab(&self) -> Option<SlabIndex> {
        self.open.map(|open| open.slab)
    }

    /// The priority under which a slab is queued; none for the open slab and for slabs that are not loaded.
    pub fn priority(&self, slab: SlabIndex) -> Option<u8> {
        self.table.priority(slab)
    }

    /// Takes a free block and makes its counter provisional; none when the zone is full.
    #[inline]
    pub fn allocate(&mut self) -> Option<BlockIndex> {
        loop {
            if let Some(block) = self.allocate_from_open_slab() {
                return Some(block);
            }
            self.close_slab();
            // The best slab has a free block, so the search from its start finds one: this is the last iteration.
            self.open_best_slab()?;
        }
    }

    /// Takes the next free block of the open slab, if there is one at or after the cursor.
    #[inline]
    fn allocate_from_open_slab(&mut self) -> Option<BlockIndex> {
        let OpenSlab { slab, cursor } = self.open?;
        if self.slabs[slab.0 as usize].free_blocks == 0 {
            return None;
        }
        let found = self.counts.find_free(slab, cursor)?;
        self.open = Some(OpenSlab { slab, cursor: found + 1 });
        let block = self.layout.block(slab, found);
        let balance = self.change(block, Change::Reserve);
        assert_eq!(balance, Some(Balance::Taken), "the search found a block that is not free");
        Some(block)
    }

    /// Returns the open slab, which has no free block after the cursor, to the table.
    fn close_slab(&mut self) {
        if let Some(OpenSlab { slab, .. }) = self.open.take() {
            self.table.enqueue(slab, self.priorities.of(self.slabs[slab.0 as usize]));
        }
    }

    /// Opens the best slab of the table; none when it has no free block.
    fn open_best_slab(&mut self) -> Option<()> {
        let (slab, priority) = self.table.best()?;
        if priority == FULL {
            return None;
        }
        self.table.remove(slab);
        let state = &mut self.slabs[slab.0 as usize];
        if state.was_opened {
            self.slabs_reopened += 1;
        } else {
            state.was_opened = true;
            self.slabs_opened += 1;
        }
        self.open = Some(OpenSlab { slab, cursor: 0 });
        Some(())
    }

    /// Changes a counter and what depends on it. None, and nothing is changed, when the counter does not allow the
    /// change.
    #[inline]
    pub fn change(&mut self, block: BlockIndex, change: Change) -> Option<Balance> {
        let slab = self.layout.slab(block);
        let balance = self.counts.change(slab, self.layout.offset(block), change)?;
        let state = &mut self.slabs[slab.0 as usize];
        match balance {
            Balance::Same => return Some(balance),
            Balance::Taken => {
                state.free_blocks -= 1;
                self.free_blocks -= 1;
            }
            Balance::Freed => {
                state.free_blocks += 1;
                self.free_blocks += 1;
            }
        }
        // The open slab is not in the table.
        if let Some(queued) = self.table.priority(slab) {
            let priority = self.priorities.of(*state);
            if priority != queued {
                self.table.remove(slab);
                self.table.enqueue(slab, priority);
            }
        }
        Some(balance)
    }

    /// Blocks with a provisional reference.
    pub fn provisional(&self) -> usize {
        self.counts.provisional()
    }

    /// Recounts I6 and I10.
    ///
    /// # Errors
    /// What does not add up.
    pub fn audit(&self) -> Result<(), String> {
        let mut free_blocks = 0;
        for (number, slab) in (0..).map(SlabIndex).zip(&self.slabs) {
            if !slab.is_loaded {
                if slab.free_blocks != 0 || self.table.priority(number).is_some() {
                    return Err(format!("I10: {number:?} is not loaded, but can be allocated from"));
                }
                continue;
            }
            let free = self.counts.recount(number)?;
            if free != slab.free_blocks {
                return Err(format!("I6: {number:?} says {} blocks are free, but {free} are", slab.free_blocks));
            }
            free_blocks += u64::from(free);
            let is_open = self.open.is_some_and(|open| open.slab == number);
            let expected = (!is_open).then(|| self.priorities.of(*slab));
            let queued = self.table.priority(number);
            if queued != expected {
                return Err(format!("I10: {number:?} is queued under {queued:?} instead of {expected:?}"));
            }
        }
        if free_blocks != self.free_blocks {
            return Err(format!("I6: zone says {} blocks are free, but {free_blocks} are", self.free_blocks));
        }
        let queued = self.table.check()?;
        let loaded = self.slabs.iter().filter(|slab| slab.is_loaded).count();
        if queued + usize::from(self.open.is_some()) != loaded {
            return Err(format!("I10: {queued} of {loaded} slabs are queued"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Geometry;
    use crate::units::{Blocks, Pbn, ShardId};

    const FREE_IT: Change = Change::Decrement { locked: false };

    fn allocator(slab_blocks: u64, slabs: u64) -> BlockAllocator {
        let geometry = Geometry::new(1, Blocks(1), Pbn(1), Pbn(1 + slab_blocks * slabs), slab_blocks).expect("valid");
        BlockAllocator::new(ZoneLayout::new(&geometry, ShardId(0)), |_| true)
    }

    fn opened(allocator: &BlockAllocator) -> (u64, u64) {
        (allocator.slabs_opened(), allocator.slabs_reopened())
    }

    /// vdo-47: allocations stay in one slab, in order, until its end, and only then go to the next.
    #[test]
    fn allocation_runs_through_one_slab_at_a_time() {
        let mut allocator = allocator(16, 4);
        for expected in 0..64 {
            assert_eq!(allocator.allocate(), Some(BlockIndex(expected)));
            assert_eq!(opened(&allocator).0, expected as u64 / 16 + 1);
            allocator.audit().expect("consistent");
        }
        assert_eq!(allocator.allocate(), None);
        assert_eq!(allocator.free_blocks(), 0);
    }

    /// vdo-47: a block freed behind the cursor is not found until the slab has been closed; then every such block is.
    #[test]
    fn blocks_freed_behind_the_cursor_come_back_after_reopening() {
        let mut allocator = allocator(8, 2);
        let blocks: Vec<_> = (0..5).map(|_| allocator.allocate().expect("free")).collect();
        assert_eq!(allocator.change(blocks[1], FREE_IT), Some(Balance::Freed));
        let next: Vec<_> = (0..3).filter_map(|_| allocator.allocate()).collect();
        assert_eq!(next, [BlockIndex(5), BlockIndex(6), BlockIndex(7)]);
        // Slab 0 has one free block now, which is worth less than the unused slab 1.
        let next: Vec<_> = (0..8).filter_map(|_| allocator.allocate()).collect();
        assert_eq!(next, (8..16).map(BlockIndex).collect::<Vec<_>>());
        assert_eq!(allocator.allocate(), Some(BlockIndex(1)));
        assert_eq!(opened(&allocator), (2, 1));
        assert_eq!(allocator.allocate(), None);
    }

    /// vdo-49: counts openings and reopenings of a known sequence.
    #[test]
    fn openings_are_counted() {
        let mut allocator = allocator(8, 2);
        assert_eq!(opened(&allocator), (0, 0));
        let blocks: Vec<_> = (0..8).filter_map(|_| allocator.allocate()).collect();
        assert_eq!(opened(&allocator), (1, 0));
        // Slab 0 is half free: better than unused.
        for &block in &blocks[..4] {
            allocator.change(block, FREE_IT);
        }
        assert_eq!(allocator.allocate(), Some(BlockIndex(0)));
        assert_eq!(opened(&allocator), (1, 1));
        for _ in 0..3 {
            allocator.allocate();
        }
        assert_eq!(opened(&allocator), (1, 1));
        assert_eq!(allocator.allocate(), Some(BlockIndex(8)));
        assert_eq!(opened(&allocator), (2, 1));
        for _ in 0..7 {
            allocator.allocate();
        }
        for _ in 0..3 {
            assert_eq!(allocator.allocate(), None);
        }
        assert_eq!(opened(&allocator), (2, 1), "nothing is opened in a full zone");
        allocator.change(BlockIndex(3), FREE_IT);
        assert_eq!(allocator.allocate(), Some(BlockIndex(3)));
        assert_eq!(opened(&allocator), (2, 2));
    }

    /// vdo-46: overwriting a small set of blocks over and over does not touch unused slabs.
    #[test]
    fn overwrites_do_not_open_new_slabs() {
        let mut allocator = allocator(64, 100);
        let mut live: Vec<_> = (0..100).map(|_| allocator.allocate().expect("free")).collect();
        let mut random = 5u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (random >> 33) as usize % live.len();
            let new = allocator.allocate().expect("free");
            assert_eq!(allocator.change(live[place], FREE_IT), Some(Balance::Freed));
            live[place] = new;
        }
        allocator.audit().expect("consistent");
        let (first, again) = opened(&allocator);
        assert!(first <= 5, "100 blocks lie in {first} slabs of 64");
        assert!(again > 100);
    }

    /// vdo-46: a slab changes its place in the table when, and only when, its priority changes.
    #[test]
    fn only_a_changed_priority_moves_a_slab() {
        let mut allocator = allocator(64, 3);
        for _ in 0..192 {
            allocator.allocate();
        }
        // Slabs 0 and 1 are full and queued; slab 2 is open. Slab 1 gets two free blocks first, then slab 0.
        for block in [64, 65, 0, 1] {
            allocator.change(BlockIndex(block), FREE_IT);
        }
        // One more for slab 1: still bucket 2, and still ahead of slab 0.
        allocator.change(BlockIndex(66), FREE_IT);
        assert_eq!(allocator.table.best(), Some((SlabIndex(1), 2)));
        // With a fourth it enters bucket 3; when two are taken again it goes behind slab 0.
        allocator.change(BlockIndex(67), FREE_IT);
        assert_eq!(allocator.table.best(), Some((SlabIndex(1), 3)));
        allocator.change(BlockIndex(67), Change::Reserve);
        assert_eq!(allocator.table.best(), Some((SlabIndex(0), 2)));
        allocator.audit().expect("consistent");
    }

    /// The audit notices wrong counts.
    #[test]
    fn audit_sees_what_is_wrong() {
        let mut miscounted = allocator(8, 2);
        miscounted.slabs[1].free_blocks -= 1;
        assert!(miscounted.audit().is_err_and(|error| error.starts_with("I6")));
        let mut misplaced = allocator(8, 2);
        misplaced.table.remove(SlabIndex(1));
        assert!(misplaced.audit().is_err_and(|error| error.starts_with("I10")));
        let mut total = allocator(8, 2);
        total.free_blocks += 1;
        assert!(total.audit().is_err_and(|error| error.starts_with("I6")));
    }
}
