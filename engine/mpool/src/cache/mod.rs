// SPDX-License-Identifier: BSD-3-Clause

//! Cache maps: collections of committed mblocks as one linear, read-only range, behind a bounded cache of pages.
//!
//! A client [creates](MapTable::create) a map over mblocks and [attaches](MapTable::attach) to it, which is what mmap
//! was. [`Attachment::get`] pins pages and gives access to their bytes; [`Attachment::advise`] reads ahead. The last
//! [`Attachment`] that goes destroys the map.
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
//! * Pages, and memory that readahead passes through, never exceed the budget. Page frames are allocated when first
//!   needed, all of one size, and recycled.
//! * A page is read once at a time: whoever misses it meanwhile waits for that read.
//! * A pinned page is not evicted. A map holds its mblocks from its creation until nothing uses it: attachments, reads
//!   under way, pinned pages.
//! * Reading an mblock directly neither consults nor fills the cache. Mblocks are immutable: both ways show the same.
//!
//! Differs from mpool, beyond 9.4:
//! * A map may have any number of mblocks that its size allows; 32 was a limit of the kernel's slabs.
//! * A map of empty mblocks has buckets of one page (defect 21); any access to an empty mblock is beyond its end.
//! * When the budget is used up, a miss evicts by itself, in the order in which mblocks expire. If all pages are pinned
//!   it waits up to a second for one, then fails with "no memory": a task that waits with pages pinned can block others,
//!   and itself, no longer than that.
//! * Readahead has one queue for all maps, with as many batches under way as four queues of 16 had, fewer with a small
//!   budget. What does not find room is dropped: it is only advice.
//! * Three resident-page counters in all, not three on each list: there is one thread, so nothing contends.
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
