// SPDX-License-Identifier: BSD-3-Clause

//! Media in memory, block by block, for tests of what transfers metadata: transfers end in any order, some fail, and a
//! power cut keeps any sectors of what is not durable.

use core::fmt::Debug;
use std::collections::BTreeMap;

use mpool::testing::Random;

use crate::env::{Direction, Run, RunToken};
use crate::error::RequestError;
use crate::format::Place;
use crate::test_device::TestDevice;
use crate::units::{Block, BLOCK_SIZE, SECTOR_SIZE};

/// Where a block lies, in the words of the module under test.
pub trait Address: Copy + Ord + Debug {
    /// The block with this number in a transfer that begins at `place`.
    fn of(place: Place, number: u32) -> Self;
}

/// A block of some slab's area.
impl Address for (u64, u32) {
    fn of(place: Place, number: u32) -> (u64, u32) {
        let Place::SlabMetadata { slab, block } = place else { panic!("a zone writes areas only, not {place:?}") };
        (slab, block + number)
    }
}

/// The content of media.
pub type Content<A> = BTreeMap<A, Box<Block>>;

#[derive(Debug)]
enum Work<A> {
    /// A transfer of a block, with the memory at its start, which must not change.
    Transfer { direction: Direction, at: A, buf: u32, content: Box<Block> },
    /// A flush, with the number of cached writes that it makes durable.
    Flush { covers: usize },
}

/// The media, the memory for transfers, and what is in flight.
#[derive(Debug)]
pub struct TestMedia<A> {
    memory: Vec<Box<Block>>,
    /// What certainly survives a power cut.
    pub durable: Content<A>,
    /// Completed writes that may still be lost, oldest first.
    cached: Vec<(A, Box<Block>)>,
    volatile_cache: bool,
    pending: Vec<(RunToken, Work<A>)>,
    /// Every transfer in the order of their starts.
    pub trace: Vec<(Direction, A)>,
    /// Written blocks, in order of completion.
    pub written: Vec<A>,
    /// Fails the transfer with this number in the trace, and later ones of the same block.
    pub fail_nth: Option<usize>,
    /// Blocks whose transfers fail, with the direction.
    pub bad: Vec<(Direction, A)>,
    pub bad_writes: bool,
    pub bad_flush: bool,
    /// Keeps the transfers for which it returns true from being chosen.
    pub holds: fn(Direction, A) -> bool,
    /// Keeps flushes from being chosen.
    pub hold_flushes: bool,
}

impl<A: Address> TestMedia<A> {
    pub fn new(bufs: usize, durable: Content<A>, volatile_cache: bool) -> TestMedia<A> {
        TestMedia {
            memory: vec![Box::new([0xee; BLOCK_SIZE]); bufs],
            durable,
            cached: vec![],
            volatile_cache,
            pending: vec![],
            trace: vec![],
            written: vec![],
            fail_nth: None,
            bad: vec![],
            bad_writes: false,
            bad_flush: false,
            holds: |_, _| false,
            hold_flushes: false,
        }
    }

    /// Transfers and flushes in flight.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The numbers of the transfers in flight in a direction.
    pub fn pending_in(&self, wanted: Direction) -> impl Iterator<Item = usize> + use<'_, A> {
        let is_one = move |work: &Work<A>| matches!(work, Work::Transfer { direction, .. } if *direction == wanted);
        (0..).zip(&self.pending).filter(move |(_, (_, work))| is_one(work)).map(|(number, _)| number)
    }

    /// What a read would find.
    pub fn current(&self, at: A) -> Option<&Block> {
        let cached = self.cached.iter().rev().find(|(cached, _)| *cached == at).map(|(_, content)| content);
        cached.or_else(|| self.durable.get(&at)).map(|block| &**block)
    }

    /// Completes one of the transfers and flushes in flight that are not held.
    pub fn end_one(&mut self, random: &mut Random) -> Option<(RunToken, Result<(), RequestError>)> {
        let free = |work: &Work<A>| match work {
            Work::Transfer { direction, at, .. } => !(self.holds)(*direction, *at),
            Work::Flush { .. } => !self.hold_flushes,
        };
        let ready: Vec<usize> = (0..self.pending.len()).filter(|&number| free(&self.pending[number].1)).collect();
        (!ready.is_empty()).then(|| self.complete(random.pick(&ready)))
    }

    /// Completes the transfer or flush with this number.
    pub fn complete(&mut self, number: usize) -> (RunToken, Result<(), RequestError>) {
        let (token, work) = self.pending.swap_remove(number);
        let result = match work {
            Work::Flush { .. } if self.bad_flush => Err(RequestError::Io),
            Work::Flush { covers } => {
                self.durable.extend(self.cached.drain(..covers));
                Ok(())
            }
            Work::Transfer { direction, at, .. } if self.fails(direction, at) => Err(RequestError::Io),
            Work::Transfer { direction: Direction::Read, at, buf, .. } => {
                *self.memory[buf as usize] = self.current(at).copied().unwrap_or([0xdd; BLOCK_SIZE]);
                Ok(())
            }
            Work::Transfer { direction: Direction::Write, at, buf, content } => {
                assert!(self.memory[buf as usize] == content, "{at:?} was changed while it was being written");
                self.written.push(at);
                if self.volatile_cache {
                    self.cached.push((at, content));
                } else {
                    self.durable.insert(at, content);
                }
                Ok(())
            }
        };
        (token, result)
    }

    fn fails(&self, direction: Direction, at: A) -> bool {
        self.bad.contains(&(direction, at)) || (self.bad_writes && direction == Direction::Write)
    }

    /// What a power cut leaves now: of every write that is not durable, any of its sectors.
    pub fn cut(&self, random: &mut Random) -> Content<A> {
        let mut left = self.durable.clone();
        let writing = self.pending.iter().filter_map(|(_, work)| match work {
            Work::Transfer { direction: Direction::Write, at, content, .. } => Some((at, content)),
            _ => None,
        });
        for (at, content) in self.cached.iter().map(|(at, content)| (at, content)).chain(writing) {
            let mask = match random.below(4) {
                0 => 0xff,
                1 => 0,
                _ => random.below(256),
            };
            let block = left.entry(*at).or_insert_with(|| Box::new([0xcc; BLOCK_SIZE]));
            for sector in (0..BLOCK_SIZE / SECTOR_SIZE).filter(|sector| mask & 1 << sector != 0) {
                let range = sector * SECTOR_SIZE..(sector + 1) * SECTOR_SIZE;
                block[range.clone()].copy_from_slice(&content[range]);
            }
        }
        left
    }
}

impl<A: Address> TestDevice for TestMedia<A> {
    fn memory(&self, buf: u32) -> &Block {
        &self.memory[buf as usize]
    }

    fn memory_mut(&mut self, buf: u32) -> &mut Block {
        &mut self.memory[buf as usize]
    }

    fn start(&mut self, run: Run<'_, u32>) {
        assert_eq!(run.bytes, run.bufs.len() * BLOCK_SIZE, "whole blocks");
        for (number, &buf) in (0..).zip(run.bufs) {
            let (direction, at) = (run.direction, A::of(run.place, number));
            if self.fail_nth == Some(self.trace.len()) {
                self.bad.push((direction, at));
            }
            self.trace.push((direction, at));
            let content = self.memory[buf as usize].clone();
            self.pending.push((run.token, Work::Transfer { direction, at, buf, content }));
        }
    }

    fn start_flush(&mut self, token: RunToken) {
        let flushes = self.pending.iter().any(|(_, work)| matches!(work, Work::Flush { .. }));
        assert!(!flushes, "one flush at a time");
        self.pending.push((token, Work::Flush { covers: self.cached.len() }));
    }
}
