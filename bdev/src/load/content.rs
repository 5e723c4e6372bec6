// SPDX-License-Identifier: BSD-3-Clause

//! What a job writes: buffers that are filled in advance. The timed loop changes at most the stamp.
//!
//! A unique block is random bytes whose first three words are the stamp: block number, serial number of the write (with
//! the job's number in its top byte), and number of the run. A compressible block also has zeros in each sector. No two
//! writes of a process have the same stamp. Duplicates are written straight from a pool that all jobs share and nobody
//! writes to, except for [`Content::Changing`], whose writes change the pool under all others.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::SystemTime;

use super::address::Random;
use super::memory::DmaBuffer;
use super::spec::Content;

/// Words of 8 bytes at the start of a unique block that change with each write.
pub const STAMP_WORDS: usize = 3;

const BLOCK: usize = engine::BLOCK_SIZE;

/// Number of contents from which duplicates are taken. With some 200,000 logical blocks each content is shared some
/// hundred times, below the limit of 254 references, and 8 MiB of them do not crowd out a shared cache.
const DUPLICATE_CONTENTS: u64 = 2048;

/// Blocks of the pool that writes of [`Content::Changing`] share, and the number of words of each that they change.
const CHANGING_CONTENTS: u64 = 8;
const CHANGED_WORDS: u64 = 3;

/// Most blocks in one request: the zeros are allocated once.
pub(super) const MAX_WRITE_BLOCKS: usize = 64;

/// Buffers that all jobs of an application share. Jobs only read them, or store single words atomically.
#[derive(Debug)]
pub(super) struct SharedContent {
    duplicates: DmaBuffer,
    zeros: DmaBuffer,
}

impl SharedContent {
    pub(super) fn new() -> Option<Arc<SharedContent>> {
        // A request of several blocks may start at the last content, so the pool extends behind it.
        let bytes = (DUPLICATE_CONTENTS as usize + MAX_WRITE_BLOCKS) * BLOCK;
        let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
        let duplicates = DmaBuffer::random(bytes, seed)?;
        let zeros = DmaBuffer::new(MAX_WRITE_BLOCKS * BLOCK)?;
        Some(Arc::new(SharedContent { duplicates, zeros }))
    }

    /// Changes a word of the duplicates, even while others write it to a bdev.
    fn change(&self, word: usize, value: u64) {
        let words = NonNull::new(self.duplicates.as_ptr().cast::<u64>()).expect("memory has an address");
        assert!(word < (DUPLICATE_CONTENTS as usize + MAX_WRITE_BLOCKS) * BLOCK / 8, "a word of the pool");
        // SAFETY: the word is inside the pool, which is 4 KiB-aligned and lives as long as `self`; jobs never make
        // references to it, and store to it only atomically.
        unsafe { AtomicU64::from_ptr(words.as_ptr().add(word)) }.store(value, Ordering::Relaxed);
    }
}

/// Number of the next run in this process.
static NEXT_RUN: AtomicU64 = AtomicU64::new(1);

/// A run's number, unique in the process.
pub(super) fn new_run() -> u64 {
    NEXT_RUN.fetch_add(1, Ordering::Relaxed)
}

/// Gives each write of a job its data.
#[derive(Debug)]
pub(super) struct Source {
    content: Content,
    shared: Arc<SharedContent>,
    random: Random,
    serial: u64,
    run: u64,
}

impl Source {
    pub(super) fn new(content: Content, shared: Arc<SharedContent>, job: u64, run: u64) -> Source {
        let random = Random::new(run << 8 | job);
        Source { content, shared, random, serial: job << 56, run }
    }

    /// The data for a write of `blocks` blocks at `lbn`: `own`, stamped, or shared content.
    ///
    /// # Safety
    /// `own` points to `blocks` blocks, 8-byte-aligned, that nobody else uses now; `blocks` is at most
    /// [`MAX_WRITE_BLOCKS`].
    #[inline]
    pub(super) unsafe fn data(&mut self, own: *mut u8, lbn: u64, blocks: u32) -> *mut u8 {
        match self.content {
            Content::Zero => self.shared.zeros.as_ptr(),
            Content::Changing => {
                for _ in 0..2 {
                    let block = self.random.below(CHANGING_CONTENTS + u64::from(blocks));
                    let word = (block as usize * BLOCK / 8) + (self.random.below(CHANGED_WORDS) as usize) * 211;
                    self.shared.change(word, self.random.below(2));
                }
                let offset = self.random.below(CHANGING_CONTENTS) as usize * BLOCK;
                self.shared.duplicates.as_ptr().wrapping_add(offset)
            }
            Content::Duplicate(percent) if self.random.below(100) < u64::from(percent) => {
                let offset = self.random.below(DUPLICATE_CONTENTS) as usize * BLOCK;
                self.shared.duplicates.as_ptr().wrapping_add(offset)
            }
            Content::Duplicate(_) | Content::Unique | Content::Compressible(_) => {
                for index in 0..u64::from(blocks) {
                    self.serial += 1;
                    let words = [lbn + index, self.serial, self.run];
                    // SAFETY: the caller vouches for `blocks` blocks from `own` on, each longer than a stamp, aligned,
                    // and used by nobody else.
                    unsafe { own.add(index as usize * BLOCK).cast::<[u64; STAMP_WORDS]>().write(words) };
                }
                own
            }
        }
    }
}

/// Zeros the last `percent` percent of each sector.
pub fn make_compressible(bytes: &mut [u8], percent: u8) {
    for sector in bytes.chunks_mut(engine::SECTOR_SIZE) {
        let kept = sector.len() * (100 - usize::from(percent.min(100))) / 100;
        sector[kept..].fill(0);
    }
}

/// Looks for the first wrong stamp among `blocks` blocks at `data`, of which `lbn` is the first: returns the block and
/// the number found there.
///
/// # Safety
/// `data` points to `blocks` blocks, 8-byte-aligned, that nobody writes to now.
#[inline]
pub(super) unsafe fn wrong_stamp(data: *const u8, lbn: u64, blocks: u32) -> Option<(u64, u64)> {
    for index in 0..u64::from(blocks) {
        // SAFETY: the caller vouches for `blocks` aligned, initialised blocks from `data` on.
        let found = unsafe { data.add(index as usize * BLOCK).cast::<u64>().read() };
        if found != lbn + index {
            return Some((lbn + index, found));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sector_ends_with_so_many_zeros() {
        let mut bytes = [7; 1024];
        make_compressible(&mut bytes, 65);
        for sector in bytes.chunks(512) {
            assert!(sector[..179].iter().all(|&byte| byte == 7) && sector[179..].iter().all(|&byte| byte == 0));
        }
        make_compressible(&mut bytes, 0);
        assert_eq!(bytes[178], 7);
    }
}
