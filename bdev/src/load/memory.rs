// SPDX-License-Identifier: BSD-3-Clause

//! Memory that SPDK's devices can use: huge pages (or pinned ones), 4 KiB-aligned.

use core::ptr::NonNull;
use core::slice;

use super::address::Random;
use crate::spdk::ffi;

const ALIGNMENT: usize = 4096;

/// A buffer of SPDK memory, initially zeroed. May only be created while the application runs.
#[derive(Debug)]
pub struct DmaBuffer {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the buffer owns its memory, which any thread may use and free (spdk_free takes DPDK's heap lock).
unsafe impl Send for DmaBuffer {}
// SAFETY: through a shared reference the memory is only read.
unsafe impl Sync for DmaBuffer {}

impl DmaBuffer {
    /// A buffer of `len` bytes (at least one), or `None` if SPDK has no memory left.
    #[must_use]
    pub fn new(len: usize) -> Option<DmaBuffer> {
        let len = len.max(1);
        // SAFETY: no pointer is passed in; a null answer is handled.
        let start = unsafe { ffi::spdk_dma_zmalloc(len, ALIGNMENT, core::ptr::null_mut()) };
        NonNull::new(start.cast()).map(|start| DmaBuffer { start, len })
    }

    /// Like `new`, filled with pseudo-random bytes.
    #[must_use]
    pub fn random(len: usize, seed: u64) -> Option<DmaBuffer> {
        let mut buffer = DmaBuffer::new(len)?;
        let mut random = Random::new(seed);
        for word in buffer.as_mut().chunks_mut(8) {
            word.copy_from_slice(&random.next().to_le_bytes()[..word.len()]);
        }
        Some(buffer)
    }

    /// The buffer's address, for a device. While a device writes to the buffer, nobody may have a slice of it.
    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl AsRef<[u8]> for DmaBuffer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `start` points to `len` bytes that were zeroed and live as long as `self`; a device that writes to a
        // buffer has it from a job, which never makes slices of such a buffer.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl AsMut<[u8]> for DmaBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_ref`, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for DmaBuffer {
    fn drop(&mut self) {
        // SAFETY: the memory came from spdk_dma_zmalloc and is freed once.
        unsafe { ffi::spdk_dma_free(self.start.as_ptr().cast()) }
    }
}
