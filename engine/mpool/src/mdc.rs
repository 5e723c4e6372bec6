// SPDX-License-Identifier: BSD-3-Clause

//! Metadata containers (MDCs): a pair of logs of which one is in use and the other is the target of compactions.
//!
//! Invariants, at rest: exactly one of the logs has content, and its generation is the smaller one. The commit point of
//! a compaction is the durable growth of the old log's generation; until [`Mdc::cend`] has returned, the old log counts.
//!
//! Differs from mpool: SKIP_SER changes nothing here, since what it spares costs nothing. An MDC whose compaction
//! failed is closed and stays as a dead handle; its later calls fail cleanly.

mod open;
#[cfg(test)]
mod tests;

use core::cell::{Cell, RefCell};
use core::fmt;
use std::rc::Rc;

use async_trait::async_trait;
use futures::lock::Mutex;

pub use open::choose_active;

use super::error::{Kind, PoolError, Result};
use super::ids::ObjectId;
use super::mlog::{Mlog, NextError, OpenFlags};

/// The logs that MDCs consist of, by id.
#[async_trait(?Send)]
pub trait LogStore: fmt::Debug {
    /// Opens a log, or joins those who have it open. Each success is matched by one `close`.
    ///
    /// # Errors
    /// NotFound; Invalid: its flags; CorruptLog; Unfinished: a compaction into it was interrupted; Io.
    async fn open(&self, id: ObjectId, flags: OpenFlags) -> Result<Rc<Mlog>>;

    /// Erases a log, open or not: logs the new generation durably, then adopts it. Returns the generation: at least
    /// `min_generation`, and larger than before.
    ///
    /// # Errors
    /// Io. Whether the log is erased is then not known; erasing again is harmless.
    async fn erase(&self, id: ObjectId, min_generation: u64) -> Result<u64>;

    /// Ends one opening; the last one writes what is not on media yet.
    ///
    /// # Errors
    /// Io.
    async fn close(&self, id: ObjectId) -> Result<()>;

    /// The generation of a log, which may be closed.
    ///
    /// # Errors
    /// NotFound.
    fn generation(&self, id: ObjectId) -> Result<u64>;
}

/// How an MDC is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MdcFlags {
    /// SKIP_SER: the caller promises to serialise reads and appends.
    pub skip_ser: bool,
}

impl MdcFlags {
    const fn of_logs(self) -> OpenFlags {
        OpenFlags { compact_sem: true, skip_ser: self.skip_ser }
    }
}

/// An open MDC.
#[derive(Debug)]
pub struct Mdc {
    store: Rc<dyn LogStore>,
    ids: [ObjectId; 2],
    logs: RefCell<Option<[Rc<Mlog>; 2]>>,
    /// Which of the logs is in use.
    active: Cell<usize>,
    /// CSTART is in the active log and CEND is not.
    compacting: Cell<bool>,
    /// Held by what changes the pair.
    changing: Mutex<()>,
}

impl Mdc {
    /// The ids of its logs.
    #[must_use]
    pub fn ids(&self) -> [ObjectId; 2] {
        self.ids
    }

    /// It is open: not closed, and no compaction of it has failed.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.logs.borrow().is_some()
    }

    /// A compaction was begun and not ended.
    #[must_use]
    pub fn is_compacting(&self) -> bool {
        self.compacting.get()
    }

    /// The log in use.
    ///
    /// # Errors
    /// NotFound: it is closed.
    pub fn active(&self) -> Result<Rc<Mlog>> {
        let logs = self.logs.borrow();
        logs.as_ref().map(|logs| Rc::clone(&logs[self.active.get()])).ok_or_else(|| self.closed())
    }

    fn pair(&self) -> Result<[Rc<Mlog>; 2]> {
        self.logs.borrow().clone().ok_or_else(|| self.closed())
    }

    fn closed(&self) -> PoolError {
        PoolError::new(Kind::NotFound, self.to_string(), "it is closed, or a compaction of it failed")
    }

    /// Appends a record to the log in use. With `sync` it is durable when this ends.
    ///
    /// # Errors
    /// As for [`Mlog::append`]. LogFull asks for a compaction.
    pub async fn append(&self, record: &[u8], sync: bool) -> Result<()> {
        self.active()?.append(record, sync).await
    }

    /// Appends a record, durably with `sync`. When the log in use does not take it, because it is full or a flush of it
    /// has failed, the whole `state` is written into the other log first: what failed is then not there.
    ///
    /// # Errors
    /// As for [`Mdc::replace`]; LogFull: the record does not fit with the state; Io: whether it is on media is not known,
    /// and nothing is appended behind it.
    pub async fn append_or_replace<R: AsRef<[u8]>>(
        &self,
        record: &[u8],
        sync: bool,
        state: impl FnOnce() -> Vec<R>,
    ) -> Result<()> {
        match self.append(record, sync).await {
            Err(error) if error.kind() == Kind::LogFull || self.active()?.has_failed() => {}
            other => return other,
        }
        self.replace(state()).await?;
        self.append(record, sync).await
    }

    /// Compacts: puts the records of `state` in the place of all that are there, durably.
    ///
    /// # Errors
    /// Invalid: a compaction was begun already. Any other failure closes the MDC; the state before is kept.
    pub async fn replace<R: AsRef<[u8]>>(&self, state: impl IntoIterator<Item = R>) -> Result<()> {
        self.cstart().await?;
        for record in state {
            if let Err(error) = self.append(record.as_ref(), false).await {
                // Without its end marker the new log does not count. What was appended to it now would be lost.
                self.abandon().await;
                return Err(error);
            }
        }
        self.cend().await
    }

    /// Starts reading at the first record.
    ///
    /// # Errors
    /// NotFound: it is closed.
    pub async fn rewind(&self) -> Result<()> {
        let _alone = self.changing.lock().await;
        self.active()?.rewind().await
    }

    /// The next record, and its length; none at the end.
    ///
    /// # Errors
    /// As for [`Mlog::next`].
    pub async fn next(&self, buffer: &mut [u8]) -> core::result::Result<Option<usize>, NextError> {
        self.active()?.next(buffer).await
    }

    /// The next record, of at most `max_bytes`; none at the end.
    ///
    /// # Errors
    /// As for [`Mlog::next_vec`].
    pub async fn next_vec(&self, max_bytes: usize) -> Result<Option<Vec<u8>>> {
        self.active()?.next_vec(max_bytes).await
    }

    /// Hands all records from here on, of at most `max_bytes` each, to `take`.
    ///
    /// # Errors
    /// As for [`Mlog::read_on`].
    pub async fn read_on(&self, max_bytes: usize, take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.active()?.read_on(max_bytes, take).await
    }

    /// Bytes in use and bytes there are, of the log in use; "0 of 0" when it is closed.
    #[must_use]
    pub fn fill(&self) -> (u64, u64) {
        self.active().map_or((0, 0), |log| log.fill())
    }

    /// Begins a compaction: what is appended from now on goes to the other log, and has to be the whole state.
    ///
    /// # Errors
    /// Invalid: one was begun already. Any other failure closes the MDC; the state before is kept.
    pub async fn cstart(&self) -> Result<()> {
        let _alone = self.changing.lock().await;
        let logs = self.pair()?;
        if self.compacting.get() {
            return Err(PoolError::invalid(self.to_string(), "a compaction was begun already"));
        }
        let target = 1 - self.active.get();
        if let Err(error) = logs[target].append_cstart().await {
            return Err(self.die(error).await);
        }
        self.active.set(target);
        self.compacting.set(true);
        Ok(())
    }

    /// Ends a compaction: what was appended since its beginning is the state from now on, durably.
    ///
    /// # Errors
    /// Invalid: none was begun. Any other failure closes the MDC; the state is then that before or after, which are
    /// the same if the compaction was faithful.
    pub async fn cend(&self) -> Result<()> {
        let _alone = self.changing.lock().await;
        let logs = self.pair()?;
        if !self.compacting.get() {
            return Err(PoolError::invalid(self.to_string(), "no compaction was begun"));
        }
        let active = self.active.get();
        if let Err(error) = logs[active].append_cend().await {
            return Err(self.die(error).await);
        }
        let above = logs[active].generation().saturating_add(1);
        if let Err(error) = self.store.erase(self.ids[1 - active], above).await {
            return Err(self.die(error).await);
        }
        self.compacting.set(false);
        Ok(())
    }

    /// Closes both logs. Closing again does nothing.
    ///
    /// # Errors
    /// Io: what was appended without waiting for durability may be lost. It is closed all the same.
    pub async fn close(&self) -> Result<()> {
        let _alone = self.changing.lock().await;
        self.close_logs().await
    }

    /// Closes both logs and gives up a compaction that was begun: the state before it counts.
    pub async fn abandon(&self) {
        // The old log is the valid one whatever happens here.
        let _ = self.close().await;
    }

    /// Closes both logs after a failure, which it returns.
    async fn die(&self, error: PoolError) -> PoolError {
        // The first failure is the one that says why.
        let _ = self.close_logs().await;
        error
    }

    async fn close_logs(&self) -> Result<()> {
        if self.logs.borrow_mut().take().is_none() {
            return Ok(());
        }
        open::close_both(&*self.store, self.ids).await
    }
}

impl fmt::Display for Mdc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MDC of {} and {}", self.ids[0], self.ids[1])
    }
}
