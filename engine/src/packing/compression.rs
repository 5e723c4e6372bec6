// SPDX-License-Identifier: BSD-3-Clause

//! LZ4 of single blocks: the output is a fragment of a compressed block.
//!
//! Invariants: [`decompress`] restores exactly the block from a fragment that [`Compressor::compress`] produced;
//! [`decompress`] accepts any bytes, and yields 4096 bytes or an error. Nothing is allocated after [`Compressor::new`].
//!
//! Compression is the most expensive step of a write, and wasted on data that is already compressed or encrypted. So a
//! block is sampled first: among [`SAMPLES`] bytes of such data nearly all byte values are equally likely, which gives
//! about 101 different ones (standard deviation 4); machine code has some 60, text some 40. From [`INCOMPRESSIBLE`]
//! different values on, the block is taken to be incompressible. This misses data whose single bytes look random but
//! that repeats within the block.
//!
//! Differs from dm-vdo: a fragment larger than [`MAX_FRAGMENT`] is not used, because nearly nothing fits beside it.

use lz4_flex::block::{compress_into_with_table, decompress_into, get_maximum_output_size, CompressTable};
use thiserror::Error;

use crate::format::compressed_block::Fragments;
use crate::units::{Block, BLOCK_SIZE};

/// Largest fragment worth keeping, in bytes.
pub const MAX_FRAGMENT: usize = BLOCK_SIZE / 16 * 15;

/// Bytes of a block that are sampled before it is compressed.
pub const SAMPLES: usize = 128;

/// Number of different values in the sample from which on a block looks incompressible.
pub const INCOMPRESSIBLE: u32 = 94;

/// Size of the output buffer: the encoder asks for it whatever it needs in the end.
const ROOM: usize = get_maximum_output_size(BLOCK_SIZE);

/// The bytes are not a valid fragment of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the bytes are not the fragment of a 4096-byte block")]
pub struct InvalidFragment;

/// Compresses blocks, one at a time, and keeps the last fragment.
pub struct Compressor {
    table: CompressTable,
    output: Box<[u8; ROOM]>,
    len: usize,
}

impl core::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Compressor with a fragment of {} bytes", self.len)
    }
}

impl Default for Compressor {
    fn default() -> Compressor {
        Compressor::new()
    }
}

impl Compressor {
    /// A compressor; it uses 12 KiB of memory.
    #[must_use]
    pub fn new() -> Compressor {
        Compressor { table: CompressTable::small(), output: Box::new([0; ROOM]), len: 0 }
    }

    /// Compresses a block. Returns the fragment's size in bytes, 1 to [`MAX_FRAGMENT`]; `None` when the block looks
    /// incompressible, or its fragment is too large.
    pub fn compress(&mut self, block: &Block) -> Option<usize> {
        self.len = 0;
        if looks_incompressible(block) {
            return None;
        }
        let size = compress_into_with_table(block, &mut self.output[..], &mut self.table).ok()?;
        if size > MAX_FRAGMENT {
            return None;
        }
        self.len = size;
        Some(size)
    }

    /// The fragment compressed last; empty if that block was not compressible.
    #[must_use]
    pub fn fragment(&self) -> &[u8] {
        &self.output[..self.len]
    }
}

/// Restores the block from its fragment.
///
/// # Errors
/// [`InvalidFragment`] when the bytes are not LZ4, or not of exactly 4096 bytes; `block` then holds garbage.
pub fn decompress(fragment: &[u8], block: &mut Block) -> Result<(), InvalidFragment> {
    match decompress_into(fragment, block) {
        Ok(BLOCK_SIZE) => Ok(()),
        _ => Err(InvalidFragment),
    }
}

/// Restores the block whose fragment is in a slot of a compressed block.
///
/// # Errors
/// [`InvalidFragment`] when `container` is not a compressed block, has no such slot, or its fragment is invalid.
pub fn extract(container: &Block, slot: u8, block: &mut Block) -> Result<(), InvalidFragment> {
    let fragment = Fragments::decode(container).and_then(|fragments| fragments.get(slot));
    decompress(fragment.map_err(|_| InvalidFragment)?, block)
}

/// Whether a sample of a block looks as if drawn from all byte values alike. The distance between the samples varies,
/// so that they do not all fall into the same field of an array.
fn looks_incompressible(block: &Block) -> bool {
    const STRIDE: usize = BLOCK_SIZE / SAMPLES;
    let mut seen = [0u64; 4];
    for (number, chunk) in block.chunks_exact(STRIDE).enumerate() {
        let value = chunk[number * 7 % STRIDE];
        seen[usize::from(value >> 6)] |= 1 << (value & 63);
    }
    seen.iter().map(|word| word.count_ones()).sum::<u32>() >= INCOMPRESSIBLE
}

#[cfg(test)]
mod tests {
    use mpool::testing::Random;

    use super::*;

    /// A block with `random_bytes` of 4096 bytes random, the others a pattern.
    fn block(random: &mut Random, random_bytes: usize) -> Block {
        let mut block = [0; BLOCK_SIZE];
        let pattern = random.draw() as u8;
        for (at, byte) in block.iter_mut().enumerate() {
            *byte = if at < random_bytes { (random.draw() >> 8) as u8 } else { pattern ^ (at % 17) as u8 };
        }
        block
    }

    /// vdo-94, partly: whatever compresses comes back byte by byte, and the size follows the content.
    #[test]
    fn fragments_come_back() {
        let (mut random, mut compressor) = (Random::new(1), Compressor::new());
        let mut last = 0;
        for share in 0..=14 {
            let random_bytes = share * BLOCK_SIZE / 16;
            for _ in 0..20 {
                let original = block(&mut random, random_bytes);
                let Some(size) = compressor.compress(&original) else {
                    assert!(share > 11, "{share} sixteenths of random bytes");
                    continue;
                };
                assert_eq!(size, compressor.fragment().len());
                assert!(size > random_bytes && size < random_bytes + 300, "{size} bytes for {random_bytes}");
                last = size;
                let mut restored = [0xaa; BLOCK_SIZE];
                decompress(compressor.fragment(), &mut restored).unwrap();
                assert_eq!(restored, original);
            }
        }
        assert!(last > BLOCK_SIZE / 2);
    }

    /// vdo-94, partly: random data is refused, nearly always without trying.
    #[test]
    fn random_data_is_not_compressed() {
        let (mut random, mut compressor) = (Random::new(2), Compressor::new());
        let mut noticed = 0;
        for _ in 0..1000 {
            let original = block(&mut random, BLOCK_SIZE);
            noticed += u32::from(looks_incompressible(&original));
            assert_eq!(compressor.compress(&original), None);
            assert!(compressor.fragment().is_empty());
        }
        assert!(noticed > 930, "only {noticed} of 1000");
    }

    /// The sample does not reject data that compresses: text, machine words, data with a random half.
    #[test]
    fn compressible_data_is_not_refused_early() {
        let mut random = Random::new(3);
        let text = include_bytes!("compression.rs");
        for start in (0..text.len() - BLOCK_SIZE).step_by(100) {
            let block: &Block = text[start..start + BLOCK_SIZE].try_into().unwrap();
            assert!(!looks_incompressible(block));
        }
        for _ in 0..1000 {
            assert!(!looks_incompressible(&block(&mut random, BLOCK_SIZE / 2)));
            let mut words = [0; BLOCK_SIZE];
            for word in words.chunks_exact_mut(8) {
                word.copy_from_slice(&(random.draw() & 0xffff_ffff).to_le_bytes());
            }
            assert!(!looks_incompressible(&words), "an array of 32-bit numbers in 64 bits");
        }
    }

    /// Any bytes are accepted, and a damaged fragment yields a whole block or an error, nothing else.
    #[test]
    fn hostile_fragments_are_refused_or_give_a_block() {
        let (mut random, mut compressor) = (Random::new(4), Compressor::new());
        let mut out = [0; BLOCK_SIZE];
        assert_eq!(decompress(&[], &mut out), Err(InvalidFragment));
        let mut refused = 0;
        for round in 0..20_000 {
            let mut bytes = [0; 600];
            let len = (random.draw() % 600) as usize;
            bytes.iter_mut().for_each(|byte| *byte = (random.draw() >> 8) as u8);
            refused += u32::from(decompress(&bytes[..len], &mut out).is_err());
            if round % 10 == 0 {
                let original = block(&mut random, 800);
                compressor.compress(&original).unwrap();
                let mut damaged = compressor.fragment().to_vec();
                let at = random.draw() as usize % damaged.len();
                damaged[at] ^= 1 << (random.draw() % 8);
                let _ = decompress(&damaged, &mut out);
                damaged.truncate(at);
                assert_eq!(decompress(&damaged, &mut out), Err(InvalidFragment), "cut at {at}");
            }
        }
        assert!(refused > 19_000);
    }
}
