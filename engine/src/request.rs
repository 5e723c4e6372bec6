// SPDX-License-Identifier: BSD-3-Clause

//! What a host asks of a shard.
//!
//! The host cuts a client's request at leaf-page boundaries, because each leaf page belongs to one shard; each part is
//! a [`Piece`]. The host counts the pieces of a request and answers the client after the last one. When an unmap covers
//! many whole leaf pages, these go to all shards at once, as one [`Sweep`] each: a shard knows which of the pages
//! exist.

use crate::env::Part;
use crate::units::{Lbn, BLOCK_SIZE, ENTRIES_PER_LEAF_PAGE};

/// The operation on a range of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Read into the client's memory.
    Read,
    /// Write from the client's memory.
    Write,
    /// Discard or trim: the range reads as zeros and needs no space.
    Unmap,
    /// Make the range read as zeros: the same as [`Operation::Unmap`].
    WriteZeroes,
    /// Wait until every piece that the shard accepted earlier is done. Range fields are ignored.
    Flush,
}

impl Operation {
    /// Whether the operation discards content.
    #[must_use]
    pub const fn is_discard(self) -> bool {
        matches!(self, Operation::Unmap | Operation::WriteZeroes)
    }

    /// Whether the operation changes the volume.
    #[must_use]
    pub const fn changes(self) -> bool {
        matches!(self, Operation::Write | Operation::Unmap | Operation::WriteZeroes)
    }
}

/// A range of whole leaf pages, of which a shard unmaps its own. The cost depends on the number of existing pages, not
/// on the size of the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep<Client> {
    /// The request, handed back when the sweep has ended.
    pub client: Client,
    /// Number of the first leaf page.
    pub first: u64,
    /// Number of the leaf page after the last one.
    pub end: u64,
}

/// The part of a client's request that lies in one leaf page and so belongs to one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<Client> {
    /// The request, handed back in every call about it.
    pub client: Client,
    /// The operation on the blocks.
    pub operation: Operation,
    /// First block.
    pub lbn: Lbn,
    /// Number of blocks touched, 1 to 504.
    pub blocks: u16,
    /// Bytes at the start of the first block that are outside the request.
    pub skip: u16,
    /// Bytes at the end of the last block that are outside the request.
    pub cut: u16,
}

impl<Client> Piece<Client> {
    /// The bytes of block `index` of the piece that belong to the request.
    #[must_use]
    pub fn part(&self, index: u16) -> Part {
        debug_assert!(index < self.blocks);
        let offset = if index == 0 { self.skip } else { 0 };
        let cut = if index + 1 == self.blocks { self.cut } else { 0 };
        Part { offset, len: BLOCK_SIZE as u16 - offset - cut }
    }

    /// True when the fields are consistent: the range lies inside one leaf page, and each block is touched in part or
    /// whole.
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
