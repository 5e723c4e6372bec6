// SPDX-License-Identifier: BSD-3-Clause

//! The outside world of a shard: memory, base bdev, other shards, clock and log, and nothing else.
//!
//! `bdev` implements [`Env`] on SPDK reactors, the simulator in `tests` on virtual ones. The engine has no thread, no
//! clock and no I/O of its own, so the same sequence of calls gives the same behaviour, bit for bit.
//!
//! Rules for an implementation:
//! * One thread at a time enters a shard, and never from inside one of these calls: completions and messages that arise
//!   while a shard runs are delivered after it returns.
//! * Messages from one shard to another arrive in the order in which they were sent. There is no order between
//!   different pairs of shards.
//! * Every [`Env::submit`] and [`Env::flush`] is answered by exactly one [`crate::Shard::io_done`] with the same token.
//! * An [`Env::Buf`] is one of those that the shards were built with. Its block changes only by [`Env::block_mut`], by
//!   [`Env::copy_from_client`] and by transfers that read.
//!
//! A client's memory is never an [`Env::Buf`]. The client may change its memory at any time, so the engine never works
//! on it: it copies each byte of a write once, by [`Env::copy_from_client`], and copies each byte of a read out, by
//! [`Env::copy_to_client`], after checking the block. What is hashed, compared, compressed, written and answered is the
//! copy.

use core::fmt;

use mpool::units::Nanos;
use thiserror::Error;

use crate::error::RequestError;
use crate::format::index_section::SectionAt;
use crate::format::Place;
use crate::message::Message;
use crate::units::{Block, Lbn, Pbn, ShardId, BLOCK_SIZE};

/// What a shard can ask of the outside world. No call blocks.
pub trait Env {
    /// Handle of one 4 KiB block of memory from some shard's pools. Readable from every shard.
    type Buf: Copy + fmt::Debug;

    /// Handle of the client request that a piece is part of.
    type Client: Copy + fmt::Debug;

    /// The current time.
    fn now(&self) -> Nanos;

    /// The content of a block.
    fn block(&self, buf: Self::Buf) -> &Block;

    /// The content of a block, for writing. Only for blocks of the shard's own pools.
    fn block_mut(&mut self, buf: Self::Buf) -> &mut Block;

    /// Copies bytes `part` of the client's block `lbn`, as they are now, to the same offset of `to`.
    fn copy_from_client(&mut self, client: Self::Client, lbn: Lbn, part: Part, to: Self::Buf);

    /// Copies `part` of `from` to the same offset of the client's block `lbn`.
    fn copy_to_client(&mut self, client: Self::Client, lbn: Lbn, part: Part, from: Self::Buf);

    /// Fills bytes `part` of the client's block `lbn` with zeros.
    fn zero_client(&mut self, client: Self::Client, lbn: Lbn, part: Part);

    /// Starts one vectored transfer on the base bdev.
    fn submit(&mut self, run: Run<'_, Self::Buf>);

    /// Makes every completed write durable, on all bdevs that the volume uses. Answered like a transfer. Called only if
    /// there is a volatile cache ([`crate::MetadataConfig::volatile_cache`]).
    fn flush(&mut self, token: RunToken);

    /// Asks for the erasure of one of this shard's journal segments, whose entries are no longer needed. Answered by
    /// [`crate::Shard::segment_erased`].
    fn erase_segment(&mut self, segment: u32);

    /// Hands over a section of the shard's index history, in whole pages as [`crate::format::index_section`] lays them
    /// out, to be appended to the shard's open chapter. Sections are appended in the order of these calls; their place
    /// is known when the chapter is closed ([`crate::Shard::chapter_closed`]). A host that cannot take a section drops
    /// it, and every later one until it has called [`crate::Shard::section_dropped`], once for each dropped section,
    /// before the shard runs again. Called only with [`crate::ShardConfig::history`].
    fn append_section(&mut self, section: Vec<u8>);

    /// Reads a section of a closed chapter. Answered by exactly one [`crate::Shard::section_read`], however late.
    fn read_section(&mut self, at: SectionAt);

    /// Queues a message to another shard. `to` is never the shard's own number.
    fn send(&mut self, to: ShardId, message: Message<Self::Buf>);

    /// How many more messages to `to` can be queued before the shard should do other work. Range operations ask, and
    /// start only when there is room for a whole leaf page, so an empty channel must have room for at least 504.
    fn send_room(&self, to: ShardId) -> usize;

    /// Answers one piece of the client's request. Called once for each accepted piece.
    fn complete(&mut self, client: Self::Client, result: Result<(), RequestError>);

    /// Asks for one call of [`crate::Shard::timer`] at `at` or soon after. A later call replaces an earlier one.
    fn arm_timer(&mut self, at: Nanos);

    /// Reports an event that the statistics alone would not explain to the operator.
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
    /// Set in the tokens of metadata; tokens of data are smaller.
    pub(crate) const METADATA: u32 = 1 << 31;

    /// True for a metadata transfer or a flush. A host that cannot start everything starts these first.
    #[must_use]
    pub const fn is_metadata(self) -> bool {
        self.0 & RunToken::METADATA != 0
    }
}

/// One vectored transfer of consecutive blocks.
#[derive(Debug)]
pub struct Run<'a, Buf> {
    /// Read or write.
    pub direction: Direction,
    /// First block or sector on media.
    pub place: Place,
    /// One buffer per block, in ascending order. The slice lives only as long as the call.
    pub bufs: &'a [Buf],
    /// Number of bytes to transfer: all of `bufs`, or for [`Place::Journal`] whole sectors that end in the last buffer.
    pub bytes: usize,
    /// Token of the completion.
    pub token: RunToken,
}

/// An event worth a line in the operator's log. The engine limits the rate (see [`crate::volume`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A transfer of the base bdev failed.
    IoFailed {
        /// Read or write.
        direction: Direction,
        /// The block that failed.
        pbn: Pbn,
        /// What the block was needed for.
        purpose: &'static str,
    },
    /// A block read from the base does not have the content that was written there.
    CheckMismatch {
        /// The block that the client asked for.
        lbn: Lbn,
        /// Its location.
        pbn: Pbn,
        /// Check code in the mapping, 24 bits.
        expected: u32,
        /// Check code of what was read, 24 bits.
        found: u32,
    },
    /// No shard has a free block for new data.
    OutOfSpace,
    /// A write found a free block again after [`Event::OutOfSpace`].
    SpaceReturned,
    /// The index named a block that cannot hold data.
    InvalidAdvice {
        /// The block it named.
        pbn: Pbn,
    },
    /// This many index queries were given up since the last report; their blocks were stored without advice.
    QueriesTimedOut(u64),
    /// Reference counts and mappings disagree; the operation was refused.
    Inconsistent {
        /// The block whose count is wrong.
        pbn: Pbn,
        /// The refused operation.
        operation: &'static str,
    },
    /// The volume became read-only: it takes no writes any more, reads continue. The host records this and tells the
    /// other shards.
    ReadOnly(ReadOnlyReason),
    /// The last slab of this shard is scrubbed: all its reference counts are known again.
    ScrubbingDone,
    /// This many events were not reported one by one since the last report.
    Suppressed(u64),
}

/// Why a volume is read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadOnlyReason {
    /// A metadata write failed, and every retry failed too.
    #[error("a write of {0} failed")]
    WriteFailed(&'static str),
    /// A metadata read failed twice.
    #[error("{0} could not be read")]
    ReadFailed(&'static str),
    /// Metadata was read, but is not what was written there.
    #[error("{0} is damaged")]
    Damaged(&'static str),
    /// Reference counts and mappings disagree.
    #[error("the reference count of {0} and the mappings disagree")]
    Inconsistent(Pbn),
    /// The erasure of a journal segment failed.
    #[error("a recovery journal segment could not be erased")]
    EraseFailed,
    /// Another shard or the operator made the volume read-only.
    #[error("another shard or the operator has ended writing")]
    Told,
}
