// SPDX-License-Identifier: BSD-3-Clause

//! Memory for blocks: handles that the engine passes around, and the pools that back them.
//!
//! A [`Buf`] is a bare address of 4096 bytes of a pool, valid on every thread of the process. It cannot be made of anything
//! else, a client's memory least of all. Who takes handles from a pool vouches that only an engine gets them, one that
//! is gone before the pool; and the engine's contract ([`engine::Env`]) is that a block is written by its shard only, and
//! that nobody reads it then.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use engine::{Block, BLOCK_SIZE};

use super::ffi;

/// The address of one block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Buf(NonNull<Block>);

// SAFETY: shards of other threads read the block between its owner's messages, which order the accesses.
unsafe impl Send for Buf {}

impl core::fmt::Debug for Buf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:p}", self.0)
    }
}

impl Buf {
    /// A block at any address, for tests that never look at it.
    #[cfg(test)]
    pub fn at(base: NonNull<u8>) -> Buf {
        Buf(base.cast())
    }

    /// The address.
    pub fn as_ptr(self) -> *mut u8 {
        self.0.as_ptr().cast()
    }

    /// The bytes.
    ///
    /// # Safety
    /// The memory is still there, and nobody writes to it as long as the result lives.
    pub unsafe fn block<'a>(self) -> &'a Block {
        // SAFETY: a handle is made only of 4096 readable bytes; the rest is the caller's promise.
        unsafe { self.0.as_ref() }
    }

    /// The bytes, to be changed.
    ///
    /// # Safety
    /// The memory is still there, and nobody else reads or writes it as long as the result lives.
    pub unsafe fn block_mut<'a>(mut self) -> &'a mut Block {
        // SAFETY: as for `block`, and the caller promises to be alone.
        unsafe { self.0.as_mut() }
    }
}

/// Blocks in memory that the base bdev can reach.
#[derive(Debug)]
pub struct DmaPool {
    base: NonNull<u8>,
    blocks: usize,
}

impl DmaPool {
    /// Allocates zeroed blocks. None when there is not enough DMA memory.
    pub fn new(blocks: usize) -> Option<DmaPool> {
        // SAFETY: plain allocation; the third argument is unused in all releases.
        let base = unsafe { ffi::spdk_dma_zmalloc(blocks * BLOCK_SIZE, BLOCK_SIZE, ptr::null_mut()) };
        NonNull::new(base.cast::<u8>()).map(|base| DmaPool { base, blocks })
    }

    /// A handle for each block.
    ///
    /// # Safety
    /// They are used by an engine alone, whose shards are all at rest, and this one's dropped, before the pool is.
    pub unsafe fn bufs(&self) -> impl Iterator<Item = Buf> + '_ {
        // SAFETY: the offsets are inside the allocation.
        (0..self.blocks).map(|index| Buf(unsafe { self.base.add(index * BLOCK_SIZE) }.cast()))
    }
}

impl Drop for DmaPool {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed once; the shard that used the blocks is dropped before its pool.
        unsafe { ffi::spdk_dma_free(self.base.as_ptr().cast::<c_void>()) };
    }
}
