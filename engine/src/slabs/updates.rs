// SPDX-License-Identifier: BSD-3-Clause

//! Changes of reference counts that wait for their slab journal, first come first served.
//!
//! The queues of all slabs share one pool, so that queueing does not allocate. Decrements are not answered, so their
//! senders do not hold back. Their number is bounded because the recovery journals keep their entries until the slab
//! journals have them. The pool is sized for the usual case, few queued updates, and grows in the other.

use super::event::Source;
use crate::message::VioRef;
use crate::units::Pbn;

/// A change of reference counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Update {
    /// Adds a reference to a block.
    Increment {
        pbn: Pbn,
        /// The requester to be answered.
        vio: VioRef,
    },
    /// Removes one reference from each of a range of blocks.
    Decrement {
        first: Pbn,
        /// The number of blocks, all in one slab.
        count: u32,
    },
    /// Counts a block as a page of the block map.
    Page {
        /// The block that holds the page.
        pbn: Pbn,
    },
    /// Frees the block of a block map page.
    FreePage {
        /// The block to free.
        pbn: Pbn,
    },
}

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Node {
    update: Update,
    source: Source,
    next: u32,
}

/// The pool of queued updates, shared by all slabs.
#[derive(Debug)]
pub(super) struct UpdatePool {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

/// The queued updates of one slab, in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct UpdateQueue {
    first: u32,
    last: u32,
}

impl UpdateQueue {
    /// An empty queue.
    pub const EMPTY: UpdateQueue = UpdateQueue { first: NONE, last: NONE };

    pub const fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// The number of queued updates. Walks the queue.
    pub fn len(&self, pool: &UpdatePool) -> usize {
        let first = Some(self.first).filter(|&first| first != NONE);
        let next = |&index: &u32| (index != self.last).then(|| pool.nodes[index as usize].next);
        std::iter::successors(first, next).count()
    }

    /// The oldest update.
    pub fn front(&self, pool: &UpdatePool) -> Option<(Update, Source)> {
        (self.first != NONE).then(|| {
            let node = &pool.nodes[self.first as usize];
            (node.update, node.source)
        })
    }

    pub fn push(&mut self, pool: &mut UpdatePool, update: Update, source: Source) {
        let node = Node { update, source, next: NONE };
        let index = match pool.free.pop() {
            Some(index) => {
                pool.nodes[index as usize] = node;
                index
            }
            None => {
                pool.nodes.push(node);
                (pool.nodes.len() - 1) as u32
            }
        };
        match self.first {
            NONE => self.first = index,
            _ => pool.nodes[self.last as usize].next = index,
        }
        self.last = index;
    }

    /// Takes the oldest update.
    pub fn pop(&mut self, pool: &mut UpdatePool) -> Option<(Update, Source)> {
        let front = self.front(pool)?;
        pool.free.push(self.first);
        self.first = pool.nodes[self.first as usize].next;
        Some(front)
    }
}

impl UpdatePool {
    /// A pool that holds `capacity` updates before it grows.
    pub fn new(capacity: usize) -> UpdatePool {
        UpdatePool { nodes: Vec::with_capacity(capacity), free: Vec::with_capacity(capacity) }
    }

    /// Updates queued for all slabs.
    pub const fn waiting(&self) -> usize {
        self.nodes.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::journal_record::Point;
    use crate::units::ShardId;

    #[test]
    fn queues_share_a_pool_and_keep_their_order() {
        let mut pool = UpdatePool::new(2);
        let mut queues = [UpdateQueue::EMPTY; 3];
        let source = |at| Source { journal: ShardId(0), point: Point(at) };
        for round in 0..3 {
            for at in 0..30u64 {
                queues[at as usize % 3].push(&mut pool, Update::Page { pbn: Pbn(at) }, source(round));
            }
            assert_eq!(pool.waiting(), 30);
            assert_eq!(queues.map(|queue| queue.len(&pool)), [10; 3]);
            for (number, queue) in (0..).zip(&mut queues) {
                let expected = (0..10).map(|at| (Update::Page { pbn: Pbn(3 * at + number) }, source(round)));
                for update in expected {
                    assert_eq!(queue.front(&pool), Some(update));
                    assert_eq!(queue.pop(&mut pool), Some(update));
                }
                assert!(queue.is_empty() && queue.len(&pool) == 0 && queue.pop(&mut pool).is_none());
            }
        }
        assert_eq!((pool.waiting(), pool.nodes.len()), (0, 30), "places are used again");
    }
}
