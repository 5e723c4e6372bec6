// SPDX-License-Identifier: BSD-3-Clause

//! A pool of objects, sized once: the arenas of architecture.md principle 4.
//!
//! Objects are named by index, so that links between them are numbers and not references. Free slots are reused last
//! in, first out: the slot used last is the one still in the cache. Invariant: a slot is either free or in use, and
//! one that is free is not released again.

use std::ops::{Index, IndexMut};

/// No object.
pub const NONE: u32 = u32::MAX;

/// A fixed number of objects, handed out and taken back.
#[derive(Debug)]
pub struct Pool<T> {
    items: Vec<T>,
    free: Vec<u32>,
    used: Vec<bool>,
}

impl<T: Clone> Pool<T> {
    /// A pool of `capacity` objects, all free, all equal to `initial`.
    pub fn new(capacity: usize, initial: T) -> Pool<T> {
        let count = u32::try_from(capacity).expect("a pool has fewer than 2^32 objects");
        assert!(count < NONE, "a pool has fewer than 2^32 - 1 objects");
        Pool { items: vec![initial; capacity], free: (0..count).rev().collect(), used: vec![false; capacity] }
    }
}

impl<T> Pool<T> {
    /// Takes a free object and gives it a value; none when the pool is exhausted.
    pub fn acquire(&mut self, value: T) -> Option<u32> {
        let index = self.free.pop()?;
        self.items[index as usize] = value;
        self.used[index as usize] = true;
        Some(index)
    }

    /// Gives an object back.
    pub fn release(&mut self, index: u32) {
        let used = std::mem::replace(&mut self.used[index as usize], false);
        assert!(used, "object {index} is released but not in use");
        self.free.push(index);
    }

    /// Objects in use.
    pub fn in_use(&self) -> usize {
        self.items.len() - self.free.len()
    }

    /// Objects that can still be acquired.
    pub fn available(&self) -> usize {
        self.free.len()
    }

    /// Objects in all.
    pub fn capacity(&self) -> usize {
        self.items.len()
    }
}

impl<T> Index<u32> for Pool<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        &self.items[index as usize]
    }
}

impl<T> IndexMut<u32> for Pool<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.items[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// vdo-3: locks come from a pool of fixed size; when all have come back the pool is full again.
    #[test]
    fn everything_acquired_comes_back() {
        let mut pool = Pool::new(2048, 0u8);
        let taken: Vec<u32> = std::iter::from_fn(|| pool.acquire(7)).collect();
        assert_eq!((taken.len(), pool.in_use(), pool.available()), (2048, 2048, 0));
        taken.into_iter().for_each(|index| pool.release(index));
        assert_eq!((pool.in_use(), pool.available()), (0, pool.capacity()));
    }

    #[test]
    #[should_panic(expected = "released")]
    fn a_double_release_is_caught() {
        let mut pool = Pool::new(1, 0u8);
        let index = pool.acquire(1).unwrap();
        pool.release(index);
        pool.release(index);
    }
}
