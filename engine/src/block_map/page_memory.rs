// SPDX-License-Identifier: BSD-3-Clause

//! Memory for the decoded entries of cached pages, in chunks, so that it grows without copying.
//!
//! A chunk is allocated as zeroed memory, which the operating system provides page by page on first write: frames that
//! were never used cost only address space.

use crate::units::ENTRIES_PER_LEAF_PAGE;

/// Number of entries in a page.
pub(super) const ENTRIES: usize = ENTRIES_PER_LEAF_PAGE as usize;

/// The raw entries of a page.
pub(super) type Entries = [u64; ENTRIES];

const CHUNK_SHIFT: u32 = 9;
const CHUNK_FRAMES: usize = 1 << CHUNK_SHIFT;

/// The entries of frames 0, 1, ...
#[derive(Debug, Default)]
pub(super) struct PageMemory {
    chunks: Vec<Vec<u64>>,
}

impl PageMemory {
    /// Provides memory for `frames` frames, and frees the chunks beyond.
    pub fn resize(&mut self, frames: usize) {
        self.chunks.resize_with(frames.div_ceil(CHUNK_FRAMES), || vec![0; CHUNK_FRAMES * ENTRIES]);
    }

    #[inline]
    fn position(frame: u32, slot: usize) -> (usize, usize) {
        debug_assert!(slot < ENTRIES, "slot {slot} of a page");
        ((frame >> CHUNK_SHIFT) as usize, (frame as usize & (CHUNK_FRAMES - 1)) * ENTRIES + slot)
    }

    /// One entry.
    #[inline]
    pub fn get(&self, frame: u32, slot: usize) -> u64 {
        let (chunk, at) = PageMemory::position(frame, slot);
        self.chunks[chunk][at]
    }

    /// Changes one entry and returns the old one.
    #[inline]
    pub fn replace(&mut self, frame: u32, slot: usize, new: u64) -> u64 {
        let (chunk, at) = PageMemory::position(frame, slot);
        std::mem::replace(&mut self.chunks[chunk][at], new)
    }

    /// All entries of a frame.
    pub fn page(&self, frame: u32) -> &Entries {
        let (chunk, at) = PageMemory::position(frame, 0);
        self.chunks[chunk][at..].first_chunk().expect("chunks hold whole pages")
    }

    /// All entries of a frame, for writing.
    pub fn page_mut(&mut self, frame: u32) -> &mut Entries {
        let (chunk, at) = PageMemory::position(frame, 0);
        self.chunks[chunk][at..].first_chunk_mut().expect("chunks hold whole pages")
    }
}
