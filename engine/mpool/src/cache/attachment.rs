// SPDX-License-Identifier: BSD-3-Clause

//! Access to a map: takes the place of a memory mapping, with `get` instead of page faults.

use core::ops::Range;
use std::rc::Rc;

use futures::channel::oneshot;

use super::map::Map;
use super::page_cache::{MapRef, PageCache, PinnedPage, Wanted};
use super::read::Read;
use super::readahead::DURESS_PAGES;
use crate::error::{Kind, PoolError, Result};
use crate::ids::PAGE_BYTES;

/// The intended use of a range (the values of `madvise`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// No special use.
    Normal,
    /// Reads in random order.
    Random,
    /// Reads from start to end.
    Sequential,
    /// Reads soon: the only advice with an effect.
    WillNeed,
    /// No more reads.
    DontNeed,
}

/// Read access to a range of a map, until it is dropped. Dropping the last attachment destroys the map.
#[derive(Debug)]
pub struct Attachment {
    hold: MapRef,
    range: Range<u64>,
}

/// Bytes of an mblock, pinned in memory until this is dropped. It also keeps the map.
#[derive(Debug)]
pub struct PageGuard {
    pages: Vec<PinnedPage>,
    /// The offset of the first byte in the first page.
    first: usize,
    bytes: usize,
}

/// Consecutive pages of one mblock.
struct Span {
    mblock: usize,
    pages: Range<u32>,
    first: usize,
}

impl Attachment {
    pub(super) fn new(cache: &Rc<PageCache>, map: &Rc<Map>, range: Range<u64>) -> Attachment {
        map.attachments.set(map.attachments.get() + 1);
        Attachment { hold: MapRef::new(cache, map), range }
    }

    /// Pins `bytes` from `offset` on, an offset as in [`super::MapInfo`], and reads the missing pages.
    ///
    /// While a call waits, it keeps the pages that it has pinned already; so may other calls. The module documentation
    /// says what happens when the budget is used up.
    ///
    /// # Errors
    /// Invalid: outside the attached range, across the end of an mblock's written bytes (a bus error in mpool), or no
    /// bytes. NoMemory: pinned pages use up the budget, or the request exceeds it. Errors of the read.
    pub async fn get(&self, offset: u64, bytes: usize) -> Result<PageGuard> {
        let span = self.span(offset, bytes)?;
        let (cache, map) = (&self.hold.cache, &self.hold.map);
        if span.pages.len() > cache.frames.limit() {
            return Err(PoolError::new(Kind::NoMemory, map.subject(), format!("{bytes} bytes exceed the page cache")));
        }
        cache.touch(map, span.mblock);
        let mut delayed = false;
        let mut wanted = Vec::with_capacity(span.pages.len());
        for page in span.pages.clone() {
            wanted.push(self.want(span.mblock, page, &mut delayed).await?);
        }
        let misses = wanted.iter().filter(|wanted| matches!(wanted, Wanted::Coming(_))).count() as u64;
        cache.count(|counters| {
            counters.misses += misses;
            counters.hits += wanted.len() as u64 - misses;
        });
        let mut pages = Vec::with_capacity(wanted.len());
        for (page, wanted) in span.pages.zip(wanted) {
            pages.push(self.arrival(span.mblock, page, wanted, &mut delayed).await?);
        }
        Ok(PageGuard { pages, first: span.first, bytes })
    }

    /// Announces the use of `bytes` from `offset` on. [`Advice::WillNeed`] reads pages ahead, at most as many as the
    /// pool allows, up to the end of the mblock at `offset`, without waiting for them.
    ///
    /// # Errors
    /// NotSupported: other advice. Invalid: outside the attached range.
    pub fn advise(&self, offset: u64, bytes: u64, advice: Advice) -> Result<()> {
        let (cache, map) = (&self.hold.cache, &self.hold.map);
        if advice != Advice::WillNeed {
            let reason = format!("advice {advice:?} has no effect here");
            return Err(PoolError::new(Kind::NotSupported, map.subject(), reason));
        }
        self.check_range(offset, bytes)?;
        let mut limit = cache.readahead_pages.get();
        if cache.pressure.get().is_duress(map.temperature) {
            limit = limit.min(DURESS_PAGES);
        }
        let Some(place) = map.layout.place(offset) else { return Ok(()) };
        let mblock = &map.mblocks[place.mblock];
        let end = (place.byte + bytes).min(mblock.written_bytes);
        if limit == 0 || place.byte >= end {
            return Ok(());
        }
        // Both are within the mblock, whose page numbers have 32 bits.
        let first = (place.byte / PAGE_BYTES as u64) as u32;
        let last = end.div_ceil(PAGE_BYTES as u64) as u32;
        cache.touch(map, place.mblock);
        cache.read_ahead(map, place.mblock, first..last.min(first.saturating_add(limit)));
        Ok(())
    }

    /// Detaches. If this was the last attachment, waits until the map is destroyed: for reads in flight, and for pages
    /// still pinned. A caller that holds a [`PageGuard`] itself should just drop the attachment.
    pub async fn detach(self) {
        let end = (self.hold.map.attachments.get() == 1).then(|| {
            let (sender, receiver) = oneshot::channel();
            self.hold.map.awaiting_end.borrow_mut().push(sender);
            receiver
        });
        drop(self);
        if let Some(end) = end {
            // The sender is dropped with the map, so this ends with an error.
            let _ = end.await;
        }
    }

    /// Finds a page, or waits for its read; starts the read if none is in flight.
    async fn want(&self, mblock: usize, page: u32, delayed: &mut bool) -> Result<Wanted> {
        let (cache, map) = (&self.hold.cache, &self.hold.map);
        if let Some(found) = cache.find(map, mblock, page) {
            return Ok(found);
        }
        if !*delayed {
            *delayed = true;
            cache.delay_miss().await;
        }
        let frame = cache.frame().await?;
        // Another task may have begun the read meanwhile.
        if cache.is_known(map, mblock, page) {
            drop(frame);
        } else {
            let read = Read::enter(cache, map, mblock, page, vec![frame], None);
            cache.tasks.spawn(read.carry_out());
        }
        let found = cache.find(map, mblock, page);
        found.ok_or_else(|| PoolError::invalid(map.subject(), "a read was not entered"))
    }

    async fn arrival(&self, mblock: usize, page: u32, wanted: Wanted, delayed: &mut bool) -> Result<PinnedPage> {
        let mut wanted = wanted;
        loop {
            match wanted {
                Wanted::Here(page) => return Ok(page),
                Wanted::Coming(arrival) => {
                    if let Ok(outcome) = arrival.await {
                        return outcome;
                    }
                }
            }
            // A read of several pages failed or was dropped: the page may be readable on its own.
            wanted = self.want(mblock, page, delayed).await?;
        }
    }

    fn check_range(&self, offset: u64, bytes: u64) -> Result<()> {
        let end = offset.checked_add(bytes).filter(|end| *end <= self.range.end);
        if offset < self.range.start || end.is_none() {
            let reason = format!("{bytes} bytes from {offset:#x} on are not in the range attached to");
            return Err(PoolError::invalid(self.hold.map.subject(), reason));
        }
        Ok(())
    }

    fn span(&self, offset: u64, bytes: usize) -> Result<Span> {
        self.check_range(offset, bytes as u64)?;
        let map = &self.hold.map;
        let place = map.layout.place(offset);
        let place = place.filter(|place| {
            let end = place.byte.checked_add(bytes as u64);
            bytes > 0 && end.is_some_and(|end| end <= map.mblocks[place.mblock].written_bytes)
        });
        let Some(place) = place else {
            let reason = format!("{bytes} bytes from {offset:#x} on are not written bytes of one mblock");
            return Err(PoolError::invalid(map.subject(), reason));
        };
        let page = PAGE_BYTES as u64;
        let end = place.byte + bytes as u64;
        Ok(Span {
            mblock: place.mblock,
            pages: (place.byte / page) as u32..end.div_ceil(page) as u32,
            first: (place.byte % page) as usize,
        })
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.hold.map.attachments.set(self.hold.map.attachments.get() - 1);
    }
}

impl PageGuard {
    /// The number of bytes that were requested.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes, one slice for each page.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let end = self.first + self.bytes;
        self.pages.iter().enumerate().map(move |(index, page)| {
            let start = index * PAGE_BYTES;
            let from = if index == 0 { self.first } else { 0 };
            &page.bytes()[from..PAGE_BYTES.min(end - start)]
        })
    }

    /// The bytes in one slice, if they are in one page.
    #[must_use]
    pub fn contiguous(&self) -> Option<&[u8]> {
        if self.pages.len() > 1 {
            return None;
        }
        self.slices().next()
    }

    /// Copies the bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.slices().flatten().copied().collect()
    }
}
