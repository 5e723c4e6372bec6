// SPDX-License-Identifier: BSD-3-Clause

//! What a host asks of a shard.
//!
//! A client's request is cut at leaf-page boundaries, because each leaf page belongs to one shard; each cut is a
//! [`Piece`]. The host counts the pieces of a request and answers its client after the last. Of an unmap the whole leaf
//! pages, if they are many, go to all shards at once, as one [`Sweep`] each: a shard knows which of them there are.

use crate::env::Part;
use crate::units::{Lbn, BLOCK_SIZE, ENTRIES_PER_LEAF_PAGE};

/// What is to be done with a range of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Read into the client's memory.
    Read,
    /// Write from the client's memory.
    Write,
    /// Forget the content: the range reads as zeros and needs no space. Also called discard or trim.
    Unmap,
    /// Make the range read as zeros: the same as [`Operation::Unmap`].
    WriteZeroes,
    /// Wait until every piece that the shard accepted earlier is done. Range fields are ignored.
    Flush,
}

impl Operation {
    /// Whether it forgets content.
    #[must_use]
    pub const fn is_discard(self) -> bool {
        matches!(self, Operation::Unmap | Operation::WriteZeroes)
    }

    /// Whether it changes the volume.
    #[must_use]
    pub const fn changes(self) -> bool {
        matches!(self, Operation::Write | Operation::Unmap | Operation::WriteZeroes)
    }
}

/// Whole leaf pages, of which a shard unmaps those that are its own. Takes as long as there are such pages, however large the
/// range is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep<Client> {
    /// The request, handed back when the sweep is over.
    pub client: Client,
    /// Number of the first leaf page.
    pub first: u64,
    /// The leaf page behind the last one.
    pub end: u64,
}

/// The part of a client's request that lies in one leaf page, hence belongs to one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<Client> {
    /// The request, handed back in every call about it.
    pub client: Client,
    /// What to do.
    pub operation: Operation,
    /// First block.
    pub lbn: Lbn,
    /// Number of blocks that are touched, 1 to 504.
    pub blocks: u16,
    /// Bytes at the start of the first block that are not part of the request.
    pub skip: u16,
    /// Bytes at the end of the last block that are not part of the request.
    pub cut: u16,
}

impl<Client> Piece<Client> {
    /// The part of the `index`th block that belongs to the request.
    #[must_use]
    pub fn part(&self, index: u16) -> Part {
        debug_assert!(index < self.blocks);
        let offset = if index == 0 { self.skip } else { 0 };
        let cut = if index + 1 == self.blocks { self.cut } else { 0 };
        Part { offset, len: BLOCK_SIZE as u16 - offset - cut }
    }

    /// True when the fields agree with each other: a range inside one leaf page, each block touched in part or whole.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let block = BLOCK_SIZE as u16;
        let covered =
            if self.blocks == 1 { self.skip + self.cut < block } else { self.skip < block && self.cut < block };
        self.operation == Operation::Flush
            || (self.blocks > 0
                && self.skip <= block
                && self.cut <= block
                && covered
                && self.lbn.0 % ENTRIES_PER_LEAF_PAGE + u64::from(self.blocks) <= ENTRIES_PER_LEAF_PAGE)
    }
}
