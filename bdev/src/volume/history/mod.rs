// SPDX-License-Identifier: BSD-3-Clause

//! Level 2 of a volume's index on its pool: the application thread's side (the shards' side is `hash::index::History`
//! in the engine).
//!
//! ```text
//!   shard -- section --> queue --> log of the open chapter --> full: copied into an mblock, the log erased
//!   shard <-- number: it can be read
//!   shard -- number ---> open chapter: memory; closed chapter: the pool's cache maps --> shard
//!   start --> open chapter and closed ones, newest first, section by section --> every shard
//! ```
//! All shards of a volume share one open chapter, so that little of it is wasted, and the number of shards has no
//! effect on the media. The engine names a section by the number of a chapter and the section's number in it
//! ([`SectionAt`]). Here every section is a chapter to the engine: sections are numbered in order of arrival
//! ([`shelf`]), and each can be read as soon as it is in the log. Closing a chapter changes only where its sections are
//! read from.
//!
//! Invariants:
//! * A failure here costs only savings: a section that cannot be stored is lost, and its shard is told.
//! * The open chapter is in memory as it is in the log, so it takes at most one zone of the pool.
//! * Every task ends before the shards stop ([`History::stop`]).

mod append;
mod read;
mod refill;
mod seal;
mod shelf;

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use engine::volume::store::{HistoryLog, IndexLayout, VolumeStore};
use engine::SectionAt;
use mpool::error::Result;
use mpool::MediaClass;

use self::append::Arrival;
use self::shelf::Shelf;
use super::for_each_shard::for_each_shard;
use super::quiesce::LOOK_AGAIN;
use super::Volume;
use crate::datapath::shard_host::ShardHost;
use crate::spdk::timer;

/// Size of a full section, by which windows are counted.
const SECTION_BYTES: u64 = engine::format::index_section::SECTION_BYTES as u64;

/// Progress of a refill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Sections that were given to the shards, or could not be.
    pub done: u64,
    /// Sections in all.
    pub total: u64,
}

impl Progress {
    /// In percent, rounded down; 100 if there are no sections.
    #[must_use]
    pub fn percent(self) -> u64 {
        (self.done.min(self.total) * 100).checked_div(self.total).unwrap_or(100)
    }
}

/// The status of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistoryStatus {
    pub chapters: u64,
    /// Sections, including those of the open chapter.
    pub sections: u64,
    /// Sections that could not be stored.
    pub sections_lost: u64,
    /// The refill after the last opening.
    pub refill: Progress,
}

/// The history of a loaded volume's index.
#[derive(Debug)]
pub struct History {
    store: Rc<VolumeStore>,
    volume: Weak<Volume>,
    /// Closed chapters that are kept.
    most_chapters: u64,
    shelf: RefCell<Shelf>,
    /// None while the history is being opened, and after its end.
    log: RefCell<Option<Rc<HistoryLog>>>,
    arrivals: RefCell<VecDeque<Arrival>>,
    /// A task is taking arrivals.
    taking: Cell<bool>,
    stopping: Cell<bool>,
    /// Tasks that have not ended.
    tasks: Cell<usize>,
    refill: Cell<Progress>,
    sections_lost: Cell<u64>,
}

/// Closed chapters that a history of `history_mib` keeps, whatever the size of the index and the number of shards.
fn most_chapters(history_mib: u32, zone_bytes: u64) -> u64 {
    IndexLayout::of(history_mib, zone_bytes).chapters
}

/// Sections of which a shard keeps hooks, and the memory of the open chapter in bytes; none without a history.
#[must_use]
pub fn window(history_mib: u32, shards: usize, zone_bytes: u64) -> Option<(u32, u64)> {
    let chapters = most_chapters(history_mib, zone_bytes);
    let sections = (chapters + 1) * (zone_bytes / SECTION_BYTES).max(1);
    let each = sections.div_ceil(shards.max(1) as u64);
    (chapters > 0).then(|| (u32::try_from(each).unwrap_or(u32::MAX), zone_bytes))
}

impl History {
    /// Opens the history of a volume that is starting, as far as it survived a power cut, if there was one.
    ///
    /// # Errors
    /// NoSpace: there is no room for a log. Io.
    pub async fn open(store: Rc<VolumeStore>, volume: &Arc<Volume>) -> Result<Rc<History>> {
        let zone_bytes = store.pool().drive_of(MediaClass::Capacity)?.zone_bytes();
        let most_chapters = most_chapters(store.config().history_mib, zone_bytes);
        let (log, open) = store.open_history_log().await?;
        let shelf = Shelf::new(store.chapters(), open);
        Ok(Rc::new(History {
            store,
            volume: Arc::downgrade(volume),
            most_chapters,
            shelf: RefCell::new(shelf),
            log: RefCell::new(Some(Rc::new(log))),
            arrivals: RefCell::default(),
            taking: Cell::new(false),
            stopping: Cell::new(false),
            tasks: Cell::new(0),
            refill: Cell::default(),
            sections_lost: Cell::new(0),
        }))
    }

    pub fn status(&self) -> HistoryStatus {
        let shelf = self.shelf.borrow();
        HistoryStatus {
            chapters: shelf.chapters() as u64,
            sections: shelf.sections(),
            sections_lost: self.sections_lost.get(),
            refill: self.refill.get(),
        }
    }

    /// Starts no more work of its own, and waits for what is in progress. Arriving sections are still taken.
    pub async fn quiesce(&self) {
        self.stopping.set(true);
        self.wait().await;
    }

    /// Ends the history. All that shards have asked for has been answered.
    pub async fn stop(&self) {
        self.quiesce().await;
        let log = self.log.take();
        if let Some(log) = log.and_then(|log| Rc::try_unwrap(log).ok()) {
            self.note(log.close().await, "closing the log of its index");
        }
        let readers = self.shelf.borrow_mut().take_readers();
        for reader in readers {
            reader.close().await;
        }
    }

    /// Waits for the end of all tasks.
    async fn wait(&self) {
        while self.tasks.get() > 0 || self.taking.get() {
            timer::sleep(LOOK_AGAIN).await;
        }
    }

    /// Drops everything: the index is cleared. No section of the present era may be in flight from a shard.
    pub async fn clear(&self) {
        self.quiesce().await;
        let (chapters, readers) = self.shelf.borrow_mut().clear();
        for reader in readers {
            reader.close().await;
        }
        for chapter in chapters {
            self.note(self.store.delete_chapter(&chapter).await, "deleting a chapter of its index");
        }
        let log = self.log.borrow().clone();
        if let Some(log) = log {
            self.note(self.store.erase_history_log(&log).await, "erasing the log of its index");
        }
        self.refill.set(Progress::default());
        self.stopping.set(false);
        self.forget().await;
    }

    /// Tells the shards which sections are gone.
    async fn forget(&self) {
        let oldest = self.shelf.borrow().oldest();
        if let Some(volume) = self.volume.upgrade() {
            for_each_shard(&volume, move |shard: &ShardHost| shard.forget_sections(oldest)).await;
        }
    }

    /// Logs a failure, which costs only savings.
    fn note(&self, outcome: Result<()>, doing: &str) {
        if let Err(error) = outcome {
            log::warn!("{}: {doing} failed: {error}", self.store.entry().name);
        }
    }
}

/// The engine's name for a section.
const fn place_of(number: u32) -> SectionAt {
    SectionAt { chapter: number, section: 0 }
}

/// Counts a task of a history while it exists.
#[derive(Debug)]
struct Task<'a>(&'a History);

impl Task<'_> {
    fn of(history: &History) -> Task<'_> {
        history.tasks.set(history.tasks.get() + 1);
        Task(history)
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_dealt_to_the_shards() {
        const MIB: u64 = 1 << 20;
        assert_eq!(window(0, 2, MIB), None);
        assert_eq!(window(4, 1, MIB), Some((5 * 16, MIB)), "4 closed chapters and the open one");
        assert_eq!(window(4, 3, MIB), Some((27, MIB)));
        assert_eq!(window(64, 2, 32 * MIB), Some((3 * 256, 32 * MIB)));
    }

    #[test]
    fn progress_is_full_when_all_is_done() {
        assert_eq!(Progress::default().percent(), 100);
        assert_eq!(Progress { done: 1, total: 3 }.percent(), 33);
        assert_eq!(Progress { done: 3, total: 3 }.percent(), 100);
    }
}
