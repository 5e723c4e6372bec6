// SPDX-License-Identifier: BSD-3-Clause

//! The content of a virtual disk: sparse, and cheap to copy, because a campaign copies it for every power cut.
//!
//! Pages of 4 KiB are shared between copies until one of them changes. What was never written is garbage that depends
//! on the image's seed and the place, never zeros: a decoder that takes fresh space for empty space is found out.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use super::random::mix;

/// Bytes in a sector that is written or lost as a whole.
pub const ATOM: usize = 512;

/// Bytes in a shared page.
pub const PAGE: usize = 4096;

/// Pages that are shared together.
const CHUNK: usize = 256;

/// What a discarded range reads as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filler {
    /// Zeros.
    Zeros,
    /// Garbage that depends on a seed.
    Garbage(u64),
    /// What was there before.
    Old,
    /// One of the others, page by page, by a seed.
    Mixed(u64),
}

impl Filler {
    /// What one page of a discarded range becomes.
    fn of_page(self, page: u64) -> Filler {
        let Filler::Mixed(seed) = self else { return self };
        match mix(seed ^ mix(page)) % 3 {
            0 => Filler::Zeros,
            1 => Filler::Garbage(seed),
            _ => Filler::Old,
        }
    }
}

#[derive(Clone)]
enum Page {
    Garbage(u64),
    Zeros,
    Data(Rc<[u8; PAGE]>),
}

impl Page {
    fn read(&self, page: u64, from: usize, target: &mut [u8]) {
        match self {
            Page::Zeros => target.fill(0),
            Page::Data(bytes) => target.copy_from_slice(&bytes[from..from + target.len()]),
            Page::Garbage(seed) => fill_garbage(*seed, page * PAGE as u64 + from as u64, target),
        }
    }
}

/// Garbage of `at`, a multiple of [`ATOM`], and what follows. Only the first words of a sector are its own, the rest
/// is one of a few patterns: a recovery reads much of it.
fn fill_garbage(seed: u64, at: u64, target: &mut [u8]) {
    const PATTERNS: u64 = 16;
    static TABLE: std::sync::LazyLock<Vec<[u8; ATOM]>> = std::sync::LazyLock::new(|| {
        let byte = |pattern: u64, at: usize| (mix(pattern << 32 | at as u64) & 0xff) as u8;
        (0..PATTERNS).map(|pattern| std::array::from_fn(|at| byte(pattern, at))).collect()
    });
    for (sector, part) in (at / ATOM as u64..).zip(target.chunks_mut(ATOM)) {
        let drawn = mix(seed ^ sector.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        part.copy_from_slice(&TABLE[(drawn % PATTERNS) as usize][..part.len()]);
        for (place, word) in (1..).zip(part.chunks_mut(8).take(8)) {
            word.copy_from_slice(&mix(drawn ^ place).to_le_bytes()[..word.len()]);
        }
    }
}

/// The content of a disk of any size.
#[derive(Clone)]
pub struct Image {
    /// What was never written.
    blank: Page,
    chunks: BTreeMap<u64, Rc<[Page; CHUNK]>>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image with {} chunks", self.chunks.len())
    }
}

impl Image {
    /// A disk that was never written. Where it is read it shows garbage of `seed`.
    #[must_use]
    pub const fn unwritten(seed: u64) -> Image {
        Image { blank: Page::Garbage(seed), chunks: BTreeMap::new() }
    }

    /// A disk full of zeros.
    #[must_use]
    pub const fn zeros() -> Image {
        Image { blank: Page::Zeros, chunks: BTreeMap::new() }
    }

    /// Reads from `at`, a multiple of [`ATOM`].
    pub fn read(&self, at: u64, target: &mut [u8]) {
        let mut done = 0;
        for (page, range) in pages(at, target.len() as u64) {
            let part = &mut target[done..done + range.len()];
            self.page(page).read(page, range.start, part);
            done += range.len();
        }
    }

    fn page(&self, page: u64) -> &Page {
        self.chunks.get(&(page / CHUNK as u64)).map_or(&self.blank, |chunk| &chunk[(page % CHUNK as u64) as usize])
    }

    /// A page, if any of it was written.
    #[must_use]
    pub fn written_page(&self, page: u64) -> Option<&[u8; PAGE]> {
        match self.page(page) {
            Page::Data(bytes) => Some(bytes),
            Page::Garbage(_) | Page::Zeros => None,
        }
    }

    /// The bytes from `at` on.
    #[must_use]
    pub fn bytes(&self, at: u64, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.read(at, &mut bytes);
        bytes
    }

    /// Writes from `at` on.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        let mut done = 0;
        for (page, range) in pages(at, bytes.len() as u64) {
            let part = &bytes[done..done + range.len()];
            done += range.len();
            self.data(page)[range].copy_from_slice(part);
        }
    }

    /// Flips bits of one byte.
    pub fn flip(&mut self, at: u64, bits: u8) {
        self.data(at / PAGE as u64)[(at % PAGE as u64) as usize] ^= bits;
    }

    /// Discards from `at` on.
    pub fn fill(&mut self, at: u64, count: u64, filler: Filler) {
        for (page, range) in pages(at, count) {
            let filler = filler.of_page(page);
            if filler == Filler::Old {
                continue;
            }
            if range.len() == PAGE {
                *self.slot(page) = if let Filler::Garbage(seed) = filler { Page::Garbage(seed) } else { Page::Zeros };
                continue;
            }
            let at = page * PAGE as u64 + range.start as u64;
            let target = &mut self.data(page)[range];
            match filler {
                Filler::Garbage(seed) => fill_garbage(seed, at, target),
                _ => target.fill(0),
            }
        }
    }

    fn slot(&mut self, page: u64) -> &mut Page {
        let blank = &self.blank;
        let fresh = || Rc::new(std::array::from_fn(|_| blank.clone()));
        let chunk = self.chunks.entry(page / CHUNK as u64).or_insert_with(fresh);
        &mut Rc::make_mut(chunk)[(page % CHUNK as u64) as usize]
    }

    fn data(&mut self, page: u64) -> &mut [u8; PAGE] {
        let slot = self.slot(page);
        if !matches!(slot, Page::Data(_)) {
            let mut bytes = [0; PAGE];
            slot.read(page, 0, &mut bytes);
            *slot = Page::Data(Rc::new(bytes));
        }
        match slot {
            Page::Data(bytes) => Rc::make_mut(bytes),
            Page::Garbage(_) | Page::Zeros => unreachable!("it was made data above"),
        }
    }
}

/// Cuts a range of bytes at page boundaries: of each part, the page and the range in it.
fn pages(at: u64, count: u64) -> impl Iterator<Item = (u64, Range<usize>)> {
    let (end, size) = (at + count, PAGE as u64);
    let pages = if count == 0 { 0..0 } else { at / size..end.div_ceil(size) };
    pages.map(move |page| {
        let start = page * size;
        (page, at.saturating_sub(start) as usize..(end - start).min(size) as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_written_is_garbage_that_stays() {
        let (one, other) = (Image::unwritten(1), Image::unwritten(2));
        let seen = one.bytes(8192, 1024);
        assert_eq!(seen, one.bytes(8192, 1024));
        assert_eq!(seen[512..], one.bytes(8704, 512));
        assert_ne!(seen, other.bytes(8192, 1024));
        assert!(seen.chunks(8).all(|word| word != [0; 8]));
        assert_ne!(seen[..512], seen[512..]);
    }

    #[test]
    fn writes_change_what_they_cover_and_no_copy() {
        let mut image = Image::unwritten(3);
        let before = image.clone();
        image.write(4096 - 512, &[7; 1024]);
        assert_eq!(image.bytes(4096 - 512, 1024), [7; 1024]);
        assert_eq!(image.bytes(0, 4096 - 512), before.bytes(0, 4096 - 512));
        assert_eq!(image.bytes(4608, 4096), before.bytes(4608, 4096));
        assert_ne!(before.bytes(4096, 512), [7; 512]);
    }

    #[test]
    fn discards_show_what_their_filler_says() {
        let mut image = Image::unwritten(3);
        image.write(0, &[7; 3 * PAGE]);
        image.fill(512, 2 * PAGE as u64, Filler::Zeros);
        assert_eq!(image.bytes(0, 512), [7; 512]);
        assert_eq!(image.bytes(512, 2 * PAGE), [0; 2 * PAGE]);
        assert_eq!(image.bytes(512 + 2 * PAGE as u64, 512), [7; 512]);
        image.fill(0, 4096, Filler::Old);
        assert_eq!(image.bytes(0, 512), [7; 512]);
        image.fill(0, 8192, Filler::Garbage(9));
        let (whole, part) = (image.bytes(0, 8192), image.bytes(1024, 512));
        assert_eq!(whole[1024..1536], part);
        assert_ne!(whole[..8], [7; 8]);
    }
}
