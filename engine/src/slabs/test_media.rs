// SPDX-License-Identifier: BSD-3-Clause

//! Metadata areas in memory for tests: a base that completes transfers in any order, fails some, and loses power.

use std::collections::HashMap;

use mpool::testing::Random;

use crate::env::{Direction, Run, RunToken};
use crate::error::RequestError;
use crate::format::Place;
use crate::test_device::TestDevice;
use crate::units::{Block, BLOCK_SIZE, SECTOR_SIZE};

/// A block of some slab's area.
pub(super) type Address = (u64, u32);

/// The content of media.
pub(super) type Areas = HashMap<Address, Box<Block>>;

/// A transfer in flight.
#[derive(Debug, Clone)]
struct Started {
    direction: Direction,
    at: Address,
    buf: u32,
    token: RunToken,
    /// The memory at the start of the transfer, which must not change.
    content: Box<Block>,
}

/// A completed write that may still be lost.
#[derive(Debug, Clone)]
struct Cached {
    at: Address,
    content: Box<Block>,
}

/// The base.
#[derive(Debug)]
pub(super) struct TestMedia {
    blocks: Vec<Box<Block>>,
    /// What certainly survives a power cut.
    pub durable: Areas,
    cached: Vec<Cached>,
    volatile_cache: bool,
    started: Vec<Started>,
    /// A flush in flight, and the number of cached writes that it makes durable.
    flush: Option<(RunToken, usize)>,
    /// Every transfer in the order of their starts: direction and address.
    pub trace: Vec<(Direction, Address)>,
    /// Fails the transfer with this number in the trace, and later ones of the same block.
    pub fail_nth: Option<usize>,
    failing: Option<(Direction, Address)>,
    /// Keeps flushes from completing.
    pub hold_flushes: bool,
    /// Keeps the transfers for which it returns true from completing.
    pub holds: fn(Direction, Address) -> bool,
}

impl TestMedia {
    pub fn new(bufs: usize, durable: Areas, volatile_cache: bool) -> TestMedia {
        TestMedia {
            blocks: vec![Box::new([0xee; BLOCK_SIZE]); bufs],
            durable,
            cached: vec![],
            volatile_cache,
            started: vec![],
            flush: None,
            trace: vec![],
            fail_nth: None,
            failing: None,
            hold_flushes: false,
            holds: |_, _| false,
        }
    }

    /// Transfers and flushes in flight.
    pub fn under_way(&self) -> usize {
        self.started.len() + usize::from(self.flush.is_some())
    }

    /// What a read would find.
    pub fn current(&self, at: Address) -> Option<&Block> {
        let cached = self.cached.iter().rev().find(|cached| cached.at == at).map(|cached| &*cached.content);
        cached.or_else(|| self.durable.get(&at).map(|block| &**block))
    }

    /// Completes one of the transfers in flight.
    pub fn end_one(&mut self, random: &mut Random) -> Option<(RunToken, Result<(), RequestError>)> {
        let free = |started: &Started| !(self.holds)(started.direction, started.at);
        let ready: Vec<usize> = (0..self.started.len()).filter(|&at| free(&self.started[at])).collect();
        let choices = ready.len() + usize::from(self.flush.is_some() && !self.hold_flushes);
        if choices == 0 {
            return None;
        }
        let place = random.below(choices);
        if place == ready.len() {
            let (token, covered) = self.flush.take()?;
            for Cached { at, content } in self.cached.drain(..covered) {
                self.durable.insert(at, content);
            }
            return Some((token, Ok(())));
        }
        let Started { direction, at, buf, token, content } = self.started.swap_remove(ready[place]);
        if self.failing == Some((direction, at)) {
            return Some((token, Err(RequestError::Io)));
        }
        match direction {
            Direction::Read => match self.current(at).copied() {
                Some(found) => *self.blocks[buf as usize] = found,
                None => self.blocks[buf as usize].fill(0xdd),
            },
            Direction::Write => {
                assert!(self.blocks[buf as usize] == content, "{at:?} was changed while it was being written");
                if self.volatile_cache {
                    self.cached.push(Cached { at, content });
                } else {
                    self.durable.insert(at, content);
                }
            }
        }
        Some((token, Ok(())))
    }

    /// What a power cut leaves now: of every write that is not durable, any of its sectors.
    pub fn cut(&self, random: &mut Random) -> Areas {
        let mut left = self.durable.clone();
        let writing = self.started.iter().filter(|started| started.direction == Direction::Write);
        let unsafe_writes = self.cached.iter().map(|cached| (cached.at, &cached.content));
        for (at, content) in unsafe_writes.chain(writing.map(|started| (started.at, &started.content))) {
            let mask = match random.below(4) {
                0 => 0xff,
                1 => 0,
                _ => random.below(256),
            };
            let block = left.entry(at).or_insert_with(|| Box::new([0xcc; BLOCK_SIZE]));
            for sector in (0..BLOCK_SIZE / SECTOR_SIZE).filter(|sector| mask & 1 << sector != 0) {
                let range = sector * SECTOR_SIZE..(sector + 1) * SECTOR_SIZE;
                block[range.clone()].copy_from_slice(&content[range]);
            }
        }
        left
    }
}

impl TestDevice for TestMedia {
    fn memory(&self, buf: u32) -> &Block {
        &self.blocks[buf as usize]
    }

    fn memory_mut(&mut self, buf: u32) -> &mut Block {
        &mut self.blocks[buf as usize]
    }

    fn start(&mut self, run: Run<'_, u32>) {
        let Place::SlabMetadata { slab, block } = run.place else { panic!("a zone writes areas only") };
        for (at, &buf) in (block..).zip(run.bufs) {
            let content = self.blocks[buf as usize].clone();
            if self.fail_nth == Some(self.trace.len()) {
                self.failing = Some((run.direction, (slab, at)));
            }
            self.trace.push((run.direction, (slab, at)));
            self.started.push(Started { direction: run.direction, at: (slab, at), buf, token: run.token, content });
        }
    }

    fn start_flush(&mut self, token: RunToken) {
        assert!(self.flush.is_none(), "one flush at a time");
        self.flush = Some((token, self.cached.len()));
    }
}
