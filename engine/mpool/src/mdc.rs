// SPDX-License-Identifier: BSD-3-Clause

//! Metadata containers (MDCs): pairs of logs, of which one is in use and the other is the target of compactions.
//!
//! Invariants, when quiesced: exactly one of the logs has content, and its generation is the smaller one. The commit
//! point of a compaction is the durable growth of the old log's generation; until [`Mdc::cend`] has returned, the old
//! log counts.
//!
//! Differs from mpool: SKIP_SER changes nothing here, because the serialisation that it avoids costs nothing. An MDC
//! whose compaction failed is closed and remains as a dead handle; its later calls fail cleanly.

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
    /// Opens a log, or joins the other openers. Each success must be matched by one `close`.
    ///
    /// # Errors
    /// NotFound; Invalid: its flags; CorruptLog; Unfinished: a compaction into it was interrupted; Io.
    async fn open(&self, id: ObjectId, flags: OpenFlags) -> Result<Rc<Mlog>>;

    /// Erases a log, open or not: logs the new generation durably, then adopts it. Returns the generation: at least
    /// `min_generation`, and larger than before.
    ///
    /// # Errors
    /// Io. It is then unknown whether the log is erased; erasing again is harmless.
    async fn erase(&self, id: ObjectId, min_generation: u64) -> Result<u64>;

    /// Ends one opening; the last one writes buffered records.
    ///
    /// # Errors
    /// Io.
    async fn close(&self, id: ObjectId) -> Result<()>;

    /// The generation of a log, open or not.
    ///
    /// # Errors
    /// NotFound.
    fn generation(&self, id: ObjectId) -> Result<u64>;
}

/// The flags of an open.
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
    /// The index of the log in use.
    active: Cell<usize>,
    /// CSTART is in the active log, but CEND is not.
    compacting: Cell<bool>,
    /// Held while the pair changes.
    changing: Mutex<()>,
}

impl Mdc {
    /// The ids of the two logs.
    #[must_use]
    pub fn ids(&self) -> [ObjectId; 2] {
        self.ids
    }

    /// True while the MDC is open: neither closed nor killed by a failed compaction.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.logs.borrow().is_some()
    }

    /// True between the start and the end of a compaction.
    #[must_use]
    pub fn is_compacting(&self) -> bool {
        self.compacting.get()
    }

    /// The log in use.
    ///
    /// # Errors
    /// NotFound: the MDC is closed.
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
    /// As for [`Mlog::append`]. LogFull means that a compaction is needed.
    pub async fn append(&self, record: &[u8], sync: bool) -> Result<()> {
        self.active()?.append(record, sync).await
    }

    /// Appends a record, durably with `sync`. If the log in use does not take it, because it is full or a flush of it
    /// has failed, the whole `state` is first written into the other log; failed records are not part of that.
    ///
    /// # Errors
    /// As for [`Mdc::replace`]; LogFull: the record does not fit with the state; Io: it is unknown whether the record
    /// is on media, and nothing is appended behind it.
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

    /// Compacts: replaces all records by those of `state`, durably.
    ///
    /// # Errors
    /// Invalid: a compaction is in progress. Any other failure closes the MDC; the old state is kept.
    pub async fn replace<R: AsRef<[u8]>>(&self, state: impl IntoIterator<Item = R>) -> Result<()> {
        self.cstart().await?;
        for record in state {
            if let Err(error) = self.append(record.as_ref(), false).await {
                // Without its end marker the new log does not count. Records appended to it now would be lost.
                self.abandon().await;
                return Err(error);
            }
        }
        self.cend().await
    }

    /// Sets the read position to the first record.
    ///
    /// # Errors
    /// NotFound: the MDC is closed.
    pub async fn rewind(&self) -> Result<()> {
        let _alone = self.changing.lock().await;
        self.active()?.rewind().await
    }

    /// Reads the next record and returns its length; none at the end.
    ///
    /// # Errors
    /// As for [`Mlog::next`].
    pub async fn next(&self, buffer: &mut [u8]) -> core::result::Result<Option<usize>, NextError> {
        self.active()?.next(buffer).await
    }

    /// Reads the next record, of at most `max_bytes`; none at the end.
    ///
    /// # Errors
    /// As for [`Mlog::next_vec`].
    pub async fn next_vec(&self, max_bytes: usize) -> Result<Option<Vec<u8>>> {
        self.active()?.next_vec(max_bytes).await
    }

    /// Passes all records from the read position on, of at most `max_bytes` each, to `take`.
    ///
    /// # Errors
    /// As for [`Mlog::read_on`].
    pub async fn read_on(&self, max_bytes: usize, take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.active()?.read_on(max_bytes, take).await
    }

    /// Bytes used and total bytes of the log in use; "0 of 0" when the MDC is closed.
    #[must_use]
    pub fn fill(&self) -> (u64, u64) {
        self.active().map_or((0, 0), |log| log.fill())
    }

    /// Begins a compaction: appends go to the other log from now on, and must amount to the whole state.
    ///
    /// # Errors
    /// Invalid: a compaction is in progress. Any other failure closes the MDC; the old state is kept.
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

    /// Ends a compaction: the records appended since its start are the state from now on, durably.
    ///
    /// # Errors
    /// Invalid: no compaction is in progress. Any other failure closes the MDC; the state is then the old or the new
    /// one, which are the same if the compaction was faithful.
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
    /// Io: records appended without `sync` may be lost. The MDC is closed all the same.
    pub async fn close(&self) -> Result<()> {
        let _alone = self.changing.lock().await;
        self.close_logs().await
    }

    /// Closes both logs and abandons a compaction in progress: the old state counts.
    pub async fn abandon(&self) {
        // The old log is the valid one whatever happens here.
        let _ = self.close().await;
    }

    /// Closes both logs after a failure, and returns the failure.
    async fn die(&self, error: PoolError) -> PoolError {
        // Report the first failure.
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
