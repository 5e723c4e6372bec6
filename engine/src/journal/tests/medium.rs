// SPDX-License-Identifier: BSD-3-Clause

//! The medium: segments in memory, with or without a volatile cache.

use mpool::testing::Random;

use crate::env::{Direction, Run, RunToken};
use crate::error::RequestError;
use crate::format::Place;
use crate::test_device::TestDevice;
use crate::units::{Block, BLOCK_SIZE, SECTOR_SIZE};

/// A write to part of a segment.
#[derive(Debug, Clone)]
struct Piece {
    segment: usize,
    at: usize,
    bytes: Vec<u8>,
}

/// A request of the journal.
#[derive(Debug)]
pub(super) enum Request {
    Write {
        segment: u32,
        at: u64,
        bufs: Vec<u32>,
        bytes: Vec<u8>,
    },
    /// A flush, with the number of cached writes that it makes durable.
    Flush {
        covers: usize,
    },
}

/// The medium, and the memory that writes come from.
#[derive(Debug)]
pub(super) struct Medium {
    blocks: Vec<Block>,
    images: Vec<Vec<u8>>,
    cached: Vec<Piece>,
    pub volatile_cache: bool,
    /// Requests in flight.
    pub under_way: Vec<(RunToken, Request)>,
    /// All requests so far: "flush", or the length of a write in sectors.
    pub trace: Vec<String>,
}

impl Medium {
    pub fn new(volatile_cache: bool, blocks: usize, segment_bytes: Vec<usize>) -> Medium {
        Medium {
            blocks: vec![[0; BLOCK_SIZE]; blocks],
            images: segment_bytes.into_iter().map(|bytes| vec![0xee; bytes]).collect(),
            cached: Vec::new(),
            volatile_cache,
            under_way: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// Ends a request. A failed write may have reached the medium in part.
    pub fn end(&mut self, index: usize, ok: bool, random: &mut Random) -> (RunToken, Result<(), RequestError>) {
        let (token, request) = self.under_way.swap_remove(index);
        match request {
            Request::Flush { covers } if ok => {
                for piece in self.cached.drain(..covers).collect::<Vec<_>>() {
                    put(&mut self.images, &piece, |_| true);
                }
            }
            Request::Flush { .. } => {}
            Request::Write { segment, at, bufs, bytes } => {
                let now: Vec<u8> = bufs.iter().flat_map(|&buf| self.blocks[buf as usize]).take(bytes.len()).collect();
                assert_eq!(now, bytes, "memory does not change while it is written");
                let piece = Piece { segment: segment as usize, at: at as usize, bytes };
                if !ok {
                    put(&mut self.images, &piece, |_| random.one_in(2));
                } else if self.volatile_cache {
                    self.cached.push(piece);
                } else {
                    put(&mut self.images, &piece, |_| true);
                }
            }
        }
        (token, if ok { Ok(()) } else { Err(RequestError::Io) })
    }

    /// The segments as after a power cut: of the sectors that are not durable, those for which `keeps` is true.
    pub fn cut(&self, mut keeps: impl FnMut() -> bool) -> Vec<Vec<u8>> {
        let mut images = self.images.clone();
        for piece in &self.cached {
            put(&mut images, piece, |_| keeps());
        }
        for (_, request) in &self.under_way {
            if let Request::Write { segment, at, bytes, .. } = request {
                let piece = Piece { segment: *segment as usize, at: *at as usize, bytes: bytes.clone() };
                put(&mut images, &piece, |_| keeps());
            }
        }
        images
    }
}

fn put(images: &mut [Vec<u8>], piece: &Piece, mut keeps: impl FnMut(usize) -> bool) {
    for (index, sector) in piece.bytes.chunks(SECTOR_SIZE).enumerate() {
        if keeps(index) {
            let at = piece.at + index * SECTOR_SIZE;
            images[piece.segment][at..at + sector.len()].copy_from_slice(sector);
        }
    }
}

impl TestDevice for Medium {
    fn memory(&self, buf: u32) -> &Block {
        &self.blocks[buf as usize]
    }

    fn memory_mut(&mut self, buf: u32) -> &mut Block {
        &mut self.blocks[buf as usize]
    }

    fn start(&mut self, run: Run<'_, u32>) {
        let Place::Journal { segment, offset } = run.place else { panic!("{:?} is no place of a journal", run.place) };
        assert_eq!(run.direction, Direction::Write);
        let memory = run.bufs.iter().flat_map(|&buf| self.blocks[buf as usize]);
        let bytes: Vec<u8> = memory.take(run.bytes).collect();
        assert!(offset as usize + bytes.len() <= self.images[segment as usize].len(), "inside the segment");
        self.trace.push(format!("{segment}:{}+{}", offset as usize / SECTOR_SIZE, bytes.len() / SECTOR_SIZE));
        let request = Request::Write { segment, at: offset, bufs: run.bufs.to_vec(), bytes };
        self.under_way.push((run.token, request));
    }

    fn start_flush(&mut self, token: RunToken) {
        assert!(self.volatile_cache, "nothing to flush");
        self.trace.push("flush".to_owned());
        self.under_way.push((token, Request::Flush { covers: self.cached.len() }));
    }
}
