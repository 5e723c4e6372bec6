// SPDX-License-Identifier: BSD-3-Clause

//! Requests to the block map and its answers.

use crate::env::ReadOnlyReason;
use crate::error::RequestError;
use crate::format::{Geometry, PageId};
use crate::units::Pbn;

/// Configuration of a shard's block map.
#[derive(Debug, Clone, Copy)]
pub struct MapConfig {
    /// The volume's layout, which tells the blocks that can hold pages.
    pub geometry: Geometry,
    /// The volume's nonce, part of a page's identity on media.
    pub nonce: u64,
    /// Size of the page cache in pages, at least [`super::BlockMap::minimum_pages`].
    pub pages: usize,
    /// Maximum number of users: pages pinned through [`super::BlockMap::fetch`] plus waiting requests.
    pub users: usize,
    /// Mapped logical blocks at load, or a shard's part of them.
    pub mapped: i64,
    /// Map pages in slabs at load, or a shard's part of them.
    pub map_pages: i64,
}

/// What a page is fetched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To read entries. No page is created.
    Read,
    /// To change entries. The page is created if it does not exist.
    Write,
    /// To change entries of an existing page. No page is created.
    Discard,
}

/// A pinned page in the cache: it stays there until [`super::BlockMap::unpin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame(pub(super) u32);

/// The answer to [`super::BlockMap::fetch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// The leaf page, pinned.
    Page(Frame),
    /// The page does not exist, so none of its blocks is mapped. Not for [`Purpose::Write`].
    NoPage,
    /// An event with the waiter's number will follow.
    Wait,
}

/// Results of requests that had to wait, and requests of the map to its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapEvent {
    /// The leaf page of a waiter is in memory and pinned for it.
    Ready {
        /// The number given to [`super::BlockMap::fetch`].
        waiter: u32,
        /// The pinned page.
        frame: Frame,
    },
    /// The page does not exist, so none of its blocks is mapped. Not for [`Purpose::Write`].
    NoPage {
        /// The number given to [`super::BlockMap::fetch`].
        waiter: u32,
    },
    /// The page of a waiter could not be loaded or created.
    Failed {
        /// The number given to [`super::BlockMap::fetch`].
        waiter: u32,
        /// The reason.
        error: RequestError,
    },
    /// A new page needs a block: answer with [`super::BlockMap::allocated`].
    Allocate {
        /// Identifies the allocation.
        ticket: u32,
    },
    /// The allocation is to be recorded in the journal: answer with [`super::BlockMap::committed`] or
    /// [`super::BlockMap::refused`].
    Append {
        /// Identifies the allocation.
        ticket: u32,
        /// The new page.
        page: PageId,
        /// The block allocated for the page.
        pbn: Pbn,
    },
    /// The map has failed and is read-only now. Sent once.
    ReadOnly(ReadOnlyReason),
}

/// Position of the recovery journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EraInput {
    /// Pages that need an entry before this one are to be written now; 0 for none.
    pub write_before: u64,
}
