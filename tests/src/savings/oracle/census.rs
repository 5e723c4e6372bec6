// SPDX-License-Identifier: BSD-3-Clause

//! Which blocks of some files are equal, and how far each different content can be compressed.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use engine::packing::compression::Compressor;
use lz4_flex::block::{compress_into_with_table, get_maximum_output_size, CompressTable};
use thiserror::Error;

/// Bytes in a block.
pub const BLOCK_BYTES: usize = 4096;
const CHUNK_BLOCKS: usize = 256;

/// A block: blocks are numbered through all files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockNumber(pub u32);

/// A content other than zeros, numbered in the order of its first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentNumber(pub u32);

/// Why blocks could not be counted.
#[derive(Debug, Error)]
pub enum CensusError {
    /// A file.
    #[error("reading {}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There are more blocks than numbers.
    #[error("{}: more than 16 TiB in all", path.display())]
    TooLarge {
        /// The file that is too much.
        path: PathBuf,
    },
}

struct Source {
    path: PathBuf,
    file: File,
    first: usize,
}

struct Unique {
    first: BlockNumber,
    lz4_bytes: u16,
    engine_bytes: u16,
    /// Another content with the same hash.
    next: Option<ContentNumber>,
}

/// The blocks of some files. The files must not change while it lives: it reads them again to compare.
pub struct Census {
    sources: Vec<Source>,
    /// Nothing: zeros.
    blocks: Vec<Option<ContentNumber>>,
    contents: Vec<Unique>,
    by_hash: HashMap<u64, ContentNumber>,
    hash: fn(&[u8; BLOCK_BYTES]) -> u64,
    table: CompressTable,
    compressed: Vec<u8>,
    compressor: Compressor,
}

impl Census {
    /// No blocks.
    pub fn new() -> Census {
        Census::with_hash(hash)
    }

    /// Any hash will do, for it only says where to look: a poor one makes it slow.
    fn with_hash(hash: fn(&[u8; BLOCK_BYTES]) -> u64) -> Census {
        Census {
            sources: Vec::new(),
            blocks: Vec::new(),
            contents: Vec::new(),
            by_hash: HashMap::new(),
            hash,
            table: CompressTable::default(),
            compressed: vec![0; get_maximum_output_size(BLOCK_BYTES)],
            compressor: Compressor::new(),
        }
    }

    /// Takes all blocks of a file; what it lacks of a whole last block is zeros.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn take(&mut self, path: &Path) -> Result<(), CensusError> {
        let failed = |source| CensusError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let first = self.blocks.len();
        let count = bytes.div_ceil(BLOCK_BYTES as u64) as usize;
        if u32::try_from(first + count).is_err() {
            return Err(CensusError::TooLarge { path: path.to_owned() });
        }
        self.sources.push(Source { path: path.to_owned(), file, first });
        let mut chunk = vec![0; CHUNK_BLOCKS * BLOCK_BYTES];
        let mut done = 0;
        while done < count {
            let wanted = CHUNK_BLOCKS.min(count - done);
            let source = &self.sources[self.sources.len() - 1];
            read_padded(&source.file, &mut chunk[..wanted * BLOCK_BYTES], (done * BLOCK_BYTES) as u64)
                .map_err(failed)?;
            for block in chunk[..wanted * BLOCK_BYTES].as_chunks::<BLOCK_BYTES>().0 {
                let content = self.classify(block)?;
                self.blocks.push(content);
            }
            done += wanted;
        }
        Ok(())
    }

    /// How many blocks there are.
    pub fn len(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// What a block holds; nothing if that is zeros.
    pub fn content(&self, block: BlockNumber) -> Option<ContentNumber> {
        self.blocks[block.0 as usize]
    }

    /// Different contents, zeros not counted.
    pub fn contents(&self) -> usize {
        self.contents.len()
    }

    /// LZ4 size of a content, at most that of a block: larger ones are stored as they are.
    pub fn lz4_bytes(&self, content: ContentNumber) -> u16 {
        self.contents[content.0 as usize].lz4_bytes
    }

    /// Size of a content as the engine would store it: that of a block if it looks incompressible to it.
    pub fn engine_bytes(&self, content: ContentNumber) -> u16 {
        self.contents[content.0 as usize].engine_bytes
    }

    /// A block's bytes.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn read(&self, block: BlockNumber) -> Result<[u8; BLOCK_BYTES], CensusError> {
        let block = block.0 as usize;
        let source = &self.sources[self.sources.partition_point(|source| source.first <= block) - 1];
        let mut bytes = [0; BLOCK_BYTES];
        read_padded(&source.file, &mut bytes, ((block - source.first) * BLOCK_BYTES) as u64)
            .map_err(|error| CensusError::Read { path: source.path.clone(), source: error })?;
        Ok(bytes)
    }

    fn classify(&mut self, block: &[u8; BLOCK_BYTES]) -> Result<Option<ContentNumber>, CensusError> {
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let hash = (self.hash)(block);
        let head = self.by_hash.get(&hash).copied();
        let mut candidate = head;
        while let Some(content) = candidate {
            let unique = &self.contents[content.0 as usize];
            if self.read(unique.first)? == *block {
                return Ok(Some(content));
            }
            candidate = unique.next;
        }
        let content = ContentNumber(self.contents.len() as u32);
        let lz4_bytes = self.compress(block);
        let engine_bytes = self.compressor.compress(block).map_or(BLOCK_BYTES as u16, |bytes| bytes as u16);
        self.contents.push(Unique { first: BlockNumber(self.len()), lz4_bytes, engine_bytes, next: head });
        self.by_hash.insert(hash, content);
        Ok(Some(content))
    }

    fn compress(&mut self, block: &[u8; BLOCK_BYTES]) -> u16 {
        // The buffer is large enough for any block, so that it never fails.
        let bytes = compress_into_with_table(block, &mut self.compressed, &mut self.table).unwrap_or(BLOCK_BYTES);
        bytes.min(BLOCK_BYTES) as u16
    }
}

fn hash(block: &[u8; BLOCK_BYTES]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(block);
    hasher.finish()
}

/// Fills `bytes` from a place in a file, with zeros behind its end.
fn read_padded(file: &File, bytes: &mut [u8], mut at: u64) -> std::io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        let read = file.read_at(left, at)?;
        if read == 0 {
            left.fill(0);
            return Ok(());
        }
        at += read as u64;
        left = &mut left[read..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("write");
        path
    }

    /// Pseudo-random bytes.
    fn noise(seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut word = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..BLOCK_BYTES).map(|_| word()).collect()
    }

    #[test]
    fn equal_blocks_are_found_in_all_files() {
        let dir = tempfile::tempdir().expect("a directory");
        let (one, two, zeros) = (noise(1), noise(2), vec![0; BLOCK_BYTES]);
        let mut census = Census::new();
        census.take(&file(&dir, "a", &[&one[..], &zeros, &two, &one].concat())).expect("reads");
        // The last block is cut off: other data than the whole one.
        census.take(&file(&dir, "b", &[&two[..], &one[..100]].concat())).expect("reads");
        let contents: Vec<_> = (0..census.len()).map(|block| census.content(BlockNumber(block))).collect();
        let [first, second, third] = [0, 1, 2].map(|number| Some(ContentNumber(number)));
        assert_eq!(contents, [first, None, second, first, second, third]);
        assert_eq!(census.contents(), 3);
        assert_eq!(census.read(BlockNumber(3)).expect("reads")[..], one);
        let mut cut = one[..100].to_vec();
        cut.resize(BLOCK_BYTES, 0);
        assert_eq!(census.read(BlockNumber(5)).expect("reads")[..], cut);
    }

    #[test]
    fn contents_with_the_same_hash_are_told_apart() {
        let dir = tempfile::tempdir().expect("a directory");
        let blocks: Vec<_> = [1, 2, 3, 2, 1, 3, 3].into_iter().flat_map(noise).collect();
        let mut census = Census::with_hash(|_| 0);
        census.take(&file(&dir, "a", &blocks)).expect("reads");
        let contents: Vec<_> = (0..7).filter_map(|block| census.content(BlockNumber(block))).collect();
        assert_eq!(contents, [0, 1, 2, 1, 0, 2, 2].map(ContentNumber));
    }

    #[test]
    fn blocks_that_differ_in_one_bit_are_different() {
        let dir = tempfile::tempdir().expect("a directory");
        let one = noise(3);
        let mut two = one.clone();
        two[BLOCK_BYTES - 1] ^= 0x80;
        let mut census = Census::new();
        census.take(&file(&dir, "a", &[one, two].concat())).expect("reads");
        assert_eq!(census.contents(), 2);
    }

    #[test]
    fn sizes_are_those_of_lz4_and_never_more_than_a_block() {
        let dir = tempfile::tempdir().expect("a directory");
        let (random, same) = (noise(4), vec![7; BLOCK_BYTES]);
        let half = [&random[..BLOCK_BYTES / 2], &vec![0; BLOCK_BYTES / 2]].concat();
        let mut census = Census::new();
        census.take(&file(&dir, "a", &[&random[..], &same, &half].concat())).expect("reads");
        let sizes: Vec<_> = (0..3).map(|number| census.lz4_bytes(ContentNumber(number))).collect();
        assert_eq!((sizes[0], census.engine_bytes(ContentNumber(0))), (4096, 4096));
        assert!(sizes[1] < 40, "{sizes:?}");
        assert!((2048..2100).contains(&sizes[2]), "{sizes:?}");
        for (content, block) in [(1, &same), (2, &half)] {
            let mut compressed = vec![0; get_maximum_output_size(BLOCK_BYTES)];
            let bytes = lz4_flex::block::compress_into(block, &mut compressed).expect("fits");
            assert_eq!(usize::from(sizes[content]), bytes, "a table in use again changes nothing");
            assert!(census.engine_bytes(ContentNumber(content as u32)) >= sizes[content]);
        }
    }
}
