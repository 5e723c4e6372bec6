// SPDX-License-Identifier: BSD-3-Clause

//! What is written, 512-byte sector by sector, so that any sector tells where it belongs and when it was written.
//!
//! ```text
//!  off size
//!    0    8  magic: one for unique content, one for duplicates
//!    8    8  sector of the namespace; of a duplicate, its sector within a 4 KiB block
//!   16    8  generation: number of the request; of a duplicate, its class
//!   24    8  seed
//!   32  480  random bytes of the seed and the three above
//! ```
//! All numbers are little-endian. Duplicates name neither place nor request: their blocks are equal wherever they
//! lie, which is what a deduplicating volume is to find out. A sector of zeros is content too.

use mpool::testing::mix;

/// Bytes of a sector.
pub(super) const SECTOR_BYTES: usize = 512;
/// Bytes of a block, the unit in which content repeats.
pub(super) const BLOCK_BYTES: usize = 4096;
/// Sectors of a block.
pub(super) const BLOCK_SECTORS: u64 = (BLOCK_BYTES / SECTOR_BYTES) as u64;

const UNIQUE: u64 = u64::from_le_bytes(*b"unique\xd5\x01");
const DUPLICATE: u64 = u64::from_le_bytes(*b"twin\xd5\x02\x03\x04");
const HEADER_BYTES: usize = 32;

/// What a sector holds; where it lies is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Zeros.
    Zero,
    /// Content of this place and request only.
    Unique {
        /// Number of the request.
        generation: u64,
    },
    /// Content that other blocks have too.
    Duplicate {
        /// Which.
        class: u64,
    },
}

/// A sector that holds nothing that belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strange {
    /// No header.
    Garbage,
    /// A good header of the right place, and other bytes than it promises.
    Torn(Content),
    /// Content of another sector.
    Misplaced {
        /// Which.
        sector: u64,
        /// Number of the request.
        generation: u64,
    },
    /// Content of another run.
    Foreign {
        /// Its seed.
        seed: u64,
    },
}

impl std::fmt::Display for Content {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Content::Zero => write!(formatter, "zeros"),
            Content::Unique { generation } => write!(formatter, "unique content of request {generation}"),
            Content::Duplicate { class } => write!(formatter, "duplicate {class}"),
        }
    }
}

impl std::fmt::Display for Strange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Strange::Garbage => write!(formatter, "garbage"),
            Strange::Torn(content) => write!(formatter, "{content}, but only in part"),
            Strange::Misplaced { sector, generation } => {
                write!(formatter, "content of sector {sector}, request {generation}")
            }
            Strange::Foreign { seed } => write!(formatter, "content of a run with seed {seed}"),
        }
    }
}

/// Writes content; `bytes` are whole sectors, the first of which is `sector`.
pub(super) fn fill(bytes: &mut [u8], content: Content, seed: u64, sector: u64) {
    for (bytes, sector) in bytes.chunks_exact_mut(SECTOR_BYTES).zip(sector..) {
        match content {
            Content::Zero => bytes.fill(0),
            Content::Unique { generation } => fill_sector(bytes, [UNIQUE, sector, generation, seed]),
            Content::Duplicate { class } => fill_sector(bytes, [DUPLICATE, sector % BLOCK_SECTORS, class, seed]),
        }
    }
}

fn fill_sector(bytes: &mut [u8], header: [u64; 4]) {
    let (head, payload) = bytes.split_at_mut(HEADER_BYTES);
    for (place, word) in head.chunks_exact_mut(8).zip(header) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    for (place, word) in payload.chunks_exact_mut(8).zip(payload_of(header)) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

/// The words after the header.
fn payload_of(header: [u64; 4]) -> impl Iterator<Item = u64> {
    let key = header.into_iter().fold(0, |key, word| mix(key ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15));
    (1..).map(move |at: u64| mix(key ^ at << 32))
}

/// What the sector `sector` holds.
pub(super) fn recognise(bytes: &[u8], seed: u64, sector: u64) -> Result<Content, Strange> {
    let mut header = [0; 4];
    for (word, place) in header.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = place.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    }
    let [magic, place, number, of_seed] = header;
    let (content, expected_place) = match magic {
        0 if bytes.iter().all(|&byte| byte == 0) => return Ok(Content::Zero),
        UNIQUE => (Content::Unique { generation: number }, sector),
        DUPLICATE => (Content::Duplicate { class: number }, sector % BLOCK_SECTORS),
        _ => return Err(Strange::Garbage),
    };
    if of_seed != seed {
        return Err(Strange::Foreign { seed: of_seed });
    }
    if place != expected_place {
        return Err(Strange::Misplaced { sector: place, generation: number });
    }
    let payload = bytes[HEADER_BYTES..].chunks_exact(8);
    if payload.zip(payload_of(header)).all(|(place, word)| *place == word.to_le_bytes()) {
        Ok(content)
    } else {
        Err(Strange::Torn(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: [Content; 3] = [Content::Zero, Content::Unique { generation: 7 }, Content::Duplicate { class: 3 }];

    #[test]
    fn content_is_recognised_and_every_byte_counts() {
        for content in CONTENTS {
            let mut bytes = [1; BLOCK_BYTES];
            fill(&mut bytes, content, 5, 80);
            for (sector, bytes) in (80..).zip(bytes.chunks_exact_mut(SECTOR_BYTES)) {
                assert_eq!(recognise(bytes, 5, sector), Ok(content));
                for at in 0..SECTOR_BYTES {
                    bytes[at] ^= 1;
                    assert!(recognise(bytes, 5, sector).is_err(), "{content}, byte {at}");
                    bytes[at] ^= 1;
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let mut bytes = [0; SECTOR_BYTES];
        fill(&mut bytes, CONTENTS[1], 5, 80);
        assert_eq!(recognise(&bytes, 5, 81), Err(Strange::Misplaced { sector: 80, generation: 7 }));
        assert_eq!(recognise(&bytes, 6, 80), Err(Strange::Foreign { seed: 5 }));
        bytes[511] ^= 1;
        assert_eq!(recognise(&bytes, 5, 80), Err(Strange::Torn(CONTENTS[1])));
        assert_eq!(recognise(&[9; SECTOR_BYTES], 5, 80), Err(Strange::Garbage));
    }

    #[test]
    fn only_duplicates_are_equal_in_other_places() {
        let block = |content, sector| {
            let mut bytes = [0; BLOCK_BYTES];
            fill(&mut bytes, content, 5, sector);
            bytes
        };
        assert_eq!(block(CONTENTS[2], 0), block(CONTENTS[2], 64));
        assert_ne!(block(CONTENTS[2], 0), block(Content::Duplicate { class: 4 }, 0));
        assert_ne!(block(CONTENTS[1], 0), block(CONTENTS[1], 64));
        let whole = block(CONTENTS[2], 0);
        assert_ne!(whole[..SECTOR_BYTES], whole[SECTOR_BYTES..2 * SECTOR_BYTES]);
    }
}
