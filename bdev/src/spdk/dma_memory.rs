// SPDX-License-Identifier: BSD-3-Clause

//! SPDK memory that devices can transfer to and from.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use mpool::ids::PAGE_BYTES;
use mpool::IoMemory;

use super::ffi;

/// DMA-able memory, zeroed when allocated and freed when dropped.
#[derive(Debug)]
pub struct DmaMemory {
    start: NonNull<u8>,
    bytes: usize,
}

impl DmaMemory {
    /// Allocates memory, aligned to a page and to `alignment`, a power of two. None if SPDK has no such memory left.
    pub fn new(bytes: usize, alignment: usize) -> Option<DmaMemory> {
        // Empty memory has an address, too.
        let (size, alignment) = (bytes.max(1), alignment.max(PAGE_BYTES));
        // SAFETY: plain allocation; the third argument is unused in all releases.
        let start = unsafe { ffi::spdk_dma_zmalloc(size, alignment, ptr::null_mut()) };
        NonNull::new(start.cast::<u8>()).map(|start| DmaMemory { start, bytes })
    }
}

impl AsRef<[u8]> for DmaMemory {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `new` allocated `bytes` initialised bytes, which belong to this value alone. While a device writes to
        // them the transfer holds the value, so nobody else can reach it.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl AsMut<[u8]> for DmaMemory {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `as_ref`, and `self` is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl IoMemory for DmaMemory {}

impl Drop for DmaMemory {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed once; a device that uses the bytes owns the value.
        unsafe { ffi::spdk_dma_free(self.start.as_ptr().cast::<c_void>()) };
    }
}
