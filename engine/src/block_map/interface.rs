// SPDX-License-Identifier: BSD-3-Clause

//! What the block map is asked and what it answers.

use crate::env::ReadOnlyReason;
use crate::error::RequestError;
use crate::format::{Geometry, PageId};
use crate::units::Pbn;

/// What the map of a shard is made of.
#[derive(Debug, Clone, Copy)]
pub struct MapConfig {
    /// The volume's layout; says which blocks can be pages.
    pub geometry: Geometry,
    /// The volume's nonce.
    pub nonce: u64,
    /// Size of the page cache, at least [`super::BlockMap::minimum_pages`].
    pub pages: usize,
    /// Most users at a time: pages that are pinned through [`super::BlockMap::fetch`] and requests that wait, together.
    pub users: usize,
    /// Logical blocks in use when the map is loaded, or a shard's part of that.
    pub mapped: i64,
    /// Map pages in slabs when the map is loaded, or a shard's part of that.
    pub map_pages: i64,
}

/// What a page is fetched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To read entries. No page is made.
    Read,
    /// To change entries. The page is made if need be.
    Write,
    /// To change entries of a page that there is. No page is made.
    Discard,
}

/// A page in the cache that is pinned: it stays there until [`super::BlockMap::unpin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame(pub(super) u32);

/// The answer to [`super::BlockMap::fetch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// The leaf page, pinned.
    Page(Frame),
    /// There is no page, so no block of it is mapped. Not for [`Purpose::Write`].
    NoPage,
    /// An event with the waiter's number will follow.
    Wait,
}

/// What became of something that took time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapEvent {
    /// The leaf page that a waiter wants, pinned for it.
    Ready {
        /// The number given to [`super::BlockMap::fetch`].
        waiter: u32,
        /// The page.
        frame: Frame,
    },
    /// There is no such page, so no block of it is mapped. Not for [`Purpose::Write`].
    NoPage {
        /// The number given to [`super::BlockMap::fetch`].
        waiter: u32,
    },
    /// A waiter's page cannot be had.
    Failed {
        /// The number given to [`super::BlockMap::fetch`].
        waiter: u32,
        /// Why.
        error: RequestError,
    },
    /// A block is wanted for a new page: answer with [`super::BlockMap::allocated`].
    Allocate {
        /// Name of the allocation.
        ticket: u32,
    },
    /// The allocation is to be recorded in the journal: answer with [`super::BlockMap::committed`] or [`super::BlockMap::refused`].
    Append {
        /// Name of the allocation.
        ticket: u32,
        /// The new page.
        page: PageId,
        /// Its block.
        pbn: Pbn,
    },
    /// The map cannot be kept any more; it has gone read-only. Told once.
    ReadOnly(ReadOnlyReason),
}

/// How far the recovery journal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EraInput {
    /// Pages that need an entry before this one shall be written now. 0: none need be.
    pub write_before: u64,
}
