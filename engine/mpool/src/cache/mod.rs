// SPDX-License-Identifier: BSD-3-Clause

//! Cache maps: collections of committed mblocks as one linear, read-only range, behind a bounded page cache.
//!
//! A client [creates](MapTable::create) a map over mblocks and [attaches](MapTable::attach) to it, which replaces mmap.
//! [`Attachment::get`] pins pages and gives access to their bytes; [`Attachment::advise`] reads ahead. Dropping the
//! last [`Attachment`] destroys the map.
//!
//! ```text
//!  Attachment -- get, advise --> Map -- its mblocks: resident pages, reads under way, time of last access
//!      |                          ^
//!      | miss: a frame            | evicts whole mblocks by temperature and time of last access
//!      v                          |
//!  FramePool (the budget) <---- Reaper: ticks, urgency, three lists of maps, a worker for each under pressure
//! ```
//!
//! Invariants:
//! * Pages and the bounce buffers of readahead together never exceed the budget. Page frames are allocated on first
//!   use, all of one size, and recycled.
//! * A page is read only once at a time: a miss on a page that is being read waits for that read.
//! * A pinned page is not evicted. A map holds its mblocks from its creation until its last use ends: attachments,
//!   reads in flight, pinned pages.
//! * A direct read of an mblock neither consults nor fills the cache. Mblocks are immutable, so both ways return the
//!   same.
//!
//! Differs from mpool, beyond 9.4:
//! * The size of a map alone limits its number of mblocks; 32 was a limit of the kernel's slabs.
//! * A map of empty mblocks has buckets of one page (defect 21); any access to an empty mblock is beyond its end.
//! * When the budget is used up, a miss evicts pages itself, in the order in which mblocks expire. If all pages are
//!   pinned it waits up to a second for one, then fails with "no memory": a task that waits with pages pinned can block
//!   others, and itself, no longer than that.
//! * Readahead has one queue for all maps, with as many batches in flight as four queues of 16 had, fewer with a small
//!   budget. A batch that finds no room is dropped: readahead is only advice.
//! * There are three resident-page counters in all, not three on each list: with one thread nothing contends.
//! * A worker looks at no more than 64 maps in a turn, so that a turn is short however many maps there are.

mod address;
mod attachment;
mod frames;
mod map;
mod page_cache;
mod pressure;
mod read;
mod readahead;
mod reaper;
mod source;
mod table;

#[cfg(test)]
mod tests;

pub use attachment::{Advice, Attachment, PageGuard};
pub use map::Temperature;
pub use page_cache::CacheStatistics;
pub use source::MblockSource;
pub use table::{MapInfo, MapTable, Residency};
