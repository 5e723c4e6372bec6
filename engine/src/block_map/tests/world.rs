// SPDX-License-Identifier: BSD-3-Clause

//! A device in memory that answers in any order, may lose power, and may fail.

use std::collections::BTreeMap;

use mpool::testing::Random;

use crate::block_map::page_memory::{Entries, ENTRIES};
use crate::env::{Direction, Run, RunToken};
use crate::error::RequestError;
use crate::format::map_page::{self, PageName};
use crate::format::{PageId, Place, ROOTS};
use crate::test_device::TestDevice;
use crate::units::{Block, BLOCK_SIZE, SECTOR_SIZE};

pub const NONCE: u64 = 0x5eed;

/// A block on the device: a root, or a block of a slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    Root(u32),
    Pbn(u64),
}

#[derive(Debug)]
enum Work {
    Read(At, u32),
    Write(At, u32),
    /// A flush, with the writes that had completed when it was requested.
    Flush(BTreeMap<At, Block>),
}

/// The device, the memory for transfers, and the requests in flight.
#[derive(Debug)]
pub struct World {
    memory: Vec<Block>,
    pub durable: BTreeMap<At, Block>,
    /// Blocks written but not durable.
    volatile: BTreeMap<At, Block>,
    volatile_cache: bool,
    pending: Vec<(RunToken, Work)>,
    /// Blocks whose transfers fail, with the direction.
    pub bad: Vec<(Direction, At)>,
    pub bad_flush: bool,
    pub bad_writes: bool,
    /// Written blocks, in order of completion.
    pub written: Vec<At>,
}

impl World {
    /// A device with the roots of an empty map, and `bufs` blocks of memory.
    pub fn new(bufs: usize, volatile_cache: bool) -> World {
        let mut durable = BTreeMap::new();
        for tree in 0..ROOTS {
            durable.insert(At::Root(tree as u32), image(PageId::root(tree), 0, &[0; ENTRIES]));
        }
        World {
            memory: vec![[0; BLOCK_SIZE]; bufs],
            durable,
            volatile: BTreeMap::new(),
            volatile_cache,
            pending: Vec::new(),
            bad: Vec::new(),
            bad_flush: false,
            bad_writes: false,
            written: Vec::new(),
        }
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    pub fn pending_writes(&self) -> usize {
        self.pending.iter().filter(|(_, work)| matches!(work, Work::Write(..))).count()
    }

    /// The number of a write in flight.
    pub fn first_write(&self) -> usize {
        self.pending.iter().position(|(_, work)| matches!(work, Work::Write(..))).expect("a write")
    }

    /// The number of a read in flight.
    pub fn first_read(&self) -> usize {
        self.pending.iter().position(|(_, work)| matches!(work, Work::Read(..))).expect("a read")
    }

    /// Ends one transfer or flush.
    pub fn complete(&mut self, index: usize) -> (RunToken, Result<(), RequestError>) {
        let (token, work) = self.pending.swap_remove(index);
        let result = match work {
            Work::Read(at, _) if self.bad.contains(&(Direction::Read, at)) => Err(RequestError::Io),
            Work::Write(at, _) if self.bad.contains(&(Direction::Write, at)) => Err(RequestError::Io),
            Work::Write(..) if self.bad_writes => Err(RequestError::Io),
            Work::Flush(_) if self.bad_flush => Err(RequestError::Io),
            Work::Read(at, buf) => {
                let block = self.volatile.get(&at).or_else(|| self.durable.get(&at));
                self.memory[buf as usize] = *block.unwrap_or(&[0xee; BLOCK_SIZE]);
                Ok(())
            }
            Work::Write(at, buf) => {
                let to = if self.volatile_cache { &mut self.volatile } else { &mut self.durable };
                to.insert(at, self.memory[buf as usize]);
                self.written.push(at);
                Ok(())
            }
            Work::Flush(blocks) => {
                self.volatile.retain(|at, block| blocks.get(at) != Some(block));
                self.durable.extend(blocks);
                Ok(())
            }
        };
        (token, result)
    }

    /// Content of the device after a power cut: any subset of the sectors that were not durable.
    pub fn after_cut(&self, rng: &mut Random) -> BTreeMap<At, Block> {
        let mut left = self.durable.clone();
        let under_way = self.pending.iter().filter_map(|(_, work)| match work {
            Work::Write(at, buf) => Some((at, &self.memory[*buf as usize])),
            _ => None,
        });
        for (at, block) in self.volatile.iter().chain(under_way) {
            let torn = left.entry(*at).or_insert([0xee; BLOCK_SIZE]);
            for sector in (0..BLOCK_SIZE).step_by(SECTOR_SIZE) {
                if rng.one_in(2) {
                    torn[sector..sector + SECTOR_SIZE].copy_from_slice(&block[sector..sector + SECTOR_SIZE]);
                }
            }
        }
        left
    }
}

/// A page as stored on the device.
pub fn image(page: PageId, life: u32, entries: &Entries) -> Block {
    let mut block = [0; BLOCK_SIZE];
    map_page::encode(PageName { page, nonce: NONCE, life }, 0, entries, &mut block);
    block
}

impl TestDevice for World {
    fn memory(&self, buf: u32) -> &Block {
        &self.memory[buf as usize]
    }

    fn memory_mut(&mut self, buf: u32) -> &mut Block {
        let in_use = self.pending.iter().any(|(_, work)| matches!(work, Work::Write(_, used) if *used == buf));
        assert!(!in_use, "memory is not changed while it is written");
        &mut self.memory[buf as usize]
    }

    fn start(&mut self, run: Run<'_, u32>) {
        let &[buf] = run.bufs else { panic!("pages go one by one") };
        assert_eq!(run.bytes, BLOCK_SIZE);
        let at = match run.place {
            Place::Data(pbn) => At::Pbn(pbn.0),
            Place::Roots { block } => At::Root(block),
            place => panic!("{place:?} is no place for a map page"),
        };
        let same = |work: &Work| matches!(work, Work::Read(other, _) | Work::Write(other, _) if *other == at);
        assert!(!self.pending.iter().any(|(_, work)| same(work)), "one transfer of a page at a time");
        let work = match run.direction {
            Direction::Read => Work::Read(at, buf),
            Direction::Write => Work::Write(at, buf),
        };
        self.pending.push((run.token, work));
    }

    fn start_flush(&mut self, token: RunToken) {
        self.pending.push((token, Work::Flush(self.volatile.clone())));
    }
}
