// SPDX-License-Identifier: BSD-3-Clause

//! Relocation: fragments that are still in use leave compressed blocks in which most others are not.
//!
//! A compressed block comes free with its last reference, so after half of the data has been overwritten nearly every one
//! would be held by the fragments that were not. Whoever takes a reference away from a compressed block tells the relocator
//! of the shard that owns it ([`Relocator::thinned`]). It reads blocks that may be worth it, and has each fragment stored
//! anew by the logical zone of the LBN for which it was written, if that LBN still maps to it
//! ([`ToLogical::Relocate`](crate::message::ToLogical::Relocate)). When the last has left, the block is free.
//!
//! What makes a block worth it: no more references than half of the fragments that it was written with. How many that were
//! only its head knows, so it is read when the count reaches 1, 2, 4 or 7; a block of two fragments is found at 1.
//!
//! Not moved: fragments that have come to be shared by LBNs other than the first, as long as that LBN has other content.
//! Such a block waits for the next change of its count.
//!
//! It works as fast as clients do: a few blocks for each piece that was accepted (`READS_PER_PIECE`). So a volume whose
//! clients have stopped comes to rest, and what waits then waits for their next request.
//!
//! Invariants: all of it is advice; each move is a request of the volume's own that takes the LBN lock, looks at the
//! mapping, and is journaled as a client's write is. At most [`MAX_MOVING`] fragments are on the move for a shard, and
//! `MAX_WAITING` blocks wait; more are forgotten, and counted. What waits is not kept over a restart. Nothing is
//! allocated after [`Relocator::new`].
//!
//! dm-vdo lets fragments pin their blocks.

use std::collections::VecDeque;

use crate::arena::Arena;
use crate::format::compressed_block::MAX_FRAGMENTS;
use crate::units::Pbn;

/// Blocks that wait to be read, at most.
const MAX_WAITING: usize = 1 << 16;

/// Blocks that must wait before a round begins, so that the fragments of a round find company in the packer.
const ROUND: usize = 8;

/// Fragments that are stored anew at a time.
pub const MAX_MOVING: usize = 64;

/// Blocks that are looked at for each piece of a client's: a piece of one block makes one wait at most.
const READS_PER_PIECE: u64 = 4;

/// The counts at which a block is looked at.
const LOOK_AT: [u8; 4] = [1, 2, 4, 7];

/// A block that is being read.
#[derive(Debug, Clone, Copy)]
struct Read<Buf> {
    pbn: Pbn,
    buf: Buf,
    /// Increments leased with the lock on the block, which are not used.
    lease: u8,
}

/// The relocator of a shard.
#[derive(Debug)]
pub struct Relocator<Buf> {
    waiting: VecDeque<Pbn>,
    /// A round is under way: it goes on until nothing waits.
    in_round: bool,
    reads: Arena<Read<Buf>>,
    /// Blocks that logical zones have been asked to move.
    moving: usize,
    /// Where they were stored, of those that have been dealt with, for the packer to hear of.
    moved: VecDeque<Pbn>,
    /// Pieces that have been accounted for, and reads that they allow still.
    pieces: u64,
    allowed: u64,
}

impl<Buf: Copy> Relocator<Buf> {
    /// Memory of the queue.
    pub const QUEUE_BYTES: usize = MAX_WAITING * size_of::<Pbn>();

    /// A relocator that reads into `bufs`.
    ///
    /// # Panics
    /// If there are none.
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

    /// Blocks that are read at a time, at most; each is locked meanwhile.
    #[must_use]
    pub fn reads_at_most(&self) -> usize {
        self.reads.capacity()
    }

    /// Blocks that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// True when nothing is under way. Blocks may wait.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.moving == 0 && self.reads.in_use() == 0
    }

    /// A block that holds fragments, perhaps, has `references` after one was taken away. Returns false when it should
    /// wait to be looked at, but cannot.
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

    /// Whether a block that was stored as it is may be called back: such take up half of the room, so that compressed
    /// blocks can be emptied meanwhile.
    #[must_use]
    pub fn may_call_back(&self) -> bool {
        self.on_the_way() < MAX_MOVING / 2
    }

    /// Whether a block that was just stored as it is may begin, and call back another one.
    #[must_use]
    pub fn may_begin(&self) -> bool {
        self.on_the_way() < MAX_MOVING / 4
    }

    /// Blocks on the move, those that reads may bring, and those of which the packer has not heard.
    fn on_the_way(&self) -> usize {
        self.moving + self.moved.len() + self.reads.in_use() * MAX_FRAGMENTS
    }

    /// A logical zone is asked to move a block.
    pub fn moves(&mut self) {
        self.moving += 1;
    }

    /// A block that was stored at `from` has been dealt with.
    pub fn moved(&mut self, from: Pbn) {
        assert!(self.moving > 0, "no fragment is on the move");
        self.moving -= 1;
        self.moved.push_back(from);
    }

    /// Where a block was stored that has been dealt with, if another has been.
    pub fn take_moved(&mut self) -> Option<Pbn> {
        self.moved.pop_front()
    }

    /// Allows reads for pieces that clients have brought.
    pub fn allow(&mut self, pieces: u64) {
        let most = (self.reads.capacity() * 2) as u64;
        self.allowed = (self.allowed + (pieces - self.pieces) * READS_PER_PIECE).min(most);
        self.pieces = pieces;
    }

    /// The next block to be read, if one may be.
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

    /// Begins to read a block, which is locked with a lease of so many increments. Returns the read and its memory.
    ///
    /// # Panics
    /// If [`Relocator::next_read`] did not name it.
    pub fn begin(&mut self, pbn: Pbn, lease: u8) -> (u32, Buf) {
        self.allowed -= 1;
        let read = self.reads.acquire_kept().expect("availability was checked");
        let Read { buf, .. } = self.reads[read];
        self.reads[read] = Read { pbn, buf, lease };
        (read, buf)
    }

    /// A read is over. Returns its block, the memory, and the lease.
    pub fn end(&mut self, read: u32) -> (Pbn, Buf, u8) {
        let Read { pbn, buf, lease } = self.reads[read];
        self.reads.release(read);
        (pbn, buf, lease)
    }
}
