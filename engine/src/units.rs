// SPDX-License-Identifier: BSD-3-Clause

//! The units in which the engine counts, each with its own type so that they cannot be mixed up.
//!
//! An LBN is what the client addresses, a PBN is a block's position on the base bdev. Both count 4096-byte blocks.

use core::fmt;

pub use mpool::units::Nanos;

/// Bytes in a block: the unit of deduplication, of both block numbers and of every allocation.
pub const BLOCK_SIZE: usize = 4096;

/// The content of one block.
pub type Block = [u8; BLOCK_SIZE];

/// Bytes in a sector: the smallest unit a client may address when the exposed block size is 512.
pub const SECTOR_SIZE: usize = 512;

/// Mappings in one leaf page of the block map (8 sectors of 63 entries).
pub const ENTRIES_PER_LEAF_PAGE: u64 = 504;

/// Maximum number of references to one physical block.
pub const MAX_REFERENCES: u8 = 254;

/// Maximum number of shards of a volume.
pub const MAX_SHARDS: usize = 32;

/// Logical block number: a 4096-byte block as the client addresses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lbn(pub u64);

/// Physical block number: a 4096-byte block of the base bdev, counted from its start.
///
/// PBN 0 is reserved: in a mapping it means "a block of zeros that is stored nowhere".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pbn(pub u64);

/// Number of a shard in its volume, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShardId(pub u16);

/// A number of 4096-byte blocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Blocks(pub u64);

impl Pbn {
    /// The block of zeros that is stored nowhere.
    pub const ZERO: Pbn = Pbn(0);

    /// The block `count` blocks after this one.
    #[must_use]
    pub const fn plus(self, count: u64) -> Pbn {
        Pbn(self.0 + count)
    }
}

impl Lbn {
    /// Index of the block's entry in its leaf page.
    #[must_use]
    pub const fn slot(self) -> usize {
        (self.0 % ENTRIES_PER_LEAF_PAGE) as usize
    }

    /// The block `count` blocks after this one.
    #[must_use]
    pub const fn plus(self, count: u64) -> Lbn {
        Lbn(self.0 + count)
    }
}

impl ShardId {
    /// The shard's number as an index into a table with one entry per shard.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Blocks {
    /// The same size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0 * BLOCK_SIZE as u64
    }
}

impl fmt::Debug for Lbn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LBN {}", self.0)
    }
}

impl fmt::Debug for Pbn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PBN {}", self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {}", self.0)
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blocks", self.0)
    }
}

impl fmt::Display for Lbn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Pbn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
