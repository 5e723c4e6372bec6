// SPDX-License-Identifier: BSD-3-Clause

//! Memory of SPDK's that devices transfer to and from.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use mpool::ids::PAGE_BYTES;
use mpool::IoMemory;

use super::ffi;

/// DMA-able memory, zeroed when it is made and freed when it is dropped.
#[derive(Debug)]
pub struct DmaMemory {
    start: NonNull<u8>,
    bytes: usize,
}

impl DmaMemory {
    /// Allocates, aligned to a page and to `alignment`, a power of two. None when SPDK has no such memory left.
    pub fn new(bytes: usize, alignment: usize) -> Option<DmaMemory> {
        // An empty piece has an address, too.
        let (size, alignment) = (bytes.max(1), alignment.max(PAGE_BYTES));
        // SAFETY: plain allocation; the third argument is unused in all releases.
        let start = unsafe { ffi::spdk_dma_zmalloc(size, alignment, ptr::null_mut()) };
        NonNull::new(start.cast::<u8>()).map(|start| DmaMemory { start, bytes })
    }
}

impl AsRef<[u8]> for DmaMemory {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `new` allocated so many initialised bytes, and they are this value's alone. While a device writes
        // to them the value is held by the transfer, out of anybody's reach.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl AsMut<[u8]> for DmaMemory {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `as_ref`, and `self` is borrowed for changing.
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
