// SPDX-License-Identifier: BSD-3-Clause

//! Relocation: moves the fragments still in use out of compressed blocks whose other fragments are mostly dead.
//!
//! A compressed block is freed only with its last fragment; after random overwrites of half the data almost all
//! compressed blocks would stay pinned. Each decrement of a compressed block tells the relocator of the owning shard
//! ([`Relocator::thinned`]). The relocator reads blocks that may be worth it, and has each fragment stored in another
//! place by the logical zone of the LBN for which it was written, if that LBN still maps to it
//! ([`ToLogical::Relocate`](crate::message::ToLogical::Relocate)). When the last fragment has left, the block is free.
//!
//! A block is worth it if its reference count is at most half the number of fragments that it was written with. Only
//! the block's head tells that number, so the block is read when the count reaches 1, 2, 4 or 7; a block of two
//! fragments is found at 1.
//!
//! Not moved: fragments that are shared by LBNs other than the first, while that first LBN has other content. Such a
//! block waits for the next change of its count.
//!
//! The relocator works as fast as clients do: a few blocks for each accepted piece (`READS_PER_PIECE`). So a volume
//! quiesces when its clients stop, and the queued blocks wait for the next client request.
//!
//! Invariants: the queue holds only hints; each move is an internal request that takes the LBN lock, checks the
//! mapping, and is journaled like a client's write. At most [`MAX_MOVING`] fragments of a shard are being moved, and at
//! most `MAX_WAITING` blocks are queued; further blocks are dropped and counted. The queue does not survive a restart.
//! Nothing is allocated after [`Relocator::new`].
//!
//! In dm-vdo, fragments pin their blocks.

use std::collections::VecDeque;

use crate::arena::Arena;
use crate::format::compressed_block::MAX_FRAGMENTS;
use crate::units::Pbn;

/// Maximum number of blocks queued to be read.
const MAX_WAITING: usize = 1 << 16;

/// Number of queued blocks at which a round starts, so that the fragments of a round find partners in the packer.
const ROUND: usize = 8;

/// Maximum number of blocks being relocated at a time.
pub const MAX_MOVING: usize = 64;

/// Blocks read for each piece of a client: a piece of one block queues one block at most.
const READS_PER_PIECE: u64 = 4;

/// Reference counts at which a block is queued.
const LOOK_AT: [u8; 4] = [1, 2, 4, 7];

/// A compressed block being read.
#[derive(Debug, Clone, Copy)]
struct Read<Buf> {
    pbn: Pbn,
    buf: Buf,
    /// Increments leased with the lock on the block, which are not used.
    lease: u8,
}

/// The queue and the reads of one shard's relocator.
#[derive(Debug)]
pub struct Relocator<Buf> {
    waiting: VecDeque<Pbn>,
    /// A round is in progress: it ends when the queue is empty.
    in_round: bool,
    reads: Arena<Read<Buf>>,
    /// Blocks that logical zones have been asked to move.
    moving: usize,
    /// Old locations of moves that have ended, for the packer to take.
    moved: VecDeque<Pbn>,
    /// Pieces accounted for so far, and reads that they still allow.
    pieces: u64,
    allowed: u64,
}

impl<Buf: Copy> Relocator<Buf> {
    /// Memory of the queue in bytes.
    pub const QUEUE_BYTES: usize = MAX_WAITING * size_of::<Pbn>();

    /// A relocator that reads into `bufs`.
    ///
    /// # Panics
    /// If there are no buffers.
    #[must_use]
    pub fn new(bufs: &[Buf]) -> Relocator<Buf> {
        let first = *bufs.first().expect("a relocator without memory could read nothing");
        let mut reads = Arena::new(bufs.len(), Read { pbn: Pbn::ZERO, buf: first, lease: 0 });
        for (index, buf) in (0..).zip(bufs) {
            reads[index].buf = *buf;
        }
        let (waiting, moved) = (VecDeque::with_capacity(MAX_WAITING), VecDeque::with_capacity(MAX_MOVING));
        Relocator { waiting, in_round: false, reads, moving: 0, moved, pieces: 0, allowed: 0 }
    }

    /// Maximum number of concurrent reads; each locks its block.
    #[must_use]
    pub fn reads_at_most(&self) -> usize {
        self.reads.capacity()
    }

    /// Number of queued blocks.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// True when no read or move is in flight. Blocks may be queued.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.moving == 0 && self.reads.in_use() == 0
    }

    /// A block that may hold fragments has lost a reference and has `references` left. Returns false when it should be
    /// queued but the queue is full.
    pub fn thinned(&mut self, pbn: Pbn, references: u8) -> bool {
        if !LOOK_AT.contains(&references) {
            return true;
        }
        let has_room = self.waiting.len() < MAX_WAITING;
        if has_room {
            self.waiting.push_back(pbn);
        }
        has_room
    }

    /// Whether a repack candidate may be moved: candidates take up half of the moves, so that compressed blocks can be
    /// emptied at the same time.
    #[must_use]
    pub fn may_call_back(&self) -> bool {
        self.on_the_way() < MAX_MOVING / 2
    }

    /// Whether a block that was just stored uncompressed may be relocated together with a candidate.
    #[must_use]
    pub fn may_begin(&self) -> bool {
        self.on_the_way() < MAX_MOVING / 4
    }

    /// Moves in flight, moves that reads may cause, and ended moves that the packer has not taken.
    fn on_the_way(&self) -> usize {
        self.moving + self.moved.len() + self.reads.in_use() * MAX_FRAGMENTS
    }

    /// A logical zone is asked to move a block.
    pub fn moves(&mut self) {
        self.moving += 1;
    }

    /// The move of the block stored at `from` has ended.
    pub fn moved(&mut self, from: Pbn) {
        assert!(self.moving > 0, "no fragment is on the move");
        self.moving -= 1;
        self.moved.push_back(from);
    }

    /// Takes the old location of a move that has ended, if there is one.
    pub fn take_moved(&mut self) -> Option<Pbn> {
        self.moved.pop_front()
    }

    /// Allows reads for pieces that clients have sent; `pieces` is the total so far.
    pub fn allow(&mut self, pieces: u64) {
        let most = (self.reads.capacity() * 2) as u64;
        self.allowed = (self.allowed + (pieces - self.pieces) * READS_PER_PIECE).min(most);
        self.pieces = pieces;
    }

    /// The next block to be read, if a read may start.
    pub fn next_read(&mut self) -> Option<Pbn> {
        self.in_round |= self.waiting.len() >= ROUND;
        let has_room = self.reads.available() > 0 && self.on_the_way() + MAX_FRAGMENTS <= MAX_MOVING;
        if !self.in_round || self.allowed == 0 || !has_room {
            return None;
        }
        let next = self.waiting.pop_front();
        self.in_round = next.is_some();
        next
    }

    /// Starts the read of a block, which is locked with a lease of `lease` increments. Returns the read and its buffer.
    ///
    /// # Panics
    /// If [`Relocator::next_read`] did not name the block.
    pub fn begin(&mut self, pbn: Pbn, lease: u8) -> (u32, Buf) {
        self.allowed -= 1;
        let read = self.reads.acquire_kept().expect("availability was checked");
        let Read { buf, .. } = self.reads[read];
        self.reads[read] = Read { pbn, buf, lease };
        (read, buf)
    }

    /// A read has ended. Returns its block, buffer and lease.
    pub fn end(&mut self, read: u32) -> (Pbn, Buf, u8) {
        let Read { pbn, buf, lease } = self.reads[read];
        self.reads.release(read);
        (pbn, buf, lease)
    }
}
