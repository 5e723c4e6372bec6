// SPDX-License-Identifier: BSD-3-Clause

//! What a check has found.

use thiserror::Error;

use crate::format::map_page::Salvage;
use crate::format::PageId;
use crate::units::{Lbn, Pbn};
use crate::volume::recovery::RecoveryError;

/// Findings of each kind that are reported one by one; all are counted.
pub const MAX_LISTED: usize = 100;

/// Findings of one kind: how many, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings<T> {
    /// How many there are.
    pub count: u64,
    /// The first [`MAX_LISTED`].
    pub first: Vec<T>,
}

impl<T> Default for Findings<T> {
    fn default() -> Findings<T> {
        Findings { count: 0, first: Vec::new() }
    }
}

impl<T> Findings<T> {
    pub(super) fn add(&mut self, finding: T) {
        self.count += 1;
        if self.first.len() < MAX_LISTED {
            self.first.push(finding);
        }
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A block whose references are not as many as its slab says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{pbn} is referenced {counted} times, but has {recorded} references")]
pub struct Mismatch {
    /// The block.
    pub pbn: Pbn,
    /// References that the block map has; 254 for a page of it.
    pub counted: u8,
    /// References that the slab says.
    pub recorded: u8,
}

/// A page of the block map that is not as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PageFinding {
    /// It cannot be read, or not all of it.
    #[error("{page:?} in {pbn}: lost sectors {:#010b}, {} entries that make no sense", read.lost_sectors, read.invalid_entries)]
    Damaged {
        /// The page.
        page: PageId,
        /// Its block; PBN 0 for a root.
        pbn: Pbn,
        /// What is wrong with it.
        read: Salvage,
    },
    /// It is said to be where no page can be: outside of the slabs, or where another page is.
    #[error("{page:?} is said to be in {pbn}, where no page can be")]
    Misplaced {
        /// The page.
        page: PageId,
        /// The block.
        pbn: Pbn,
    },
}

/// A mapping that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MappingFinding {
    /// To no data block, or to a page of the block map.
    #[error("{lbn} is mapped to {pbn}, which holds no data")]
    NoData {
        /// The logical block.
        lbn: Lbn,
        /// The block.
        pbn: Pbn,
    },
    /// One reference more than a block can have.
    #[error("{lbn} is mapped to {pbn}, which has all references that it can have")]
    TooMany {
        /// The logical block.
        lbn: Lbn,
        /// The block.
        pbn: Pbn,
    },
    /// Of a block beyond the logical size.
    #[error("{lbn} is mapped to {pbn}, but is beyond the logical size")]
    Beyond {
        /// The logical block.
        lbn: Lbn,
        /// The block.
        pbn: Pbn,
    },
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// Logical blocks that are mapped; blocks of zeros count.
    pub logical_blocks_used: u64,
    /// Pages of the block map, roots not counted.
    pub map_pages: u64,
    /// Pages among them with nothing in them, or below them: of volumes of earlier versions. They give their blocks back when
    /// they are touched, or by a rebuild.
    pub empty_pages: u64,
    /// Blocks that are referenced, pages of the block map among them.
    pub blocks_used: u64,
    /// Pages that are not as they must be.
    pub pages: Findings<PageFinding>,
    /// Mappings that cannot be.
    pub mappings: Findings<MappingFinding>,
    /// Slabs whose summary, counts or journal are damaged.
    pub slabs: Findings<RecoveryError>,
    /// Blocks whose references are not as many as their slab says, in slabs that are not damaged.
    pub mismatches: Findings<Mismatch>,
}

impl CheckReport {
    /// True if nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.pages.is_empty() && self.mappings.is_empty() && self.slabs.is_empty() && self.mismatches.is_empty()
    }
}
