// SPDX-License-Identifier: BSD-3-Clause

//! Sections from the shards: appended to the log of the open chapter, which is copied into an mblock when it is full.
//!
//! One task takes them in order of arrival, so a shard's sections get numbers in the shard's own order.

use std::rc::Rc;

use engine::volume::store::{Chapter, HistoryLog};
use mpool::error::{Kind, Result};

use super::History;
use crate::spdk::tasks;
use crate::volume::storage::ended;

/// Gets the number of a section that was stored; none if it is lost.
type Answer = Box<dyn FnOnce(Option<u32>)>;

/// A section in flight.
pub(super) struct Arrival {
    section: Rc<[u8]>,
    answer: Answer,
}

impl core::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Arrival of {} bytes", self.section.len())
    }
}

impl History {
    /// Takes a section, and answers with its number when it is durable; with none if it cannot be stored.
    pub fn append(self: &Rc<History>, section: Vec<u8>, answer: impl FnOnce(Option<u32>) + 'static) {
        self.arrivals.borrow_mut().push_back(Arrival { section: section.into(), answer: Box::new(answer) });
        if !self.taking.replace(true) {
            let history = Rc::clone(self);
            tasks::spawn(async move {
                history.take_arrivals().await;
                history.taking.set(false);
            });
        }
    }

    async fn take_arrivals(&self) {
        loop {
            let next = self.arrivals.borrow_mut().pop_front();
            let Some(Arrival { section, answer }) = next else { return };
            match self.keep(&section).await {
                Ok(()) => {
                    let number = self.shelf.borrow_mut().add(section);
                    answer(Some(number));
                }
                Err(error) => {
                    self.sections_lost.set(self.sections_lost.get() + 1);
                    log::warn!("{}: a section of its index is lost: {error}", self.store.entry().name);
                    answer(None);
                }
            }
        }
    }

    /// Writes a section to the log, after closing the chapter if it is full.
    async fn keep(&self, section: &[u8]) -> Result<()> {
        let log = self.log.borrow().clone();
        let Some(log) = log else { return Err(ended()) };
        if log.has_failed() {
            self.renew(&log).await?;
        }
        match log.append(section).await {
            Err(error) if error.kind() == Kind::LogFull => {
                self.close_chapter(&log).await?;
                log.append(section).await
            }
            other => other,
        }
    }

    /// Makes the log usable again after an append that failed; if that fails, the next section tries again.
    async fn renew(&self, log: &HistoryLog) -> Result<()> {
        let sections = self.shelf.borrow().open().to_vec();
        self.store.renew_history_log(log, &sections, |chapter| self.shelf.borrow_mut().close(Some(chapter))).await?;
        log::info!("{}: the history of its index goes on", self.store.entry().name);
        Ok(())
    }

    /// Copies the open chapter into an mblock, erases the log, and deletes the oldest chapters. A chapter that cannot
    /// be copied is lost, so that the log can go on.
    async fn close_chapter(&self, log: &HistoryLog) -> Result<()> {
        let sections = self.shelf.borrow().open().to_vec();
        let chapter = if sections.is_empty() { None } else { self.make_chapter(log.chapter(), &sections).await };
        self.shelf.borrow_mut().close(chapter);
        self.store.erase_history_log(log).await?;
        let mut fell_off = false;
        while self.drop_oldest(self.most_chapters).await {
            fell_off = true;
        }
        if fell_off {
            self.forget().await;
        }
        Ok(())
    }

    async fn make_chapter(&self, number: u64, sections: &[Rc<[u8]>]) -> Option<Chapter> {
        let mut made = self.store.add_chapter(number, sections).await;
        if matches!(&made, Err(error) if error.kind() == Kind::NoSpace) && self.drop_oldest(0).await {
            made = self.store.add_chapter(number, sections).await;
        }
        if let Err(error) = &made {
            self.sections_lost.set(self.sections_lost.get() + sections.len() as u64);
            log::warn!("{}: a chapter of its index is lost: {error}", self.store.entry().name);
        }
        made.ok()
    }

    /// Deletes the oldest chapter if there are more than `most`. A reader in use keeps it until the next load.
    async fn drop_oldest(&self, most: u64) -> bool {
        let surplus = self.shelf.borrow_mut().take_surplus(most);
        let Some((chapter, reader)) = surplus else { return false };
        if let Some(reader) = reader.and_then(|reader| Rc::try_unwrap(reader).ok()) {
            reader.close().await;
        }
        self.note(self.store.delete_chapter(&chapter).await, "deleting the oldest chapter of its index");
        true
    }
}
