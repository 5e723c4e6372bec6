// SPDX-License-Identifier: BSD-3-Clause

//! A pool of objects whose number is fixed at creation, so that serving a request never allocates memory.
//!
//! Objects are named by index, so links between them are numbers and not references. Free slots are reused last in,
//! first out: the slot used last is the one still in the CPU cache. Invariant: a slot is either free or in use, and a
//! free slot is never released again.

use std::ops::{Index, IndexMut};

/// The index that names no object.
pub const NONE: u32 = u32::MAX;

/// A fixed number of objects, acquired and released by index.
#[derive(Debug)]
pub struct Arena<T> {
    items: Vec<T>,
    free: Vec<u32>,
    used: Vec<bool>,
}

impl<T: Clone> Arena<T> {
    /// An arena of `capacity` objects, all free, all equal to `initial`.
    pub fn new(capacity: usize, initial: T) -> Arena<T> {
        let count = u32::try_from(capacity).expect("an arena has fewer than 2^32 objects");
        assert!(count < NONE, "an arena has fewer than 2^32 - 1 objects");
        Arena { items: vec![initial; capacity], free: (0..count).rev().collect(), used: vec![false; capacity] }
    }
}

impl<T> Arena<T> {
    /// Takes a free object and sets it to `value`; `None` when the arena is exhausted.
    pub fn acquire(&mut self, value: T) -> Option<u32> {
        let index = self.free.pop()?;
        self.items[index as usize] = value;
        self.used[index as usize] = true;
        Some(index)
    }

    /// Takes a free object and keeps the value of its last use; `None` when the arena is exhausted.
    pub fn acquire_kept(&mut self) -> Option<u32> {
        let index = self.free.pop()?;
        self.used[index as usize] = true;
        Some(index)
    }

    /// Returns an object to the arena.
    pub fn release(&mut self, index: u32) {
        let used = std::mem::replace(&mut self.used[index as usize], false);
        assert!(used, "object {index} is released but not in use");
        self.free.push(index);
    }

    /// All objects in use, with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(self.items.iter().zip(&self.used))
            .filter(|(_, (_, used))| **used)
            .map(|(index, (item, _))| (index, item))
    }

    pub fn in_use(&self) -> usize {
        self.items.len() - self.free.len()
    }

    /// Objects that can still be acquired.
    pub fn available(&self) -> usize {
        self.free.len()
    }

    /// Objects in use and free together.
    pub fn capacity(&self) -> usize {
        self.items.len()
    }
}

impl<T> Index<u32> for Arena<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        &self.items[index as usize]
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.items[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// vdo-3: locks come from an arena of fixed size; when all have come back the arena is full again.
    #[test]
    fn everything_acquired_comes_back() {
        let mut arena = Arena::new(2048, 0u8);
        let taken: Vec<u32> = std::iter::from_fn(|| arena.acquire(7)).collect();
        assert_eq!((taken.len(), arena.in_use(), arena.available()), (2048, 2048, 0));
        taken.into_iter().for_each(|index| arena.release(index));
        assert_eq!((arena.in_use(), arena.available()), (0, arena.capacity()));
    }

    #[test]
    #[should_panic(expected = "released")]
    fn a_double_release_is_caught() {
        let mut arena = Arena::new(1, 0u8);
        let index = arena.acquire(1).unwrap();
        arena.release(index);
        arena.release(index);
    }
}
