// SPDX-License-Identifier: BSD-3-Clause

//! Reads of pages of mapped mblocks into the cache.
//!
//! A read is a task of its own: its requester may be cancelled, others may join. Its pages are entered as being read
//! before it begins, and are resident or absent when it has ended, whatever the outcome.

use core::mem::take;
use core::ops::Range;
use std::rc::Rc;

use super::frames::Buffer;
use super::map::{Entry, Map, PageSender};
use super::page_cache::{MapRef, PageCache};
use crate::error::{PoolError, Result};
use crate::ids::PAGE_BYTES;

/// A read in flight: contiguous pages of one mblock.
#[derive(Debug)]
pub struct Read {
    hold: MapRef,
    mblock: usize,
    pages: Range<u32>,
    /// One frame for each page.
    frames: Vec<Buffer>,
    /// The bounce buffer of a read of several pages: a device reads into one piece of memory.
    passage: Option<Buffer>,
}

impl Read {
    /// Enters pages as being read: `frames.len()` pages from `first` on, none of them resident or being read. More than
    /// one page needs a `passage` that is long enough.
    pub fn enter(
        cache: &Rc<PageCache>,
        map: &Rc<Map>,
        mblock: usize,
        first: u32,
        frames: Vec<Buffer>,
        passage: Option<Buffer>,
    ) -> Read {
        let pages = first..first + frames.len() as u32;
        let mut entries = map.mblocks[mblock].pages.borrow_mut();
        for page in pages.clone() {
            let before = entries.insert(page, Entry::Reading(Vec::new()));
            assert!(before.is_none(), "a page is read once at a time");
        }
        drop(entries);
        Read { hold: MapRef::new(cache, map), mblock, pages, frames, passage }
    }

    /// Carries out the read, and publishes the pages.
    pub async fn carry_out(mut self) {
        let (cache, map) = (Rc::clone(&self.hold.cache), Rc::clone(&self.hold.map));
        match self.transfer().await {
            Ok(()) => {
                for (page, frame) in take(&mut self.pages).zip(take(&mut self.frames)) {
                    cache.publish(&map, self.mblock, page, frame);
                }
            }
            // Of several pages any may be the cause: each waiting task reads its page on its own.
            Err(error) if self.pages.len() == 1 => {
                for sender in self.withdraw() {
                    // A cancelled waiter does not need the error.
                    let _ = sender.send(Err(error.clone()));
                }
            }
            Err(_) => {}
        }
        drop(self);
        cache.serve_waiting();
    }

    async fn transfer(&mut self) -> Result<()> {
        let bytes = self.pages.len() * PAGE_BYTES;
        let buffer = match &mut self.passage {
            Some(passage) => Some(passage),
            None => self.frames.first_mut(),
        };
        let lent = buffer.and_then(|buffer| buffer.lend().map(|memory| (buffer, memory)));
        let (buffer, memory) = lent.ok_or_else(|| PoolError::invalid("page cache", "a read has no memory"))?;
        let (cache, id) = (&self.hold.cache, self.hold.map.mblocks[self.mblock].id);
        let offset = u64::from(self.pages.start) * PAGE_BYTES as u64;
        let (memory, outcome) = cache.source.read(id, offset, memory, 0..bytes).await;
        buffer.restore(memory);
        outcome?;
        if let Some(passage) = &self.passage {
            for (frame, page) in self.frames.iter_mut().zip(passage.bytes().chunks(PAGE_BYTES)) {
                frame.bytes_mut().copy_from_slice(page);
            }
        }
        Ok(())
    }

    /// Removes the pages that are still entered as being read, and returns the senders of their waiters.
    fn withdraw(&self) -> Vec<PageSender> {
        let mut entries = self.hold.map.mblocks[self.mblock].pages.borrow_mut();
        let mut waiting = Vec::new();
        for page in self.pages.clone() {
            if matches!(entries.get(&page), Some(Entry::Reading(_))) {
                if let Some(Entry::Reading(mut senders)) = entries.remove(&page) {
                    waiting.append(&mut senders);
                }
            }
        }
        waiting
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        // After a success there are none. Otherwise dropping the senders wakes the waiters.
        drop(self.withdraw());
    }
}
