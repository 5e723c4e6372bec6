// SPDX-License-Identifier: BSD-3-Clause

//! FIFO queues whose links are in the waiting objects, so that queueing never allocates.
//!
//! Invariant: an object has one link and so is in at most one queue at a time.

use crate::arena::{Arena, NONE};

/// An object that can be queued.
pub trait Linked {
    /// The link to the next object of the queue, for changing.
    fn link(&mut self) -> &mut u32;

    /// Index of the next object of the queue.
    fn next(&self) -> u32;
}

/// A queue of objects of one pool.
#[derive(Debug, Clone, Copy)]
pub struct WaitQueue {
    head: u32,
    tail: u32,
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> WaitQueue {
        WaitQueue { head: NONE, tail: NONE }
    }

    /// True when no object is queued.
    pub const fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// The oldest object of the queue.
    pub const fn first(&self) -> Option<u32> {
        if self.head == NONE {
            None
        } else {
            Some(self.head)
        }
    }

    pub fn push<T: Linked>(&mut self, pool: &mut Arena<T>, index: u32) {
        *pool[index].link() = NONE;
        if self.head == NONE {
            self.head = index;
        } else {
            *pool[self.tail].link() = index;
        }
        self.tail = index;
    }

    /// Puts an object at the head of the queue.
    pub fn push_front<T: Linked>(&mut self, pool: &mut Arena<T>, index: u32) {
        *pool[index].link() = self.head;
        if self.head == NONE {
            self.tail = index;
        }
        self.head = index;
    }

    /// Removes the oldest object.
    pub fn pop<T: Linked>(&mut self, pool: &mut Arena<T>) -> Option<u32> {
        let index = self.first()?;
        self.head = *pool[index].link();
        if self.head == NONE {
            self.tail = NONE;
        }
        Some(index)
    }

    /// Number of queued objects. Walks the whole queue.
    pub fn len<T: Linked>(&self, pool: &Arena<T>) -> usize {
        std::iter::successors(self.first(), |&index| Some(pool[index].next()).filter(|&next| next != NONE)).count()
    }

    /// Takes the whole queue, leaving an empty one.
    pub fn take(&mut self) -> WaitQueue {
        std::mem::replace(self, WaitQueue::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Item(u32);

    impl Linked for Item {
        fn link(&mut self) -> &mut u32 {
            &mut self.0
        }

        fn next(&self) -> u32 {
            self.0
        }
    }

    #[test]
    fn first_in_first_out() {
        let mut pool = Arena::new(4, Item(NONE));
        let mut queue = WaitQueue::new();
        for _ in 0..2 {
            assert!(queue.is_empty());
            [3, 1, 2].into_iter().for_each(|index| queue.push(&mut pool, index));
            assert_eq!((queue.first(), queue.len(&pool)), (Some(3), 3));
            assert_eq!([(); 4].map(|()| queue.pop(&mut pool)), [Some(3), Some(1), Some(2), None]);
        }
        assert_eq!(queue.len(&pool), 0);
        queue.push(&mut pool, 0);
        assert_eq!(queue.take().pop(&mut pool), Some(0));
        assert!(queue.is_empty());
    }
}
