// SPDX-License-Identifier: BSD-3-Clause

//! The report of a check.

use thiserror::Error;

use crate::format::map_page::Salvage;
use crate::format::PageId;
use crate::units::{Lbn, Pbn};
use crate::volume::recovery::RecoveryError;

/// The most findings of each kind that are listed; all are counted.
pub const MAX_LISTED: usize = 100;

/// The findings of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings<T> {
    /// The number of findings, listed or not.
    pub count: u64,
    /// The first [`MAX_LISTED`] findings.
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

/// A block whose count in its slab differs from its references in the block map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{pbn} is referenced {counted} times, but has {recorded} references")]
pub struct Mismatch {
    /// The block with the wrong count.
    pub pbn: Pbn,
    /// References in the block map; 254 for a page of it.
    pub counted: u8,
    /// The count that the slab has recorded.
    pub recorded: u8,
}

/// A defective page of the block map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PageFinding {
    /// The page cannot be read, or only in part.
    #[error("{page:?} in {pbn}: lost sectors {:#010b}, {} entries that make no sense", read.lost_sectors, read.invalid_entries)]
    Damaged {
        /// Level and index of the page.
        page: PageId,
        /// The page's block; PBN 0 for a root.
        pbn: Pbn,
        /// What was lost.
        read: Salvage,
    },
    /// The parent's entry names a block where no page can be: outside of the slabs, or where another page is.
    #[error("{page:?} is said to be in {pbn}, where no page can be")]
    Misplaced {
        /// Level and index of the page.
        page: PageId,
        /// The block that the entry names.
        pbn: Pbn,
    },
}

/// An impossible mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MappingFinding {
    /// The block is not a data block, or holds a page of the block map.
    #[error("{lbn} is mapped to {pbn}, which holds no data")]
    NoData {
        /// The mapped logical block.
        lbn: Lbn,
        /// The block that it is mapped to.
        pbn: Pbn,
    },
    /// The block has all the references that a block can have, without this one.
    #[error("{lbn} is mapped to {pbn}, which has all references that it can have")]
    TooMany {
        /// The mapped logical block.
        lbn: Lbn,
        /// The block that it is mapped to.
        pbn: Pbn,
    },
    /// The logical block is beyond the logical size.
    #[error("{lbn} is mapped to {pbn}, but is beyond the logical size")]
    Beyond {
        /// The mapped logical block.
        lbn: Lbn,
        /// The block that it is mapped to.
        pbn: Pbn,
    },
}

/// The findings of a check, and the usage that it counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// Logical blocks that are mapped.
    pub logical_blocks_used: u64,
    /// Pages of the block map, without the roots.
    pub map_pages: u64,
    /// Pages that map nothing and lead to nothing, left by earlier versions. Their blocks are freed when the pages are
    /// touched, or by a rebuild.
    pub empty_pages: u64,
    /// Blocks that are referenced, including pages of the block map.
    pub blocks_used: u64,
    /// Defective pages.
    pub pages: Findings<PageFinding>,
    /// Impossible mappings.
    pub mappings: Findings<MappingFinding>,
    /// Slabs whose summary, counts or journal are damaged.
    pub slabs: Findings<RecoveryError>,
    /// Blocks whose counts are wrong, in slabs that are not damaged.
    pub mismatches: Findings<Mismatch>,
}

impl CheckReport {
    /// True if there are no findings.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.pages.is_empty() && self.mappings.is_empty() && self.slabs.is_empty() && self.mismatches.is_empty()
    }
}
