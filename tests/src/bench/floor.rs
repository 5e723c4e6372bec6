// SPDX-License-Identifier: BSD-3-Clause

//! The arithmetic floor: the steps that a request cannot do without, each timed alone on a reactor's core, and summed per case.
//!
//! Memory is as hot or cold here as it is for a request: the client's blocks are as many as queue depth 32 has (they
//! lie in the second-level cache), the base bdev's are anywhere in [`COLD_BYTES`] of huge pages. Consecutive steps
//! overlap in the processor as they would in a good batch, so the sum is a floor, not a forecast. Not in it: the bdev
//! layer, the load generator, the index probe, locks, reference counts, messages. For unmap it is one pass over
//! mappings with one reference count changed for each.

use std::fmt;
use std::hint::black_box;
use std::time::Instant;

use ::tests::measure::median;
use bdev_dedupe::load::{make_compressible, Content, DmaBuffer, Operation, Order};
use engine::fingerprint::{Fingerprinter, SECRET_BYTES};
use engine::packing::compression::{decompress, Compressor};
use engine::units::ENTRIES_PER_LEAF_PAGE;
use engine::{Block, BLOCK_SIZE};
use serde::Serialize;
use serde_json::Value;

use super::case::Case;

/// Memory for what lies in DRAM: many times the third-level cache of any core's share.
pub const COLD_BYTES: usize = 256 << 20;

/// Blocks that are hot.
const HOT_BLOCKS: usize = 32;

/// Of blocks that are compressed.
const COMPRESSIBLE: u8 = 65;

/// Blocks per timed round, and rounds; the median of the rounds counts.
const ROUND_BLOCKS: usize = 30_000;
const ROUNDS: usize = 7;

/// Time of each step for one block of 4 KiB, in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Steps {
    /// Fingerprint of a hot block.
    pub hash: f64,
    /// Fingerprint of a block in DRAM; no case needs it, shown for comparison.
    pub hash_cold: f64,
    /// Check code of a hot block.
    pub check: f64,
    /// Reading a hot block of zeros to its end.
    pub zero_scan: f64,
    /// Comparing two equal hot blocks.
    pub compare: f64,
    /// Copying a hot block to DRAM, behind the block copied before: new data goes where the allocator wants it.
    pub append_to_base: f64,
    /// Copying a hot block to DRAM, anywhere, as a raw bdev has to; no case needs it, shown for comparison.
    pub copy_to_base: f64,
    /// Copying a block in DRAM, anywhere, to a hot place.
    pub copy_from_base: f64,
    /// Copying a block in DRAM, behind the one copied before, to a hot place.
    pub stream_from_base: f64,
    /// Compressing a hot block that can be compressed by [`COMPRESSIBLE`] percent.
    pub compress: f64,
    /// Restoring such a block.
    pub decompress: f64,
    /// Clearing one mapping of a page that is cleared whole, and changing one reference count.
    pub unmap_entry: f64,
    /// Clearing one mapping anywhere, and changing one reference count.
    pub unmap_one: f64,
}

impl Steps {
    /// The smaller of each two: what else the machine does makes steps slower, never faster.
    #[must_use]
    pub fn least(self, other: Steps) -> Steps {
        Steps {
            hash: self.hash.min(other.hash),
            hash_cold: self.hash_cold.min(other.hash_cold),
            check: self.check.min(other.check),
            zero_scan: self.zero_scan.min(other.zero_scan),
            compare: self.compare.min(other.compare),
            append_to_base: self.append_to_base.min(other.append_to_base),
            copy_to_base: self.copy_to_base.min(other.copy_to_base),
            copy_from_base: self.copy_from_base.min(other.copy_from_base),
            stream_from_base: self.stream_from_base.min(other.stream_from_base),
            compress: self.compress.min(other.compress),
            decompress: self.decompress.min(other.decompress),
            unmap_entry: self.unmap_entry.min(other.unmap_entry),
            unmap_one: self.unmap_one.min(other.unmap_one),
        }
    }

    /// The floor of one request of a case.
    #[must_use]
    pub fn floor(&self, case: &Case) -> f64 {
        let blocks = f64::from(case.blocks);
        let unique = self.hash + self.check + self.append_to_base;
        let duplicate = self.hash + self.check + self.copy_from_base + self.compare;
        blocks
            * match case.operation {
                Operation::Write(Content::Unique | Content::Changing) => unique,
                Operation::Write(Content::Compressible(percent)) => {
                    let together = f64::from(100 / (100 - percent.min(99)));
                    self.hash + self.check + self.compress + self.append_to_base / together
                }
                Operation::Write(Content::Duplicate(percent)) => {
                    let part = f64::from(percent) / 100.0;
                    part * duplicate + (1.0 - part) * unique
                }
                Operation::Write(Content::Zero) => self.zero_scan + self.unmap_one,
                Operation::Read { .. } if matches!(case.before, Content::Compressible(_)) => {
                    self.copy_from_base + self.decompress + self.check
                }
                Operation::Read { .. } if case.order == Order::Sequential => self.stream_from_base + self.check,
                Operation::Read { .. } => self.copy_from_base + self.check,
                Operation::Unmap if case.blocks == 1 => self.unmap_one,
                Operation::Unmap => self.unmap_entry,
            }
    }
}

/// All steps with their nanoseconds.
impl fmt::Display for Steps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        let step = |(name, micros): (&String, &Value)| {
            format!("{} {:.1}", name.replace('_', " "), micros.as_f64().unwrap_or(f64::NAN) * 1e3)
        };
        let steps: Vec<_> = steps.as_object().into_iter().flatten().map(step).collect();
        formatter.write_str(&steps.join(", "))
    }
}

/// Memory to time the steps on.
#[derive(Debug)]
pub struct Floor {
    hot: DmaBuffer,
    /// Equal to `hot`.
    twin: DmaBuffer,
    bounce: DmaBuffer,
    cold: DmaBuffer,
    compressible: DmaBuffer,
    fingerprinter: Fingerprinter,
    state: u64,
}

fn as_blocks(bytes: &[u8]) -> &[Block] {
    bytes.as_chunks().0
}

fn as_blocks_mut(bytes: &mut [u8]) -> &mut [Block] {
    bytes.as_chunks_mut().0
}

/// All bits of a cache line.
fn or_line(line: &[u8; 64]) -> u64 {
    let words = line.as_chunks::<8>().0.iter();
    words.fold(0, |bits, word| bits | u64::from_ne_bytes(*word))
}

/// Microseconds that one of `count` items takes, if `work` does them all.
fn time(count: usize, mut work: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e6 / count as f64
    });
    median(rounds).unwrap_or_default()
}

/// A pseudo-random number below `bound`: xorshift64.
fn scatter(state: &mut u64, bound: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    ((u128::from(*state) * bound as u128) >> 64) as usize
}

impl Floor {
    /// Memory of the application, filled; `None` if there is too little.
    #[must_use]
    pub fn new() -> Option<Floor> {
        let mut compressible = DmaBuffer::random(HOT_BLOCKS * BLOCK_SIZE, 3)?;
        make_compressible(compressible.as_mut(), COMPRESSIBLE);
        Some(Floor {
            compressible,
            hot: DmaBuffer::random(HOT_BLOCKS * BLOCK_SIZE, 1)?,
            twin: DmaBuffer::random(HOT_BLOCKS * BLOCK_SIZE, 1)?,
            bounce: DmaBuffer::new(HOT_BLOCKS * BLOCK_SIZE)?,
            cold: DmaBuffer::random(COLD_BYTES, 2)?,
            fingerprinter: Fingerprinter::new([0x5a; SECRET_BYTES]),
            state: 88_172_645_463_325_252,
        })
    }

    /// Times all steps on the calling thread.
    pub fn measure(&mut self) -> Steps {
        Steps {
            hash: self.hash(false),
            hash_cold: self.hash(true),
            check: self.check(),
            zero_scan: self.zero_scan(),
            compare: self.compare(),
            append_to_base: self.copy_to_base(true),
            copy_to_base: self.copy_to_base(false),
            copy_from_base: self.copy_from_base(false),
            stream_from_base: self.copy_from_base(true),
            compress: self.compress(),
            decompress: self.decompress(),
            unmap_entry: unmap(ENTRIES_PER_LEAF_PAGE as usize),
            unmap_one: unmap(1),
        }
    }

    fn hash(&mut self, cold: bool) -> f64 {
        let blocks = as_blocks(if cold { self.cold.as_ref() } else { self.hot.as_ref() });
        time(ROUND_BLOCKS, || {
            for index in 0..ROUND_BLOCKS {
                let at = if cold { scatter(&mut self.state, blocks.len()) } else { index % HOT_BLOCKS };
                black_box(self.fingerprinter.fingerprint(&blocks[at]));
            }
        })
    }

    fn check(&mut self) -> f64 {
        let blocks = as_blocks(self.hot.as_ref());
        time(ROUND_BLOCKS, || {
            for index in 0..ROUND_BLOCKS {
                black_box(Fingerprinter::check_code(&blocks[index % HOT_BLOCKS]));
            }
        })
    }

    fn compress(&mut self) -> f64 {
        let blocks = as_blocks(self.compressible.as_ref());
        let mut compressor = Compressor::new();
        time(ROUND_BLOCKS, || {
            for index in 0..ROUND_BLOCKS {
                black_box(compressor.compress(&blocks[index % HOT_BLOCKS]));
            }
        })
    }

    fn decompress(&mut self) -> f64 {
        let mut compressor = Compressor::new();
        let blocks = as_blocks(self.compressible.as_ref());
        let fragments: Vec<Vec<u8>> = blocks
            .iter()
            .map(|block| {
                compressor.compress(block);
                compressor.fragment().to_vec()
            })
            .collect();
        let mut block = [0; BLOCK_SIZE];
        time(ROUND_BLOCKS, || {
            for index in 0..ROUND_BLOCKS {
                let restored = decompress(&fragments[index % HOT_BLOCKS], black_box(&mut block));
                assert!(restored.is_ok(), "made of a block");
            }
        })
    }

    fn zero_scan(&mut self) -> f64 {
        let zeros = [0; BLOCK_SIZE];
        time(ROUND_BLOCKS, || {
            for _ in 0..ROUND_BLOCKS {
                black_box(black_box(&zeros).as_chunks::<64>().0.iter().fold(0, |bits, line| bits | or_line(line)) == 0);
            }
        })
    }

    fn compare(&mut self) -> f64 {
        let (one, two) = (as_blocks(self.hot.as_ref()), as_blocks(self.twin.as_ref()));
        time(ROUND_BLOCKS, || {
            for index in 0..ROUND_BLOCKS {
                let at = index % HOT_BLOCKS;
                assert!(black_box(&one[at]) == black_box(&two[at]), "both were filled from one seed");
            }
        })
    }

    fn copy_to_base(&mut self, in_order: bool) -> f64 {
        let from = as_blocks(self.hot.as_ref());
        let to = as_blocks_mut(self.cold.as_mut());
        let mut place = Place::new(to.len(), in_order);
        time(ROUND_BLOCKS, || {
            for index in 0..ROUND_BLOCKS {
                to[place.next(&mut self.state)].copy_from_slice(black_box(&from[index % HOT_BLOCKS]));
            }
        })
    }

    fn copy_from_base(&mut self, in_order: bool) -> f64 {
        let from = as_blocks(self.cold.as_ref());
        let to = as_blocks_mut(self.bounce.as_mut());
        let mut place = Place::new(from.len(), in_order);
        time(ROUND_BLOCKS, || {
            for index in 0..ROUND_BLOCKS {
                to[index % HOT_BLOCKS].copy_from_slice(black_box(&from[place.next(&mut self.state)]));
            }
        })
    }
}

/// Walks over cold blocks.
struct Place {
    blocks: usize,
    in_order: bool,
    last: usize,
}

impl Place {
    fn new(blocks: usize, in_order: bool) -> Place {
        Place { blocks, in_order, last: 0 }
    }

    fn next(&mut self, state: &mut u64) -> usize {
        self.last = if self.in_order { (self.last + 1) % self.blocks } else { scatter(state, self.blocks) };
        self.last
    }
}

/// Runs of `run` mappings, which divides a page, in random order; for each mapping, a count somewhere in a table of one byte per block.
fn unmap(run: usize) -> f64 {
    const MAPPINGS: usize = 512 * ENTRIES_PER_LEAF_PAGE as usize;
    const PASSES: usize = 2;
    let (mut counts, mut state) = (vec![0u8; MAPPINGS], 1u64);
    let mut mappings: Vec<u64> = (0..MAPPINGS).map(|_| scatter(&mut state, MAPPINGS) as u64).collect();
    time(MAPPINGS * PASSES, || {
        for _ in 0..MAPPINGS * PASSES / run {
            let first = scatter(&mut state, MAPPINGS / run) * run;
            for mapping in &mut mappings[first..first + run] {
                let block = *mapping as usize;
                counts[block] = counts[block].wrapping_sub(1);
                // Not cleared in earnest: the next pass wants to find it again.
                *mapping = black_box(block as u64);
            }
        }
        black_box(&counts);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::case::CASES;

    #[test]
    fn floors_are_the_sums_of_their_steps() {
        let steps = Steps {
            hash: 1.0,
            hash_cold: 1000.0,
            check: 2.0,
            zero_scan: 4.0,
            compare: 8.0,
            append_to_base: 16.0,
            copy_to_base: 1000.0,
            copy_from_base: 32.0,
            stream_from_base: 256.0,
            compress: 512.0,
            decompress: 2048.0,
            unmap_entry: 64.0,
            unmap_one: 128.0,
        };
        let floor = |name: &str| steps.floor(CASES.iter().find(|case| case.name == name).expect("a case"));
        assert_eq!(floor("randwrite-unique"), 19.0);
        assert_eq!(floor("seqwrite-unique"), 16.0 * 19.0);
        assert_eq!(floor("randwrite-dup100"), 43.0);
        assert_eq!(floor("randwrite-dup50"), 31.0);
        assert_eq!(floor("randread"), 34.0);
        assert_eq!(floor("seqread"), 16.0 * 258.0);
        assert_eq!(floor("randwrite-zero"), 132.0);
        assert_eq!(floor("randwrite-compr65"), 523.0);
        assert_eq!(floor("randread-compr65"), 2082.0);
        assert_eq!(floor("randwrite-compr0"), 19.0, "looking at a block costs next to nothing");
        assert_eq!(floor("unmap-4k"), 128.0);
        assert_eq!(floor("unmap-page"), 504.0 * 64.0);
    }
}
