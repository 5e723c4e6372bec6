// SPDX-License-Identifier: BSD-3-Clause

//! Media in memory, with a volatile cache: a power cut keeps any subset of the sectors that were not flushed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use async_trait::async_trait;
use mpool::error::{Kind, PoolError, Result};

use crate::format::testing::Numbers;
use crate::format::Place;
use crate::units::{Block, BLOCK_SIZE, SECTOR_SIZE};
use crate::volume::access::VolumeMedia;

/// A block: kind of object, its number, and block in it.
pub(in crate::volume) type Key = (u8, u64, u64);

/// The content of a block that was never written.
const JUNK: Block = [0xa5; BLOCK_SIZE];

fn key(place: Place) -> Key {
    match place {
        Place::Data(pbn) => (0, 0, pbn.0),
        Place::SlabMetadata { slab, block } => (1, slab, u64::from(block)),
        Place::Roots { block } => (2, 0, u64::from(block)),
        Place::Journal { .. } => unreachable!("journals are read as records"),
    }
}

#[derive(Debug, Clone, Default)]
pub(in crate::volume) struct MemoryMedia {
    /// What a read returns.
    blocks: RefCell<BTreeMap<Key, Block>>,
    /// The flushed content of blocks that were written since; none for those that had never been written.
    flushed: RefCell<BTreeMap<Key, Option<Block>>>,
    /// Sectors written since the last flush, in order.
    cached: RefCell<Vec<(Key, usize, [u8; SECTOR_SIZE])>>,
    /// Records of each segment. They are durable at once.
    pub segments: RefCell<Vec<Vec<Vec<u8>>>>,
    /// Segments that cannot be read.
    pub lost_segments: RefCell<Vec<u32>>,
    /// Writes and flushes so far.
    operations: Cell<u64>,
    /// The first write or flush that fails, with all that follow.
    fail_from: Cell<u64>,
}

impl MemoryMedia {
    pub fn new(segments: usize) -> MemoryMedia {
        let media = MemoryMedia::default();
        media.segments.borrow_mut().resize(segments, Vec::new());
        media.fail_from.set(u64::MAX);
        media
    }

    /// Writes and flushes that were carried out.
    pub fn operations(&self) -> u64 {
        self.operations.get()
    }

    /// Fails all writes and flushes after `operations` more.
    pub fn fail_after(&self, operations: u64) {
        self.fail_from.set(self.operations.get() + operations);
    }

    /// Cuts the power: any subset of the sectors that are not durable is lost. Then everything works again.
    pub fn cut(&self, numbers: &mut Numbers) {
        let mut blocks = self.blocks.borrow_mut();
        for (key, block) in std::mem::take(&mut *self.flushed.borrow_mut()) {
            match block {
                Some(block) => blocks.insert(key, block),
                None => blocks.remove(&key),
            };
        }
        let kept_of_16 = numbers.below(17);
        for (key, sector, bytes) in self.cached.borrow_mut().drain(..) {
            if numbers.below(16) < kept_of_16 {
                blocks.entry(key).or_insert(JUNK)[sector * SECTOR_SIZE..][..SECTOR_SIZE].copy_from_slice(&bytes);
            }
        }
        self.fail_from.set(u64::MAX);
    }

    /// Changes a block without a write.
    pub fn change(&self, key: Key, change: impl FnOnce(&mut Block)) {
        change(self.blocks.borrow_mut().entry(key).or_insert(JUNK));
    }

    pub fn block(&self, key: Key) -> Block {
        self.blocks.borrow().get(&key).copied().unwrap_or(JUNK)
    }

    fn operate(&self, what: impl core::fmt::Debug) -> Result<()> {
        if self.operations.get() >= self.fail_from.get() {
            return Err(PoolError::new(Kind::Io, format!("{what:?}"), "the power is cut"));
        }
        self.operations.set(self.operations.get() + 1);
        Ok(())
    }
}

#[async_trait(?Send)]
impl VolumeMedia for MemoryMedia {
    async fn read(&self, place: Place, blocks: u32) -> Result<Vec<u8>> {
        let (kind, object, first) = key(place);
        Ok((first..first + u64::from(blocks)).flat_map(|block| self.block((kind, object, block))).collect())
    }

    async fn write(&self, place: Place, bytes: &[u8]) -> Result<()> {
        // The power cut decides what a failing write leaves.
        let result = self.operate(place);
        let (kind, object, first) = key(place);
        let (blocks, rest) = bytes.as_chunks::<BLOCK_SIZE>();
        assert!(rest.is_empty() && !blocks.is_empty(), "whole blocks are written");
        for (block, bytes) in (first..).zip(blocks) {
            let key = (kind, object, block);
            let old = self.blocks.borrow_mut().insert(key, *bytes);
            self.flushed.borrow_mut().entry(key).or_insert(old);
            for (sector, bytes) in bytes.as_chunks::<SECTOR_SIZE>().0.iter().enumerate() {
                self.cached.borrow_mut().push((key, sector, *bytes));
            }
        }
        result
    }

    async fn flush(&self) -> Result<()> {
        self.operate("flush")?;
        self.flushed.borrow_mut().clear();
        self.cached.borrow_mut().clear();
        Ok(())
    }

    fn segments(&self) -> u32 {
        self.segments.borrow().len() as u32
    }

    async fn segment_records(&self, segment: u32) -> Result<Vec<Vec<u8>>> {
        if self.lost_segments.borrow().contains(&segment) {
            return Err(PoolError::new(Kind::CorruptLog, format!("segment {segment}"), "it is damaged"));
        }
        Ok(self.segments.borrow()[segment as usize].clone())
    }
}
