// SPDX-License-Identifier: BSD-3-Clause

//! Changes of reference counts that wait for their slab journal, first come first served.
//!
//! The queues of all slabs share one pool, so that waiting does not allocate. Decrements are not answered, so nobody who
//! sends them holds back: what bounds their number is that the recovery journals keep their entries until the slab
//! journals have them. The pool is made for the usual case, that few wait; it grows in the other.

use super::event::Source;
use crate::message::VioRef;
use crate::units::Pbn;

/// A change of reference counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Update {
    /// A block gains a reference.
    Increment {
        /// The block.
        pbn: Pbn,
        /// Who waits for it.
        vio: VioRef,
    },
    /// Blocks lose a reference each.
    Decrement {
        /// First block.
        first: Pbn,
        /// Number of blocks, all in one slab.
        count: u32,
    },
    /// A block becomes a page of the block map.
    Page {
        /// The block.
        pbn: Pbn,
    },
    /// A page of the block map gives its block back.
    FreePage {
        /// The block.
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

/// The pool of updates that wait.
#[derive(Debug)]
pub(super) struct UpdatePool {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

/// The updates of one slab that wait, in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct UpdateQueue {
    first: u32,
    last: u32,
}

impl UpdateQueue {
    /// Nobody waits.
    pub const EMPTY: UpdateQueue = UpdateQueue { first: NONE, last: NONE };

    /// True when nobody waits.
    pub const fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// How many wait. Visits them all.
    pub fn len(&self, pool: &UpdatePool) -> usize {
        let first = Some(self.first).filter(|&first| first != NONE);
        let next = |&index: &u32| (index != self.last).then(|| pool.nodes[index as usize].next);
        std::iter::successors(first, next).count()
    }

    /// The update that has waited longest.
    pub fn front(&self, pool: &UpdatePool) -> Option<(Update, Source)> {
        (self.first != NONE).then(|| {
            let node = &pool.nodes[self.first as usize];
            (node.update, node.source)
        })
    }

    /// Adds an update.
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

    /// Takes the update that has waited longest.
    pub fn pop(&mut self, pool: &mut UpdatePool) -> Option<(Update, Source)> {
        let front = self.front(pool)?;
        pool.free.push(self.first);
        self.first = pool.nodes[self.first as usize].next;
        Some(front)
    }
}

impl UpdatePool {
    /// A pool for `capacity` updates to begin with.
    pub fn new(capacity: usize) -> UpdatePool {
        UpdatePool { nodes: Vec::with_capacity(capacity), free: Vec::with_capacity(capacity) }
    }

    /// Updates that wait.
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
