// SPDX-License-Identifier: BSD-3-Clause

//! The world as a shard sees it: memory, base bdev, other shards, clock and log, and nothing else.
//!
//! `bdev` implements [`Env`] on SPDK reactors, the simulator in `tests` on virtual ones. The engine keeps no thread, no
//! clock and no I/O of its own, so the same sequence of calls gives the same behaviour, bit for bit.
//!
//! Rules that an implementation keeps:
//! * A shard is entered by one thread at a time, and never from inside one of these calls: completions and messages
//!   that arise while a shard runs are delivered after it returns.
//! * Messages from one shard to another arrive in the order they were sent. Between different pairs
//!   of shards there is no order.
//! * Every [`Env::submit`] and [`Env::flush`] is answered by exactly one [`crate::Shard::io_done`] with the same token.
//! * An [`Env::Buf`] is one of those that the shards were built with, and what it names changes only by
//!   [`Env::block_mut`], by [`Env::copy_from_client`] and by transfers that read.
//!
//! A client's memory is not among them. A client may change it at any time, so the engine never looks at it: it takes each
//! byte of a write once, by [`Env::copy_from_client`], and gives each byte of a read by [`Env::copy_to_client`], when that
//! has been checked. What is hashed, compared, compressed, written and answered is the copy.

use core::fmt;

use mpool::units::Nanos;
use thiserror::Error;

use crate::error::RequestError;
use crate::format::index_section::SectionAt;
use crate::format::Place;
use crate::message::Message;
use crate::units::{Block, Lbn, Pbn, ShardId, BLOCK_SIZE};

/// What a shard can do to the world. All calls return at once.
pub trait Env {
    /// Handle of one 4 KiB block of memory from some shard's pools. Readable from every shard.
    type Buf: Copy + fmt::Debug;

    /// Handle of the client request that a piece is part of.
    type Client: Copy + fmt::Debug;

    /// The present time.
    fn now(&self) -> Nanos;

    /// The bytes of a block.
    fn block(&self, buf: Self::Buf) -> &Block;

    /// The bytes of a block, to be changed. Only for blocks of the shard's own pools.
    fn block_mut(&mut self, buf: Self::Buf) -> &mut Block;

    /// Copies the client's bytes `part` of block `lbn`, as they are now, into the same place of `to`.
    fn copy_from_client(&mut self, client: Self::Client, lbn: Lbn, part: Part, to: Self::Buf);

    /// Copies `part` of `from` to the same place of the client's block `lbn`.
    fn copy_to_client(&mut self, client: Self::Client, lbn: Lbn, part: Part, from: Self::Buf);

    /// Fills the client's bytes `part` of block `lbn` with zeros.
    fn zero_client(&mut self, client: Self::Client, lbn: Lbn, part: Part);

    /// Starts one vectored transfer on the base bdev.
    fn submit(&mut self, run: Run<'_, Self::Buf>);

    /// Makes every write that has ended durable, on all bdevs that the volume uses. Answered like a transfer. Only called
    /// where there is a volatile cache ([`crate::MetadataConfig::volatile_cache`]).
    fn flush(&mut self, token: RunToken);

    /// Asks for the erasure of a journal segment of this shard's, whose entries are no longer needed. Answered by
    /// [`crate::Shard::segment_erased`].
    fn erase_segment(&mut self, segment: u32);

    /// Hands over a section of the shard's history of the index, whole pages as [`crate::format::index_section`] lays them
    /// out, to be appended to the shard's open chapter. Sections are appended in the order of these calls; their place
    /// becomes known when the chapter is closed ([`crate::Shard::chapter_closed`]). A host that cannot take the section
    /// now drops it, and all others until it has told so by [`crate::Shard::section_dropped`], once for each, before the
    /// shard runs again. Only called with [`crate::ShardConfig::history`].
    fn append_section(&mut self, section: Vec<u8>);

    /// Asks for a section of a closed chapter. Answered by exactly one [`crate::Shard::section_read`], however late.
    fn read_section(&mut self, at: SectionAt);

    /// Queues a message to another shard. Never called with the shard's own number.
    fn send(&mut self, to: ShardId, message: Message<Self::Buf>);

    /// How many more messages to `to` can be queued before a shard should turn to other work. Range operations ask, and
    /// begin only where there is room for a whole leaf page; so an empty channel has room for 504 at least.
    fn send_room(&self, to: ShardId) -> usize;

    /// Answers one piece: `blocks` blocks of the client's request are done. Called once for each accepted piece.
    fn complete(&mut self, client: Self::Client, result: Result<(), RequestError>);

    /// Asks for one call of [`crate::Shard::timer`] at `at` or soon after. A later call replaces an earlier one.
    fn arm_timer(&mut self, at: Nanos);

    /// Tells the operator of something that the statistics alone would not explain.
    fn report(&mut self, event: Event);
}

/// A part of one block, in bytes. Invariant: `offset + len <= 4096`, `len > 0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub offset: u16,
    /// Number of bytes, 1 to 4096.
    pub len: u16,
}

impl Part {
    /// A whole block.
    pub const WHOLE: Part = Part { offset: 0, len: BLOCK_SIZE as u16 };

    /// True for a whole block.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.len as usize == BLOCK_SIZE
    }

    /// The part as a range of indices into a block.
    #[must_use]
    pub const fn range(self) -> core::ops::Range<usize> {
        self.offset as usize..self.offset as usize + self.len as usize
    }
}

/// Direction of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the base bdev into memory.
    Read,
    /// From memory to the base bdev.
    Write,
}

/// Names a transfer between [`Env::submit`] and [`crate::Shard::io_done`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunToken(pub u32);

impl RunToken {
    /// Set in the tokens of metadata; those of data are smaller.
    pub(crate) const METADATA: u32 = 1 << 31;

    /// It is a transfer of metadata, or a flush. When a host cannot start all, those come first.
    #[must_use]
    pub const fn is_metadata(self) -> bool {
        self.0 & RunToken::METADATA != 0
    }
}

/// One vectored transfer of consecutive blocks.
#[derive(Debug)]
pub struct Run<'a, Buf> {
    /// Direction.
    pub direction: Direction,
    /// Where it begins.
    pub place: Place,
    /// Memory for each block, in ascending order. The slice itself lives only as long as the call.
    pub bufs: &'a [Buf],
    /// Bytes to be transferred: all of `bufs`, or for [`Place::Journal`] whole sectors that end in the last of them.
    pub bytes: usize,
    /// Name for the answer.
    pub token: RunToken,
}

/// Something worth a line in the operator's log. The engine limits the rate (see [`crate::volume`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A transfer of the base bdev failed.
    IoFailed {
        /// Direction of the transfer.
        direction: Direction,
        /// The block that failed.
        pbn: Pbn,
        /// What the block was needed for.
        purpose: &'static str,
    },
    /// A block read from the base does not have the content that was written there.
    CheckMismatch {
        /// Block that the client asked for.
        lbn: Lbn,
        /// Where it was stored.
        pbn: Pbn,
        /// Check code in the mapping, 24 bits.
        expected: u32,
        /// Check code of what was read, 24 bits.
        found: u32,
    },
    /// New data found no free block in any shard.
    OutOfSpace,
    /// A write found room again after [`Event::OutOfSpace`].
    SpaceReturned,
    /// The index named a block that cannot hold data.
    InvalidAdvice {
        /// The block it named.
        pbn: Pbn,
    },
    /// So many queries of the index were given up since the last report; what was asked for is stored without advice.
    QueriesTimedOut(u64),
    /// Reference counts and mappings disagree; the operation was refused.
    Inconsistent {
        /// Block concerned.
        pbn: Pbn,
        /// What was being done to it.
        operation: &'static str,
    },
    /// The volume takes no writes any more; reads go on. The host records it and tells the other shards.
    ReadOnly(ReadOnlyReason),
    /// The last slab of this shard has been scrubbed: its reference counts are all known again.
    ScrubbingDone,
    /// So many events were not reported one by one since the last report.
    Suppressed(u64),
}

/// Why a volume takes no writes any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadOnlyReason {
    /// A write of metadata failed, and failed again each time that it was tried.
    #[error("a write of {0} failed")]
    WriteFailed(&'static str),
    /// Metadata could not be read, twice.
    #[error("{0} could not be read")]
    ReadFailed(&'static str),
    /// Metadata was read, but is not what was written there.
    #[error("{0} is damaged")]
    Damaged(&'static str),
    /// Reference counts and mappings disagree.
    #[error("the reference count of {0} and the mappings disagree")]
    Inconsistent(Pbn),
    /// An erasure of a journal segment failed.
    #[error("a recovery journal segment could not be erased")]
    EraseFailed,
    /// Another shard, or the operator, has decided so.
    #[error("another shard or the operator has ended writing")]
    Told,
}
