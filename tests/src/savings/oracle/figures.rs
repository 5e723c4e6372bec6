// SPDX-License-Identifier: BSD-3-Clause

//! What some blocks need at least.

use ::tests::measure::Record;

use super::census::{BlockNumber, Census};
use super::packing::{first_fit_decreasing, Container};

/// What some blocks need at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Blocks, zeros included.
    pub blocks: u64,
    /// Blocks of zeros.
    pub zero_blocks: u64,
    /// Different contents, zeros not counted.
    pub unique_blocks: u64,
    /// Sum of their LZ4 sizes, each at most a block.
    pub lz4_bytes: u64,
    /// Blocks that these sizes need, by first-fit decreasing.
    pub packed_blocks: u64,
    /// Blocks that first-fit decreasing needs with the engine's choice of what to compress and its containers.
    pub packed_blocks_of_engine: u64,
}

impl Figures {
    /// The figures of some blocks of a census.
    pub fn of(census: &Census, blocks: impl Iterator<Item = BlockNumber>) -> Figures {
        let mut figures = Figures::default();
        let mut is_there = vec![false; census.contents()];
        let (mut sizes, mut engine_sizes) = (Vec::new(), Vec::new());
        for block in blocks {
            figures.blocks += 1;
            let Some(content) = census.content(block) else {
                figures.zero_blocks += 1;
                continue;
            };
            if !std::mem::replace(&mut is_there[content.0 as usize], true) {
                sizes.push(census.lz4_bytes(content));
                engine_sizes.push(census.engine_bytes(content));
            }
        }
        figures.unique_blocks = sizes.len() as u64;
        figures.lz4_bytes = sizes.iter().map(|&size| u64::from(size)).sum();
        figures.packed_blocks = first_fit_decreasing(Container::IDEAL, &sizes);
        figures.packed_blocks_of_engine = first_fit_decreasing(Container::ENGINE, &engine_sizes);
        figures
    }

    /// The figures of all blocks of a census.
    pub fn of_all(census: &Census) -> Figures {
        Figures::of(census, (0..census.len()).map(BlockNumber))
    }

    /// Blocks that must be stored somewhere, were there no duplicates.
    pub fn data_blocks(&self) -> u64 {
        self.blocks - self.zero_blocks
    }

    /// Blocks that the oracle uses.
    pub fn needed_blocks(&self, compression: bool) -> u64 {
        if compression {
            self.packed_blocks
        } else {
            self.unique_blocks
        }
    }

    /// What a device that uses `used_blocks` saves, in percent of what the oracle saves. Zeros count for neither.
    pub fn percent_of_savings(&self, used_blocks: u64, compression: bool) -> f64 {
        let saved = self.data_blocks() as f64 - used_blocks as f64;
        let possible = self.data_blocks() - self.needed_blocks(compression);
        if possible == 0 {
            return 100.0;
        }
        saved * 100.0 / possible as f64
    }

    /// A row with these figures.
    pub fn add_to(&self, record: Record) -> Record {
        record
            .with("blocks", self.blocks)
            .with("zero_blocks", self.zero_blocks)
            .with("unique_blocks", self.unique_blocks)
            .with("lz4_bytes", self.lz4_bytes)
            .with("packed_blocks", self.packed_blocks)
            .with("packed_blocks_of_engine", self.packed_blocks_of_engine)
    }
}

#[cfg(test)]
mod tests {
    use super::super::census::BLOCK_BYTES;
    use super::*;

    #[test]
    fn contents_count_once_and_zeros_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("image");
        // Blocks of one byte's value compress to some twenty bytes.
        let bytes: Vec<u8> = [1u8, 0, 2, 1, 1, 0, 3].iter().flat_map(|&value| [value; BLOCK_BYTES]).collect();
        std::fs::write(&path, bytes).expect("write");
        let mut census = Census::new();
        census.take(&path).expect("reads");
        let figures = Figures::of_all(&census);
        assert_eq!((figures.blocks, figures.zero_blocks, figures.unique_blocks), (7, 2, 3));
        assert_eq!((figures.packed_blocks, figures.packed_blocks_of_engine), (1, 1));
        assert!(figures.lz4_bytes < 120);
        let some = Figures::of(&census, [0, 3, 4, 1].map(BlockNumber).into_iter());
        assert_eq!((some.blocks, some.zero_blocks, some.unique_blocks), (4, 1, 1));
    }

    #[test]
    fn savings_are_compared_without_zeros() {
        let figures = Figures {
            blocks: 120,
            zero_blocks: 20,
            unique_blocks: 50,
            lz4_bytes: 100_000,
            packed_blocks: 20,
            packed_blocks_of_engine: 21,
        };
        assert_eq!(figures.percent_of_savings(50, false), 100.0);
        assert_eq!(figures.percent_of_savings(75, false), 50.0);
        assert_eq!(figures.percent_of_savings(20, true), 100.0);
        assert_eq!(figures.percent_of_savings(60, true), 50.0);
        assert_eq!(figures.percent_of_savings(110, false), -20.0);
        let nothing_to_save = Figures { unique_blocks: 100, ..figures };
        assert_eq!(nothing_to_save.percent_of_savings(100, false), 100.0);
    }
}
