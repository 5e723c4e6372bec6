// SPDX-License-Identifier: BSD-3-Clause

//! Memory for blocks: handles that the engine passes around, and the pools that back them.
//!
//! A [`Buf`] is the bare address of 4096 bytes of a pool, valid on every thread of the process. It cannot be made from
//! anything else, in particular not from a client's memory. Whoever takes handles from a pool vouches that only an
//! engine gets them, which is gone before the pool. The engine's contract ([`engine::Env`]) is that only a block's
//! shard writes it, and that nobody reads it meanwhile.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use engine::{Block, BLOCK_SIZE};

use super::ffi;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Buf(NonNull<Block>);

// SAFETY: shards of other threads read the block only between messages of its owner, which order the accesses.
unsafe impl Send for Buf {}

impl core::fmt::Debug for Buf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:p}", self.0)
    }
}

impl Buf {
    /// A block at any address, for tests that never access it.
    #[cfg(test)]
    pub fn at(base: NonNull<u8>) -> Buf {
        Buf(base.cast())
    }

    pub fn as_ptr(self) -> *mut u8 {
        self.0.as_ptr().cast()
    }

    /// The block, for reading.
    ///
    /// # Safety
    /// The memory is still allocated, and nobody writes to it while the result lives.
    pub unsafe fn block<'a>(self) -> &'a Block {
        // SAFETY: a handle is made only from 4096 readable bytes; the rest is the caller's promise.
        unsafe { self.0.as_ref() }
    }

    /// The block, for changing.
    ///
    /// # Safety
    /// The memory is still allocated, and nobody else reads or writes it while the result lives.
    pub unsafe fn block_mut<'a>(mut self) -> &'a mut Block {
        // SAFETY: as for `block`, and the caller promises exclusive use.
        unsafe { self.0.as_mut() }
    }
}

/// Blocks in memory that the base bdev can access.
#[derive(Debug)]
pub struct DmaPool {
    base: NonNull<u8>,
    blocks: usize,
}

impl DmaPool {
    /// Allocates zeroed blocks. None if there is not enough DMA memory.
    pub fn new(blocks: usize) -> Option<DmaPool> {
        // SAFETY: plain allocation; the third argument is unused in all releases.
        let base = unsafe { ffi::spdk_dma_zmalloc(blocks * BLOCK_SIZE, BLOCK_SIZE, ptr::null_mut()) };
        NonNull::new(base.cast::<u8>()).map(|base| DmaPool { base, blocks })
    }

    /// A handle for each block.
    ///
    /// # Safety
    /// Only an engine uses the handles. All shards of that engine's volume are quiescent, and the pool's own shard is
    /// dropped, before the pool is dropped.
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
