// SPDX-License-Identifier: BSD-3-Clause

//! The open chapter of the index's history: a log with one record for each section, durable as soon as it is appended.
//!
//! When the log is full its sections are copied into an mblock, a closed chapter whose number is the log's generation,
//! and the log is erased. If this is interrupted between the two, the log's generation tells that it was copied
//! already. After a crash the log is read, and filled further. A log that has failed to take a section takes no more:
//! its sections, however few, become a chapter, and the log is erased.

use std::rc::Rc;

use mpool::error::{Kind, Result};
use mpool::mlog::OpenFlags;
use mpool::{LogHandle, MediaClass, ObjectId, Search};

use super::addition::delete_object;
use super::{Chapter, VolumeStore};
use crate::volume::inventory::InventoryRecord;

/// The most bytes of a section.
const MAX_SECTION_BYTES: usize = 1 << 20;

/// The open history log.
#[derive(Debug)]
pub struct HistoryLog {
    handle: LogHandle,
}

impl VolumeStore {
    /// Opens the log, creating it if need be, and reads its sections, in order. A log that was copied already is erased
    /// first; one that cannot be read is erased too.
    ///
    /// # Errors
    /// NoSpace; Io.
    pub async fn open_history_log(&self) -> Result<(HistoryLog, Vec<Rc<[u8]>>)> {
        // The record of a chapter that was never committed has the number that the log is still to become.
        self.forget_missing_chapters().await?;
        let known = self.ledger.contents().history_log;
        let there = known.filter(|id| self.pool.find(*id, Search::Committed).is_ok());
        let id = match there {
            Some(id) => id,
            None => self.make_history_log().await?,
        };
        let least = self.least_generation();
        if self.pool.mlog_props(id)?.generation < least {
            self.pool.mlog_erase(id, least).await?;
        }
        match self.read_history_log(id).await {
            Err(error) if error.kind() == Kind::CorruptLog => {
                self.pool.mlog_erase(id, least).await?;
                self.read_history_log(id).await
            }
            other => other,
        }
    }

    async fn read_history_log(&self, id: ObjectId) -> Result<(HistoryLog, Vec<Rc<[u8]>>)> {
        let log = HistoryLog { handle: self.pool.mlog_open(id, OpenFlags::default()).await? };
        let sections = log.sections().await?;
        Ok((log, sections))
    }

    /// The lowest generation of a log whose sections are in no chapter yet.
    fn least_generation(&self) -> u64 {
        self.chapters().last().map_or(0, |newest| newest.number.saturating_add(1))
    }

    async fn make_history_log(&self) -> Result<ObjectId> {
        let object = self.pool.mlog_alloc(MediaClass::Capacity, 0, false).await?.id;
        let made = async {
            self.ledger.append(vec![InventoryRecord::HistoryLog { object }]).await?;
            self.pool.mlog_commit(object).await
        };
        match made.await {
            Ok(()) => Ok(object),
            Err(error) => {
                // Report the first failure; an uncommitted log vanishes.
                let _ = match self.pool.find(object, Search::Uncommitted) {
                    Ok(_) => self.pool.mlog_abort(object).await,
                    Err(_) => delete_object(&self.pool, object).await,
                };
                Err(error)
            }
        }
    }

    /// After a failed append: makes the log take sections again. The sections that the log holds, which the caller
    /// knows, become a closed chapter; `closed` is called with it at once, so that a retry after a later failure comes
    /// without them.
    ///
    /// # Errors
    /// NoSpace; Io: the pool does not work yet.
    pub async fn renew_history_log(
        &self,
        log: &HistoryLog,
        sections: &[Rc<[u8]>],
        closed: impl FnOnce(Chapter),
    ) -> Result<()> {
        if !sections.is_empty() {
            closed(self.add_chapter(log.chapter(), sections).await?);
        }
        self.erase_history_log(log).await
    }

    /// Erases the log: it starts empty, with a larger generation.
    ///
    /// # Errors
    /// Io.
    pub async fn erase_history_log(&self, log: &HistoryLog) -> Result<()> {
        self.pool.mlog_erase(log.handle.id(), self.least_generation()).await.map(drop)
    }
}

impl HistoryLog {
    /// The number of the chapter that the log will become.
    #[must_use]
    pub fn chapter(&self) -> u64 {
        self.handle.log().generation()
    }

    /// Whether an append has failed: the log takes no section before [`VolumeStore::renew_history_log`].
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.handle.log().has_failed()
    }

    /// Appends a section, durably.
    ///
    /// # Errors
    /// LogFull; Io: the section is lost, and the log has failed.
    pub async fn append(&self, section: &[u8]) -> Result<()> {
        self.handle.log().append(section, true).await
    }

    async fn sections(&self) -> Result<Vec<Rc<[u8]>>> {
        let log = self.handle.log();
        log.rewind().await?;
        let mut sections = Vec::new();
        while let Some(bytes) = log.next_vec(MAX_SECTION_BYTES).await? {
            sections.push(Rc::from(bytes));
        }
        Ok(sections)
    }

    /// Closes the log.
    ///
    /// # Errors
    /// Io.
    pub async fn close(self) -> Result<()> {
        self.handle.close().await
    }
}
