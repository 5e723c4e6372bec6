// SPDX-License-Identifier: BSD-3-Clause

//! Sparse bytes: what is written of a large virtual area, block by block. The rest is garbage.

use std::collections::BTreeMap;

use engine::{Block, BLOCK_SIZE};

/// What bytes show that were never written.
const GARBAGE: u8 = 0xdd;

/// An area of any size.
#[derive(Debug, Clone, Default)]
pub struct Area(BTreeMap<u64, Box<Block>>);

impl Area {
    /// Reads from byte `at` on.
    pub fn read(&self, at: u64, target: &mut [u8]) {
        each_block(at, target.len(), |block, inside, part| match self.0.get(&block) {
            Some(bytes) => target[part].copy_from_slice(&bytes[inside]),
            None => target[part].fill(GARBAGE),
        });
    }

    /// Writes from byte `at` on.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        each_block(at, bytes.len(), |block, inside, part| {
            let block = self.0.entry(block).or_insert_with(|| Box::new([GARBAGE; BLOCK_SIZE]));
            block[inside].copy_from_slice(&bytes[part]);
        });
    }

    /// A whole block; none if nothing of it was ever written.
    #[must_use]
    pub fn block(&self, number: u64) -> Option<&Block> {
        self.0.get(&number).map(|block| &**block)
    }

    /// Flips bits of one byte.
    pub fn flip(&mut self, at: u64, bits: u8) {
        let mut byte = [0];
        self.read(at, &mut byte);
        self.write(at, &[byte[0] ^ bits]);
    }
}

/// Cuts a range of bytes at block boundaries: of each part, its block, its place there, and its place in the range.
fn each_block(at: u64, count: usize, mut visit: impl FnMut(u64, core::ops::Range<usize>, core::ops::Range<usize>)) {
    let mut done = 0;
    while done < count {
        let from = at + done as u64;
        let start = (from % BLOCK_SIZE as u64) as usize;
        let length = (BLOCK_SIZE - start).min(count - done);
        visit(from / BLOCK_SIZE as u64, start..start + length, done..done + length);
        done += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_rest_is_garbage() {
        let mut area = Area::default();
        area.write(4096 - 512, &[7; 1024]);
        let mut seen = [0; 2048];
        area.read(4096 - 1024, &mut seen);
        assert_eq!(seen[..512], [GARBAGE; 512]);
        assert_eq!(seen[512..1536], [7; 1024]);
        assert_eq!(seen[1536..], [GARBAGE; 512]);
        area.flip(4096, 1);
        assert_eq!(area.block(1).expect("written")[..2], [6, 7]);
        assert!(area.block(2).is_none());
    }
}
